package provisioning

import (
	"context"
	"errors"

	"github.com/amtscs/amtscs/kv"
)

// ownStore is the store as the engine uses it. What a closure returns passes as
// it is; what the store itself says has the reason StoreFailed, so that a full
// disk is never taken for a device that does not answer.
type ownStore struct {
	kv.Store
	// failed has room for one error: the store takes no more writes.
	failed chan error
}

// closureError marks what a closure returned on its way through the store.
type closureError struct{ err error }

// Error is that of the closure.
func (c *closureError) Error() string { return c.err.Error() }

// Unwrap is what the closure returned.
func (c *closureError) Unwrap() error { return c.err }

func marked(err error) error {
	if err == nil {
		return nil
	}
	return &closureError{err}
}

// View implements kv.Store.
func (s ownStore) View(ctx context.Context, fn func(kv.Reader) error) error {
	return s.sorted(ctx, s.Store.View(ctx, func(r kv.Reader) error { return marked(fn(r)) }))
}

// Update implements kv.Store.
func (s ownStore) Update(ctx context.Context, fn func(kv.Tx) error) error {
	return s.sorted(ctx, s.Store.Update(ctx, func(tx kv.Tx) error { return marked(fn(tx)) }))
}

func (s ownStore) sorted(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if c, ok := errors.AsType[*closureError](err); ok {
		return c.err
	}
	if errors.Is(err, kv.ErrFailed) {
		select {
		case s.failed <- err:
		default: // it is known
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // whoever asked has gone
	}
	return perhaps(StoreFailed, err)
}
