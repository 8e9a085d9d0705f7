package access

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
)

// bearer is a user as the model has it: one generation of a name.
type bearer struct {
	role    Role
	revoked bool
	expires time.Time
	certs   map[byte]*paper
}

type paper struct {
	notAfter time.Time
	revoked  bool
}

// model is what should be in the store.
type model struct {
	*fixture
	names map[string]*bearer
	owner map[byte]*bearer // serial to its bearer
	next  byte             // serial
}

// TestModel does random things and compares logins with the model; and as long
// as an administrator was there, and no time has passed, there is one.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := &fixture{t: t, kv: bolttest.New(t, CheckInvariants), at: start}
		f.Store = &Store{Now: f.now}
		m := &model{fixture: f, names: map[string]*bearer{}, owner: map[byte]*bearer{}}
		rt.Repeat(map[string]func(*rapid.T){
			"add":         m.addUser,
			"certificate": m.addCertificate,
			"revoke":      m.revokeOne,
			"withdraw":    m.withdraw,
			"role":        m.setRole,
			"wait":        func(rt *rapid.T) { f.pass(time.Duration(rapid.IntRange(1, 200).Draw(rt, "hours")) * time.Hour) },
			"":            m.check,
		})
	})
}

func (m *model) name(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"anna", "bob", "carla"}).Draw(rt, "name")
}

func (m *model) role(rt *rapid.T) Role {
	return rapid.SampledFrom([]Role{Admin, Admin, Desk}).Draw(rt, "role")
}

func (m *model) usable(p *paper) bool { return !p.revoked && !m.now().After(p.notAfter) }

func (m *model) active(b *bearer) bool {
	return !b.revoked && (b.expires.IsZero() || m.now().Before(b.expires))
}

// admins counts the administrators who can log in.
func (m *model) admins() (n int) {
	for _, b := range m.names {
		for _, p := range b.certs {
			if b.role == Admin && m.active(b) && m.usable(p) {
				n++
				break
			}
		}
	}
	return n
}

// try does a change in the store and in the model. The model's tells how to
// take itself back, because only its outcome says whether it was allowed.
func (m *model) try(rt *rapid.T, change func(tx kv.Tx) error, apply func() (undo func())) {
	before := m.admins()
	undo := apply()
	want := error(nil)
	if before > 0 && m.admins() == 0 {
		want = ErrLastAdmin
		undo()
	}
	if err := m.kv.Update(context.Background(), change); !errors.Is(err, want) || (err == nil) != (want == nil) {
		rt.Fatalf("got %v, want %v", err, want)
	}
}

func (m *model) addUser(rt *rapid.T) {
	name, role := m.name(rt), m.role(rt)
	var expires time.Time
	if rapid.Bool().Draw(rt, "expires") {
		expires = m.now().Add(300 * time.Hour)
	}
	b := m.names[name]
	err := m.kv.Update(context.Background(), func(tx kv.Tx) error {
		_, err := m.AddUser(tx, name, role, expires, m.move())
		return err
	})
	if b != nil && !b.revoked {
		m.want(err, ErrUserExists)
		return
	}
	m.want(err, nil)
	m.names[name] = &bearer{role: role, expires: expires, certs: map[byte]*paper{}}
}

func (m *model) addCertificate(rt *rapid.T) {
	name := m.name(rt)
	b, ok := m.names[name]
	if !ok || m.next == 250 {
		rt.Skip("no such user")
	}
	m.next++
	notAfter := m.now().Add(100 * time.Hour)
	err := m.kv.Update(context.Background(), func(tx kv.Tx) error {
		return m.AddCertificate(tx, name, serial(m.next), notAfter, m.move())
	})
	switch {
	case b.revoked:
		m.want(err, ErrRevoked)
	case !m.active(b):
		m.want(err, ErrExpired)
	default:
		m.want(err, nil)
		b.certs[m.next] = &paper{notAfter: notAfter}
		m.owner[m.next] = b
	}
}

// existing draws a user who is not revoked.
func (m *model) existing(rt *rapid.T) (string, *bearer) {
	name := m.name(rt)
	b, ok := m.names[name]
	if !ok || b.revoked {
		rt.Skip("no such user")
	}
	return name, b
}

func (m *model) revokeOne(rt *rapid.T) {
	name, b := m.existing(rt)
	m.try(rt, func(tx kv.Tx) error { return m.RevokeUser(tx, name, m.move()) }, func() func() {
		b.revoked = true
		return func() { b.revoked = false }
	})
}

func (m *model) setRole(rt *rapid.T) {
	name, b := m.existing(rt)
	role, old := m.role(rt), b.role
	m.try(rt, func(tx kv.Tx) error { return m.SetRole(tx, name, role) }, func() func() {
		b.role = role
		return func() { b.role = old }
	})
}

func (m *model) withdraw(rt *rapid.T) {
	if m.next == 0 {
		rt.Skip("no certificates")
	}
	n := byte(rapid.IntRange(1, int(m.next)).Draw(rt, "serial"))
	b, ok := m.owner[n]
	if !ok || b.certs[n].revoked {
		rt.Skip("no such certificate")
	}
	m.try(rt, func(tx kv.Tx) error { return m.RevokeCertificate(tx, serial(n), m.move()) }, func() func() {
		b.certs[n].revoked = true
		return func() { b.certs[n].revoked = false }
	})
}

// check logs in with every certificate there ever was.
func (m *model) check(*rapid.T) {
	for n := byte(1); n <= m.next; n++ {
		b, ok := m.owner[n]
		switch {
		case !ok:
			m.lookup(n, ErrUnknownCertificate)
		case b.certs[n].revoked:
			m.lookup(n, ErrRevoked)
		case !m.usable(b.certs[n]):
			m.lookup(n, ErrExpired)
		case b.revoked:
			m.lookup(n, ErrRevoked)
		case !m.active(b):
			m.lookup(n, ErrExpired)
		default:
			if u := m.lookup(n, nil); u.Role != b.role {
				m.t.Errorf("certificate %d is a %v, want %v", n, u.Role, b.role)
			}
		}
	}
}
