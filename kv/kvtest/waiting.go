package kvtest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/kv"
)

// patience is how long the suite waits for what must come.
const patience = 20 * time.Second

func testCancelled(t *testing.T, s kv.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Update(ctx, func(tx kv.Tx) error {
		t.Error("an Update's closure ran under a cancelled context")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update: got error %v", err)
	}
	err = s.View(ctx, func(kv.Reader) error {
		t.Error("a View's function ran under a cancelled context")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("View: got error %v", err)
	}
	// One that waits for its turn gives up.
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		answer := make(chan error, 1)
		go func() {
			answer <- s.Update(short, func(tx kv.Tx) error { return tx.Put("t", []byte("late"), nil) })
		}()
		select {
		case err := <-answer:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("an Update that waited too long: got error %v", err)
			}
		case <-time.After(patience):
			t.Error("an Update waits beyond its context")
		}
		return nil
	}))
	put(t, s, "t", "k", "v")
	wantKeys(t, s, "t", kv.Range{}, "k")
}

// testCancelledRandomly cancels updates at all moments: nil means that the
// change is there, and the store goes on.
func testCancelledRandomly(t *testing.T, s kv.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcome := map[string]error{}
	for i := range 60 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			defer cancel()
			key := strconv.Itoa(i)
			err := s.Update(ctx, func(tx kv.Tx) error { return tx.Put("t", []byte(key), []byte("v")) })
			mu.Lock()
			defer mu.Unlock()
			outcome[key] = err
		})
	}
	wg.Wait()
	for key, err := range outcome {
		if err == nil && get(t, s, "t", key) != "v" {
			t.Errorf("key %s was reported as stored and is not there", key)
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("key %s: got error %v", key, err)
		}
	}
}

func closedNow(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func mustClose(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: the channel stays open", what)
	}
}

func testChanged(t *testing.T, s kv.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	never := context.WithoutCancel(ctx)
	chans := []<-chan struct{}{s.Changed(ctx), s.Changed(ctx), s.Changed(never), s.Changed(context.WithValue(ctx, key{}, 1))}
	for i, ch := range chans {
		if closedNow(ch) {
			t.Errorf("channel %d is closed before any commit", i)
		}
	}
	put(t, s, "t", "k", "v")
	for i, ch := range chans {
		mustClose(t, "after a commit, "+strconv.Itoa(i), ch)
	}
	if closedNow(s.Changed(ctx)) || closedNow(s.Changed(never)) {
		t.Error("a new channel is closed before the next commit")
	}
	// Ask, read, then wait: nothing is missed.
	const n = 50
	seen := make(chan int)
	go func() {
		defer close(seen)
		for last := 0; last < n; {
			ch := s.Changed(ctx)
			var now int
			if err := s.View(ctx, func(r kv.Reader) (err error) { now, err = number(r, "n"); return err }); err != nil {
				return
			}
			last = now
			if last < n {
				<-ch
			}
		}
		seen <- n
	}()
	for i := range n {
		noError(t, s.Update(ctx, func(tx kv.Tx) error { return setNumber(tx, "n", i+1) }))
	}
	select {
	case got := <-seen:
		if got != n {
			t.Errorf("the waiter saw %d, want %d", got, n)
		}
	case <-time.After(patience):
		t.Error("the waiter missed a change")
	}
}

type key struct{}

func testChangedEnds(t *testing.T, s kv.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	a, b := s.Changed(ctx), s.Changed(ctx)
	other := s.Changed(t.Context())
	cancel()
	mustClose(t, "after cancel", a)
	mustClose(t, "after cancel", b)
	mustClose(t, "asked under a cancelled context", s.Changed(ctx))
	if closedNow(other) {
		t.Error("the channel of another context is closed")
	}
	noError(t, s.Close())
	mustClose(t, "after Close", other)
	mustClose(t, "asked after Close", s.Changed(t.Context()))
	mustClose(t, "asked after Close", s.Changed(context.Background()))
}

func testClosed(t *testing.T, s kv.Store) {
	put(t, s, "t", "k", "v")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	if err := s.View(t.Context(), func(kv.Reader) error { return nil }); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("View: got error %v", err)
	}
	if err := s.Update(t.Context(), func(kv.Tx) error { return nil }); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("Update: got error %v", err)
	}
}

func testCloseWaits(t *testing.T, s kv.Store) {
	var wg sync.WaitGroup
	closed := make(chan struct{})
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		wg.Go(func() {
			defer close(closed)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		for i := 0; i < 50 && !closedNow(closed); i++ {
			time.Sleep(time.Millisecond)
			if _, err := keys(r, "t", kv.Range{}); err != nil {
				return err
			}
		}
		if closedNow(closed) {
			t.Error("Close returned while a view was open")
		}
		// A view within a view must not hang while Close waits.
		if err := s.View(t.Context(), func(kv.Reader) error { return nil }); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("a nested view: got error %v", err)
		}
		return nil
	}))
	wg.Wait()
}
