package ca

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Tables.
const (
	tableAuthorities kv.Table = "ca_authorities"
	tableLists       kv.Table = "ca_lists"
	tableCounts      kv.Table = "ca_counts"
	tableRecords     kv.Table = "ca_certificates"
	indexKey         kv.Table = "ca_certificates_key"        // SHA-256 of the public key
	indexHolder      kv.Table = "ca_certificates_holder"     // holder
	indexName        kv.Table = "ca_certificates_name"       // DNS name or IP address
	indexServer      kv.Table = "ca_certificates_server"     // DNS name or IP address of a server's certificate that is not revoked
	indexExpiry      kv.Table = "ca_certificates_expiry"     // notAfter of what is issued and not revoked
	indexDue         kv.Table = "ca_certificates_due"        // renewAt of what is issued, not revoked, not replaced
	indexUnfinished  kv.Table = "ca_certificates_unfinished" // begunAt of what has no certificate and is not revoked
	indexRevoked     kv.Table = "ca_certificates_revoked"    // issuer and notAfter of what is revoked
)

type record = scsstorev1.CaCertificate

var (
	authorities = kv.Collection[*scsstorev1.CaAuthority]{Table: tableAuthorities}
	lists       = kv.Collection[*scsstorev1.CaRevocationList]{Table: tableLists}
	counts      = kv.Collection[*scsstorev1.CaCount]{Table: tableCounts}
	records     = kv.Collection[*record]{Table: tableRecords, Indexes: []kv.Index[*record]{
		{Table: indexKey, Keys: func(m *record) [][]byte { return one(keyID(m.PublicKey)) }},
		{Table: indexHolder, Keys: func(m *record) [][]byte { return one([]byte(m.Holder)) }},
		{Table: indexName, Keys: names},
		{Table: indexServer, Keys: serverNames},
		{Table: indexExpiry, Keys: func(m *record) [][]byte { return when(live(m), timeKey(m.NotAfter.AsTime())) }},
		{Table: indexDue, Keys: func(m *record) [][]byte {
			return when(live(m) && len(m.ReplacedBy) == 0, timeKey(m.RenewAt.AsTime()))
		}},
		{Table: indexUnfinished, Keys: func(m *record) [][]byte {
			return when(len(m.Certificate) == 0 && m.Revocation == nil, timeKey(m.BegunAt.AsTime()))
		}},
		{Table: indexRevoked, Keys: func(m *record) [][]byte {
			return when(m.Revocation != nil, revokedKey(Issuer(m.Issuer), m.NotAfter.AsTime()))
		}},
	}}
)

func live(m *record) bool { return len(m.Certificate) > 0 && m.Revocation == nil }

func one(k []byte) [][]byte { return [][]byte{k} }

func when(yes bool, k []byte) [][]byte {
	if !yes {
		return nil
	}
	return one(k)
}

func names(m *record) [][]byte {
	var keys [][]byte
	seen := map[string]bool{}
	for _, list := range [][]string{m.DnsNames, m.IpAddresses} {
		for _, n := range list {
			if !seen[n] {
				seen[n] = true
				keys = append(keys, []byte(n))
			}
		}
	}
	return keys
}

func serverNames(m *record) [][]byte {
	if Purpose(m.Purpose) != Server || m.Revocation != nil {
		return nil
	}
	return names(m)
}

// keyID names a public key: 32 bytes.
func keyID(spki []byte) []byte {
	sum := sha256.Sum256(spki)
	return sum[:]
}

// timeKey orders by second: 8 bytes.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(0, t.Unix())))
}

// revokedKey orders by issuer and end of validity: 9 bytes.
func revokedKey(i Issuer, notAfter time.Time) []byte {
	return append([]byte{byte(i)}, timeKey(notAfter)...)
}

func issuerKey(i Issuer) []byte   { return []byte{byte(i)} }
func purposeKey(p Purpose) []byte { return []byte{byte(p)} }

// put stores m and keeps the counts; old is what is stored now, nil if nothing.
func put(tx kv.Tx, old, m *record) error {
	if err := records.Put(tx, m.Serial, m); err != nil {
		return err
	}
	key := purposeKey(Purpose(m.Purpose))
	c, err := counts.Get(tx, key)
	if errors.Is(err, kv.ErrNotFound) {
		c, err = &scsstorev1.CaCount{}, nil
	}
	if err != nil {
		return err
	}
	if old != nil {
		*counter(c, old)--
	}
	*counter(c, m)++
	return counts.Put(tx, key, c)
}

// counter is the field of c that counts records such as m.
func counter(c *scsstorev1.CaCount, m *record) *int64 {
	switch {
	case m.Revocation != nil:
		return &c.Revoked
	case len(m.Certificate) == 0:
		return &c.Unfinished
	}
	return &c.Issued
}

// get reads a record; ErrUnknown when there is none.
func get(r kv.Reader, serial amt.Serial) (*record, error) {
	m, err := records.Get(r, serial[:])
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("certificate %v: %w", serial, ErrUnknown)
	}
	return m, err
}

// certificateOf is the exported form of a record.
func certificateOf(m *record) (Certificate, error) {
	c := Certificate{
		Issuer:     Issuer(m.Issuer),
		Purpose:    Purpose(m.Purpose),
		Holder:     m.Holder,
		CommonName: m.CommonName,
		DNSNames:   m.DnsNames,
		PublicKey:  m.PublicKey,
		Lifetime:   m.Lifetime.AsDuration(),
		BegunAt:    timeOf(m.BegunAt),
		NotBefore:  timeOf(m.NotBefore),
		NotAfter:   timeOf(m.NotAfter),
		RenewAt:    timeOf(m.RenewAt),
		IssuedAt:   timeOf(m.IssuedAt),
		DER:        m.Certificate,
	}
	if len(m.Serial) != amt.SerialLen {
		return c, fmt.Errorf("serial of %d bytes: %w", len(m.Serial), ErrDamaged)
	}
	c.Serial = amt.Serial(m.Serial)
	if len(m.ReplacedBy) == amt.SerialLen {
		c.ReplacedBy = amt.Serial(m.ReplacedBy)
	}
	for _, text := range m.IpAddresses {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return c, fmt.Errorf("certificate %v: %w: %w", c.Serial, ErrDamaged, err)
		}
		c.IPAddresses = append(c.IPAddresses, ip)
	}
	if rv := m.Revocation; rv != nil {
		c.Revocation = &Revocation{At: timeOf(rv.At), Reason: Reason(rv.Reason), Who: rv.Who, Why: rv.Why}
	}
	return c, nil
}

// timeOf is the zero time for an unset timestamp.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// recordOf is the record of an order before it is signed.
func recordOf(o *order) *record {
	m := &record{
		Serial:     o.serial[:],
		Issuer:     scsstorev1.CaIssuer(o.issuer),
		Purpose:    scsstorev1.CaPurpose(o.purpose),
		Holder:     o.holder,
		CommonName: o.commonName,
		DnsNames:   o.dnsNames,
		PublicKey:  o.spki,
		Lifetime:   durationpb.New(o.lifetime),
		BegunAt:    timestamppb.New(o.begunAt),
		NotBefore:  timestamppb.New(o.notBefore),
		NotAfter:   timestamppb.New(o.notAfter),
		RenewAt:    timestamppb.New(o.renewAt),
	}
	for _, ip := range o.ips {
		m.IpAddresses = append(m.IpAddresses, ip.String())
	}
	return m
}
