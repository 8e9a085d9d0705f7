package provisioning

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/kv"
)

// TestRandomOperators lets operators pause, cancel, retry and assign at random
// while devices are set up and forged hellos come. The records never contradict
// each other, and in the end every device is Operational.
func TestRandomOperators(t *testing.T) {
	t.Parallel()
	l := newLab(t, ownKeys)
	l.apply("default", fullProfile)
	devices := l.crowd(6, trouble(t, "latency=5ms"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				l.meddle(ctx, devices[mathrand.IntN(len(devices))])
				time.Sleep(time.Duration(mathrand.IntN(40)) * time.Millisecond)
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		if err := l.store.View(t.Context(), func(r kv.Reader) error { return CheckInvariants(r, l.keys) }); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for _, d := range devices {
		deadline := time.Now().Add(20 * time.Second)
		for !l.isOperational(d) && time.Now().Before(deadline) {
			_, err := l.engine.Retry(t.Context(), operatorAct, d.UUID())
			if err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNoDevice) {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		l.operational(d)
	}
	l.noLosses(len(devices))
}

func (l *lab) isOperational(d *amtsim.Device) bool {
	dev, err := l.engine.Device(l.t.Context(), d.UUID())
	return err == nil && dev.Operational
}

// meddle does one random thing; refusals are the operator's problem.
func (l *lab) meddle(ctx context.Context, d *amtsim.Device) {
	var err error
	switch mathrand.IntN(6) {
	case 0:
		_, err = l.engine.Pause(ctx, operatorAct, d.UUID())
	case 1:
		_, err = l.engine.Cancel(ctx, operatorAct, d.UUID())
	case 2, 3:
		_, err = l.engine.Retry(ctx, operatorAct, d.UUID())
	case 4:
		_, err = l.engine.Assign(ctx, operatorAct, d.UUID(), Assignment{FQDN: "pc" + d.UUID().String()[:8] + ".example.com"})
	case 5:
		_ = l.engine.Hello(ctx, d.Addr(), pskHello(randomUUID(), d.Snapshot().Pair.PID))
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNoDevice) {
		l.t.Error(err)
	}
}

func FuzzIDs(f *testing.F) {
	u := amt.UUID{1, 2, 3}
	f.Add(rowID(rowKey{u, amt.PID{'A'}}))
	f.Add(workflowID(u, 7))
	f.Add(u.String())
	f.Add("not an id")
	f.Fuzz(func(t *testing.T, id string) {
		if key, err := parseRowID(id); err == nil {
			if again, err := parseRowID(rowID(key)); err != nil || again != key {
				t.Errorf("row %q: %v became %v, %v", id, key, again, err)
			}
		}
		uuid, n, err := parseWorkflowID(id)
		if err != nil || n == 0 {
			return
		}
		if u2, n2, err := parseWorkflowID(workflowID(uuid, n)); err != nil || u2 != uuid || n2 != n {
			t.Errorf("workflow %q: %v/%d became %v/%d, %v", id, uuid, n, u2, n2, err)
		}
	})
}

func FuzzPageTokens(f *testing.F) {
	f.Add(pageToken([]byte{0, 1, 0xff}))
	f.Add("")
	f.Add("!")
	f.Fuzz(func(t *testing.T, token string) {
		place, err := Page{Token: token}.after()
		if err != nil {
			if !errors.Is(err, ErrPageToken) {
				t.Errorf("%q: got %v", token, err)
			}
			return
		}
		if token != "" {
			again, err := Page{Token: pageToken(place)}.after()
			if err != nil || string(again) != string(place) {
				t.Errorf("%q: %x became %x, %v", token, place, again, err)
			}
		}
	})
}
