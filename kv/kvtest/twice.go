// Package kvtest is the contract of kv.Store as tests: Run for a backend, Twice
// for everybody who writes closures.
//
// It tests no durability: that takes a power failure.
package kvtest

import (
	"context"
	"errors"

	"github.com/amtscs/amtscs/kv"
)

// errDiscard ends the first run of a closure without a trace.
var errDiscard = errors.New("kvtest: the first of two runs")

// Twice wraps a store so that each closure of an Update runs twice, the first
// run being discarded, as a store may do: a closure that has effects besides
// its transaction, or adds up what it hands out, shows.
func Twice(s kv.Store) kv.Store { return twice{s} }

type twice struct{ kv.Store }

func (s twice) Update(ctx context.Context, fn func(kv.Tx) error) error {
	err := s.Store.Update(ctx, func(tx kv.Tx) error {
		// Its error does not count: the second run may not have it.
		_ = fn(tx)
		return errDiscard
	})
	if !errors.Is(err, errDiscard) {
		return err
	}
	return s.Store.Update(ctx, fn)
}
