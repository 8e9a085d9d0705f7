// Package kv is a small transactional, ordered key-value interface and, on top
// of it, Collection: a table of protobuf messages whose secondary indexes are
// declared in one place, kept by every Put and Delete, checkable and rebuildable.
//
// Transactions are serialisable. The closure of an Update may run several times
// (group commit, serialisation retries): it must have no side effect outside
// its Tx, and assign rather than accumulate what it hands out. Everything that
// a Reader returns is a copy and outlives the transaction.
//
// It knows no database (kv/bolt is the default one), no encryption (seal) and
// nothing of what the records mean.
package kv

import (
	"context"
	"errors"
)

// Table names an ordered table of a store. It comes to exist with its first Put.
type Table string

// Errors of transactions.
var (
	// ErrNotFound is returned by Get when the table has no such key.
	ErrNotFound = errors.New("not found")
	// ErrStop may be returned by the function of a Scan to end it without an error.
	ErrStop = errors.New("stop scanning")
	// ErrClosed is returned by every call on a closed store.
	ErrClosed = errors.New("the store is closed")
	// ErrFailed is returned by every Update after a commit failed in a way that
	// leaves open what is on disk: only opening the store again helps.
	ErrFailed = errors.New("an earlier write to the store failed: check the disk and restart")
)

// Range selects keys: From <= key < To in ascending order, nil meaning open.
type Range struct {
	From, To []byte
	Reverse  bool // from the last key down
	Limit    int  // at most so many pairs; 0 means all
}

// Prefix selects the keys that begin with p.
func Prefix(p []byte) Range { return Range{From: p, To: PrefixEnd(p)} }

// PrefixEnd is the first key behind all keys that begin with p, nil when there
// is none.
func PrefixEnd(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Reader reads one consistent state of the store.
type Reader interface {
	// Get returns a copy of the value, or an error that is ErrNotFound.
	Get(t Table, key []byte) ([]byte, error)
	// Scan calls fn with copies of each selected pair in order until fn returns
	// an error, which Scan returns unless it is ErrStop. fn must not write to
	// the table it scans.
	Scan(t Table, r Range, fn func(key, value []byte) error) error
}

// Tx reads and writes; what it writes becomes visible to others, whole, when its
// Update returns nil, and is durable then.
type Tx interface {
	Reader
	// Put stores value, replacing what was there. Empty keys are refused. The
	// caller may change both afterwards, but under Bulk not the value.
	Put(t Table, key, value []byte) error
	// Delete removes key; a key that is not there is no error.
	Delete(t Table, key []byte) error
}

type bulkKey struct{}

// Bulk marks the context of an Update that writes many rows, of each table in
// ascending order. A store may then pack its pages tightly, lets other updates
// go before it that would have to wait for it, and need not copy values: they
// must not be changed before the Update returns. It changes nothing of what an
// Update promises.
func Bulk(ctx context.Context) context.Context { return context.WithValue(ctx, bulkKey{}, true) }

// IsBulk reports whether Bulk marked the context.
func IsBulk(ctx context.Context) bool { return ctx.Value(bulkKey{}) != nil }

// Store is one database. All methods may be called concurrently.
type Store interface {
	// View runs fn on a consistent state.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn in a transaction and commits it unless fn returns an
	// error, which Update returns. When Update returns nil the change is on
	// disk. After an error of the commit itself the change may be there or not.
	// A context that is done before fn begins is returned as its error; once
	// the commit has begun it is not looked at any more. fn must not call
	// Update or Close of the same store, nor wait for what another goroutine
	// does: all other updates may be waiting for it.
	Update(ctx context.Context, fn func(Tx) error) error
	// Changed returns a channel that is closed at the first commit after the
	// call, by whomever, when ctx is done, or when the store is closed: ask for
	// it, read, then wait.
	Changed(ctx context.Context) <-chan struct{}
	// Close waits for running transactions; it is idempotent. It must not be
	// called within a transaction.
	Close() error
}
