package wsman

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

const (
	classKeyService  = "AMT_PublicKeyManagementService"
	classKeyPair     = "AMT_PublicPrivateKeyPair"
	classCertificate = "AMT_PublicKeyCertificate"
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
	Raw         []byte            // X509Certificate: DER, at most 4100 bytes
	Parsed      *x509.Certificate // nil if Raw does not parse
	TrustedRoot bool              // the element is spelt TrustedRootCertficate
	Subject     string            // the device's text
	Issuer      string
}

// AddKey gives the device an RSA key (AMT 3.0 to 6.1) as base64 of its PKCS#1
// DER; that exact form is unverified. Statuses: 23, 38, 2058, 2062, 1.
func (c *Client) AddKey(ctx context.Context, key *rsa.PrivateKey) (Handle, error) {
	in := Input(classKeyService, "AddKey").Add("KeyBlob", base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)))
	return c.added(ctx, in, "CreatedKey")
}

// GenerateKeyPair makes an RSA key of bits (2048) on the device, AMT 6.2 and
// later. Statuses of class Retry are usual for a while: consoles try up to 20
// times, 10 s apart.
func (c *Client) GenerateKeyPair(ctx context.Context, bits int) (Handle, error) {
	in := Input(classKeyService, "GenerateKeyPair")
	in.Add("KeyAlgorithm", "0").Add("KeyLength", fmt.Sprint(bits)) // 0: RSA
	return c.added(ctx, in, "KeyPair")
}

// AddTrustedRootCertificate stores a root (DER). Status 2058 means that it is
// there. Refused while mutual TLS is in force; firmware before 11.8 takes roots
// only, no intermediates.
func (c *Client) AddTrustedRootCertificate(ctx context.Context, der []byte) (Handle, error) {
	in := Input(classKeyService, "AddTrustedRootCertificate").Add("CertificateBlob", base64.StdEncoding.EncodeToString(der))
	return c.added(ctx, in, "CreatedCertificate")
}

// AddCertificate stores a certificate (DER) whose key the device holds. Statuses:
// 16, 23, 38, 2058, 2063, 2064, 1.
func (c *Client) AddCertificate(ctx context.Context, der []byte) (Handle, error) {
	in := Input(classKeyService, "AddCertificate").Add("CertificateBlob", base64.StdEncoding.EncodeToString(der))
	return c.added(ctx, in, "CreatedCertificate")
}

// added does a call that answers the reference of what it made in element name.
// Only the InstanceID counts: a recorded AddKey names the wrong class.
func (c *Client) added(ctx context.Context, in *Object, name string) (Handle, error) {
	var h Handle
	err := c.invoke(ctx, in, nil, func(o *Object) error {
		epr := o.Child(name)
		if epr == nil {
			return fmt.Errorf("%w: no %s", ErrUnexpectedReply, name)
		}
		ref, err := parseReference(epr)
		if err != nil {
			return err
		}
		if h = Handle(ref.Selected("InstanceID")); h == "" {
			return fmt.Errorf("%w: %s without an InstanceID", ErrUnexpectedReply, name)
		}
		return nil
	})
	return h, err
}

// GeneratePKCS10Request has the device sign the certificate request der, whose
// own signature is a dummy, with its key; sha256 chooses SHA256-RSA (1) over
// SHA1-RSA (0). It returns the signed request as DER.
func (c *Client) GeneratePKCS10Request(ctx context.Context, key Handle, der []byte, sha256 bool) ([]byte, error) {
	in := Input(classKeyService, "GeneratePKCS10RequestEx")
	epr := Reference{Class: classKeyPair, Selectors: []Selector{Instance(string(key))}}
	in.Children = append(in.Children, epr.element(in.Space, "KeyPair"))
	algorithm := "0"
	if sha256 {
		algorithm = "1"
	}
	in.Add("SigningAlgorithm", algorithm).Add("NullSignedCertificateRequest", base64.StdEncoding.EncodeToString(der))
	var signed []byte
	err := c.invoke(ctx, in, nil, func(o *Object) (err error) {
		signed, err = o.octets("SignedCertificateRequest")
		return err
	})
	return signed, err
}

// KeyPairs lists the device's key pairs: two requests.
func (c *Client) KeyPairs(ctx context.Context) ([]KeyPair, error) {
	return instances(ctx, c, classKeyPair, readKeyPair)
}

// KeyPair reads one key pair: one request.
func (c *Client) KeyPair(ctx context.Context, h Handle) (KeyPair, error) {
	o, err := c.Get(ctx, classKeyPair, Instance(string(h)))
	if err != nil {
		return KeyPair{}, err
	}
	k, err := readKeyPair(o)
	if err == nil && k.Handle != h {
		err = fmt.Errorf("%s.Get: %w: another key than the one asked for", classKeyPair, ErrUnexpectedReply)
	}
	return k, err
}

func readKeyPair(o *Object) (KeyPair, error) {
	k := KeyPair{Handle: Handle(o.Value("InstanceID"))}
	if k.Handle == "" {
		return KeyPair{}, fmt.Errorf("%w: a key pair without InstanceID", ErrUnexpectedReply)
	}
	k.DER, _ = o.octets("DERKey")
	if pub, err := x509.ParsePKCS1PublicKey(k.DER); err == nil {
		k.Public = pub
	}
	return k, nil
}

// DeleteKeyPair removes a key pair that no certificate uses.
func (c *Client) DeleteKeyPair(ctx context.Context, h Handle) error {
	return c.Delete(ctx, classKeyPair, Instance(string(h)))
}

// Certificates lists the device's certificates, trusted roots included: two
// requests.
func (c *Client) Certificates(ctx context.Context) ([]Certificate, error) {
	return instances(ctx, c, classCertificate, readCertificate)
}

func readCertificate(o *Object) (Certificate, error) {
	k := Certificate{
		Handle:      Handle(o.Value("InstanceID")),
		TrustedRoot: o.truth("TrustedRootCertficate"),
		Subject:     o.Value("Subject"),
		Issuer:      o.Value("Issuer"),
	}
	if k.Handle == "" {
		return Certificate{}, fmt.Errorf("%w: a certificate without InstanceID", ErrUnexpectedReply)
	}
	k.Raw, _ = o.octets("X509Certificate")
	if parsed, err := x509.ParseCertificate(k.Raw); err == nil {
		k.Parsed = parsed
	}
	return k, nil
}

// DeleteCertificate removes a certificate that nothing refers to.
func (c *Client) DeleteCertificate(ctx context.Context, h Handle) error {
	return c.Delete(ctx, classCertificate, Instance(string(h)))
}
