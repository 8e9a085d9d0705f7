package provisioning

import (
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// retry has an operator retry a device's set-up.
func (l *lab) retry(uuid amt.UUID) {
	l.t.Helper()
	if _, err := l.engine.Retry(l.t.Context(), operatorAct, uuid); err != nil {
		l.t.Fatal(err)
	}
}

// TestRetryAfterReset resets a device whose set-up failed late and retries: it
// gets everything again, the next pair too.
func TestRetryAfterReset(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{"TLS": fullProfile, "no TLS": fullProfile + "tls: {mode: off, allow_plain: true}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			l.apply("default", doc)
			p := l.pairs(1)[0]
			d := l.device(p, amtsim.AMT90, trouble(t, "CommitChanges=2057"))
			off := l.boot(d)
			l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
			off()
			again := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.UUID, o.Addr = d.UUID(), d.Addr().Addr() })
			l.boot(again)
			for again.Phase() != amt.InSetup {
				time.Sleep(10 * time.Millisecond)
			}
			l.retry(d.UUID())
			dev := l.operational(again)
			if snap := again.Snapshot(); snap.Pair.PID != dev.NextPID || dev.NeedsVisit || dev.NextPIDInDoubt {
				t.Errorf("the device holds %v, the store says %v, visit %t, in doubt %t", snap.Pair.PID, dev.NextPID, dev.NeedsVisit, dev.NextPIDInDoubt)
			}
			l.noLosses(1)
		})
	}
}

// TestRetryDuringACall pauses and retries a workflow while its call is under way:
// it begins again with the name that it was given meanwhile.
func TestRetryDuringACall(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=SetAdminAclEntryEx/600ms"))
	l.boot(d)
	l.await(d.UUID(), "at admin", func(Device) bool {
		wf, err := l.engine.Workflow(t.Context(), d.UUID().String())
		return err == nil && len(wf.Calls) > 0 && wf.Calls[len(wf.Calls)-1].Call == callSetAdmin
	})
	if _, err := l.engine.Pause(t.Context(), operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.engine.Assign(t.Context(), operatorAct, d.UUID(), Assignment{FQDN: "renamed.example.com"}); err != nil {
		t.Fatal(err)
	}
	l.retry(d.UUID())
	if dev, snap := l.operational(d), d.Snapshot(); dev.FQDN != "renamed.example.com" || snap.HostName != "renamed" {
		t.Errorf("the store calls it %q, the device itself %q", dev.FQDN, snap.HostName)
	}
	l.noLosses(1)
}

// TestReopenedWithoutTLS loses the connection more often than a workflow may go
// back: without TLS that tells nothing of the device.
func TestReopenedWithoutTLS(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"drop-before=SetTLSPSK*4", "drop-after=SetMEBxPassword*4", "drop-before=SetAdminAclEntryEx*4", "drop-after=SetTLSPSK*3",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) { c.Limits.Rewinds = 1 })
			l.apply("default", plainProfile)
			d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, text))
			l.boot(d)
			l.operational(d)
			l.noLosses(1)
		})
	}
}

// TestDoubtOutlivesGoingBack loses the answers to a change of the MEBx password
// and of the pair; without TLS the workflow goes back, and then both are refused:
// what the device may hold unseen stays known.
func TestDoubtOutlivesGoingBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ at, call string }{{"11-called", "SetMEBxPassword"}, {"12-called", "SetTLSPSK"}} {
		t.Run(tt.call, func(t *testing.T) {
			t.Parallel()
			l := makeLab(t, nil)
			var d *amtsim.Device
			l.tune = func(c *Config) {
				c.StepHook = func(at string) {
					if at == tt.at {
						d.SetTrouble(amtsim.Trouble{Refuse: []amtsim.Refusal{{CallTrouble: amtsim.CallTrouble{Call: tt.call, Times: amtsim.Always}, Status: amtsim.NotPermitted}}})
					}
				}
			}
			l.open(true)
			l.apply("default", plainProfile)
			d = l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "drop-after="+tt.call))
			l.boot(d)
			dev := l.operational(d)
			if tt.call == "SetTLSPSK" {
				if dev.NextPID == (amt.PID{}) || !dev.NextPIDInDoubt || d.Snapshot().Pair.PID != dev.NextPID {
					t.Errorf("next pair %v, in doubt %t; the device holds %v", dev.NextPID, dev.NextPIDInDoubt, d.Snapshot().Pair.PID)
				}
				return
			}
			list, err := l.engine.Passwords(t.Context(), operatorAct, d.UUID())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				if p.Account == accountMEBx && p.Password.Equal(d.Snapshot().MEBx) {
					if !p.Doubtful {
						t.Errorf("the %s MEBx password is not in doubt", p.Version)
					}
					return
				}
			}
			t.Error("the MEBx password that the device took unseen is lost")
		})
	}
}

// TestDoubtful wants a result that is not stored yet to stand for its intention.
func TestDoubtful(t *testing.T) {
	t.Parallel()
	type states = []pb.IntentionState
	tests := []struct {
		name     string
		stored   states
		unstored states
		want     bool
	}{
		{"never called", nil, nil, false},
		{"a crash behind the intention", states{intentionPending}, nil, true},
		{"answered", states{intentionDone}, nil, false},
		{"lost", states{intentionLost}, nil, true},
		{"refused, and not stored yet", states{intentionPending}, states{intentionRefused}, false},
		{"lost, and not stored yet", states{intentionPending}, states{intentionLost}, true},
		{"lost before, then refused", states{intentionLost, intentionPending}, states{intentionRefused}, true},
		{"read back, then refused", states{intentionResolved, intentionPending}, states{intentionRefused}, false},
	}
	for _, tt := range tests {
		r := &run{wf: &pb.Workflow{}, at: stepCommit - 1}
		for _, s := range tt.stored {
			r.wf.Intentions = append(r.wf.Intentions, &pb.Intention{Step: stepCommit, Call: callCommit, State: s})
		}
		for _, s := range tt.unstored {
			r.results = append(r.results, result{step: stepCommit, call: callCommit, state: s})
		}
		if got := r.doubtful(callCommit); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}
