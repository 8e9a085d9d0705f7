package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/amtscs/amtscs/kv"
)

// groupTime bounds how long a group goes on taking requests, so that the first
// of it does not wait for ever.
const groupTime = 20 * time.Millisecond

// request is one Update on its way through the writer.
type request struct {
	turn chan *tx      // the writer hands over the transaction: the caller's turn to run
	gone chan struct{} // closed by a caller who no longer waits for its turn
	ran  chan bool     // the caller hands it back; true: keep the writes
	done chan error    // outcome of the group
}

// Update implements kv.Store. fn runs on the calling goroutine. It must not
// call Update or Close of the same store.
func (db *DB) Update(ctx context.Context, fn func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := db.enter(); err != nil {
		return err
	}
	defer db.active.Done()
	req := &request{
		turn: make(chan *tx),
		gone: make(chan struct{}),
		ran:  make(chan bool, 1),
		done: make(chan error, 1),
	}
	db.waiting.Add(1)
	select {
	case db.queue <- req:
	case <-ctx.Done():
		db.waiting.Add(-1)
		return ctx.Err()
	}
	db.waiting.Add(-1)
	select {
	case t := <-req.turn:
		t.ctx = ctx
		ferr := req.run(t, fn)
		if err := <-req.done; err != nil {
			return err
		}
		return ferr
	case err := <-req.done: // refused
		return err
	case <-ctx.Done():
		close(req.gone)
		return ctx.Err()
	}
}

// run calls fn and hands the transaction back, whatever fn does.
func (req *request) run(t *tx, fn func(kv.Tx) error) error {
	keep := false
	defer func() { req.ran <- keep }()
	err := t.ctx.Err()
	if err == nil {
		err = fn(t)
	}
	keep = err == nil
	return err
}

// write is the writer: it commits groups until the queue is closed.
func (db *DB) write() {
	defer close(db.stopped)
	var failed error // set for good when it is unknown what is on disk
	several := false // the last group had more than one member
	for req := range db.queue {
		if failed != nil {
			req.done <- failed
			continue
		}
		g := &group{db: db, began: time.Now()}
		g.run(req, several)
		err := g.commit()
		if err != nil && !harmless(err) {
			failed = fmt.Errorf("%w: %w", ErrFailed, err)
		}
		if err == nil && g.wrote {
			db.changes.wakeAll()
		}
		for _, m := range g.members {
			m.done <- err
		}
		several = len(g.members) > 1
	}
}

// harmless reports whether a commit failed for want of space, before the meta
// page was written: the file is as it was, and space may come back.
func harmless(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, syscall.EFBIG) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// group is the requests of one commit.
type group struct {
	db      *DB
	began   time.Time
	bolt    *bbolt.Tx // nil before the first member and after an error
	err     error     // of bbolt
	wrote   bool      // a member's writes are to be kept
	members []*request
}

// run takes the first request and all that are queued behind it.
func (g *group) run(first *request, crowd bool) {
	g.take(first)
	if crowd {
		runtime.Gosched() // the callers of the last group are on their way back
	}
	for g.err == nil && time.Since(g.began) < g.db.opts.groupTime {
		select {
		case req, ok := <-g.db.queue:
			if !ok {
				return
			}
			g.take(req)
		default:
			return
		}
	}
}

// take lets one caller run its closure.
func (g *group) take(req *request) {
	if g.bolt == nil {
		if g.bolt, g.err = g.db.bolt.Begin(true); g.err != nil {
			req.done <- fmt.Errorf("beginning a transaction: %w", g.err)
			return
		}
	}
	t := &tx{reader: reader{bolt: g.bolt}, keepUndo: g.wrote}
	select {
	case req.turn <- t:
	case <-req.gone:
		return
	}
	g.members = append(g.members, req)
	keep := <-req.ran
	t.end()
	switch {
	case keep:
		g.wrote = g.wrote || t.wrote
	case !t.wrote:
	case t.keepUndo:
		g.err = t.undoAll()
	default: // nothing of the group is lost by beginning anew
		g.err = g.bolt.Rollback()
		g.bolt = nil
	}
}

// commit ends the group.
func (g *group) commit() error {
	if g.bolt == nil {
		return g.err
	}
	if g.err != nil || !g.wrote {
		_ = g.bolt.Rollback() // nothing to keep
		return g.err
	}
	if err := g.bolt.Commit(); err != nil {
		_ = g.bolt.Rollback() // bbolt has done so, but for one path
		return fmt.Errorf("committing to store %s: %w", g.db.path, err)
	}
	return nil
}
