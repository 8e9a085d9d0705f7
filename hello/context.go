package hello

import (
	"context"
	"sync"
	"time"
)

// handling is the context of one handler. Most handlers only queue the message,
// so the timer of its deadline is made when somebody first looks at it.
type handling struct {
	context.Context // the parent
	deadline        time.Time

	once   sync.Once
	inner  context.Context // set by once
	cancel context.CancelFunc
}

// over is what a handling is that nobody looked at before its end.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func newHandling(parent context.Context, timeout time.Duration) *handling {
	return &handling{Context: parent, deadline: time.Now().Add(timeout)}
}

func (h *handling) open() context.Context {
	h.once.Do(func() { h.inner, h.cancel = context.WithDeadline(h.Context, h.deadline) })
	return h.inner
}

// end releases the timer; the context is done from then on.
func (h *handling) end() {
	h.once.Do(func() { h.inner = over })
	if h.cancel != nil {
		h.cancel()
	}
}

// Deadline implements context.Context.
func (h *handling) Deadline() (time.Time, bool) { return h.deadline, true }

// Done implements context.Context.
func (h *handling) Done() <-chan struct{} { return h.open().Done() }

// Err implements context.Context.
func (h *handling) Err() error { return h.open().Err() }
