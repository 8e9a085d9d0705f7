package provisioning

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// TestBoundedTries puts a workflow down again and again: only failures of one
// reason that has a bound are charged to it, and lengthen its waits.
func TestBoundedTries(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, func(c *Config) {
		c.Timing.Tries, c.Timing.RetryMin, c.Timing.RetryMax = 4, time.Second, time.Hour
	})
	fault := errors.New("a fault")
	kinds := map[rune]error{
		's': silence(fault),
		'c': &failure{reason: CommitUnproven, retry: true, silent: true, err: fault},
		'n': &failure{reason: NameNeeded, retry: true, after: time.Minute, err: fault},
		'b': perhaps(DeviceBusy, fault),
		'f': perhaps(StoreFailed, fault),
		'x': because(KeyRefused, fault),
	}
	tests := []struct {
		name, story string
		want        Status
		tries       uint32
		wait        time.Duration // of the last, at least; a quarter more at most
	}{
		{"a long silence", strings.Repeat("s", 40), Waiting, 40, time.Hour},
		{"a long wait for a name", strings.Repeat("n", 40), Waiting, 40, time.Minute},
		{"one short of the bound", "bbb", Waiting, 3, 4 * time.Second},
		{"at the bound", "bbbb", Failed, 4, 0},
		{"busy after a long silence", strings.Repeat("s", 40) + "b", Waiting, 41, time.Second},
		{"busy after a long time without proof", strings.Repeat("c", 40) + "bbb", Waiting, 43, 4 * time.Second},
		{"silence in between does not set the bound back", "bbsssbncb", Failed, 9, 0},
		{"another reason does", "bbbff", Waiting, 5, 2 * time.Second},
		{"a refusal fails at once", "x", Failed, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &run{e: e}
			ed := &edit{w: &pb.Workflow{Status: pb.WorkflowStatus(Running)}, d: &pb.Device{}, now: noon}
			var next time.Time
			for _, k := range tt.story {
				next = r.putDown(ed, classify(kinds[k]), "settings")
			}
			if got := Status(ed.w.GetStatus()); got != tt.want || ed.w.GetTries() != tt.tries {
				t.Errorf("got %v after %d tries, want %v after %d", got, ed.w.GetTries(), tt.want, tt.tries)
			}
			if tt.want == Failed {
				return
			}
			if wait := next.Sub(noon); wait < tt.wait || wait > tt.wait*5/4+1 {
				t.Errorf("it waits %v, want %v and up to a quarter more", wait, tt.wait)
			}
		})
	}
	w := &pb.Workflow{Tries: 7, BoundedTries: 3, BoundedReason: string(DeviceBusy)}
	if tryAnew(w); w.GetTries() != 0 || w.GetBoundedTries() != 0 || w.GetBoundedReason() != "" {
		t.Errorf("a step that is begun anew has %v", w)
	}
}

// TestTriesAfterSilence: a device that was silent longer than any bound, and whose
// firmware is busy for a moment when it is back, is set up.
func TestTriesAfterSilence(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) {
		c.Timing.Tries, c.Timing.RetryMin, c.Timing.RetryMax = 5, 30*time.Millisecond, 60*time.Millisecond
	})
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	l.await(d.UUID(), "silent for long", func(Device) bool { return l.workflow(d).Tries > 6 })
	d.SetTrouble(amtsim.Trouble{Refuse: []amtsim.Refusal{{CallTrouble: amtsim.CallTrouble{Call: "GetUuid", Times: 1}, Status: 2}}})
	l.boot(d)
	l.operational(d)
}

func (l *lab) workflow(d *amtsim.Device) Workflow {
	l.t.Helper()
	w, err := l.engine.Workflow(l.t.Context(), d.UUID().String())
	if err != nil {
		l.t.Fatal(err)
	}
	return w
}

// TestForgedHellosSpendNoTries says many hellos with a device's UUID and pair while
// its workflow waits for a busy firmware: it keeps its tries.
func TestForgedHellosSpendNoTries(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) {
		c.Timing.RetryMin, c.Timing.RetryMax, c.Timing.HelloWakeEvery = time.Hour, time.Hour, time.Millisecond
	})
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, func(o *amtsim.Options) {
		trouble(t, "AddCertificate=2*1000")(o)
		o.Server = "127.0.0.1:1" // the test says its hello
	})
	l.boot(d)
	if err := d.WaitPhase(t.Context(), amt.InSetup); err != nil {
		t.Fatal(err)
	}
	l.say(d.Addr().Addr(), pskHello(d.UUID(), p.pid))
	l.await(d.UUID(), "waiting", func(dev Device) bool { return dev.Status == Waiting && dev.Reason == DeviceBusy })
	before := l.workflow(d).Tries
	for range 20 {
		l.say(l.address(200), pskHello(d.UUID(), p.pid))
		time.Sleep(10 * time.Millisecond)
	}
	if w := l.workflow(d); w.Tries != before || w.Status != Waiting {
		t.Errorf("20 forged hellos brought it from %d tries to %d, %v", before, w.Tries, w.Status)
	}
}
