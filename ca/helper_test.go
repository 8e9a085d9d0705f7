package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// sharedKeys are made once: an RSA key takes tens of milliseconds. 0 to 2 are
// the authorities', the others are for whom they issue to.
var sharedKeys = func() []func() *rsa.PrivateKey {
	list := make([]func() *rsa.PrivateKey, 8)
	for i := range list {
		list[i] = sync.OnceValue(func() *rsa.PrivateKey {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			return k
		})
	}
	return list
}()

// key returns the n-th shared key that is not an authority's.
func key(n int) *rsa.PrivateKey { return sharedKeys[3+n]() }

// authorityKeys returns the function for Options.NewKey.
func authorityKeys() func(int) (*rsa.PrivateKey, error) {
	n := 0
	return func(int) (*rsa.PrivateKey, error) {
		n++
		return sharedKeys[n-1](), nil
	}
}

// clock is the injected one.
type clock struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fixture is an authority on a fresh store, whose invariants are checked at the
// end of the test.
type fixture struct {
	*Authority
	t      testing.TB
	store  kv.Store
	clock  *clock
	sealer Sealer
}

func newFixture(t testing.TB) *fixture { return newFixtureWith(t, Options{}) }

func newFixtureWith(t testing.TB, opts Options) *fixture {
	t.Helper()
	return newFixtureOn(t, bolttest.New(t, CheckInvariants), opts)
}

func newFixtureOn(t testing.TB, store kv.Store, opts Options) *fixture {
	t.Helper()
	f := &fixture{t: t, store: store, clock: newClock(), sealer: sealtest.New(t)}
	opts.Now = f.clock.now
	opts.NewKey = authorityKeys()
	var err error
	if f.Authority, err = Init(context.Background(), f.store, f.sealer, opts); err != nil {
		t.Fatal(err)
	}
	return f
}

// over opens the same authority over another view of the store.
func (f *fixture) over(store kv.Store, opts Options) *Authority {
	f.t.Helper()
	opts.Now = f.clock.now
	a, err := Open(context.Background(), store, f.sealer, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// view runs fn on the store.
func view[T any](f *fixture, fn func(r kv.Reader) (T, error)) T {
	f.t.Helper()
	var v T
	err := f.store.View(context.Background(), func(r kv.Reader) error {
		var err error
		v, err = fn(r)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fixture) update(fn func(tx kv.Tx) error) error {
	return f.store.Update(context.Background(), fn)
}

// revoke revokes or fails the test.
func (f *fixture) revoke(serial amt.Serial, reason Reason) {
	f.t.Helper()
	err := f.update(func(tx kv.Tx) error {
		return f.Revoke(tx, serial, Revocation{At: f.clock.now(), Reason: reason, Who: "anna", Why: "test"})
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// device issues to a device or fails the test.
func (f *fixture) device(n byte, fqdn string, k *rsa.PrivateKey) *x509.Certificate {
	f.t.Helper()
	cert, err := f.IssueDevice(context.Background(), DeviceRequest{UUID: uuid(n), FQDN: fqdn, PublicKey: k.Public()})
	if err != nil {
		f.t.Fatal(err)
	}
	return cert
}

func (f *fixture) state(serial amt.Serial) State {
	f.t.Helper()
	c := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serial) })
	return c.State(f.clock.now())
}

func uuid(n byte) amt.UUID { return amt.UUID{0xde, 15: n} }

func serialOf(t testing.TB, c *x509.Certificate) amt.Serial {
	t.Helper()
	s, err := amt.SerialOf(c.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// csrOf is a request of k that asks for more than it gets.
func csrOf(t testing.TB, k crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "somebody else", Organization: []string{"Evil"}},
		DNSNames: []string{"evil.example"},
	}, k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var errInjected = errors.New("injected failure")

// failing is a store whose n-th Update (from 1) fails, before it does anything
// or after it was committed.
type failing struct {
	kv.Store
	n     int
	after bool

	mu    sync.Mutex
	calls int // guarded by mu
}

func (s *failing) Update(ctx context.Context, fn func(kv.Tx) error) error {
	s.mu.Lock()
	s.calls++
	hit := s.calls == s.n
	s.mu.Unlock()
	if hit && !s.after {
		return errInjected
	}
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	if hit {
		return errInjected
	}
	return nil
}
