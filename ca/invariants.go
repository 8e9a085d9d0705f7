package ca

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// CheckInvariants reads everything and reports, as ErrDamaged, the first thing
// that cannot be: an index or count that does not match, a certificate that is
// not the one of its record or whose signature is wrong, a list that lost a
// revocation. It is for the cleanup of tests and for a check of the store; it
// verifies a signature per certificate.
func CheckInvariants(r kv.Reader) error {
	signers, err := authorityCertificates(r)
	if err != nil {
		return err
	}
	if err := records.Check(r); err != nil {
		return err
	}
	want := map[Purpose]*scsstorev1.CaCount{}
	err = records.Scan(r, kv.Range{}, func(key []byte, m *record) error {
		p := Purpose(m.Purpose)
		if want[p] == nil {
			want[p] = &scsstorev1.CaCount{}
		}
		*counter(want[p], m)++
		if err := checkRecord(key, m, signers[Issuer(m.Issuer)]); err != nil {
			return fmt.Errorf("certificate %x: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := checkCounts(r, want); err != nil {
		return err
	}
	return lists.Scan(r, kv.Range{}, func(key []byte, l *scsstorev1.CaRevocationList) error {
		i := Issuer(key[0])
		if err := checkList(r, i, l, signers[i]); err != nil {
			return fmt.Errorf("revocation list of %v: %w", i, err)
		}
		return nil
	})
}

// authorityCertificates reads the certificates of the three authorities.
func authorityCertificates(r kv.Reader) (map[Issuer]*x509.Certificate, error) {
	certs := map[Issuer]*x509.Certificate{}
	err := authorities.Scan(r, kv.Range{}, func(_ []byte, m *scsstorev1.CaAuthority) error {
		cert, err := x509.ParseCertificate(m.Certificate)
		certs[Issuer(m.Issuer)] = cert
		return err
	})
	return certs, err
}

func checkRecord(key []byte, m *record, signer *x509.Certificate) error {
	if !bytes.Equal(key, m.Serial) {
		return fmt.Errorf("%w: its key is another serial", ErrDamaged)
	}
	if len(m.Certificate) == 0 {
		if m.IssuedAt != nil || len(m.ReplacedBy) > 0 {
			return fmt.Errorf("%w: it is unfinished and issued", ErrDamaged)
		}
		return nil
	}
	cert, err := x509.ParseCertificate(m.Certificate)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case signer == nil || cert.CheckSignatureFrom(signer) != nil:
		return fmt.Errorf("%w: its issuer did not sign it", ErrDamaged)
	case !bytes.Equal(cert.SerialNumber.FillBytes(make([]byte, len(key))), key):
		return fmt.Errorf("%w: the certificate has another serial", ErrDamaged)
	case !bytes.Equal(cert.RawSubjectPublicKeyInfo, m.PublicKey):
		return fmt.Errorf("%w: the certificate has another public key", ErrDamaged)
	case cert.Subject.CommonName != m.CommonName || !cert.NotAfter.Equal(m.NotAfter.AsTime()) || !cert.NotBefore.Equal(m.NotBefore.AsTime()):
		return fmt.Errorf("%w: the certificate has another subject or validity", ErrDamaged)
	}
	return nil
}

func checkCounts(r kv.Reader, want map[Purpose]*scsstorev1.CaCount) error {
	for _, p := range purposes {
		got, err := counts.Get(r, purposeKey(p))
		if err != nil {
			got = &scsstorev1.CaCount{}
		}
		w := want[p]
		if w == nil {
			w = &scsstorev1.CaCount{}
		}
		if got.Unfinished != w.Unfinished || got.Issued != w.Issued || got.Revoked != w.Revoked {
			return fmt.Errorf("%w: counts of %v are %v, want %v", ErrDamaged, p, got, w)
		}
	}
	return nil
}

// checkList compares a list that claims to be up to date with the records.
func checkList(r kv.Reader, i Issuer, l *scsstorev1.CaRevocationList, signer *x509.Certificate) error {
	if l.BuiltRevision > l.Revision {
		return fmt.Errorf("%w: it was built from the future", ErrDamaged)
	}
	if l.Number == 0 {
		return nil
	}
	parsed, err := x509.ParseRevocationList(l.Der)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if signer == nil || parsed.CheckSignatureFrom(signer) != nil || parsed.Number.Uint64() != l.Number {
		return fmt.Errorf("%w: its signature or number is wrong", ErrDamaged)
	}
	if l.BuiltRevision < l.Revision {
		return nil
	}
	listed := map[string]int{}
	for _, e := range parsed.RevokedCertificateEntries {
		listed[string(e.SerialNumber.FillBytes(make([]byte, 20)))] = e.ReasonCode
	}
	rg := kv.Range{From: revokedKey(i, l.ThisUpdate.AsTime()), To: kv.PrefixEnd([]byte{byte(i)})}
	return records.ScanIndex(r, indexRevoked, rg, func(_, key []byte, m *record) error {
		reason, ok := listed["\x00\x00\x00\x00"+string(key)]
		if !ok || reason != int(m.Revocation.Reason) {
			return fmt.Errorf("%w: it lacks %x", ErrDamaged, key)
		}
		return nil
	})
}
