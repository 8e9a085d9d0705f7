package provisioning

import (
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// operational waits until a device is Operational, and compares it with the store.
func (l *lab) operational(d *amtsim.Device) Device {
	l.t.Helper()
	dev := l.await(d.UUID(), "Operational", func(dev Device) bool { return dev.Status == Done || dev.Status == Failed })
	if dev.State != Operational {
		l.t.Fatalf("device %v: %v %v at %s, %s: %s", d.UUID(), dev.State, dev.Status, dev.Step, dev.Reason, dev.Detail)
	}
	l.truth(d)
	return dev
}

// truth compares what the store says of a device with what the device is.
func (l *lab) truth(d *amtsim.Device) {
	l.t.Helper()
	snap := d.Snapshot()
	dev, err := l.engine.Device(l.t.Context(), d.UUID())
	if err != nil {
		l.t.Fatal(err)
	}
	if dev.Operational != (snap.Phase == amt.Operational) {
		l.t.Errorf("the store says Operational %t, the device %v", dev.Operational, snap.Phase)
	}
	if dev.Operational && snap.Pair.PID != dev.NextPID && dev.NextPID != (amt.PID{}) {
		l.t.Errorf("the device holds %v, the store's next pair is %v", snap.Pair.PID, dev.NextPID)
	}
	l.passwordTruth(d, snap, dev.Operational)
}

func (l *lab) passwordTruth(d *amtsim.Device, snap amtsim.Snapshot, exact bool) {
	l.t.Helper()
	list, err := l.engine.Passwords(l.t.Context(), Act{Who: "lab"}, d.UUID())
	if err != nil {
		l.t.Fatal(err)
	}
	admin, mebx := false, false
	for _, p := range list {
		switch {
		case exact && p.Version != "current" && !p.Doubtful:
		case p.Account == accountAdmin:
			admin = admin || d.CheckAdmin(p.Password)
		case p.Account == accountMEBx:
			mebx = mebx || p.Password.Equal(snap.MEBx)
		default:
			if exact && !d.CheckUser(p.Account, p.Password) {
				l.t.Errorf("the stored password of user %s does not log in", p.Account)
			}
		}
	}
	if !admin {
		l.t.Error("no stored password logs the administrator in")
	}
	if !mebx {
		l.t.Error("no stored password is MEBx's")
	}
}

// noLosses checks that n devices used exactly the pairs, passwords and serials
// that n set-ups need; CheckInvariants runs at the end of the test besides.
func (l *lab) noLosses(n int) {
	l.t.Helper()
	var counts map[keystore.State]int
	err := l.store.View(l.t.Context(), func(r kv.Reader) error {
		if err := CheckInvariants(r, l.keys); err != nil {
			return err
		}
		var err error
		counts, err = l.keys.Counts(r)
		return err
	})
	if err != nil {
		l.t.Error(err)
	}
	if counts[keystore.Spent] != n || counts[keystore.Reserved] != n || counts[keystore.Claimed] != 0 || counts[keystore.Revoked] != 0 {
		l.t.Errorf("pairs by state: got %v, want %d spent and %d reserved", counts, n, n)
	}
}

// inboxRow waits for a row of a UUID with a reason.
func (l *lab) inboxRow(uuid amt.UUID, reason Reason) InboxRow {
	l.t.Helper()
	var last []InboxRow
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		rows, _, err := l.engine.Inbox(l.t.Context(), InboxFilter{}, Page{})
		if err != nil {
			l.t.Fatal(err)
		}
		for _, row := range rows {
			if row.UUID == uuid && row.Reason == reason {
				return row
			}
		}
		last = rows
	}
	l.t.Fatalf("no row %s of %v in the inbox: %+v; attempts %v, hellos %v", reason, uuid, last, l.seen.attempts, l.seen.hellos)
	return InboxRow{}
}

// noInbox wants the inbox to become empty.
func (l *lab) noInbox() {
	l.t.Helper()
	var rows []InboxRow
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		if rows, _, err = l.engine.Inbox(l.t.Context(), InboxFilter{}, Page{}); err != nil {
			l.t.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
	}
	l.t.Errorf("the inbox still has %+v", rows)
}

// untouched wants a pair to be Available as at first.
func (l *lab) untouched(p pairOf) {
	l.t.Helper()
	err := l.store.View(l.t.Context(), func(r kv.Reader) error {
		k, err := l.keys.Get(r, p.pid)
		if err == nil && (k.State != keystore.Available || k.UUID != amt.UUID{}) {
			l.t.Errorf("pair %v is %v by %v", p.pid, k.State, k.UUID)
		}
		return err
	})
	if err != nil {
		l.t.Error(err)
	}
}
