package provisioning

import (
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// crashed runs a set-up until point and leaves the lab there.
func crashed(t *testing.T, point, profile string, tune func(*amtsim.Options)) (*lab, *amtsim.Device, pairOf) {
	t.Helper()
	l := makeLab(t, nil)
	hook, there := l.crashAt(point)
	l.tune = func(c *Config) { c.StepHook = hook }
	l.open(true)
	l.apply("default", profile)
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, tune)
	l.boot(d)
	select {
	case <-there:
	case <-time.After(20 * time.Second):
		t.Fatalf("the engine never came to %s", point)
	}
	return l, d, p
}

// TestLeftovers sets a device up that another server had begun with: what that
// one left is deleted or replaced.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"6-after", "9-before", "10-before", "15-before"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			old, d, p := crashed(t, point, basicProfile, nil)
			var secrets keystore.Record
			secrets.Pair, secrets.NewPassword = amt.Pair{PID: p.pid, PPS: p.secrets.PPS}, p.secrets.NewPassword
			if point == "15-before" { // the other server has set a password
				stored, err := old.lastAdmin(d)
				if err != nil {
					t.Fatal(err)
				}
				secrets.NewPassword = stored
			}
			l := makeLab(t, nil)
			l.port, l.base = old.port, old.base
			l.open(true)
			l.add(secrets)
			l.say(d.Addr().Addr(), pskHello(d.UUID(), p.pid))
			l.operational(d)
			if snap := d.Snapshot(); len(snap.Keys) > 2 {
				t.Errorf("the device holds %d keys", len(snap.Keys))
			}
		})
	}
}

// lastAdmin reads the administrator's password from a store whose engine is dead.
func (l *lab) lastAdmin(d *amtsim.Device) (amt.Secret, error) {
	var s amt.Secret
	err := l.store.Store.View(context.Background(), func(r kv.Reader) error {
		rec, err := getDevice(r, d.UUID())
		if err != nil {
			return err
		}
		s, err = l.engine.openPassword(rec, password(rec, accountAdmin, current))
		return err
	})
	return s, err
}

// add stores one pair in a batch of its own.
func (l *lab) add(rec keystore.Record) {
	l.t.Helper()
	prepared, err := l.keys.Prepare([]keystore.Record{rec})
	if err != nil {
		l.t.Fatal(err)
	}
	err = l.store.Update(l.t.Context(), func(tx kv.Tx) error {
		if err := l.keys.CreateBatch(tx, keystore.Batch{Name: "one", Model: amt.OEM, CreatedBy: "lab"}); err != nil {
			return err
		}
		_, err := l.keys.Add(tx, "one", prepared, keystore.Move{Who: "lab"})
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// TestResetInTheMiddle loses the device's memory between a crash and the restart:
// it is set up from the beginning again.
func TestResetInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"5-after", "8-after", "11-before", "14-before", "15-before"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l, d, p := crashed(t, point, fullProfile, nil)
			l.boots[0]()
			again := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.UUID, o.Addr = d.UUID(), d.Addr().Addr() })
			l.boot(again)
			l.crash()
			l.operational(again)
		})
	}
}

// TestResetWithoutTLS is TestResetInTheMiddle for a profile without certificates.
func TestResetWithoutTLS(t *testing.T) {
	t.Parallel()
	l, d, p := crashed(t, "12-before", plainProfile, nil)
	l.boots[0]()
	again := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.UUID, o.Addr = d.UUID(), d.Addr().Addr() })
	l.boot(again)
	l.crash()
	l.operational(again)
	if snap := again.Snapshot(); snap.HostName == "" || !snap.ClockSet {
		t.Errorf("host name %q, clock set: %t", snap.HostName, snap.ClockSet)
	}
}

// TestAddressChanges moves a device in set-up to another address, among forged
// hellos from others: the workflow finds it by its hellos.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Timing.Dial = 2 * time.Second })
	l.apply("default", namelessProfile)
	p := l.pairs(1)[0]
	state := filepath.Join(t.TempDir(), "state.json")
	d := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.StateFile = state })
	off := l.boot(d)
	l.await(d.UUID(), "waiting for a name", func(dev Device) bool { return dev.Reason == NameNeeded })
	off()
	for i := range 5 {
		l.say(l.address(100+i), pskHello(d.UUID(), p.pid))
	}
	moved := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.StateFile = state })
	l.boot(moved)
	l.inboxRow(d.UUID(), NameNeeded)
	for len(l.engine.soft.hints(d.UUID(), p.pid)) < 6 { // its hello has come
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := l.engine.Assign(t.Context(), operatorAct, d.UUID(), Assignment{FQDN: "moved.example.com"}); err != nil {
		t.Fatal(err)
	}
	l.await(d.UUID(), "Operational", func(dev Device) bool { return dev.Operational })
	if dev := l.record(d); dev.Address != moved.Addr().String() {
		t.Errorf("got %s, want %v", dev.Address, moved.Addr())
	}
	l.truth(moved)
}

// TestHelloWakes lets a silent device's hello end a long wait.
func TestHelloWakes(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Timing.RetryMin, c.Timing.RetryMax = time.Hour, time.Hour })
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	dev := l.await(d.UUID(), "silent", func(dev Device) bool { return dev.Status == Waiting })
	if (dev.Reason != NoAnswer && dev.Reason != DialFailed) || time.Until(dev.NextTry) < 50*time.Minute {
		t.Errorf("got %s until %v", dev.Reason, dev.NextTry)
	}
	l.boot(d)
	l.operational(d)
}

// TestMEBxInDoubt loses the answer to a change of the MEBx password, whose
// repetition the device's policy refuses: both values are kept.
func TestMEBxInDoubt(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	var d *amtsim.Device
	var once atomic.Bool
	l.tune = func(c *Config) {
		c.StepHook = func(at string) {
			if at == "11-called" && once.CompareAndSwap(false, true) {
				d.SetTrouble(amtsim.Trouble{Refuse: []amtsim.Refusal{{CallTrouble: amtsim.CallTrouble{Call: "SetMEBxPassword", Times: amtsim.Always}, Status: amtsim.NotPermitted}}})
			}
		}
	}
	l.open(true)
	l.apply("default", fullProfile)
	d = l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "drop-after=SetMEBxPassword"))
	l.boot(d)
	l.operational(d)
	list, err := l.engine.Passwords(t.Context(), operatorAct, d.UUID())
	if err != nil {
		t.Fatal(err)
	}
	doubtful := 0
	for _, p := range list {
		if p.Account == accountMEBx && p.Doubtful {
			doubtful++
		}
	}
	if doubtful != 2 {
		t.Errorf("%d doubtful MEBx passwords, want 2", doubtful)
	}
}

// TestRevokedMeanwhile withdraws a pair between its proof and its claim.
func TestRevokedMeanwhile(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	var p pairOf
	l.tune = func(c *Config) {
		c.StepHook = func(at string) {
			if at == "1-before" {
				l.move(p.pid, func(tx kv.Tx) error { return l.keys.Revoke(tx, p.pid, keystore.Move{Who: "lab"}) })
			}
		}
	}
	l.open(true)
	p = l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, nil)
	l.boot(d)
	l.inboxRow(d.UUID(), RevokedPID)
	if _, err := l.engine.Device(t.Context(), d.UUID()); !errors.Is(err, ErrNoDevice) {
		t.Errorf("got %v, want no device", err)
	}
}

// badIssuer wraps a CA with faults.
type badIssuer struct {
	Issuer
	answer func(cert *x509.Certificate) (*x509.Certificate, error)
}

func (b badIssuer) IssueDevice(ctx context.Context, req CertificateRequest) (*x509.Certificate, error) {
	cert, err := b.Issuer.IssueDevice(ctx, req)
	if err != nil {
		return nil, err
	}
	return b.answer(cert)
}

func TestIssuerFaults(t *testing.T) {
	t.Parallel()
	other := &x509.Certificate{PublicKey: &testKeys()[0].PublicKey}
	var n atomic.Int32
	tests := []struct {
		name   string
		answer func(*x509.Certificate) (*x509.Certificate, error)
		want   Reason // empty: the device becomes Operational
	}{
		{"a refusal", func(*x509.Certificate) (*x509.Certificate, error) { return nil, ErrNotIssued }, CertificateNotIssued},
		{"another key", func(*x509.Certificate) (*x509.Certificate, error) { return other, nil }, CertificateMismatch},
		{"another name", func(c *x509.Certificate) (*x509.Certificate, error) {
			return &x509.Certificate{PublicKey: c.PublicKey, DNSNames: []string{"x.example.com"}}, nil
		}, CertificateMismatch},
		{"trouble that passes", func(c *x509.Certificate) (*x509.Certificate, error) {
			if n.Add(1) < 3 {
				return nil, errors.New("the disk is full")
			}
			return c, nil
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) { c.Issuer = badIssuer{c.Issuer, tt.answer} })
			d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
			l.boot(d)
			if tt.want == "" {
				l.operational(d)
				return
			}
			dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
			if dev.Reason != tt.want || dev.Step != "issue" {
				t.Errorf("got %s at %s", dev.Reason, dev.Step)
			}
		})
	}
}

func TestFirmwareTooOld(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", basicProfile+"min_amt: \"9.0.99\"\n")
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if dev.Reason != ProfileUnfit || !strings.Contains(dev.Detail, "9.0.99") {
		t.Errorf("got %s: %s", dev.Reason, dev.Detail)
	}
	// Another profile is assigned, and the set-up retried.
	l.apply("old", strings.Replace(basicProfile, "name: default", "name: old", 1))
	if _, err := l.engine.Assign(t.Context(), operatorAct, d.UUID(), Assignment{Profile: "old"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.engine.Retry(t.Context(), operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	if dev := l.operational(d); dev.Profile != "old" {
		t.Errorf("got profile %s", dev.Profile)
	}
}

// TestOwnKeyPool sets AMT 3.2 up with keys of the engine's own pool.
func TestOwnKeyPool(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.DeviceKeys, c.DeviceKeyPool = nil, 1 })
	d := l.device(l.pairs(1)[0], amtsim.AMT32, nil)
	l.boot(d)
	l.operational(d)
	seen := map[string]bool{}
	for range 3 {
		key, err := l.engine.keys.get(t.Context())
		if err != nil || seen[key.N.String()] {
			t.Fatalf("a key came twice, or none: %v", err)
		}
		seen[key.N.String()] = true
	}
}

// TestClockSetBackOverRestart restarts the engine with a clock that was a year ahead before:
// what waits is tried soon, not in a year.
func TestClockSetBackOverRestart(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	ahead.Store(int64(365 * 24 * time.Hour))
	l := newLab(t, func(c *Config) {
		c.Timing.NameRetry, c.Timing.RetryMax = 200*time.Millisecond, 200*time.Millisecond
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	l.apply("default", namelessProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.await(d.UUID(), "waiting for a name", func(dev Device) bool { return dev.Status == Waiting && dev.Reason == NameNeeded })
	if time.Until(dev.NextTry) < 300*24*time.Hour {
		t.Fatalf("the next try is at %v: the clock was not ahead", dev.NextTry)
	}
	l.store.blow()
	l.stop()
	<-l.done
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	ahead.Store(0)
	l.open(false)
	l.await(d.UUID(), "tried again", func(dev Device) bool { return dev.Status == Waiting && time.Until(dev.NextTry) < time.Hour })
}
