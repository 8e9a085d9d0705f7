package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/amtscs/amtscs/kv"
)

// groupTime bounds how long a group goes on taking requests, so that the first
// of it does not wait for ever.
const groupTime = 20 * time.Millisecond

// queue holds the updates that wait, and says who leads.
type queue struct {
	mu      sync.Mutex // guards all below
	led     bool       // somebody leads
	waiting []*request
}

// request is one Update that waits for its turn or for the lead.
type request struct {
	bulk bool          // see kv.Bulk
	lead chan struct{} // closed: the caller leads the next group
	turn chan *tx      // the leader hands over the transaction: the caller's turn to run
	ran  chan bool     // the caller hands it back; true: keep the writes
	done chan error    // outcome of the group
}

// join returns nil when the caller leads at once, else its place in the queue.
func (q *queue) join(bulk bool) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.led {
		q.led = true
		return nil
	}
	req := &request{
		bulk: bulk,
		lead: make(chan struct{}),
		turn: make(chan *tx, 1),
		ran:  make(chan bool, 1),
		done: make(chan error, 1),
	}
	q.waiting = append(q.waiting, req)
	return req
}

// leave takes a request out of the queue. It is false when it was taken from
// there already: then its turn or the lead has come.
func (q *queue) leave(req *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == req {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// next takes the first request that is not a bulk one, nil when none waits. A
// bulk one leads a group of its own, since others would wait for it.
func (q *queue) next() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, req := range q.waiting {
		if !req.bulk {
			copy(q.waiting[1:i+1], q.waiting[:i]) // the bulk ones before it: few
			q.waiting[0] = nil
			q.waiting = q.waiting[1:]
			return req
		}
	}
	return nil
}

// pass gives the lead to the first who waits, or to whoever comes.
func (q *queue) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.led, q.waiting = false, nil
		return
	}
	close(q.waiting[0].lead)
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
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
	req := db.queue.join(kv.IsBulk(ctx))
	if req == nil {
		return db.lead(ctx, fn)
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-req.lead:
			return db.lead(ctx, fn)
		case t := <-req.turn:
			return req.follow(ctx, t, fn)
		case <-cancelled:
			if db.queue.leave(req) {
				return ctx.Err()
			}
			cancelled = nil // too late to leave: what comes finds ctx done
		}
	}
}

// follow runs fn in the transaction of another's group.
func (req *request) follow(ctx context.Context, t *tx, fn func(kv.Tx) error) error {
	ferr := func() error {
		if t == nil { // no transaction could be begun: the outcome says why
			return nil
		}
		keep := false
		defer func() { req.ran <- keep }() // whatever fn does
		err := t.run(ctx, fn)
		keep = err == nil
		return err
	}()
	if err := <-req.done; err != nil {
		return err
	}
	return ferr
}

// run calls a closure.
func (t *tx) run(ctx context.Context, fn func(kv.Tx) error) error {
	t.ctx, t.bulk = ctx, kv.IsBulk(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(t)
}

// lead conducts one group, of which the caller's closure is the first, and
// passes the lead on.
func (db *DB) lead(ctx context.Context, fn func(kv.Tx) error) error {
	defer db.queue.pass()
	if db.failed != nil {
		return db.failed
	}
	g := &group{db: db, began: time.Now()}
	ferr := g.own(ctx, fn)
	g.gather()
	err := g.commit()
	if err != nil && !harmless(err) {
		db.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err == nil && g.wrote {
		db.changes.wakeAll()
	}
	for _, m := range g.members {
		m.done <- err
	}
	db.crowd = len(g.members) > 0
	if err != nil {
		return err
	}
	return ferr
}

// harmless reports whether a commit failed for want of space, before the meta
// page was written: the file is as it was, and space may come back.
func harmless(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, syscall.EFBIG) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// group is the updates of one commit.
type group struct {
	db      *DB
	began   time.Time
	bolt    *bbolt.Tx  // nil before the first closure and after an error
	err     error      // of bbolt
	wrote   bool       // there are writes to be kept
	members []*request // besides the leader
}

// begin returns the transaction for the next closure, nil after an error.
func (g *group) begin() *tx {
	if g.bolt == nil && g.err == nil {
		g.bolt, g.err = g.db.bolt.Begin(true)
	}
	if g.err != nil {
		return nil
	}
	return &tx{reader: reader{bolt: g.bolt}, keepUndo: g.wrote}
}

// own runs the leader's closure. When that panics or exits, the group has
// nobody else yet and ends.
func (g *group) own(ctx context.Context, fn func(kv.Tx) error) error {
	t := g.begin()
	if t == nil {
		return g.err
	}
	returned := false
	defer func() {
		if !returned {
			_ = g.bolt.Rollback() // nothing to keep
		}
	}()
	err := t.run(ctx, fn)
	returned = true
	g.settle(t, err == nil)
	return err
}

// gather lets those run who wait, and those who come meanwhile.
func (g *group) gather() {
	if g.db.crowd {
		runtime.Gosched() // the callers of the last group are on their way back
	}
	for g.err == nil && time.Since(g.began) < g.db.opts.groupTime {
		req := g.db.queue.next()
		if req == nil {
			return
		}
		g.members = append(g.members, req)
		t := g.begin()
		req.turn <- t
		if t == nil {
			return
		}
		g.settle(t, <-req.ran)
	}
}

// settle keeps or takes back what a closure wrote.
func (g *group) settle(t *tx, keep bool) {
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
