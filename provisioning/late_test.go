package provisioning

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// TestCommitTakesEffectLate loses the answer to CommitChanges and finds the device
// still in set-up; it commits when the workflow has gone back already.
func TestCommitTakesEffectLate(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{"TLS": fullProfile, "no TLS": plainProfile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) {
				c.Timing.Call, c.Timing.Dial, c.Timing.CommitGrace = 300*time.Millisecond, 300*time.Millisecond, time.Millisecond
			})
			l.apply("default", doc)
			d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=CommitChanges/700ms,latency=60ms"))
			l.boot(d)
			l.await(d.UUID(), "back", func(dev Device) bool {
				wf, err := l.engine.Workflow(t.Context(), d.UUID().String())
				return err == nil && wf.Rewinds > 0
			})
			l.operational(d)
			l.noLosses(1)
		})
	}
}

// TestCommitTookEffectBehindAFault retries a set-up whose commit was answered by a
// fault and took effect all the same.
func TestCommitTookEffectBehindAFault(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	hook, there := l.crashAt("16-before")
	l.tune = func(c *Config) { c.StepHook = hook }
	l.open(true)
	l.apply("default", fullProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	<-there
	err := l.store.Store.Update(t.Context(), func(tx kv.Tx) error { // as the fault leaves it
		rec, err := getDevice(tx, d.UUID())
		if err != nil {
			return err
		}
		w, err := getWorkflow(tx, d.UUID(), rec.GetWorkflow())
		if err != nil {
			return err
		}
		for _, in := range w.GetIntentions() {
			if in.GetCall() == callCommit {
				in.State = intentionRefused
			}
		}
		w.Step, w.State, w.CommittedAt = stepCommit-1, pb.WorkflowState(Configured), nil
		w.Status, w.Reason, w.FailedStep = pb.WorkflowStatus(Failed), string(CommitRefused), "commit"
		return putWorkflow(tx, rec, w, noon)
	})
	if err != nil {
		t.Fatal(err)
	}
	l.crash()
	l.retry(d.UUID())
	l.operational(d)
	l.noLosses(1)
}

// TestMayCommitYet wants the graces of a commit: a lost answer has more than a
// confirmed one, and a clock that was set back holds nothing up.
func TestMayCommitYet(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, func(c *Config) { c.Timing.CommitGrace, c.Timing.Call = 30*time.Second, 90*time.Second })
	for state, grace := range map[pb.IntentionState]time.Duration{
		intentionDone: 0, intentionRefused: 0, intentionResolved: 0, intentionPending: 30 * time.Second, intentionLost: 120 * time.Second,
	} {
		r := &run{e: e, wf: &pb.Workflow{Intentions: []*pb.Intention{{Step: stepCommit, Call: callCommit, State: state, At: stamp(noon)}}}}
		for after, want := range map[time.Duration]bool{
			0: grace > 0, grace - time.Second: grace > 0, grace: false, -time.Hour: false,
		} {
			if got := r.mayCommitYet(noon.Add(after)); got != want {
				t.Errorf("%v, %v after: got %t", state, after, got)
			}
		}
	}
	r := &run{e: e, wf: &pb.Workflow{CommittedAt: stamp(noon)}}
	for after, want := range map[time.Duration]bool{0: true, 29 * time.Second: true, 30 * time.Second: false, -time.Second: false} {
		if got := r.mayCommitYet(noon.Add(after)); got != want {
			t.Errorf("confirmed, %v after: got %t", after, got)
		}
	}
}

// TestDefaultAppliedMeanwhile applies a profile called default while a set-up is
// under way with the built-in one: that set-up ends as it began.
func TestDefaultAppliedMeanwhile(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	l.open(true)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	l.await(d.UUID(), "silent", func(dev Device) bool { return dev.Status == Waiting })
	l.apply("default", plainProfile)
	l.boot(d)
	dev := l.operational(d)
	if snap := d.Snapshot(); dev.ProfileVersion != 0 || !snap.Remote.Enabled || dev.Serial.IsZero() {
		t.Errorf("version %d, TLS %t, serial %v: want what the built-in default says", dev.ProfileVersion, snap.Remote.Enabled, dev.Serial)
	}
}

// TestWakesAfterTheClockWasSetBack lets a hello wake a workflow that one woke at a
// time to come.
func TestWakesAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, func(c *Config) { c.Now = func() time.Time { return noon } })
	uuid := numbered(1)
	h := arrival{peer: netip.MustParseAddrPort("192.0.2.1:1"), msg: pskHello(uuid, pidOf([]byte("ABCDEFGH"))), count: 1}
	for last, want := range map[time.Time]int{
		noon.Add(time.Hour): 1, noon.Add(-time.Second): 0, noon.Add(-time.Minute): 1,
	} {
		e.soft.wakes[uuid] = last
		if _, woken := e.note([]arrival{h}, []verdict{{known: true, wake: true}}); len(woken) != want {
			t.Errorf("woken last at %v: woke %d, want %d", last, len(woken), want)
		}
	}
}
