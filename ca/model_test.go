package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
)

// model is what should be in the store, in maps.
type model struct {
	f      *fixture
	keys   []*ecdsa.PrivateKey
	owner  map[int]string        // key to its user
	lost   map[int]bool          // keys reported compromised
	state  map[amt.Serial]State  // Expired is not told from Good
	holder map[amt.Serial]string // user of a serial
	keyOf  map[amt.Serial]int
	listed map[amt.Serial]bool // on the last list
	number int64               // of the last list
}

var userNames = []string{"anna", "bob", "carla"}

// TestModel does random things, with crashes between the transactions, and
// compares the store with the model.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			f: newFixtureOn(t, bolttest.New(t), Options{}), owner: map[int]string{}, lost: map[int]bool{}, state: map[amt.Serial]State{},
			holder: map[amt.Serial]string{}, keyOf: map[amt.Serial]int{}, listed: map[amt.Serial]bool{},
		}
		for range 3 {
			m.keys = append(m.keys, freshEC(t))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"issue":  m.issue,
			"crash":  m.crash,
			"revoke": m.revoke,
			"list":   m.list,
			"wait":   func(rt *rapid.T) { m.f.clock.add(time.Duration(rapid.IntRange(1, 2000).Draw(rt, "hours")) * time.Hour) },
			"":       m.check,
		})
	})
}

// request draws a user and a key, and says what should come of it.
func (m *model) request(rt *rapid.T) (ClientRequest, int, error) {
	user, k := rapid.SampledFrom(userNames).Draw(rt, "user"), rapid.IntRange(0, len(m.keys)-1).Draw(rt, "key")
	req := ClientRequest{User: user, CSR: csrOf(m.f.t, m.keys[k]), Lifetime: year}
	switch owner, taken := m.owner[k]; {
	case m.lost[k]:
		return req, k, ErrKeyCompromised
	case taken && owner != user:
		return req, k, ErrKeyInUse
	}
	return req, k, nil
}

func (m *model) issue(rt *rapid.T) {
	req, k, want := m.request(rt)
	cert, err := m.f.IssueClient(context.Background(), req)
	if want != nil || errors.Is(err, ErrIssuer) {
		if !errors.Is(err, want) && !errors.Is(err, ErrIssuer) {
			rt.Fatalf("issue: got %v, want %v", err, want)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.remember(rt, cert, req.User, k)
}

func (m *model) remember(rt *rapid.T, cert *x509.Certificate, user string, k int) {
	s := serialOf(m.f.t, cert)
	if old, ok := m.state[s]; ok && (old != Good || m.holder[s] != user || m.keyOf[s] != k) {
		rt.Fatalf("serial %v was given out before, to %s, and is %v", s, m.holder[s], old)
	}
	m.state[s], m.holder[s], m.keyOf[s], m.owner[k] = Good, user, k, user
}

// crash issues over a store that fails at one of the two transactions.
func (m *model) crash(rt *rapid.T) {
	req, k, want := m.request(rt)
	n, after := rapid.IntRange(1, 2).Draw(rt, "transaction"), rapid.Bool().Draw(rt, "after")
	before := len(m.all(rt))
	cert, err := m.f.over(&failing{Store: m.f.store, n: n, after: after}, Options{}).IssueClient(context.Background(), req)
	switch {
	case err == nil && n == 2: // an answer that was there already takes one transaction
		m.remember(rt, cert, req.User, k)
	case err == nil:
		rt.Fatal("no error, and the first transaction failed")
	case !errors.Is(err, errInjected) && !errors.Is(err, ErrIssuer) && (want == nil || !errors.Is(err, want)):
		rt.Fatalf("crash: got %v", err)
	}
	m.f.Authority = m.f.over(m.f.store, Options{})
	all := m.all(rt)
	if len(all) > before+1 {
		rt.Fatalf("%d serials came of one call", len(all)-before)
	}
	for _, c := range all {
		if _, ok := m.state[c.Serial]; !ok {
			m.state[c.Serial], m.holder[c.Serial], m.keyOf[c.Serial], m.owner[k] = c.State(c.NotAfter), req.User, k, req.User
		}
	}
}

func (m *model) revoke(rt *rapid.T) {
	all := m.all(rt)
	if len(all) == 0 {
		rt.Skip("nothing to revoke")
	}
	s := rapid.SampledFrom(all).Draw(rt, "certificate").Serial
	reason := rapid.SampledFrom([]Reason{Superseded, KeyCompromise}).Draw(rt, "reason")
	err := m.f.update(func(tx kv.Tx) error { return m.f.Revoke(tx, s, Revocation{Reason: reason, Who: "model"}) })
	if m.state[s] == Revoked {
		if err != nil && !errors.Is(err, ErrRevoked) {
			rt.Fatal(err)
		}
	} else if err != nil {
		rt.Fatal(err)
	}
	m.state[s] = Revoked
	if err == nil && reason == KeyCompromise {
		m.lost[m.keyOf[s]] = true
	}
}

func (m *model) list(rt *rapid.T) {
	l := m.f.crl(m.f.Authority, API)
	if n := l.Number.Int64(); n < m.number {
		rt.Fatalf("list %d follows list %d", n, m.number)
	}
	m.number = l.Number.Int64()
	on := reasonsOf(l)
	for s, state := range m.state {
		c := view(m.f, func(r kv.Reader) (Certificate, error) { return m.f.Get(r, s) })
		_, listed := on[s.Big().String()]
		if state == Revoked && !listed && m.f.seconds().Before(c.NotAfter) || state != Revoked && listed {
			rt.Fatalf("%v is %v, and on the list: %v", s, state, listed)
		}
	}
}

func (m *model) all(rt *rapid.T) []Certificate {
	all, _, err := listAll(m.f, Filter{})
	if err != nil {
		rt.Fatal(err)
	}
	return all
}

// check compares everything.
func (m *model) check(rt *rapid.T) {
	all := m.all(rt)
	if len(all) != len(m.state) {
		rt.Fatalf("%d serials, want %d", len(all), len(m.state))
	}
	want := Count{}
	for _, c := range all {
		got := c.State(c.NotAfter) // never Expired
		if got != m.state[c.Serial] || c.Holder != m.holder[c.Serial] {
			rt.Fatalf("%v is %v of %s, want %v of %s", c.Serial, got, c.Holder, m.state[c.Serial], m.holder[c.Serial])
		}
		switch got {
		case Unfinished:
			want.Unfinished++
		case Good:
			want.Issued++
		case Revoked:
			want.Revoked++
		}
	}
	if got := view(m.f, func(r kv.Reader) (map[Purpose]Count, error) { return m.f.Counts(r) }); got[Client] != want {
		rt.Fatal(fmt.Sprintf("counts are %+v, want %+v", got[Client], want))
	}
	if err := m.f.store.View(context.Background(), CheckInvariants); err != nil {
		rt.Fatal(err)
	}
}
