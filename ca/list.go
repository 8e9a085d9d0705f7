package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// Bounds of List.
const (
	// PageLimit is the number of rows of a page that asks for none, and MaxPage
	// the most that one may ask for.
	PageLimit = 100
	MaxPage   = 1000
	maxScan   = 5000 // rows looked at for one page
)

// Filter selects certificates; its zero value selects all, by serial. Holder,
// Name and NotAfterBefore are indexed, and the first of them that is set gives
// the order; the others only leave rows out, so that a page may be short and
// have a next one all the same.
type Filter struct {
	Holder string // all certificates of a device's UUID, or a user
	Name   string // DNS name or IP address in the certificate
	// NotAfterBefore selects what is issued, not revoked, and ends before it, the
	// earliest first.
	NotAfterBefore time.Time
	Purpose        Purpose
	State          State
}

// Page asks for Limit rows (0: PageLimit) behind the token After ("": from the
// start).
type Page struct {
	After string
	Limit int
}

// Get returns one certificate; ErrUnknown when its serial was never drawn.
func (a *Authority) Get(r kv.Reader, serial amt.Serial) (Certificate, error) {
	m, err := get(r, serial)
	if err != nil {
		return Certificate{}, err
	}
	return certificateOf(m)
}

// List returns a page and the token of the next one, "" at the end. ErrPage is
// returned for a token that is none.
func (a *Authority) List(r kv.Reader, f Filter, p Page) (list []Certificate, next string, err error) {
	table, rg, err := f.scan()
	if err != nil {
		return nil, "", err
	}
	if p.After != "" {
		after, err := hex.DecodeString(p.After)
		if err != nil {
			return nil, "", fmt.Errorf("%w: %q", ErrPage, p.After)
		}
		if after = append(after, 0); string(after) > string(rg.From) {
			rg.From = after
		}
	}
	limit := min(p.Limit, MaxPage)
	if limit <= 0 {
		limit = PageLimit
	}
	now, seen := a.seconds(), 0
	visit := func(row, _ []byte, m *record) error {
		if len(list) == limit || seen == maxScan {
			return kv.ErrStop
		}
		seen, next = seen+1, hex.EncodeToString(row)
		c, err := certificateOf(m)
		if err == nil && f.selects(&c, now) {
			list = append(list, c)
		}
		return err
	}
	more := false
	err = scan(r, table, rg, func(row, key []byte, m *record) error {
		err := visit(row, key, m)
		more = errors.Is(err, kv.ErrStop)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if !more {
		next = ""
	}
	return list, next, nil
}

// scan goes over the records or one of their indexes.
func scan(r kv.Reader, table kv.Table, rg kv.Range, fn func(row, key []byte, m *record) error) error {
	if table == tableRecords {
		return records.Scan(r, rg, func(key []byte, m *record) error { return fn(key, key, m) })
	}
	return records.ScanIndex(r, table, rg, fn)
}

// scan is the table and the range that f goes over.
func (f Filter) scan() (kv.Table, kv.Range, error) {
	switch {
	case f.Holder != "":
		return indexHolder, kv.IndexKey([]byte(f.Holder)), nil
	case f.Name != "":
		return indexName, kv.IndexKey([]byte(canonicalName(f.Name))), nil
	case !f.NotAfterBefore.IsZero():
		return indexExpiry, kv.Range{To: timeKey(f.NotAfterBefore)}, nil
	}
	return tableRecords, kv.Range{}, nil
}

// canonicalName is the form in which names are stored; what is no name stays as
// it is and is not found.
func canonicalName(name string) string {
	dns, ips, err := splitNames([]string{name})
	switch {
	case err != nil:
		return name
	case len(dns) == 1:
		return dns[0]
	}
	return ips[0].String()
}

func (f Filter) selects(c *Certificate, now time.Time) bool {
	switch {
	case f.Purpose != 0 && c.Purpose != f.Purpose,
		f.State != 0 && c.State(now) != f.State,
		f.Holder != "" && c.Holder != f.Holder,
		!f.NotAfterBefore.IsZero() && !c.NotAfter.Before(f.NotAfterBefore):
		return false
	}
	if f.Name == "" {
		return true
	}
	name := canonicalName(f.Name)
	return slices.Contains(c.DNSNames, name) ||
		slices.ContainsFunc(c.IPAddresses, func(ip netip.Addr) bool { return ip.String() == name })
}

// DeviceCertificates returns all certificates of a device, finished or not, the
// newest first.
func (a *Authority) DeviceCertificates(r kv.Reader, uuid amt.UUID) ([]Certificate, error) {
	return a.holderCertificates(r, Device, uuid.String())
}

func (a *Authority) holderCertificates(r kv.Reader, p Purpose, holder string) ([]Certificate, error) {
	return collect(r, indexHolder, kv.IndexKey([]byte(holder)), func(c *Certificate) bool { return c.Purpose == p && c.Holder == holder })
}

// Find returns the certificates, finished or not, that carry a public key, the
// newest first.
func (a *Authority) Find(r kv.Reader, pub crypto.PublicKey) ([]Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return collect(r, indexKey, kv.IndexKey(keyID(spki)), func(*Certificate) bool { return true })
}

func collect(r kv.Reader, index kv.Table, rg kv.Range, keep func(*Certificate) bool) ([]Certificate, error) {
	var list []Certificate
	err := records.ScanIndex(r, index, rg, func(_, _ []byte, m *record) error {
		c, err := certificateOf(m)
		if err == nil && keep(&c) {
			list = append(list, c)
		}
		return err
	})
	slices.SortStableFunc(list, func(x, y Certificate) int { return y.BegunAt.Compare(x.BegunAt) })
	return list, err
}

// Due returns up to limit certificates whose time of renewal (two thirds of
// their lifetime) had come at that time: issued, not revoked, not replaced, the
// most urgent first. Expired ones are among them.
func (a *Authority) Due(r kv.Reader, at time.Time, limit int) ([]Certificate, error) {
	return ordered(r, indexDue, kv.Range{To: kv.PrefixEnd(timeKey(at)), Limit: limit})
}

// Unfinished returns up to limit serials begun before that time that never got
// a certificate, the oldest first.
func (a *Authority) Unfinished(r kv.Reader, before time.Time, limit int) ([]Certificate, error) {
	return ordered(r, indexUnfinished, kv.Range{To: timeKey(before), Limit: limit})
}

func ordered(r kv.Reader, index kv.Table, rg kv.Range) ([]Certificate, error) {
	var list []Certificate
	err := records.ScanIndex(r, index, rg, func(_, _ []byte, m *record) error {
		c, err := certificateOf(m)
		if err == nil {
			list = append(list, c)
		}
		return err
	})
	return list, err
}

// Count is how many certificates of a purpose there are.
type Count struct {
	Unfinished int64 // serials without a certificate, not revoked
	Issued     int64 // not revoked, the expired ones among them
	Revoked    int64
}

// Counts are kept as certificates come and go; reading them costs four rows.
func (a *Authority) Counts(r kv.Reader) (map[Purpose]Count, error) {
	all := map[Purpose]Count{}
	for _, p := range purposes {
		c, err := counts.Get(r, purposeKey(p))
		if errors.Is(err, kv.ErrNotFound) {
			all[p] = Count{}
			continue
		}
		if err != nil {
			return nil, err
		}
		all[p] = Count{Unfinished: c.Unfinished, Issued: c.Issued, Revoked: c.Revoked}
	}
	return all, nil
}
