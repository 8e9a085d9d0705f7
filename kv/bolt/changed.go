package bolt

import (
	"context"
	"sync"
)

// changes wakes those who wait for a commit. Nobody waits in a goroutine: a
// commit closes the channels of all waiters, a done context the channel of its
// own. All calls with one context share a waiter, so that a loop that asks
// again and again on a quiet store grows nothing.
type changes struct {
	mu      sync.Mutex // guards all below
	closed  bool
	any     chan struct{}               // for contexts that are never done; nil until asked for
	waiters map[<-chan struct{}]*waiter // by the context's Done channel
}

type waiter struct {
	woken chan struct{}
	stop  func() bool // lets go of the context
}

// next returns a channel that is closed at the next commit, when ctx is done,
// or when the store is closed.
func (c *changes) next(ctx context.Context) <-chan struct{} {
	done := ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || ctx.Err() != nil {
		ready := make(chan struct{})
		close(ready)
		return ready
	}
	if done == nil {
		if c.any == nil {
			c.any = make(chan struct{})
		}
		return c.any
	}
	if w := c.waiters[done]; w != nil {
		return w.woken
	}
	w := &waiter{woken: make(chan struct{})}
	if c.waiters == nil {
		c.waiters = map[<-chan struct{}]*waiter{}
	}
	c.waiters[done] = w
	w.stop = context.AfterFunc(ctx, func() { c.wake(done, w) })
	return w.woken
}

// wake closes one waiter's channel, unless a commit has done so.
func (c *changes) wake(done <-chan struct{}, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters[done] == w {
		delete(c.waiters, done)
		close(w.woken)
	}
}

// wakeAll closes the channels of all waiters: there was a commit.
func (c *changes) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.any != nil {
		close(c.any)
		c.any = nil
	}
	for done, w := range c.waiters {
		w.stop()
		close(w.woken)
		delete(c.waiters, done)
	}
}

// close wakes all waiters, now and later.
func (c *changes) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wakeAll()
}
