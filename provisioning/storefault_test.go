package provisioning

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/wsman"
)

// fullStore is a store whose Updates fail with an error while it is set.
type fullStore struct {
	kv.Store
	fault atomic.Pointer[error]
}

func (f *fullStore) Update(ctx context.Context, fn func(kv.Tx) error) error {
	if err := f.fault.Load(); err != nil {
		return *err
	}
	return f.Store.Update(ctx, fn)
}

func (f *fullStore) fail(err error) { f.fault.Store(&err) }

// TestStoreErrorsAreNoDeviceErrors sorts what a store says, which may look like an
// error of the network, and what a closure says.
func TestStoreErrorsAreNoDeviceErrors(t *testing.T) {
	t.Parallel()
	s := &fullStore{}
	e, _ := quiet(t, func(c *Config) {
		s.Store, c.Store = c.Store, s
	})
	full := fmt.Errorf("writing: %w", syscall.ENOSPC)
	if !isNetwork(full) {
		t.Error("this test's premise is gone: ENOSPC does not look like an error of the network")
	}
	update := func(ctx context.Context, err error) error {
		return e.cfg.Store.Update(ctx, func(kv.Tx) error { return err })
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	lost := fmt.Errorf("asking: %w", wsman.ErrLost)
	tests := []struct {
		name  string
		ctx   context.Context
		fault error // of the store
		err   error // of the closure
		want  Reason
	}{
		{"a full disk", t.Context(), full, nil, StoreFailed},
		{"a store that is closed", t.Context(), kv.ErrClosed, nil, StoreFailed},
		{"a store that takes too long", late, context.DeadlineExceeded, nil, StoreFailed},
		{"a damaged record", t.Context(), nil, kv.ErrDamaged, StoreFailed},
		{"what a closure says of the device", t.Context(), nil, lost, NoAnswer},
		{"a closure's own reason", t.Context(), nil, because(KeyRefused, full), KeyRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.fault.Store(nil)
			if tt.fault != nil {
				s.fail(tt.fault)
			}
			err := update(tt.ctx, tt.err)
			if f := classify(err); f.reason != tt.want {
				t.Errorf("got %s, want %s", f.reason, tt.want)
			}
			if tt.fault == nil && err != tt.err {
				t.Errorf("the closure's error became %v", err)
			}
			if tt.fault != nil && !errors.Is(err, tt.fault) {
				t.Errorf("%v does not wrap the store's error", err)
			}
		})
	}
	s.fail(context.Canceled)
	if err := update(canceled(), nil); err != context.Canceled {
		t.Errorf("whoever has gone gets %v", err)
	}
}

// TestFullDiskIsToldAsSuch fills the disk in the middle of a set-up, which says so
// and goes on when there is room again.
func TestFullDiskIsToldAsSuch(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	s := &fullStore{}
	var steps atomic.Int32
	l.tune = func(c *Config) {
		s.Store, c.Store = c.Store, s
		c.StepHook = func(at string) {
			if at == "9-called" && steps.Add(1) == 1 {
				s.fail(fmt.Errorf("writing: %w", syscall.ENOSPC))
				time.AfterFunc(150*time.Millisecond, func() { s.fault.Store(nil) })
			}
		}
	}
	l.open(true)
	l.apply("default", basicProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	l.operational(d)
	for _, ev := range l.events(d.UUID()) {
		if ev.Reason == NoAnswer {
			t.Errorf("a full disk is told as %s: %s", ev.Reason, ev.Message)
		}
	}
}

// TestRunEndsWithTheStore wants Run to end when the store takes no more writes.
func TestRunEndsWithTheStore(t *testing.T) {
	t.Parallel()
	s := &fullStore{}
	e, _ := quiet(t, func(c *Config) {
		s.Store, c.Store = c.Store, s
		c.Timing.Prune = 10 * time.Millisecond
	})
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context()) }()
	s.fail(fmt.Errorf("writing: %w", syscall.ENOSPC))
	select {
	case err := <-ended:
		t.Fatalf("a full disk ends it: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.fail(fmt.Errorf("%w: input/output error", kv.ErrFailed))
	select {
	case err := <-ended:
		if !errors.Is(err, kv.ErrFailed) {
			t.Errorf("got %v, want kv.ErrFailed", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on with a store that takes no more writes")
	}
}
