package provisioning

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// revokeNext revokes the pair that is reserved for a device.
func (l *lab) revokeNext(d *amtsim.Device) (pid amt.PID) {
	pid = l.record(d).NextPID
	l.move(pid, func(tx kv.Tx) error { return l.keys.Revoke(tx, pid, keystore.Move{Who: "lab"}) })
	return pid
}

// TestNextPairRevokedBetween revokes the reserved pair when its first sending was
// refused as busy: the device gets another one.
func TestNextPairRevokedBetween(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	var d *amtsim.Device
	var gone atomic.Pointer[amt.PID]
	l.tune = func(c *Config) {
		c.StepHook = func(at string) {
			if at == "12-called" && gone.Load() == nil {
				pid := l.revokeNext(d)
				gone.Store(&pid)
			}
		}
	}
	l.open(true)
	l.apply("default", basicProfile)
	d = l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "SetTLSPSK=2*1"))
	l.boot(d)
	dev := l.operational(d)
	if dev.NextPID == *gone.Load() || dev.NextPID == (amt.PID{}) || dev.NeedsVisit {
		t.Errorf("next pair %v, revoked %v, needs a visit: %t", dev.NextPID, *gone.Load(), dev.NeedsVisit)
	}
}

// TestNextPairGone revokes the pair between the look at it and the transaction of
// its intention.
func TestNextPairGone(t *testing.T) {
	t.Parallel()
	e, keys := quiet(t, nil)
	first := quietPairs(t, e, keys, 1)[0]
	uuid := randomUUID()
	r := &run{e: e, uuid: uuid, dev: &pb.Device{Uuid: uuid[:]}, wf: &pb.Workflow{Uuid: uuid[:], Pid: first[:]}}
	commit := func(do func(ed *edit) error) error {
		var done *edit
		err := e.cfg.Store.Update(t.Context(), func(tx kv.Tx) error {
			done = &edit{tx: tx, w: r.wf, d: proto.CloneOf(r.dev), now: noon}
			return do(done)
		})
		if err == nil {
			r.dev = done.d
		}
		return err
	}
	pair, prepare, err := r.nextPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(prepare); err != nil || pidOf(r.dev.GetNextPid()) != pair.PID {
		t.Fatalf("reserving: %v, next pair %v", err, pidOf(r.dev.GetNextPid()))
	}
	same, prepare, err := r.nextPair(t.Context())
	if err != nil || same.PID != pair.PID {
		t.Fatalf("got %v, %v, want the reserved pair", same.PID, err)
	}
	revoke := func(ed *edit) error { return keys.Revoke(ed.tx, pair.PID, keystore.Move{Who: "test"}) }
	if err := commit(revoke); err != nil {
		t.Fatal(err)
	}
	if err := commit(prepare); !errors.Is(err, errNextPairGone) {
		t.Errorf("got %v, want errNextPairGone", err)
	}
	other, prepare, err := r.nextPair(t.Context())
	if err != nil || other.PID == pair.PID {
		t.Fatalf("got %v, %v, want another pair", other.PID, err)
	}
	if err := commit(prepare); err != nil || pidOf(r.dev.GetNextPid()) != other.PID {
		t.Fatalf("reserving another: %v", err)
	}
	if older := r.dev.GetOlderPids(); len(older) != 1 || pidOf(older[0]) != pair.PID {
		t.Errorf("the revoked pair is not kept aside: %v", older)
	}
}

// TestNextPairRevokedInSending revokes the pair between its intention and the
// call: what the device then holds is of no use, and the set-up is done all the
// same, whether it takes the pair or not.
func TestNextPairRevokedInSending(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{"", "SetTLSPSK=16"} {
		t.Run(refusal, func(t *testing.T) {
			t.Parallel()
			l := makeLab(t, nil)
			var d *amtsim.Device
			l.tune = func(c *Config) {
				c.StepHook = func(at string) {
					if at == "12-intended" {
						l.revokeNext(d)
					}
				}
			}
			l.open(true)
			l.apply("default", basicProfile)
			d = l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, refusal))
			l.boot(d)
			dev := l.await(d.UUID(), "done", func(dev Device) bool { return dev.Status == Done || dev.Status == Failed })
			if dev.Status != Done || !dev.NeedsVisit || dev.NextPID != (amt.PID{}) {
				t.Errorf("got %v %s, next pair %v, needs a visit: %t", dev.Status, dev.Detail, dev.NextPID, dev.NeedsVisit)
			}
		})
	}
}

// TestPairTakenUpAgain has a device come with pairs in turn: none is ever both its
// present one and an older one.
func TestPairTakenUpAgain(t *testing.T) {
	t.Parallel()
	var e Engine
	a, b, next := amt.PID{'A'}, amt.PID{'B'}, amt.PID{'N'}
	tests := []struct {
		name  string
		story []amt.PID
		older []amt.PID
	}{
		{"the same", []amt.PID{a, a}, nil},
		{"another", []amt.PID{a, b}, []amt.PID{a, next}},
		{"and back", []amt.PID{a, b, a}, []amt.PID{next, b}},
		{"and forth", []amt.PID{a, b, a, b}, []amt.PID{next, a}},
		{"its next one, and back", []amt.PID{a, next, a}, []amt.PID{next}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &pb.Device{}
			for i, pid := range tt.story {
				e.movePairs(d, pid)
				if i == 0 {
					d.NextPid = next[:]
				}
			}
			var older []amt.PID
			for _, p := range d.GetOlderPids() {
				older = append(older, pidOf(p))
			}
			if last := tt.story[len(tt.story)-1]; pidOf(d.GetCurrentPid()) != last || !slices.Equal(older, tt.older) {
				t.Errorf("got %v and older ones %v, want %v and %v", pidOf(d.GetCurrentPid()), older, last, tt.older)
			}
		})
	}
}
