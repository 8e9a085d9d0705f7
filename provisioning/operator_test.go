package provisioning

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// namelessProfile gives no names.
const namelessProfile = `
version: 1
name: default
host_name: {reverse_dns: true}
`

var operatorAct = Act{Who: "alice", Why: "a test"}

func TestAssignBeforeTheFirstHello(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("kiosk", strings.Replace(fullProfile, "name: default", "name: kiosk", 1))
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	audited := 0
	act := operatorAct
	act.Also = func(tx kv.Tx) error { audited++; return tx.Put("audit_test", []byte("k"), []byte("v")) }
	dev, err := l.engine.Assign(t.Context(), act, d.UUID(), Assignment{FQDN: "Kiosk1.Example.COM.", Profile: "kiosk"})
	if err != nil {
		t.Fatal(err)
	}
	if dev.FQDN != "kiosk1.example.com" || dev.Profile != "kiosk" || dev.State != 0 || audited == 0 {
		t.Errorf("got %+v, audited %d times", dev, audited)
	}
	l.boot(d)
	dev = l.operational(d)
	if snap := d.Snapshot(); snap.HostName != "kiosk1" || dev.Profile != "kiosk" || len(snap.Users) < 2 {
		t.Errorf("the device is called %q, has profile %s and users %v", snap.HostName, dev.Profile, snap.Users)
	}
}

func TestAssignRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	uuid := randomUUID()
	if _, err := l.engine.Assign(t.Context(), operatorAct, randomUUID(), Assignment{FQDN: "taken.example.com"}); err != nil {
		t.Fatal(err)
	}
	undone := errors.New("no audit")
	tests := []struct {
		name string
		uuid amt.UUID
		as   Assignment
		also func(kv.Tx) error
		want error
	}{
		{"no UUID", amt.UUID{}, Assignment{FQDN: "a.example.com"}, nil, ErrUUID},
		{"no domain", uuid, Assignment{FQDN: "pc1"}, nil, ErrName},
		{"bad name", uuid, Assignment{FQDN: "pc_1.example.com!"}, nil, ErrName},
		{"taken", uuid, Assignment{FQDN: "TAKEN.example.com"}, nil, ErrNameTaken},
		{"no profile", uuid, Assignment{Profile: "nowhere"}, nil, ErrNoProfile},
		{"not audited", uuid, Assignment{FQDN: "b.example.com"}, func(kv.Tx) error { return undone }, undone},
	}
	for _, tt := range tests {
		act := Act{Who: "alice", Also: tt.also}
		if _, err := l.engine.Assign(t.Context(), act, tt.uuid, tt.as); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if _, err := l.engine.Device(t.Context(), tt.uuid); !errors.Is(err, ErrNoDevice) {
			t.Errorf("%s: something was stored: %v", tt.name, err)
		}
	}
}

func TestWaitsForAName(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", namelessProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.await(d.UUID(), "waiting for a name", func(dev Device) bool { return dev.Status == Waiting })
	if dev.Reason != NameNeeded || dev.State != Authenticated || dev.Step != "name" || dev.NextTry.IsZero() {
		t.Errorf("got %+v", dev)
	}
	l.inboxRow(d.UUID(), NameNeeded)
	if _, err := l.engine.Assign(t.Context(), operatorAct, d.UUID(), Assignment{FQDN: "pc9.example.com"}); err != nil {
		t.Fatal(err)
	}
	if dev := l.operational(d); dev.FQDN != "pc9.example.com" {
		t.Errorf("got %q", dev.FQDN)
	}
	l.noInbox()
}

// names is a resolver of a table.
type names struct {
	back    map[string][]string
	forward map[string][]netip.Addr
}

func (n *names) LookupAddr(_ context.Context, a string) ([]string, error) { return n.back[a], nil }

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return n.forward[host], nil
}

func TestReverseName(t *testing.T) {
	t.Parallel()
	dns := &names{back: map[string][]string{}, forward: map[string][]netip.Addr{}}
	l := newLab(t, func(c *Config) { c.Resolver = dns })
	a := l.address(1)
	dns.back[a.String()] = []string{"liar.example.com.", "no-domain.", "PC7.example.com."}
	dns.forward["liar.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	dns.forward["pc7.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.1"), a}
	l.apply("default", namelessProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	if dev := l.operational(d); dev.FQDN != "pc7.example.com" {
		t.Errorf("got %q", dev.FQDN)
	}
}

func TestNameTakenWaits(t *testing.T) {
	t.Parallel()
	dns := &names{back: map[string][]string{}, forward: map[string][]netip.Addr{}}
	l := newLab(t, func(c *Config) { c.Resolver = dns })
	for n := 1; n <= 2; n++ {
		dns.back[l.address(n).String()] = []string{"shared.example.com."}
		dns.forward["shared.example.com"] = append(dns.forward["shared.example.com"], l.address(n))
	}
	l.apply("default", namelessProfile)
	pairs := l.pairs(2)
	first := l.device(pairs[0], amtsim.AMT90, nil)
	l.boot(first)
	l.operational(first)
	second := l.device(pairs[1], amtsim.AMT90, nil)
	l.boot(second)
	dev := l.await(second.UUID(), "waiting", func(dev Device) bool { return dev.Status == Waiting })
	if dev.Reason != NameTaken {
		t.Errorf("got %s: %s", dev.Reason, dev.Detail)
	}
	if _, err := l.engine.Assign(t.Context(), operatorAct, second.UUID(), Assignment{FQDN: "other.example.com"}); err != nil {
		t.Fatal(err)
	}
	l.operational(second)
}

func TestPauseRetryCancel(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=20ms"))
	ctx := t.Context()
	if _, err := l.engine.Retry(ctx, operatorAct, d.UUID()); !errors.Is(err, ErrNoDevice) {
		t.Errorf("retrying nothing: got %v", err)
	}
	l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	dev, err := l.engine.Pause(ctx, operatorAct, d.UUID())
	if err != nil || dev.Status != Paused || dev.Reason != ByOperator {
		t.Fatalf("got %v, %v", dev.Status, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // the present call ends
		running, _ := l.engine.queue.counts(time.Now())
		if running == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a paused workflow is still worked on")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if now := l.record(d); now.Status != Paused || now.State == Operational {
		t.Errorf("a paused workflow is %v %v", now.State, now.Status)
	}
	if _, err := l.engine.Pause(ctx, operatorAct, d.UUID()); !errors.Is(err, ErrState) {
		t.Errorf("pausing it twice: got %v", err)
	}
	if _, err := l.engine.Cancel(ctx, operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	l.inboxRow(d.UUID(), SetupCancelled) // its next hello is not followed
	if _, err := l.engine.Retry(ctx, operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	l.operational(d)
	for _, call := range []func(context.Context, Act, amt.UUID) (Device, error){l.engine.Retry, l.engine.Pause, l.engine.Cancel} {
		if _, err := call(ctx, operatorAct, d.UUID()); !errors.Is(err, ErrState) {
			t.Errorf("on an Operational device: got %v", err)
		}
	}
	who := 0
	for _, ev := range l.events(d.UUID()) {
		if ev.Who == "alice" {
			who++
		}
	}
	if who != 3 {
		t.Errorf("%d events name the operator, want 3", who)
	}
}

// TestAlreadyOperational resets an Operational device by hand and gives it a
// fresh pair: it waits for an operator.
func TestAlreadyOperational(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	pairs := l.pairs(2)
	d := l.device(pairs[0], amtsim.AMT90, nil)
	off := l.boot(d)
	before := l.operational(d)
	off()
	again := l.device(pairs[1], amtsim.AMT90, func(o *amtsim.Options) { o.UUID = d.UUID() })
	l.boot(again)
	l.inboxRow(d.UUID(), AlreadyOperational)
	l.untouched(pairs[1])
	if dev := l.record(d); dev.Workflow != before.Workflow || !dev.Operational {
		t.Errorf("the device changed: %+v", dev)
	}
	if _, err := l.engine.Retry(t.Context(), operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	dev := l.await(d.UUID(), "Operational again", func(dev Device) bool { return dev.Workflow != before.Workflow && dev.Operational })
	if dev.PID != pairs[1].pid || dev.FQDN != before.FQDN || dev.Serial == before.Serial {
		t.Errorf("got pair %v, name %s, serial %v", dev.PID, dev.FQDN, dev.Serial)
	}
	l.truth(again)
	wf, err := l.engine.Workflow(t.Context(), dev.Workflow)
	if err != nil || wf.Kind != amt.Reallocate {
		t.Errorf("got %v, %v", wf.Kind, err)
	}
	l.noInbox()
}

// TestFreshPairSupersedes gives a device whose set-up failed another pair.
func TestFreshPairSupersedes(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	pairs := l.pairs(2)
	d := l.device(pairs[0], amtsim.AMT90, trouble(t, "CommitChanges=2057"))
	off := l.boot(d)
	l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	off()
	again := l.device(pairs[1], amtsim.AMT90, func(o *amtsim.Options) { o.UUID = d.UUID() })
	l.boot(again)
	dev := l.await(d.UUID(), "Operational", func(dev Device) bool { return dev.Operational })
	if dev.PID != pairs[1].pid || !strings.HasSuffix(dev.Workflow, "/2") {
		t.Errorf("got pair %v, workflow %s", dev.PID, dev.Workflow)
	}
	l.truth(again)
	old, err := l.engine.Workflow(t.Context(), workflowID(d.UUID(), 1))
	if err != nil || old.Status != Cancelled || old.Reason != Superseded {
		t.Errorf("the first workflow: %v %s, %v", old.Status, old.Reason, err)
	}
	var counts map[keystore.State]int
	if err := l.store.View(t.Context(), func(r kv.Reader) (err error) { counts, err = l.keys.Counts(r); return err }); err != nil {
		t.Fatal(err)
	}
	if counts[keystore.Spent] != 2 || counts[keystore.Reserved] != 1 || counts[keystore.Revoked] != 1 {
		t.Errorf("got %v: want both spent, the next pair of the first revoked", counts)
	}
}

func TestPasswordsAreAudited(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", fullProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	l.operational(d)
	list, err := l.engine.Passwords(t.Context(), operatorAct, d.UUID())
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, p := range list {
		shown = append(shown, p.Account+" "+p.Version)
		if p.Doubtful || p.At.IsZero() || p.Password.IsZero() {
			t.Errorf("%s %s: got %+v", p.Account, p.Version, p)
		}
	}
	want := "admin current, admin previous, helpdesk current, monitor current, MEBx current, MEBx previous"
	if got := strings.Join(shown, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	refusal := errors.New("no audit")
	got, err := l.engine.Passwords(t.Context(), Act{Also: func(kv.Tx) error { return refusal }}, d.UUID())
	if !errors.Is(err, refusal) || got != nil {
		t.Errorf("without an audit entry: got %d passwords, %v", len(got), err)
	}
	if _, err := l.engine.Passwords(t.Context(), operatorAct, randomUUID()); !errors.Is(err, ErrNoDevice) {
		t.Errorf("of no device: got %v", err)
	}
}

// TestBusyStepIsShown waits for a firmware that is busy: the step is the one that
// waits, not one before it that leaves nothing in the store.
func TestBusyStepIsShown(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Timing.Busy, c.Timing.BusyTries = time.Hour, 3 })
	d := l.device(l.pairs(1)[0], amtsim.AMT32, trouble(t, "AddKey=2"))
	l.boot(d)
	l.await(d.UUID(), "at the key", func(dev Device) bool { return dev.Status == Running && dev.Step == "key" })
}

// TestPolicyNarrows starts the engine anew with a dial policy that leaves a device
// out: its set-up waits, and goes on when the policy lets it in again.
func TestPolicyNarrows(t *testing.T) {
	t.Parallel()
	l, d, _ := crashed(t, "11-before", basicProfile, nil)
	l.tune = func(c *Config) { c.DialAllow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }
	l.crash()
	l.await(d.UUID(), "waiting", func(dev Device) bool {
		return dev.Status == Waiting && dev.Reason == AddressNotAllowed && !dev.NextTry.IsZero()
	})
	l.tune = nil
	l.crash()
	l.operational(d)
}
