package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	want := []string{"admin", "operator", "staging", "procurement", "desk", "auditor"}
	for i, r := range Roles() {
		if r.String() != want[i] || int(r) != i+1 || !r.Valid() {
			t.Errorf("role %d is %v, want %s", r, r, want[i])
		}
		for _, s := range []string{want[i], strings.ToUpper(want[i])} {
			if got, err := ParseRole(s); got != r || err != nil {
				t.Errorf("%q: got %v, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"", "root", "admin ", "1", "unknown role (0)"} {
		if r, err := ParseRole(s); !errors.Is(err, ErrRole) {
			t.Errorf("%q: got %v, %v, want %v", s, r, err, ErrRole)
		}
	}
	for _, r := range []Role{0, 7, 255} {
		if r.Valid() || !strings.HasPrefix(r.String(), "unknown") {
			t.Errorf("role %d is %v", r, r)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"a", "anna", "anna.schmidt", "a-b_c+d@example.com", "0", strings.Repeat("x", MaxName)} {
		if err := CheckName(n); err != nil {
			t.Errorf("%q: %v", n, err)
		}
	}
	for _, n := range []string{
		"", "Anna", "anna schmidt", ".anna", "anna-", "änna", "an\x00na", "anna\n", "a/b", "a,b", `a"b`, "@", strings.Repeat("x", MaxName+1),
	} {
		if err := CheckName(n); !errors.Is(err, ErrUserName) {
			t.Errorf("%q: got %v, want %v", n, err, ErrUserName)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"anna", "a.b", "A", "a\x00b", "-", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) == nil && (s != strings.ToLower(s) || strings.ContainsAny(s, "\x00\n\"'/\\ ,=<>") || len(s) > 64) {
			t.Errorf("%q passed", s)
		}
	})
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lookup(1, ErrUnknownCertificate)
	f.add("anna", Operator, nil)
	f.lookup(1, ErrUnknownCertificate)
	f.cert("anna", 1, nil)
	want := User{Name: "anna", Role: Operator, Generation: 1, CreatedAt: start, CreatedBy: "root"}
	if diff := cmp.Diff(want, f.lookup(1, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.cert("anna", 1, nil) // again
	f.cert("anna", 2, nil) // a second machine
	f.update(nil, func(tx kv.Tx) error { return f.SetRole(tx, "anna", Desk) })
	if u := f.lookup(2, nil); u.Role != Desk {
		t.Errorf("got %v, want %v", u.Role, Desk)
	}
	f.revokeCert(1, nil)
	f.lookup(1, ErrRevoked)
	f.lookup(2, nil)
	f.cert("anna", 1, ErrRevoked)
	f.revokeCert(1, ErrRevoked)
	f.pass(366 * 24 * time.Hour)
	f.lookup(2, ErrExpired)
	f.lookup(1, ErrRevoked)
}

func TestRevokeUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.add("anna", Operator, nil)
	f.add("anna", Operator, ErrUserExists)
	f.add("bob", Operator, nil)
	f.cert("anna", 1, nil)
	f.cert("anna", 2, nil)
	f.cert("bob", 3, nil)
	f.cert("bob", 1, ErrCertificateTaken)
	f.revoke("anna", nil)
	f.lookup(1, ErrRevoked)
	f.lookup(2, ErrRevoked)
	f.lookup(3, nil)
	f.revoke("anna", ErrRevoked)
	f.cert("anna", 4, ErrRevoked)
	f.update(ErrRevoked, func(tx kv.Tx) error { return f.SetRole(tx, "anna", Admin) })

	// The next bearer of the name has nothing of the first.
	f.add("anna", Auditor, nil)
	f.lookup(1, ErrRevoked)
	f.lookup(2, ErrRevoked)
	f.cert("anna", 1, ErrCertificateTaken)
	f.cert("anna", 5, nil)
	if u := f.lookup(5, nil); u.Generation != 2 || u.Role != Auditor {
		t.Errorf("got %+v", u)
	}
	var list []Certificate
	err := f.kv.View(t.Context(), func(r kv.Reader) error {
		var err error
		list, err = f.Certificates(r, "anna")
		return err
	})
	if err != nil || len(list) != 3 {
		t.Errorf("got %d certificates, %v, want 3 of both generations", len(list), err)
	}
}

func TestUserExpiry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	add := func(expires time.Time, want error) {
		f.update(want, func(tx kv.Tx) error {
			_, err := f.AddUser(tx, "temp", Staging, expires, f.move())
			return err
		})
	}
	add(start, ErrExpiry)
	add(start.Add(-time.Hour), ErrExpiry)
	add(start.Add(time.Hour), nil)
	f.cert("temp", 1, nil)
	f.lookup(1, nil)
	f.pass(time.Hour - 1)
	f.lookup(1, nil)
	f.pass(1)
	f.lookup(1, ErrExpired)
	f.cert("temp", 2, ErrExpired)
}

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.add("Anna", Admin, ErrUserName)
	f.add("", Admin, ErrUserName)
	f.add("anna", 0, ErrRole)
	f.add("anna", 7, ErrRole)
	f.cert("nobody", 1, ErrUnknownUser)
	f.revoke("nobody", ErrUnknownUser)
	f.revoke("\x00", ErrUnknownUser)
	f.revokeCert(9, ErrUnknownCertificate)
	f.update(ErrUnknownUser, func(tx kv.Tx) error { return f.SetRole(tx, "nobody", Admin) })
	f.update(ErrRole, func(tx kv.Tx) error { return f.SetRole(tx, "nobody", 9) })
	f.add("anna", Desk, nil)
	f.update(ErrUnknownCertificate, func(tx kv.Tx) error {
		return f.AddCertificate(tx, "anna", amt.Serial{}, start.Add(time.Hour), f.move())
	})
	f.update(ErrExpiry, func(tx kv.Tx) error { return f.AddCertificate(tx, "anna", serial(1), start, f.move()) })
	err := f.kv.View(t.Context(), func(r kv.Reader) error {
		_, err := f.Certificates(r, "nobody")
		f.want(err, ErrUnknownUser)
		_, err = f.Get(r, "nobody")
		f.want(err, ErrUnknownUser)
		_, _, err = f.List(r, Filter{}, "No Name", 0)
		return err
	})
	f.want(err, ErrPage)
}

// TestLastAdmin tries each way of losing the last administrator who can log in.
func TestLastAdmin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.add("root", Admin, nil)
	f.cert("root", 1, nil)
	demote := func(name string, want error) {
		f.update(want, func(tx kv.Tx) error { return f.SetRole(tx, name, Desk) })
	}
	f.revoke("root", ErrLastAdmin)
	f.revokeCert(1, ErrLastAdmin)
	demote("root", ErrLastAdmin)

	// A second one without a certificate cannot log in, and does not count.
	f.add("second", Admin, nil)
	f.revoke("root", ErrLastAdmin)
	f.revoke("second", nil)
	f.add("second", Admin, nil)
	f.cert("second", 2, nil)
	f.cert("root", 3, nil)
	f.revokeCert(1, nil) // root has another one
	f.revoke("root", nil)
	f.revoke("second", ErrLastAdmin)
	demote("second", ErrLastAdmin)
	f.lookup(2, nil)

	// One whose certificates have expired does not count either.
	f.add("third", Admin, nil)
	f.cert("third", 4, nil)
	f.pass(300 * 24 * time.Hour)
	f.cert("second", 5, nil)
	f.pass(100 * 24 * time.Hour)
	f.revoke("second", ErrLastAdmin)
	f.cert("third", 6, nil)
	f.revoke("second", nil)
	f.add("desk", Desk, nil)
	f.cert("desk", 7, nil)
	f.revoke("desk", nil)
}

// TestAdminsRevokeEachOther at the same moment: one of them stays.
func TestAdminsRevokeEachOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	names := []string{"a", "b", "c", "d"}
	for i, n := range names {
		f.add(n, Admin, nil)
		f.cert(n, byte(i+1), nil)
	}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() {
			errs[i] = f.kv.Update(context.Background(), func(tx kv.Tx) error { return f.RevokeUser(tx, n, f.move()) })
		})
	}
	wg.Wait()
	left := 0
	for _, err := range errs {
		if err != nil {
			left++
			f.want(err, ErrLastAdmin)
		}
	}
	if left != 1 {
		t.Errorf("%d administrators are left, want 1", left)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 7 {
		f.add(fmt.Sprintf("user%d", i), Roles()[i%6], nil)
	}
	f.revoke("user3", nil)
	list := func(filter Filter) (names string, pages int) {
		after := ""
		for {
			var users []User
			err := f.kv.View(t.Context(), func(r kv.Reader) error {
				var err error
				users, after, err = f.List(r, filter, after, 2)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range users {
				names += u.Name[4:]
			}
			if pages++; after == "" {
				return names, pages
			}
		}
	}
	for _, c := range []struct {
		filter Filter
		names  string
		pages  int
	}{
		{Filter{}, "0123456", 4},
		{Filter{Active: true}, "012456", 3},
		{Filter{Role: Admin}, "06", 1},
		{Filter{Role: Procurement, Active: true}, "", 1},
	} {
		if names, pages := list(c.filter); names != c.names || pages != c.pages {
			t.Errorf("%+v: got %s in %d pages, want %s in %d", c.filter, names, pages, c.names, c.pages)
		}
	}
}

// TestUndone fails the transaction that a change is part of.
func TestUndone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.add("anna", Operator, nil)
	f.cert("anna", 1, nil)
	other := errors.New("another part failed")
	f.update(other, func(tx kv.Tx) error {
		if err := f.RevokeUser(tx, "anna", f.move()); err != nil {
			return err
		}
		return other
	})
	f.lookup(1, nil)
}

func TestCheckInvariants(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(tx kv.Tx) error{
		"":              func(kv.Tx) error { return nil },
		"user is gone":  func(tx kv.Tx) error { return users.Delete(tx, []byte("anna")) },
		"row is gone":   func(tx kv.Tx) error { return tx.Delete(tableUsers, []byte("anna")) },
		"role":          func(tx kv.Tx) error { return putUser(tx, User{Name: "anna", Role: 9, Generation: 1}) },
		"no generation": func(tx kv.Tx) error { return putUser(tx, User{Name: "anna", Role: Desk}) },
		"a later generation": func(tx kv.Tx) error {
			return putCertificate(tx, Certificate{Serial: serial(1), User: "anna", Generation: 2})
		},
		"name": func(tx kv.Tx) error {
			return users.Put(tx, []byte("bob"), &scsstorev1.AccessUser{Name: "anna", Role: 1, Generation: 1})
		},
		"short serial": func(tx kv.Tx) error {
			return certificates.Put(tx, []byte{1}, &scsstorev1.AccessCertificate{Serial: []byte{2}, User: "anna", Generation: 1})
		},
	} {
		f := &fixture{Store: &Store{}, t: t, kv: bolttest.New(t), at: start}
		f.add("anna", Desk, nil)
		f.cert("anna", 1, nil)
		f.update(nil, damage)
		err := f.kv.View(t.Context(), CheckInvariants)
		if name == "" && err != nil || name != "" && !errors.Is(err, ErrDamaged) && !errors.Is(err, kv.ErrIndex) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestZeroStore(t *testing.T) {
	t.Parallel()
	if d := time.Since((&Store{}).now()); d < 0 || d > time.Minute {
		t.Errorf("the clock of the zero Store is off by %v", d)
	}
}

func BenchmarkLookup(b *testing.B) {
	f := newFixture(b)
	for i := range 100 {
		name := fmt.Sprintf("user%d", i)
		f.add(name, Operator, nil)
		f.cert(name, byte(i), nil)
	}
	for b.Loop() {
		f.lookup(50, nil)
	}
}
