package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"go.step.sm/crypto/x509util"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// signer is an intermediate: its certificate, its key, and the embedded
// authority that signs by it.
type signer struct {
	issuer   Issuer
	cert     *x509.Certificate
	key      *rsa.PrivateKey
	embedded *authority.Authority
}

func newSigner(m *scsstorev1.CaAuthority, root *x509.Certificate, sealer Sealer, store kv.Store) (*signer, error) {
	opened, err := openAuthority(m, root, sealer)
	if err != nil {
		return nil, err
	}
	embedded, err := authority.NewEmbedded(
		authority.WithConfig(&config.Config{}),
		authority.WithX509RootCerts(root),
		authority.WithX509Signer(opened.cert, opened.key),
		authority.WithDatabase(&database{store: store}),
		authority.WithQuietInit(),
	)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded authority: %w", err)
	}
	return &signer{issuer: opened.issuer, cert: opened.cert, key: opened.key, embedded: embedded}, nil
}

// newCarrier makes a request with a valid signature of a key that is thrown
// away. The embedded authority insists on one, while a device hands over a
// public key without: signature and key of the carrier are checked there, and
// sign then puts the device's key in its place.
func newCarrier() (*x509.CertificateRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificateRequest(der)
}

// leafTemplate quotes every value by toJson: a name that holds JSON stays a name.
const leafTemplate = `{
	"subject": {"commonName": {{ toJson .CommonName }}},
	"dnsNames": {{ toJson .DNSNames }},
	"ipAddresses": {{ toJson .IPAddresses }},
	"keyUsage": {{ toJson .KeyUsage }},
	"extKeyUsage": {{ toJson .ExtKeyUsage }},
	"unknownExtKeyUsage": {{ toJson .UnknownExtKeyUsage }},
	"basicConstraints": {"isCA": false}
}`

func templateData(o *order) x509util.TemplateData {
	ips := make([]string, 0, len(o.ips))
	for _, ip := range o.ips {
		ips = append(ips, ip.String())
	}
	return x509util.TemplateData{
		"CommonName":         o.commonName,
		"DNSNames":           append([]string{}, o.dnsNames...),
		"IPAddresses":        ips,
		"KeyUsage":           x509util.KeyUsage(o.keyUsage),
		"ExtKeyUsage":        x509util.ExtKeyUsage(o.usages),
		"UnknownExtKeyUsage": x509util.UnknownExtKeyUsage(o.usageOIDs),
	}
}

// leafOptions hands the template to the embedded authority.
type leafOptions struct{ o *order }

// Options implements provisioner.CertificateOptions.
func (l leafOptions) Options(provisioner.SignOptions) []x509util.Option {
	return []x509util.Option{x509util.WithTemplate(leafTemplate, templateData(l.o))}
}

// leafModifier sets what no template can: key, serial and, because
// SignOptions.NotAfter has no effect, the times.
type leafModifier struct{ o *order }

// Modify implements provisioner.CertificateModifier.
func (l leafModifier) Modify(cert *x509.Certificate, _ provisioner.SignOptions) error {
	cert.PublicKey = l.o.publicKey
	cert.PublicKeyAlgorithm = x509.UnknownPublicKeyAlgorithm // taken from the key
	cert.SerialNumber = l.o.serial.Big()
	cert.NotBefore = l.o.notBefore
	cert.NotAfter = l.o.notAfter
	cert.SignatureAlgorithm = x509.SHA256WithRSA
	return nil
}

// sign lets the embedded authority compose and sign the certificate.
func (s *signer) sign(ctx context.Context, carrier *x509.CertificateRequest, o *order) (*x509.Certificate, error) {
	chain, err := s.embedded.SignWithContext(ctx, carrier, provisioner.SignOptions{}, leafOptions{o}, leafModifier{o})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("signing: no certificate came back: %w", ErrMismatch)
	}
	return chain[0], nil
}
