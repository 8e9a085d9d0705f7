package provisioning

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

func (l *lab) assignMany(opts ListOptions, rows ...Listed) ([]ListedOutcome, bool) {
	l.t.Helper()
	outcomes, stored, err := l.engine.AssignMany(l.t.Context(), operatorAct, rows, opts)
	if err != nil {
		l.t.Fatal(err)
	}
	return outcomes, stored
}

func (l *lab) makeBatch(b keystore.Batch) {
	l.t.Helper()
	if err := l.store.Update(l.t.Context(), func(tx kv.Tx) error { return l.keys.CreateBatch(tx, b) }); err != nil {
		l.t.Fatal(err)
	}
}

// TestListedDevice: a PC whose name, batch and MEBx password wait for it gets
// name and profile, though its pair knows no password.
func TestListedDevice(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("kiosk", strings.Replace(fullProfile, "name: default", "name: kiosk", 1))
	l.makeBatch(keystore.Batch{Name: "kiosks", Profile: "kiosk", Model: amt.OEM})
	rec, err := l.keys.Draw(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec[0].CurrentPassword = amt.Secret{}
	l.add(rec[0])
	password := amt.NewSecretString("F@ctory-77")
	d := l.device(pairOf{rec[0].Pair.PID, keystore.Secrets{PPS: rec[0].Pair.PPS, NewPassword: password}}, amtsim.AMT90, nil)
	out, stored := l.assignMany(ListOptions{}, Listed{
		UUID: d.UUID(), Assignment: Assignment{FQDN: "Lobby.Example.com", Batch: "kiosks"}, MEBxPassword: password,
	})
	if !stored || !out[0].Added {
		t.Errorf("got %+v, %v", out, stored)
	}
	if dev := l.record(d); dev.AssignedBatch != "kiosks" || dev.FQDN != "lobby.example.com" || dev.State != 0 {
		t.Errorf("got %+v", dev)
	}
	l.boot(d)
	if dev := l.operational(d); dev.FQDN != "lobby.example.com" || dev.Profile != "kiosk" {
		t.Errorf("got %+v", dev)
	}
	// The list again says nothing new; the device has other passwords by now.
	out, stored = l.assignMany(ListOptions{}, Listed{
		UUID: d.UUID(), Assignment: Assignment{FQDN: "lobby.example.com", Batch: "kiosks"}, AdminPassword: password,
	})
	if !stored || !out[0].Known() || !out[0].Kept {
		t.Errorf("again: got %+v, %v", out, stored)
	}
	l.truth(d)
}

func TestListedOutcomes(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.makeBatch(keystore.Batch{Name: "B", Model: amt.OEM})
	one, two, three := randomUUID(), randomUUID(), randomUUID()
	name := func(u amt.UUID, fqdn string) Listed { return Listed{UUID: u, Assignment: Assignment{FQDN: fqdn}} }
	secret := func(s string) Listed { return Listed{UUID: three, MEBxPassword: amt.NewSecretString(s)} }
	check := func(what string, opts ListOptions, stored bool, rows []Listed, want ...any) {
		t.Helper()
		out, got := l.assignMany(opts, rows...)
		if got != stored {
			t.Errorf("%s: stored %v, want %v", what, got, stored)
		}
		for i, o := range out {
			ok := false
			switch w := want[i].(type) {
			case error:
				ok = errors.Is(o.Err, w)
			case string:
				ok = o.Err == nil && w == map[bool]string{o.Added: "added", o.Changed: "changed", o.Known(): "known"}[true]
			}
			if !ok {
				t.Errorf("%s: row %d: got %+v, want %v", what, i, o, want[i])
			}
		}
	}
	rows := []Listed{name(one, "a.example.com"), name(two, "b.example.com"), name(one, "c.example.com"), name(three, "a.example.com"), name(amt.UUID{}, "d.example.com")}
	want := []any{"added", "added", ErrTwice, ErrNameTaken, ErrUUID}
	check("dry run", ListOptions{DryRun: true, SkipBad: true}, false, rows, want...)
	check("all or nothing", ListOptions{}, false, rows, want...)
	if p, err := l.engine.Devices(t.Context(), DeviceFilter{}, Page{}); err != nil || len(p.Devices) != 0 {
		t.Fatalf("something was stored: %v, %v", p.Devices, err)
	}
	check("the good ones", ListOptions{SkipBad: true}, true, rows, want...)
	check("again", ListOptions{}, true, rows[:2], "known", "known")
	check("completed", ListOptions{}, true, []Listed{{UUID: one, Assignment: Assignment{Profile: "default", Batch: "B"}}}, "changed")
	check("another name", ListOptions{}, false, []Listed{name(one, "x.example.com")}, ErrAssigned)
	check("another batch", ListOptions{}, false, []Listed{{UUID: one, Assignment: Assignment{Batch: "C"}}}, ErrAssigned)
	check("replaced", ListOptions{Replace: true}, true, []Listed{name(one, "x.example.com")}, "changed")
	if dev, err := l.engine.Device(t.Context(), one); err != nil || dev.FQDN != "x.example.com" || dev.AssignedProfile != "default" || dev.AssignedBatch != "B" {
		t.Errorf("got %+v, %v", dev, err)
	}
	check("refused", ListOptions{}, false, []Listed{
		{UUID: three, Assignment: Assignment{Profile: "none"}},
		{UUID: randomUUID(), Assignment: Assignment{Batch: "none"}},
		name(randomUUID(), "nodomain"),
	}, ErrNoProfile, keystore.ErrNoBatch, ErrName)
	check("a password", ListOptions{}, true, []Listed{secret("F@ctory-1")}, "added")
	check("the password again", ListOptions{}, true, []Listed{secret("F@ctory-1")}, "known")
	check("another password", ListOptions{}, false, []Listed{secret("F@ctory-2")}, ErrAssigned)
	check("another password, replaced", ListOptions{Replace: true}, true, []Listed{secret("F@ctory-2")}, "changed")
	if list, err := l.engine.Passwords(t.Context(), operatorAct, three); err != nil || len(list) != 2 || string(list[0].Password.Reveal()) != "F@ctory-2" {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestAssignManyIsUndone(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	undone := errors.New("no audit")
	row := Listed{UUID: randomUUID(), Assignment: Assignment{FQDN: "a.example.com"}}
	_, _, err := l.engine.AssignMany(t.Context(), Act{Who: "alice", Also: func(kv.Tx) error { return undone }}, []Listed{row}, ListOptions{})
	if !errors.Is(err, undone) {
		t.Errorf("got %v", err)
	}
	if _, err := l.engine.Device(t.Context(), row.UUID); !errors.Is(err, ErrNoDevice) {
		t.Errorf("something was stored: %v", err)
	}
	if _, _, err := l.engine.AssignMany(t.Context(), operatorAct, make([]Listed, MaxListed+1), ListOptions{}); err == nil {
		t.Error("too many were taken")
	}
}

// TestAssignManyTime: other writers wait for a whole list.
func TestAssignManyTime(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	rows := make([]Listed, MaxListed)
	for i := range rows {
		rows[i] = Listed{UUID: randomUUID(), Assignment: Assignment{FQDN: fmt.Sprintf("pc%d.example.com", i), Profile: "default"}, MEBxPassword: amt.NewSecretString("F@ctory-1")}
	}
	began := time.Now()
	if _, stored := l.assignMany(ListOptions{}, rows...); !stored {
		t.Error("not stored")
	}
	took := time.Since(began)
	t.Logf("%d devices in %v", len(rows), took)
	if took > 30*time.Second {
		t.Errorf("%d devices took %v", len(rows), took)
	}
}

// TestExpiredBatch: a hello with a pair of an expired batch stands in the inbox,
// and is followed once the batch has more time.
func TestExpiredBatch(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	name := "late"
	l.batch(1, keystore.Batch{Name: name})
	p := l.batchPairs(name)[0]
	expire := func(at time.Time) {
		l.move(p.pid, func(tx kv.Tx) error {
			return l.keys.UpdateBatch(tx, keystore.Batch{Name: name, Model: amt.USBKey, ExpiresAt: at})
		})
	}
	expire(time.Now().Add(-time.Hour))
	d := l.device(p, amtsim.AMT90, nil)
	l.boot(d)
	row := l.inboxRow(d.UUID(), ExpiredBatch)
	if !strings.Contains(row.Detail, `batch "late" expired on 20`) || !strings.Contains(row.Reason.Hint(), "keys batch set NAME --expires") {
		t.Errorf("got %+v", row)
	}
	l.untouched(p)
	expire(time.Time{})
	l.operational(d)
	l.noInbox()
}

// TestExpiresMeanwhile: a batch that expires while its PC is dialled is refused in
// the transaction that would claim the pair.
func TestExpiresMeanwhile(t *testing.T) {
	t.Parallel()
	err := deadPairFailure(fmt.Errorf("PID X: %w", keystore.ErrBatchExpired))
	if f := classify(err); f.reason != ExpiredBatch || f.retry {
		t.Errorf("got %+v", f)
	}
}
