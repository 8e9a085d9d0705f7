package keystore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// act does one of the acts on an existing pair.
func (f fixture) act(tx kv.Tx, act keystore.Act, pid amt.PID, uuid amt.UUID, m keystore.Move) error {
	switch act {
	case keystore.ActExport:
		return f.MarkExported(tx, pid, m)
	case keystore.ActReexport:
		return f.MarkExportedAgain(tx, pid, m)
	case keystore.ActClaim:
		return f.Claim(tx, pid, uuid, m)
	case keystore.ActSpend:
		return f.Spend(tx, pid, m)
	case keystore.ActRevoke:
		return f.Revoke(tx, pid, m)
	case keystore.ActRetire:
		return f.Retire(tx, pid, m)
	case keystore.ActRestore:
		return f.Restore(tx, pid, m)
	case keystore.ActPassword:
		return f.SetCurrentPassword(tx, pid, amt.NewSecretString("An0ther-one!"), m)
	}
	return fmt.Errorf("no act %q on an existing pair", act)
}

// bring makes a pair in each state, with board1 as its holder where there is one.
func bring(t testing.TB, f fixture, how string) amt.PID {
	t.Helper()
	recs, err := f.Draw(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	recs[0].Used = how == "used"
	p := f.prepare(t, recs...)
	pid := p[0].PID()
	m := by("anna", "test")
	f.update(t, func(tx kv.Tx) error {
		if how == "Reserved" {
			return f.Reserve(tx, board1, p[0], "B1", m)
		}
		_, err := f.Add(tx, "B1", p, m)
		if err != nil || how == "Available" || how == "used" {
			return err
		}
		steps := map[string][]keystore.Act{
			"exported": {keystore.ActExport}, "Claimed": {keystore.ActClaim}, "Spent": {keystore.ActClaim, keystore.ActSpend},
			"Revoked": {keystore.ActRevoke}, "Revoked held": {keystore.ActClaim, keystore.ActRevoke}, "Retired": {keystore.ActRetire},
		}
		for _, act := range steps[how] {
			if err := f.act(tx, act, pid, board1, m); err != nil {
				return err
			}
		}
		return nil
	})
	return pid
}

// TestMoves is the table of moves as it must be: each act on a pair of each kind.
func TestMoves(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	type end struct {
		state keystore.State
		err   error
	}
	ok := func(s keystore.State) end { return end{s, nil} }
	no := func(err error) end { return end{0, err} }
	acts := []keystore.Act{keystore.ActExport, keystore.ActClaim, keystore.ActSpend, keystore.ActRevoke, keystore.ActRetire, keystore.ActRestore}
	for _, c := range []struct {
		how  string
		ends [6]end // export, claim by board1, spend, revoke, retire, restore
	}{
		{"Available", [6]end{ok(keystore.Available), ok(keystore.Claimed), no(keystore.ErrMove), ok(keystore.Revoked), ok(keystore.Retired), no(keystore.ErrMove)}},
		{"exported", [6]end{no(keystore.ErrExported), ok(keystore.Claimed), no(keystore.ErrMove), ok(keystore.Revoked), ok(keystore.Retired), no(keystore.ErrMove)}},
		{"Reserved", [6]end{no(keystore.ErrMove), ok(keystore.Claimed), no(keystore.ErrMove), ok(keystore.Revoked), ok(keystore.Retired), no(keystore.ErrMove)}},
		{"Claimed", [6]end{no(keystore.ErrMove), ok(keystore.Claimed), ok(keystore.Spent), ok(keystore.Revoked), no(keystore.ErrMove), no(keystore.ErrMove)}},
		{"Spent", [6]end{no(keystore.ErrSpent), no(keystore.ErrSpent), ok(keystore.Spent), no(keystore.ErrSpent), no(keystore.ErrSpent), no(keystore.ErrHeld)}},
		{"used", [6]end{no(keystore.ErrSpent), no(keystore.ErrSpent), ok(keystore.Spent), no(keystore.ErrSpent), no(keystore.ErrSpent), ok(keystore.Available)}},
		{"Revoked", [6]end{no(keystore.ErrRevoked), no(keystore.ErrRevoked), ok(keystore.Revoked), ok(keystore.Revoked), no(keystore.ErrRevoked), no(keystore.ErrRevoked)}},
		{"Revoked held", [6]end{no(keystore.ErrRevoked), no(keystore.ErrRevoked), ok(keystore.Revoked), ok(keystore.Revoked), no(keystore.ErrRevoked), no(keystore.ErrRevoked)}},
		{"Retired", [6]end{no(keystore.ErrRetired), no(keystore.ErrRetired), no(keystore.ErrRetired), ok(keystore.Revoked), ok(keystore.Retired), ok(keystore.Available)}},
	} {
		for i, act := range acts {
			pid := bring(t, f, c.how)
			before := f.get(t, pid)
			err := f.try(func(tx kv.Tx) error { return f.act(tx, act, pid, board1, by("ben", "second")) })
			after := f.get(t, pid)
			if want := c.ends[i]; !errors.Is(err, want.err) || err == nil && after.State != want.state {
				t.Errorf("%s of %s: got %v, %v, want %v, %v", act, c.how, after.State, err, want.state, want.err)
			}
			if err != nil && after != before {
				t.Errorf("%s of %s was refused and yet changed it", act, c.how)
			}
			if err != nil && !strings.Contains(err.Error(), pid.String()) {
				t.Errorf("%s of %s: the error does not name the PID: %v", act, c.how, err)
			}
		}
	}
}

// TestRulesAreUsed: each row of the table of moves has been seen by TestMoves'
// acts or begins a life, and names known states.
func TestRulesAreUsed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range keystore.Rules() {
		key := fmt.Sprint(r.Act, r.From)
		if seen[key] {
			t.Errorf("two rules for %s from %v", r.Act, r.From)
		}
		seen[key] = true
		if _, err := keystore.ParseState(r.To.String()); err != nil {
			t.Errorf("%s leads to %v", r.Act, r.To)
		}
		if r.Done && r.From != r.To {
			t.Errorf("%s from %v is done already and yet leads to %v", r.Act, r.From, r.To)
		}
		begins := r.Act == keystore.ActAdd || r.Act == keystore.ActAddUsed || r.Act == keystore.ActReserve
		if begins != (r.From == 0) {
			t.Errorf("%s from %v", r.Act, r.From)
		}
	}
	keystore.Rules()[0].To = 99
	if keystore.Rules()[0].To == 99 {
		t.Error("Rules gives the table itself away")
	}
}

// TestClaim: idempotent for the same board, refused for others.
func TestClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	pid := bring(t, f, "Available")
	first := by("scsd", "hello")
	first.At = today.Add(time.Hour)
	f.update(t, func(tx kv.Tx) error { return f.Claim(tx, pid, board1, first) })
	claimed := f.get(t, pid)
	if claimed.UUID != board1 || !claimed.ChangedAt.Equal(first.At) || claimed.Who != "scsd" {
		t.Errorf("got %+v", claimed)
	}
	f.update(t, func(tx kv.Tx) error { return f.Claim(tx, pid, board1, by("scsd", "hello again")) })
	if got := f.get(t, pid); got != claimed {
		t.Errorf("a second claim changed the pair to %+v", got)
	}
	for how, pid := range map[string]amt.PID{"claimed": pid, "reserved": bring(t, f, "Reserved")} {
		err := f.try(func(tx kv.Tx) error { return f.Claim(tx, pid, board2, by("scsd", "hello")) })
		if !errors.Is(err, keystore.ErrHeld) || !strings.Contains(err.Error(), board1.String()) {
			t.Errorf("%s, by another board: got error %v", how, err)
		}
	}
	for _, uuid := range []amt.UUID{{}, amt.UUID([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))} {
		err := f.try(func(tx kv.Tx) error { return f.Claim(tx, unknownPID(t, f), uuid, by("scsd", "hello")) })
		if !errors.Is(err, keystore.ErrUnknownPID) {
			t.Errorf("unknown PID: got error %v", err)
		}
		available := bring(t, f, "Available")
		err = f.try(func(tx kv.Tx) error { return f.Claim(tx, available, uuid, by("scsd", "hello")) })
		if !errors.Is(err, keystore.ErrUUID) {
			t.Errorf("board %v: got error %v", uuid, err)
		}
	}
}

// unknownPID is a PID that is not in the store.
func unknownPID(t testing.TB, f fixture) amt.PID { return f.draw(t, 1)[0].PID() }

func TestHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	pid := bring(t, f, "Available")
	at := today
	step := func(act keystore.Act, who, why string) {
		at = at.Add(time.Minute)
		f.update(t, func(tx kv.Tx) error {
			return f.act(tx, act, pid, board1, keystore.Move{Who: who, Why: why, At: at})
		})
	}
	step(keystore.ActExport, "anna", "stick 7")
	step(keystore.ActClaim, "scsd", "hello")
	step(keystore.ActSpend, "scsd", "operational")
	var got []string
	f.view(t, func(r kv.Reader) error {
		changes, dropped, err := f.History(r, pid)
		got = nil
		for _, c := range changes {
			got = append(got, fmt.Sprintf("%s %s %s %q: %d->%v %v", c.At.Format("15:04"), c.Who, c.Act, c.Why, c.From, c.To, c.UUID == board1))
		}
		if dropped != 0 {
			t.Errorf("%d dropped", dropped)
		}
		return err
	})
	want := `09:00 anna add "test": 0->Available false
09:01 anna export "stick 7": 1->Available false
09:02 scsd claim "hello": 1->Claimed true
09:03 scsd spend "operational": 3->Spent true`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	pid := bring(t, f, "Available")
	f.update(t, func(tx kv.Tx) error {
		for i := range 50 {
			if err := f.MarkExportedAgain(tx, pid, by("anna", fmt.Sprint("export ", i))); err != nil {
				return err
			}
		}
		return nil
	})
	f.view(t, func(r kv.Reader) error {
		changes, dropped, err := f.History(r, pid)
		if len(changes) != 32 || dropped != 19 || changes[0].Act != keystore.ActAdd || changes[1].Why != "export 19" || changes[31].Why != "export 49" {
			t.Errorf("got %d changes, %d dropped, the first by %s, then %q to %q", len(changes), dropped, changes[0].Act, changes[1].Why, changes[31].Why)
		}
		return err
	})
}

func TestStates(t *testing.T) {
	t.Parallel()
	for i, s := range keystore.States() {
		if uint8(s) != uint8(i+1) {
			t.Errorf("%v has the stored value %d", s, s)
		}
		for _, text := range []string{s.String(), strings.ToLower(s.String()), strings.ToUpper(s.String())} {
			if got, err := keystore.ParseState(text); err != nil || got != s {
				t.Errorf("%q: got %v, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"", "1", "Free", "unknown state (9)"} {
		if _, err := keystore.ParseState(text); err == nil || !strings.Contains(err.Error(), "Available, Reserved, Claimed, Spent, Revoked, Retired") {
			t.Errorf("%q: got error %v", text, err)
		}
	}
	if got := keystore.State(9).String(); got != "unknown state (9)" {
		t.Errorf("got %q", got)
	}
}

// TestSetCurrentPassword corrects a password: it is what the store then has, the
// story tells of it without it, and a pair in use is left alone.
func TestSetCurrentPassword(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B", amt.OEM)
	rec := f.records(t, 1)[0]
	rec.CurrentPassword = amt.NewSecretString("wr0ng-One!")
	f.update(t, func(tx kv.Tx) error {
		_, err := f.Add(tx, "B", f.prepare(t, rec), by("anna", ""))
		return err
	})
	pid, right := rec.Pair.PID, amt.NewSecretString("r1ght-One!")
	set := func(s amt.Secret) error {
		return f.try(func(tx kv.Tx) error { return f.SetCurrentPassword(tx, pid, s, by("anna", "mixed up")) })
	}
	if err := set(right); err != nil {
		t.Fatal(err)
	}
	f.view(t, func(r kv.Reader) error {
		s, err := f.Secrets(r, pid)
		if err != nil || !s.CurrentPassword.Equal(right) || !s.NewPassword.Equal(rec.NewPassword) || !s.PPS.Equal(rec.Pair.PPS) {
			t.Errorf("the secrets are not as they should be: %v", err)
		}
		list, _, err := f.History(r, pid)
		if err != nil || len(list) == 0 {
			t.Fatalf("got %d, %v", len(list), err)
		}
		if last := list[len(list)-1]; last.Act != keystore.ActPassword || last.Who != "anna" || last.Why != "mixed up" {
			t.Errorf("got %+v", last)
		}
		return nil
	})
	for _, s := range []amt.Secret{{}, amt.NewSecretString(strings.Repeat("x", 2000))} {
		if err := set(s); !errors.Is(err, keystore.ErrRecord) {
			t.Errorf("%d bytes: got %v, want ErrRecord", s.Len(), err)
		}
	}
	f.update(t, func(tx kv.Tx) error { return f.Claim(tx, pid, board1, by("scsd", "claimed")) })
	if err := set(right); !errors.Is(err, keystore.ErrMove) {
		t.Errorf("a claimed pair: got %v, want ErrMove", err)
	}
}
