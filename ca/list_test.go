package ca

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// listAll pages through List, two rows at a time.
func listAll(f *fixture, filter Filter) (all []Certificate, pages int, err error) {
	page := Page{Limit: 2}
	for {
		var list []Certificate
		err := f.store.View(context.Background(), func(r kv.Reader) error {
			var err error
			list, page.After, err = f.List(r, filter, page)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		all, pages = append(all, list...), pages+1
		if page.After == "" {
			return all, pages, nil
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	start := f.clock.now()
	var serials []amt.Serial
	for n := range 5 {
		serials = append(serials, serialOf(t, f.device(byte(n%2), fmt.Sprintf("pc%d.example.com", n), key(n%2))))
		f.clock.add(24 * time.Hour)
	}
	if _, err := f.IssueServer(t.Context(), ServerRequest{Names: []string{"scs.example.com", "192.0.2.1"}, PublicKey: key(2).Public()}); err != nil {
		t.Fatal(err)
	}
	f.revoke(serials[4], Superseded)
	for _, c := range []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", Filter{}, 6},
		{"devices", Filter{Purpose: Device}, 5},
		{"one device", Filter{Holder: uuid(0).String()}, 3},
		{"one device, good", Filter{Holder: uuid(0).String(), State: Good}, 2},
		{"one device as a user", Filter{Holder: uuid(0).String(), Purpose: Client}, 0},
		{"a name", Filter{Name: "PC3.example.com"}, 1},
		{"an address", Filter{Name: "::ffff:192.0.2.1"}, 1},
		{"no name", Filter{Name: "no such name!"}, 0},
		{"revoked", Filter{State: Revoked}, 1},
		{"ending in two years and a day", Filter{NotAfterBefore: start.Add(DeviceLifetime + 36*time.Hour)}, 3},
		{"ending, a device's", Filter{NotAfterBefore: start.Add(DeviceLifetime + 36*time.Hour), Holder: uuid(1).String()}, 1},
		{"ending long ago", Filter{NotAfterBefore: start}, 0},
	} {
		all, _, err := listAll(f, c.filter)
		if err != nil || len(all) != c.want {
			t.Errorf("%s: got %d, %v, want %d", c.name, len(all), err, c.want)
		}
		seen := map[amt.Serial]bool{}
		for _, x := range all {
			if seen[x.Serial] {
				t.Errorf("%s: %v comes twice", c.name, x.Serial)
			}
			seen[x.Serial] = true
		}
	}
	for _, token := range []string{"x", "0g"} {
		err := f.store.View(t.Context(), func(r kv.Reader) error {
			_, _, err := f.List(r, Filter{}, Page{After: token})
			return err
		})
		if !errors.Is(err, ErrPage) {
			t.Errorf("token %q: got %v, want %v", token, err, ErrPage)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.device(1, "pc.example.com", key(0))
	f.clock.add(time.Hour)
	second := f.device(1, "pc2.example.com", key(0))
	list := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Find(r, key(0).Public()) })
	if len(list) != 2 || list[0].Serial != serialOf(t, second) {
		t.Errorf("got %+v, want two, the newest first", list)
	}
	if cert, err := list[0].X509(); err != nil || !cert.Equal(second) {
		t.Errorf("got %v, %v", cert, err)
	}
	if list := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Find(r, key(1).Public()) }); len(list) != 0 {
		t.Errorf("an unknown key: got %+v", list)
	}
	err := f.store.View(t.Context(), func(r kv.Reader) error {
		_, err := f.Find(r, "no key")
		return err
	})
	if !errors.Is(err, ErrKey) {
		t.Errorf("got %v, want %v", err, ErrKey)
	}
	err = f.store.View(t.Context(), func(r kv.Reader) error {
		_, err := f.Get(r, amt.Serial{1})
		return err
	})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want %v", err, ErrUnknown)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var serials []amt.Serial
	for n := range 3 {
		serials = append(serials, serialOf(t, f.device(byte(n), fmt.Sprintf("pc%d.example.com", n), key(n))))
		f.clock.add(30 * 24 * time.Hour)
	}
	due := func(at time.Time, limit int) []Certificate {
		return view(f, func(r kv.Reader) ([]Certificate, error) { return f.Due(r, at, limit) })
	}
	if got := due(f.clock.now(), 10); len(got) != 0 {
		t.Errorf("got %d, want none", len(got))
	}
	f.clock.add(DeviceLifetime/3*2 - 45*24*time.Hour)
	if got := due(f.clock.now(), 10); len(got) != 2 || got[0].Serial != serials[0] || got[1].Serial != serials[1] {
		t.Errorf("got %+v, want the first two", got)
	}
	if got := due(f.clock.now(), 1); len(got) != 1 || got[0].Serial != serials[0] {
		t.Errorf("got %+v, want the first", got)
	}
	f.revoke(serials[0], Superseded)
	if got := due(f.clock.now(), 10); len(got) != 1 || got[0].Serial != serials[1] {
		t.Errorf("got %+v, want the second", got)
	}
	f.device(1, "pc1.example.com", key(1))
	if got := due(f.clock.now(), 10); len(got) != 0 {
		t.Errorf("got %+v, want none after its renewal", got)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for n := range 3 {
		f.device(byte(n), "pc.example.com", key(n))
	}
	f.revoke(serialOf(t, f.device(3, "pc.example.com", key(3))), KeyCompromise)
	crashing := f.over(&failing{Store: f.store, n: 2}, Options{})
	if _, err := crashing.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, key(4))}); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	got := view(f, func(r kv.Reader) (map[Purpose]Count, error) { return f.Counts(r) })
	want := map[Purpose]Count{Device: {Issued: 3, Revoked: 1}, Client: {Unfinished: 1}, Server: {}, Console: {}}
	for p, w := range want {
		if got[p] != w {
			t.Errorf("%v: got %+v, want %+v", p, got[p], w)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, p := range purposes {
		if got, err := ParsePurpose(p.String()); got != p || err != nil {
			t.Errorf("%v: got %v, %v", p, got, err)
		}
	}
	for _, r := range reasons {
		if got, err := ParseReason(r.String()); got != r || err != nil {
			t.Errorf("%v: got %v, %v", r, got, err)
		}
	}
	for _, s := range []State{Unfinished, Good, Revoked, Expired} {
		if got, err := ParseState(s.String()); got != s || err != nil {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	for _, got := range []string{Purpose(9).String(), Reason(2).String(), State(0).String(), Issuer(7).String()} {
		if len(got) < 8 || got[:7] != "unknown" {
			t.Errorf("got %q", got)
		}
	}
	_, errP := ParsePurpose("x")
	_, errR := ParseReason("unknown reason (2)")
	_, errS := ParseState("")
	if errP == nil || errR == nil || errS == nil {
		t.Error("nonsense parses")
	}
	if Root.String() != "root" || Devices.String() != "devices" || API.String() != "api" {
		t.Error("the issuers have other names: their sealed keys would not open")
	}
}
