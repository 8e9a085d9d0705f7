package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// authorityBits is the size of the authorities' keys: what every firmware of
// AMT 3.0 and later can verify.
const authorityBits = 2048

// anchor is an authority with its opened key.
type anchor struct {
	issuer Issuer
	key    *rsa.PrivateKey
	cert   *x509.Certificate
}

// makeHierarchy makes the three authorities and seals their keys.
func makeHierarchy(opts Options, sealer Sealer) ([]*scsstorev1.CaAuthority, error) {
	now := opts.Now().UTC().Truncate(time.Second)
	domains, err := checkNames(&opts)
	if err != nil {
		return nil, err
	}
	root, err := makeAuthority(opts, Root, now, nil, func(t *x509.Certificate) {
		t.NotAfter = now.Add(RootLifetime)
		t.MaxPathLen = 1
	})
	if err != nil {
		return nil, err
	}
	devices, err := makeAuthority(opts, Devices, now, root, func(t *x509.Certificate) {
		t.MaxPathLenZero = true
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		confine(t, domains)
	})
	if err != nil {
		return nil, err
	}
	api, err := makeAuthority(opts, API, now, root, func(t *x509.Certificate) {
		t.MaxPathLenZero = true
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		t.UnknownExtKeyUsage = []asn1.ObjectIdentifier{ConsoleOID}
	})
	if err != nil {
		return nil, err
	}
	return sealAuthorities(sealer, now, root, devices, api)
}

// checkNames checks what Init takes from people.
func checkNames(opts *Options) (domains []string, err error) {
	if len(opts.Name) > maxCAName {
		return nil, fmt.Errorf("%w: the authority's name has %d bytes, want at most %d", ErrName, len(opts.Name), maxCAName)
	}
	if err := checkCommonName(opts.Name); err != nil {
		return nil, err
	}
	if opts.Organization != "" {
		if err := checkCommonName(opts.Organization); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
	}
	for _, d := range opts.DeviceDomains {
		d, err := checkDNSName(d)
		if err != nil {
			return nil, fmt.Errorf("device domain: %w", err)
		}
		domains = append(domains, d)
	}
	return domains, nil
}

// confine adds the name constraint of Options.DeviceDomains.
func confine(t *x509.Certificate, domains []string) {
	if len(domains) == 0 {
		return
	}
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = domains
	t.ExcludedIPRanges = []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

// makeAuthority makes a key and a certificate, signed by parent or, for the
// root, by itself.
func makeAuthority(opts Options, i Issuer, now time.Time, parent *anchor, shape func(*x509.Certificate)) (*anchor, error) {
	key, err := opts.NewKey(authorityBits)
	if err != nil {
		return nil, fmt.Errorf("making the key of %v: %w", i, err)
	}
	serial, err := drawSerial(opts.Rand)
	if err != nil {
		return nil, err
	}
	made := &anchor{issuer: i, key: key}
	template := &x509.Certificate{
		SerialNumber:          serial.Big(),
		Subject:               authorityName(opts, i, key),
		NotBefore:             now.Add(-authorityBackdate),
		NotAfter:              now.Add(IntermediateLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}
	shape(template)
	if parent == nil {
		parent = &anchor{issuer: Root, key: key, cert: template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %v: %w", i, err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return made, nil
}

// authorityName ends in some digits of the key, so that two installations in
// one trust store can be told apart by people and by firmware that goes by name.
func authorityName(opts Options, i Issuer, key *rsa.PrivateKey) pkix.Name {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	name := pkix.Name{CommonName: fmt.Sprintf("%s %v CA %s", opts.Name, i, hex.EncodeToString(sum[:4]))}
	if opts.Organization != "" {
		name.Organization = []string{opts.Organization}
	}
	return name
}

// sealAuthorities takes the root first.
func sealAuthorities(sealer Sealer, now time.Time, made ...*anchor) ([]*scsstorev1.CaAuthority, error) {
	var list []*scsstorev1.CaAuthority
	for _, m := range made {
		der, err := x509.MarshalPKCS8PrivateKey(m.key)
		if err != nil {
			return nil, err
		}
		sealed, err := sealer.Seal(amt.NewSecret(der), keyIdentity(m.issuer, made[0].cert.Raw, m.cert.Raw))
		clear(der)
		if err != nil {
			return nil, fmt.Errorf("sealing the key of %v: %w", m.issuer, err)
		}
		list = append(list, &scsstorev1.CaAuthority{
			Issuer:      scsstorev1.CaIssuer(m.issuer),
			Certificate: m.cert.Raw,
			SealedKey:   sealed,
			CreatedAt:   timestamppb.New(now),
		})
	}
	return list, nil
}

// keyIdentity is what the sealed key of an authority is bound to: its own
// certificate and the root's, so that neither can be exchanged in the store.
func keyIdentity(i Issuer, root, cert []byte) string {
	sum := sha256.Sum256(append(append([]byte(nil), root...), cert...))
	return fmt.Sprintf("ca/%v/key/%x", i, sum)
}

// openAuthority opens an intermediate's key and checks it against its
// certificate, and the certificate against the root.
func openAuthority(m *scsstorev1.CaAuthority, root *x509.Certificate, sealer Sealer) (*anchor, error) {
	a := &anchor{issuer: Issuer(m.Issuer)}
	var err error
	if a.cert, err = x509.ParseCertificate(m.Certificate); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := a.cert.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("%w: its certificate and the root: %w", ErrDamaged, err)
	}
	secret, err := sealer.Open(m.SealedKey, keyIdentity(a.issuer, root.Raw, a.cert.Raw))
	if err != nil {
		return nil, fmt.Errorf("opening its key: %w", err)
	}
	der := secret.Reveal()
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: its key does not parse", ErrDamaged)
	}
	var ok bool
	if a.key, ok = key.(*rsa.PrivateKey); !ok {
		return nil, fmt.Errorf("%w: its key is %T", ErrDamaged, key)
	}
	spki, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(spki, a.cert.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("%w: its key and certificate differ", ErrDamaged)
	}
	return a, nil
}
