package provisioning

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
)

// panicky makes dials of an address panic.
func panicky(c *Config, bad netip.Addr, n *atomic.Int32) {
	dial := c.Dial
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if netip.MustParseAddrPort(address).Addr() == bad {
			n.Add(1)
			panic("a fault of the program")
		}
		return dial(ctx, network, address)
	}
}

// TestPanicInAttempt has the dial of one attempt panic: it stands in the inbox,
// and others are served.
func TestPanicInAttempt(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	var n atomic.Int32
	l.tune = func(c *Config) { panicky(c, l.address(200), &n) }
	l.open(true)
	l.apply("default", basicProfile)
	pairs := l.pairs(2)
	uuid := randomUUID()
	l.say(l.address(200), pskHello(uuid, pairs[0].pid))
	l.inboxRow(uuid, InternalFault)
	d := l.device(pairs[1], amtsim.AMT90, nil)
	l.boot(d)
	l.operational(d)
}

// TestPanicInRace has one of several addresses of a device panic when it is
// dialled: the device is found at another.
func TestPanicInRace(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	var n atomic.Int32
	l.tune = func(c *Config) { panicky(c, l.address(200), &n) }
	l.open(true)
	l.apply("default", basicProfile)
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	l.await(d.UUID(), "waiting", func(dev Device) bool { return dev.Status == Waiting })
	l.say(l.address(200), pskHello(d.UUID(), p.pid))
	for deadline := time.Now().Add(10 * time.Second); n.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the address was not dialled")
		}
	}
	l.boot(d)
	l.operational(d)
}

// TestPanicInDispatch has the work on a key panic outside of everything that
// catches it: the key is due again, and its slot is free.
func TestPanicInDispatch(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	s := newSchedule[amt.UUID]()
	var workers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var worked atomic.Int32
	go func() {
		defer close(done)
		dispatch(ctx, s, time.Now, 1, &workers, func(uuid amt.UUID) (next time.Time) {
			defer e.rescue(uuid, &next)
			if worked.Add(1) == 1 {
				panic("a fault of the program")
			}
			return time.Time{}
		})
	}()
	bad, good := amt.UUID{1}, amt.UUID{2}
	s.at(bad, time.Now())
	s.at(good, time.Now().Add(time.Millisecond))
	for deadline := time.Now().Add(10 * time.Second); worked.Load() < 2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	workers.Wait()
	if worked.Load() != 2 {
		t.Errorf("%d keys were worked on, want 2", worked.Load())
	}
	if key, _, ok := s.take(time.Now().Add(time.Hour)); !ok || key != bad {
		t.Errorf("later %v is due, %t, want the key whose work panicked", key, ok)
	}
}
