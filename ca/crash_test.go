package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// TestCrash stops an issue at each of its two transactions, before and after
// the commit, and asks again.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		n          int
		after      bool
		unfinished int // serials left over
		serials    int // in all, after the second call
	}{
		{"before the serial is stored", 1, false, 0, 1},
		{"after the serial is stored", 1, true, 1, 2},
		{"before the certificate is stored", 2, false, 1, 2},
		{"after the certificate is stored", 2, true, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			req := DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()}
			crashing := f.over(&failing{Store: f.store, n: c.n, after: c.after}, Options{})
			if cert, err := crashing.IssueDevice(t.Context(), req); !errors.Is(err, errInjected) || cert != nil {
				t.Fatalf("got %v, %v", cert, err)
			}
			left := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Unfinished(r, f.clock.now().Add(year), 10) })
			if len(left) != c.unfinished {
				t.Errorf("got %d unfinished serials, want %d", len(left), c.unfinished)
			}
			// A restart.
			again := f.over(f.store, Options{})
			cert, err := again.IssueDevice(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range left {
				if u.Serial == serialOf(t, cert) {
					t.Error("an unfinished serial was used again")
				}
			}
			all, _, err := listAll(f, Filter{Holder: uuid(1).String()})
			if err != nil || len(all) != c.serials {
				t.Errorf("got %d serials, %v, want %d", len(all), err, c.serials)
			}
			if third, err := again.IssueDevice(t.Context(), req); err != nil || !third.Equal(cert) {
				t.Errorf("the third call: got another certificate, %v", err)
			}
		})
	}
}

// TestCrashWhileStarting stops Init at its transaction.
func TestCrashWhileStarting(t *testing.T) {
	t.Parallel()
	f := newFixture(t) // for its sealer and clock
	for _, after := range []bool{false, true} {
		store := newFixture(t).store
		if err := store.Update(t.Context(), forget); err != nil {
			t.Fatal(err)
		}
		opts := Options{Now: f.clock.now, NewKey: authorityKeys()}
		if _, err := Init(t.Context(), &failing{Store: store, n: 1, after: after}, f.sealer, opts); !errors.Is(err, errInjected) {
			t.Fatalf("got %v", err)
		}
		_, err := Open(t.Context(), store, f.sealer, opts)
		if after && err != nil || !after && !errors.Is(err, ErrMissing) {
			t.Errorf("after the commit %v: got %v", after, err)
		}
	}
}

func forget(tx kv.Tx) error {
	for _, i := range []Issuer{Root, Devices, API} {
		if err := tx.Delete(tableAuthorities, issuerKey(i)); err != nil {
			return err
		}
	}
	return nil
}

// TestCallerGone cancels the caller's context between the two transactions: the
// certificate is stored all the same.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := f.over(&hooked{Store: f.store, after: map[int]func(){1: cancel}}, Options{})
	cert, err := a.IssueDevice(ctx, DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil || f.state(serialOf(t, cert)) != Good {
		t.Errorf("got %v, %v", cert, err)
	}
	if _, err := a.IssueDevice(ctx, DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(1).Public()}); !errors.Is(err, context.Canceled) {
		t.Errorf("gone from the start: got %v", err)
	}
}

// hooked calls a function after its n-th Update.
type hooked struct {
	kv.Store
	calls int
	after map[int]func()
}

func (s *hooked) Update(ctx context.Context, fn func(kv.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	s.calls++
	if h := s.after[s.calls]; h != nil {
		h()
	}
	return err
}

// TestRevokedWhileIssued revokes the serial between the two transactions.
func TestRevokedWhileIssued(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var serial amt.Serial
	revoke := func() {
		left := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Unfinished(r, f.clock.now().Add(year), 10) })
		serial = left[0].Serial
		f.revoke(serial, Unspecified)
	}
	a := f.over(&hooked{Store: f.store, after: map[int]func(){1: revoke}}, Options{})
	cert, err := a.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if !errors.Is(err, ErrRevoked) || cert != nil {
		t.Errorf("got %v, %v, want %v", cert, err, ErrRevoked)
	}
	if got := f.state(serial); got != Revoked {
		t.Errorf("got %v, want %v", got, Revoked)
	}
	crl, err := f.CRL(t.Context(), Devices)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := x509.ParseRevocationList(crl); err != nil || len(l.RevokedCertificateEntries) != 1 {
		t.Errorf("the list lacks the unfinished serial: %v", err)
	}
}
