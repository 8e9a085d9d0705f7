package tlspsk

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
)

// premasterLen is the size of the secret that a client encrypts for RSA_PSK: the
// version of its hello, then 46 random bytes (RFC 4279 section 4).
const premasterLen = 48

// encryptPremaster draws the secret and encrypts it to the server's certificate.
func (h *handshake) encryptPremaster(cert *x509.Certificate) (secret, encrypted []byte, err error) {
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, nil, fail(AlertBadCertificate, fmt.Errorf("%w: its key is not RSA", ErrCertificate))
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageKeyEncipherment == 0 {
		return nil, nil, fail(AlertBadCertificate, fmt.Errorf("%w: its key may not encipher keys", ErrCertificate))
	}
	secret = make([]byte, premasterLen)
	binary.BigEndian.PutUint16(secret, h.clientVersion)
	if err := draw(h.c.config.rand(), secret[2:]); err != nil {
		return nil, nil, err
	}
	//lint:ignore SA1019 RSA_PSK is defined over this padding (RFC 4279 section 4).
	encrypted, err = rsa.EncryptPKCS1v15(h.c.config.rand(), public, secret)
	if err != nil {
		return nil, nil, fail(AlertBadCertificate, fmt.Errorf("%w: %w", ErrCertificate, err))
	}
	return secret, encrypted, nil
}

// decryptPremaster recovers the secret. Whatever is wrong with it gives random
// bytes, and the handshake fails at Finished as it does for a wrong key; the
// version is always that of the ClientHello (RFC 5246 section 7.4.7.1). Both
// leave nothing for Bleichenbacher's and Klima's attacks to ask about.
func (h *handshake) decryptPremaster(encrypted []byte) ([]byte, error) {
	key, err := h.c.config.decrypter()
	if err != nil {
		return nil, fail(AlertInternalError, err)
	}
	spare := make([]byte, premasterLen)
	if err := draw(h.c.config.rand(), spare); err != nil {
		return nil, fail(AlertInternalError, err)
	}
	//lint:ignore SA1019 RSA_PSK is defined over this padding (RFC 4279 section 4).
	options := &rsa.PKCS1v15DecryptOptions{SessionKeyLen: premasterLen}
	secret, err := key.Decrypt(h.c.config.rand(), encrypted, options)
	if err != nil || len(secret) != premasterLen {
		secret = spare // an error speaks of public lengths only
	}
	binary.BigEndian.PutUint16(secret, h.clientVersion)
	return secret, nil
}

// decrypter is the key of the server's certificate.
func (c *Config) decrypter() (crypto.Decrypter, error) {
	if c.Certificate == nil || len(c.Certificate.Certificate) == 0 {
		return nil, fmt.Errorf("%w: %s without Certificate", ErrConfig, SuiteName(SuiteRSAAES128))
	}
	key, ok := c.Certificate.PrivateKey.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("%w: the certificate's key cannot decrypt", ErrConfig)
	}
	if _, ok := key.Public().(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: %w", ErrConfig, errors.New("the certificate's key is not RSA"))
	}
	return key, nil
}
