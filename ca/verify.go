package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// leafExtensions are the extensions a certificate of ours may have.
var leafExtensions = []asn1.ObjectIdentifier{
	{2, 5, 29, 14}, // subject key identifier
	{2, 5, 29, 15}, // key usage
	{2, 5, 29, 17}, // subject alternative name
	{2, 5, 29, 19}, // basic constraints
	{2, 5, 29, 35}, // authority key identifier
	{2, 5, 29, 37}, // extended key usage
}

// verify compares what came back with what was asked for, and checks the chain.
func (a *Authority) verify(cert *x509.Certificate, o *order, s *signer) error {
	for _, check := range []struct {
		what string
		ok   bool
	}{
		{"serial", cert.SerialNumber != nil && cert.SerialNumber.Cmp(o.serial.Big()) == 0},
		{"public key", bytes.Equal(cert.RawSubjectPublicKeyInfo, o.spki)},
		{"subject", len(cert.Subject.Names) == 1 && cert.Subject.CommonName == o.commonName},
		{"issuer", bytes.Equal(cert.RawIssuer, s.cert.RawSubject)},
		{"DNS names", slices.Equal(cert.DNSNames, o.dnsNames)},
		{"addresses", slices.Equal(addresses(cert), o.ips)},
		{"other names", len(cert.EmailAddresses) == 0 && len(cert.URIs) == 0},
		{"notBefore", cert.NotBefore.Equal(o.notBefore)},
		{"notAfter", cert.NotAfter.Equal(o.notAfter)},
		{"lifetime", cert.NotAfter.Sub(cert.NotBefore) > MinLifetime},
		{"key usage", cert.KeyUsage == o.keyUsage},
		{"extended key usage", slices.Equal(cert.ExtKeyUsage, o.usages) &&
			slices.EqualFunc(cert.UnknownExtKeyUsage, o.usageOIDs, asn1.ObjectIdentifier.Equal)},
		{"basic constraints", cert.BasicConstraintsValid && !cert.IsCA},
		{"signature algorithm", cert.SignatureAlgorithm == x509.SHA256WithRSA},
		{"extensions", knownExtensions(cert)},
	} {
		if !check.ok {
			return fmt.Errorf("%w: its %s is another", ErrMismatch, check.what)
		}
	}
	return chains(cert, a.root, s.cert, o.usages, o.begunAt)
}

func addresses(cert *x509.Certificate) []netip.Addr {
	var list []netip.Addr
	for _, ip := range cert.IPAddresses {
		addr, _ := netip.AddrFromSlice(ip)
		list = append(list, addr.Unmap())
	}
	return list
}

func knownExtensions(cert *x509.Certificate) bool {
	for _, e := range cert.Extensions {
		if !slices.ContainsFunc(leafExtensions, e.Id.Equal) {
			return false
		}
	}
	return true
}

// chains checks that cert verifies by way of the intermediate up to the root.
func chains(cert, root, intermediate *x509.Certificate, usages []x509.ExtKeyUsage, at time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{
		Roots:         pool(root),
		Intermediates: pool(intermediate),
		CurrentTime:   at,
		KeyUsages:     usages,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return nil
}
