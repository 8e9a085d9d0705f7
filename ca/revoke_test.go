package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// crl fetches, verifies and parses a list.
func (f *fixture) crl(a *Authority, i Issuer) *x509.RevocationList {
	f.t.Helper()
	der, err := a.CRL(context.Background(), i)
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.signerOf(i)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(s.cert); err != nil {
		f.t.Error(err)
	}
	for _, e := range l.Extensions {
		if e.Critical {
			f.t.Errorf("extension %v is critical", e.Id)
		}
	}
	return l
}

func reasonsOf(l *x509.RevocationList) map[string]Reason {
	m := map[string]Reason{}
	for _, e := range l.RevokedCertificateEntries {
		m[e.SerialNumber.String()] = Reason(e.ReasonCode)
	}
	return m
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if l := f.crl(f.Authority, Devices); len(l.RevokedCertificateEntries) != 0 || l.Number.Int64() != 1 {
		t.Errorf("the first list: %d entries, number %v", len(l.RevokedCertificateEntries), l.Number)
	}
	want := map[string]Reason{}
	for n, reason := range reasons[:4] {
		cert := f.device(byte(n), "pc.example.com", key(n))
		f.revoke(serialOf(t, cert), reason)
		want[cert.SerialNumber.String()] = reason
		f.clock.add(time.Minute)
	}
	l := f.crl(f.Authority, Devices)
	if got := reasonsOf(l); fmt.Sprint(got) != fmt.Sprint(want) || l.Number.Int64() != 2 {
		t.Errorf("got %v, number %v, want %v, number 2", got, l.Number, want)
	}
	if !l.ThisUpdate.Equal(f.seconds().Add(-Backdate)) || !l.NextUpdate.Equal(f.seconds().Add(CRLLifetime)) {
		t.Errorf("from %v to %v", l.ThisUpdate, l.NextUpdate)
	}
	if l := f.crl(f.Authority, API); len(l.RevokedCertificateEntries) != 0 {
		t.Errorf("the other list has %d entries", len(l.RevokedCertificateEntries))
	}
	if _, err := f.CRL(t.Context(), Root); !errors.Is(err, ErrUnknown) {
		t.Errorf("the root's list: got %v", err)
	}
}

func TestRevokeErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	serial := serialOf(t, f.device(1, "pc.example.com", key(0)))
	try := func(s amt.Serial, reason Reason) error {
		return f.update(func(tx kv.Tx) error { return f.Revoke(tx, s, Revocation{Reason: reason, Who: "bob", Why: "later"}) })
	}
	if err := try(amt.Serial{1}, Superseded); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want %v", err, ErrUnknown)
	}
	for _, reason := range []Reason{2, 6, 7, 8, 10, 255} {
		if err := try(serial, reason); !errors.Is(err, ErrReason) {
			t.Errorf("reason %d: got %v, want %v", reason, err, ErrReason)
		}
	}
	if err := try(serial, Superseded); err != nil {
		t.Fatal(err)
	}
	first := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serial) }).Revocation
	if !first.At.Equal(f.seconds()) {
		t.Errorf("a missing time is %v, want now", first.At)
	}
	f.clock.add(time.Hour)
	if err := try(serial, Superseded); !errors.Is(err, ErrRevoked) {
		t.Errorf("twice: got %v, want %v", err, ErrRevoked)
	}
	if err := try(serial, KeyCompromise); err != nil {
		t.Errorf("the key is lost as well: %v", err)
	}
	second := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serial) }).Revocation
	if second.Reason != KeyCompromise || !second.At.Equal(first.At) {
		t.Errorf("got %+v, want the new reason and the old time", second)
	}
	if err := try(serial, KeyCompromise); !errors.Is(err, ErrRevoked) {
		t.Errorf("again: got %v, want %v", err, ErrRevoked)
	}
	if got := reasonsOf(f.crl(f.Authority, Devices)); len(got) != 1 || got[serial.Big().String()] != KeyCompromise {
		t.Errorf("the list says %v", got)
	}
	_, err := f.Authority.RevokeHolder(nil, Device, "x", Revocation{Reason: 99})
	if !errors.Is(err, ErrReason) {
		t.Errorf("got %v, want %v", err, ErrReason)
	}
}

func TestFutureRevocation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	serial := serialOf(t, f.device(1, "pc.example.com", key(0)))
	err := f.update(func(tx kv.Tx) error {
		return f.Revoke(tx, serial, Revocation{At: time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if l := f.crl(f.Authority, Devices); !l.RevokedCertificateEntries[0].RevocationTime.Equal(f.seconds()) {
		t.Errorf("got %v, want now", l.RevokedCertificateEntries[0].RevocationTime)
	}
}

func TestRevokeHolder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, user := range []string{"anna", "anna", "anna", "annabel"} {
		if _, err := f.IssueClient(t.Context(), ClientRequest{User: user, CSR: csrOf(t, freshEC(t)), Lifetime: 70 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		f.clock.add(20 * time.Hour)
	}
	// The first has expired by now, the second was revoked before.
	all, _, err := listAll(f, Filter{Holder: "anna", State: Good})
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d, %v", len(all), err)
	}
	f.revoke(all[0].Serial, Superseded)
	var n int
	err = f.update(func(tx kv.Tx) error {
		var err error
		n, err = f.Authority.RevokeHolder(tx, Client, "anna", Revocation{Reason: PrivilegeWithdrawn, Who: "bob"})
		return err
	})
	if err != nil || n != 1 {
		t.Errorf("got %d, %v, want 1", n, err)
	}
	if left, _, _ := listAll(f, Filter{Holder: "anna", State: Good}); len(left) != 0 {
		t.Errorf("%d are left", len(left))
	}
	if others, _, _ := listAll(f, Filter{Holder: "annabel", State: Good}); len(others) != 1 {
		t.Errorf("%d of another user are left", len(others))
	}
	// A holder that would reach into the rows of another one finds nothing.
	err = f.update(func(tx kv.Tx) error {
		n, err = f.Authority.RevokeHolder(tx, Client, "annabel\x00", Revocation{})
		return err
	})
	if err != nil || n != 0 {
		t.Errorf("got %d, %v, want 0", n, err)
	}
}

// TestListFreshness follows a list over time.
func TestListFreshness(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: key(0).Public(), Lifetime: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.revoke(serialOf(t, cert), Superseded)
	number := func() int64 { return f.crl(f.Authority, Devices).Number.Int64() }
	if a, b := number(), number(); a != 1 || b != 1 {
		t.Errorf("got %d and %d, want the stored one again", a, b)
	}
	f.clock.add(CRLLifetime/2 - time.Second)
	if n := number(); n != 1 {
		t.Errorf("before half of its time: got number %d", n)
	}
	f.clock.add(2 * time.Second)
	if n := number(); n != 2 {
		t.Errorf("after half of its time: got number %d", n)
	}
	f.clock.add(CRLLifetime / 2)
	if l := f.crl(f.Authority, Devices); len(l.RevokedCertificateEntries) != 1 {
		t.Error("an expired certificate left the list too early")
	}
	f.clock.add(crlGrace + CRLLifetime)
	if l := f.crl(f.Authority, Devices); len(l.RevokedCertificateEntries) != 0 {
		t.Error("an expired certificate never leaves the list")
	}
	// A clock that was a year ahead leaves no list behind that is not valid yet.
	f.clock.add(year)
	last := f.crl(f.Authority, Devices)
	f.clock.add(-year)
	if l := f.crl(f.Authority, Devices); l.ThisUpdate.After(f.seconds()) || l.Number.Cmp(last.Number) <= 0 {
		t.Errorf("number %v of %v follows number %v of %v", l.Number, l.ThisUpdate, last.Number, last.ThisUpdate)
	}
}

// TestTwoReplicas revokes and fetches lists on two authorities over one store.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	replicas := []*Authority{f.Authority, f.over(f.store, Options{})}
	var serials []amt.Serial
	for n := range 12 {
		cert, err := f.IssueClient(t.Context(), ClientRequest{User: fmt.Sprintf("user%d", n), CSR: csrOf(t, freshEC(t))})
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, serialOf(t, cert))
	}
	var mu sync.Mutex
	sizes := map[int64]int{} // number to entries; guarded by mu
	var wg sync.WaitGroup
	for n, s := range serials {
		wg.Go(func() {
			a := replicas[n%2]
			err := f.store.Update(context.Background(), func(tx kv.Tx) error { return a.Revoke(tx, s, Revocation{Reason: Superseded}) })
			if err != nil {
				t.Error(err)
				return
			}
			l := f.crl(replicas[(n+1)%2], API)
			if _, ok := reasonsOf(l)[s.Big().String()]; !ok {
				t.Errorf("list %v lacks %v, which was revoked before", l.Number, s)
			}
			mu.Lock()
			defer mu.Unlock()
			if old, ok := sizes[l.Number.Int64()]; ok && old != len(l.RevokedCertificateEntries) {
				t.Errorf("two lists have the number %v", l.Number)
			}
			sizes[l.Number.Int64()] = len(l.RevokedCertificateEntries)
		})
	}
	wg.Wait()
	if l := f.crl(f.Authority, API); len(l.RevokedCertificateEntries) != len(serials) {
		t.Errorf("got %d entries, want %d", len(l.RevokedCertificateEntries), len(serials))
	}
}

// TestRevokeUndone fails the transaction that a revocation is part of.
func TestRevokeUndone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	serial := serialOf(t, f.device(1, "pc.example.com", key(0)))
	err := f.update(func(tx kv.Tx) error {
		if err := f.Revoke(tx, serial, Revocation{}); err != nil {
			return err
		}
		return errInjected
	})
	if !errors.Is(err, errInjected) || f.state(serial) != Good {
		t.Errorf("got %v, and the certificate is %v", err, f.state(serial))
	}
}

func TestSupersede(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	issue := func(u amt.UUID, name string, n int) *x509.Certificate {
		cert, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: u, FQDN: name, PublicKey: key(n).Public()})
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first, second := issue(uuid(1), "one.example.com", 0), issue(uuid(1), "two.example.com", 1)
	other := issue(uuid(2), "three.example.com", 2)
	supersede := func(keep *x509.Certificate, want int) {
		t.Helper()
		var n int
		err := f.update(func(tx kv.Tx) (err error) {
			n, err = f.Authority.Supersede(tx, uuid(1), keep, Revocation{Reason: KeyCompromise, Who: "scsd"})
			return err
		})
		if err != nil || n != want {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
	supersede(second, 1)
	supersede(second, 0) // again
	all, _, err := listAll(f, Filter{Holder: uuid(1).String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if isFirst := c.Serial == serialOf(t, first); isFirst != (c.Revocation != nil) || isFirst && c.Revocation.Reason != Superseded {
			t.Errorf("certificate %v: revocation %+v", c.Serial, c.Revocation)
		}
	}
	supersede(nil, 1)
	if left, _, _ := listAll(f, Filter{State: Good}); len(left) != 1 || left[0].Serial != serialOf(t, other) {
		t.Errorf("%d are left", len(left))
	}
}
