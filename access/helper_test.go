package access

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fixture is a Store over a fresh kv.Store, whose invariants are checked at the
// end of the test. Its methods fail the test unless the error is the wanted one.
type fixture struct {
	*Store
	t  testing.TB
	kv kv.Store

	mu sync.Mutex
	at time.Time // guarded by mu
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, kv: bolttest.New(t, CheckInvariants), at: start}
	f.Store = &Store{Now: f.now}
	return f
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) move() Move { return Move{Who: "root", Why: "test", At: f.now()} }

func (f *fixture) want(err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Errorf("got %v, want %v", err, want)
	}
}

func (f *fixture) update(want error, fn func(tx kv.Tx) error) {
	f.t.Helper()
	f.want(f.kv.Update(context.Background(), fn), want)
}

func (f *fixture) add(name string, role Role, want error) {
	f.t.Helper()
	f.update(want, func(tx kv.Tx) error {
		_, err := f.AddUser(tx, name, role, time.Time{}, f.move())
		return err
	})
}

func (f *fixture) cert(name string, n byte, want error) {
	f.t.Helper()
	f.update(want, func(tx kv.Tx) error {
		return f.AddCertificate(tx, name, serial(n), f.now().Add(365*24*time.Hour), f.move())
	})
}

func (f *fixture) revoke(name string, want error) {
	f.t.Helper()
	f.update(want, func(tx kv.Tx) error { return f.RevokeUser(tx, name, f.move()) })
}

func (f *fixture) revokeCert(n byte, want error) {
	f.t.Helper()
	f.update(want, func(tx kv.Tx) error { return f.RevokeCertificate(tx, serial(n), f.move()) })
}

// lookup is a call with certificate n.
func (f *fixture) lookup(n byte, want error) User {
	f.t.Helper()
	var u User
	err := f.kv.View(context.Background(), func(r kv.Reader) error {
		var err error
		u, err = f.Lookup(r, serial(n))
		return err
	})
	f.want(err, want)
	return u
}

func serial(n byte) amt.Serial { return amt.Serial{1, 15: n} }
