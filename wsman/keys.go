package wsman

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
)

// Handle is the InstanceID of a key or certificate, such as
// "Intel(r) AMT Key: Handle: 1".
type Handle string

// KeyPair is an AMT_PublicPrivateKeyPair.
type KeyPair struct {
	Handle Handle
	DER    []byte         // DERKey: PKCS#1 RSAPublicKey
	Public *rsa.PublicKey // nil if DER is not that
}

// Certificate is an AMT_PublicKeyCertificate.
type Certificate struct {
	Handle      Handle
	Raw         []byte            // DER
	Parsed      *x509.Certificate // nil if Raw does not parse
	TrustedRoot bool
	Subject     string // the device's text
	Issuer      string
}

// AddKey gives the device an RSA key (AMT 3.0 to 6.1) as base64 of its PKCS#1
// DER; that exact form is unverified.
func (c *Client) AddKey(ctx context.Context, key *rsa.PrivateKey) (Handle, error) { panic("not yet") }

// GenerateKeyPair makes an RSA key of bits on the device (AMT 6.2 and later).
// Statuses of class Retry are usual for a while.
func (c *Client) GenerateKeyPair(ctx context.Context, bits int) (Handle, error) { panic("not yet") }

// KeyPairs lists the device's key pairs.
func (c *Client) KeyPairs(ctx context.Context) ([]KeyPair, error) { panic("not yet") }

// KeyPair reads one key pair.
func (c *Client) KeyPair(ctx context.Context, h Handle) (KeyPair, error) { panic("not yet") }

// DeleteKeyPair removes a key pair that no certificate uses.
func (c *Client) DeleteKeyPair(ctx context.Context, h Handle) error { panic("not yet") }

// Certificates lists the device's certificates, trusted roots included.
func (c *Client) Certificates(ctx context.Context) ([]Certificate, error) { panic("not yet") }

// DeleteCertificate removes a certificate that nothing refers to.
func (c *Client) DeleteCertificate(ctx context.Context, h Handle) error { panic("not yet") }

// AddTrustedRootCertificate stores a root; status 2058 means it is there.
func (c *Client) AddTrustedRootCertificate(ctx context.Context, der []byte) (Handle, error) {
	panic("not yet")
}

// AddCertificate stores a certificate whose key the device holds.
func (c *Client) AddCertificate(ctx context.Context, der []byte) (Handle, error) { panic("not yet") }

// GeneratePKCS10Request signs the certificate request der, whose signature is a
// dummy, with the device's key; sha256 chooses SHA256-RSA over SHA1-RSA.
func (c *Client) GeneratePKCS10Request(ctx context.Context, key Handle, der []byte, sha256 bool) ([]byte, error) {
	panic("not yet")
}
