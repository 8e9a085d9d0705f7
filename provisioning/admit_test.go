package provisioning

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
)

// TestAdmitNamesThePair resets an Operational device by hand while somebody else
// says hellos in its name with another pair: an operator has to say which.
func TestAdmitNamesThePair(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	pairs := l.pairs(4)
	d := l.device(pairs[0], amtsim.AMT90, nil)
	off := l.boot(d)
	before := l.operational(d)
	if _, err := l.engine.Admit(t.Context(), operatorAct, d.UUID(), pairs[1].pid); !errors.Is(err, ErrState) {
		t.Errorf("a pair that nobody came with: got %v, want ErrState", err)
	}
	off()
	again := l.device(pairs[1], amtsim.AMT90, func(o *amtsim.Options) { o.UUID = d.UUID() })
	l.boot(again)
	l.inboxRow(d.UUID(), AlreadyOperational)
	l.say(l.address(200), pskHello(d.UUID(), pairs[2].pid)) // the latest
	if _, err := l.engine.Retry(t.Context(), operatorAct, d.UUID()); !errors.Is(err, ErrPairNeeded) {
		t.Errorf("two pairs: got %v, want ErrPairNeeded", err)
	}
	if _, err := l.engine.Admit(t.Context(), operatorAct, d.UUID(), pairs[3].pid); !errors.Is(err, ErrState) {
		t.Errorf("a third pair: got %v, want ErrState", err)
	}
	if _, err := l.engine.Admit(t.Context(), operatorAct, d.UUID(), pairs[1].pid); err != nil {
		t.Fatal(err)
	}
	dev := l.await(d.UUID(), "Operational again", func(dev Device) bool { return dev.Workflow != before.Workflow && dev.Operational })
	if dev.PID != pairs[1].pid {
		t.Errorf("it has pair %v, want %v", dev.PID, pairs[1].pid)
	}
	l.untouched(pairs[2])
}

// TestAdmitWantsAnOperationalDevice names a PID for a device that failed.
func TestAdmitWantsAnOperationalDevice(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	pairs := l.pairs(2)
	d := l.device(pairs[0], amtsim.AMT90, trouble(t, "CommitChanges=2057"))
	l.boot(d)
	l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if _, err := l.engine.Admit(t.Context(), operatorAct, d.UUID(), pairs[1].pid); !errors.Is(err, ErrState) {
		t.Errorf("got %v, want ErrState", err)
	}
	if _, err := l.engine.Admit(t.Context(), operatorAct, amt.UUID{1}, pairs[1].pid); !errors.Is(err, ErrNoDevice) {
		t.Errorf("an unknown device: got %v, want ErrNoDevice", err)
	}
}

// TestAdmissionLapses lets a pair in that does not come for six hours.
func TestAdmissionLapses(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	l := newLab(t, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	pairs := l.pairs(2)
	d := l.device(pairs[0], amtsim.AMT90, nil)
	off := l.boot(d)
	l.operational(d)
	off()
	l.say(l.address(200), pskHello(d.UUID(), pairs[1].pid))
	l.inboxRow(d.UUID(), AlreadyOperational)
	if _, err := l.engine.Admit(t.Context(), operatorAct, d.UUID(), pairs[1].pid); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(5 * time.Hour))
	l.say(l.address(200), pskHello(d.UUID(), pairs[1].pid))
	l.inboxRow(d.UUID(), DialFailed) // it is let in, and does not answer
	later.Store(int64(7 * time.Hour))
	l.say(l.address(200), pskHello(d.UUID(), pairs[1].pid))
	l.inboxRow(d.UUID(), AlreadyOperational)
}
