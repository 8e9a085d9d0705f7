package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// TestVerify signs certificates that differ from the order in one thing each.
func TestVerify(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o, err := f.deviceOrder(DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.schedule(o, f.devices); err != nil {
		t.Fatal(err)
	}
	o.serial = amt.Serial{1, 2, 3}
	for _, c := range []struct {
		name   string
		change func(c *x509.Certificate)
		ok     bool
	}{
		{"nothing", func(*x509.Certificate) {}, true},
		{"serial", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(7) }, false},
		{"public key", func(c *x509.Certificate) { c.PublicKey = key(1).Public() }, false},
		{"common name", func(c *x509.Certificate) { c.Subject.CommonName = "pc2.example.com" }, false},
		{"more subject", func(c *x509.Certificate) { c.Subject.Organization = []string{"Evil"} }, false},
		{"more names", func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "pc2.example.com") }, false},
		{"no name", func(c *x509.Certificate) { c.DNSNames = nil }, false},
		{"address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(1, 2, 3, 4)} }, false},
		{"e-mail", func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b"} }, false},
		{"URI", func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "http", Host: "evil"}} }, false},
		{"end before start", func(c *x509.Certificate) { c.NotAfter = c.NotBefore }, false},
		{"a second longer", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }, false},
		{"earlier start", func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-time.Hour) }, false},
		{"client", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }, false},
		{"console", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{ConsoleOID} }, false},
		{"key usage", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, false},
		{"an authority", func(c *x509.Certificate) { c.IsCA = true }, false},
		{"no basic constraints", func(c *x509.Certificate) { c.BasicConstraintsValid = false }, false},
		{"SHA-384", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA384WithRSA }, false},
		{"extension", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 37476, 9000, 64, 1}, Value: []byte{5, 0}}}
		}, false},
	} {
		cert, err := f.devices.sign(t.Context(), f.carrier, o)
		if err != nil {
			t.Fatal(err)
		}
		c.change(cert)
		der, err := x509.CreateCertificate(rand.Reader, clean(cert), f.devices.cert, cert.PublicKey, f.devices.key)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		changed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := f.verify(changed, o, f.devices); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	// The same certificate by another issuer.
	cert, err := f.api.sign(t.Context(), f.carrier, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.verify(cert, o, f.devices); !errors.Is(err, ErrMismatch) {
		t.Errorf("another issuer: got %v", err)
	}
	cert.RawIssuer = f.devices.cert.RawSubject
	if err := f.verify(cert, o, f.devices); !errors.Is(err, ErrMismatch) {
		t.Errorf("another issuer under our name: got %v", err)
	}
}

// clean makes a template of a parsed certificate.
func clean(c *x509.Certificate) *x509.Certificate {
	t := *c
	t.Raw, t.RawSubject, t.Extensions, t.AuthorityKeyId = nil, nil, nil, nil
	t.Subject = pkix.Name{CommonName: c.Subject.CommonName, Organization: c.Subject.Organization}
	return &t
}

// TestSmallstepIgnoresOurTimes shows why the modifier sets the times, and that
// a certificate without one would be noticed.
func TestSmallstepIgnoresOurTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o, err := f.deviceOrder(DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.schedule(o, f.devices); err != nil {
		t.Fatal(err)
	}
	o.serial = amt.Serial{1}
	chain, err := f.devices.embedded.SignWithContext(t.Context(), f.carrier, optionsWithEnd(o.notAfter), leafOptions{o})
	if err != nil {
		t.Skipf("the embedded authority refuses by now: %v", err)
	}
	if chain[0].NotAfter.Equal(o.notAfter) {
		t.Error("SignOptions.NotAfter has an effect by now: look at leafModifier again")
	}
	if err := f.verify(chain[0], o, f.devices); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v, want %v", err, ErrMismatch)
	}
}
