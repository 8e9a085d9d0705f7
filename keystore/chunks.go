package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

const (
	// Chunks are made to take about chunkTime, commit included, so that others
	// need not wait long for the store.
	chunkTime = 20 * time.Millisecond
	// What takes longer before its commit than stopTime ends the chunk early.
	stopTime = 12 * time.Millisecond
	minChunk = 50
	maxChunk = 16_000
	// lotLen is how many records are sealed at a time.
	lotLen = 256
)

// lot is some records on their way from the sorted list to the store.
type lot struct {
	raw   []byte // whole records
	count int
	pairs []candidate // of the records, when ready is closed
	err   error
	ready chan struct{}
}

// candidate is a record that is sealed for its place and encoded.
type candidate struct {
	raw   rawRecord
	kind  *template
	value []byte // the stored form
}

// write writes sorted records in chunks, while the next ones are sealed.
func (imp *importer) write(ctx context.Context, src source) error {
	sctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() { stop(); work.Wait() }()
	lots := imp.lots(sctx, &work, src)
	var held []candidate // sealed and not yet written
	for {
		for more := true; more && len(held) < imp.chunk; {
			var err error
			if held, more, err = receive(ctx, lots, held); err != nil {
				return err
			}
		}
		if len(held) == 0 {
			return nil
		}
		n, err := imp.writeChunk(ctx, held[:min(imp.chunk, len(held))])
		if err != nil {
			return err
		}
		held = slices.Delete(held, 0, n)
	}
}

// receive adds the next lot to held; more is false behind the last.
func receive(ctx context.Context, lots <-chan *lot, held []candidate) (_ []candidate, more bool, err error) {
	select {
	case l, ok := <-lots:
		if !ok {
			return held, false, nil
		}
		select {
		case <-l.ready:
			return append(held, l.pairs...), true, l.err
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return held, false, ctx.Err()
}

// lots seals the records of src on all processors, and gives the lots in order.
// The goroutines end when ctx is done or after the last lot.
func (imp *importer) lots(ctx context.Context, work *sync.WaitGroup, src source) <-chan *lot {
	workers := runtime.GOMAXPROCS(0)
	// The next chunk is encoded while one is written.
	inOrder, todo := make(chan *lot, maxChunk/lotLen), make(chan *lot, maxChunk/lotLen)
	work.Go(func() {
		defer close(inOrder)
		defer close(todo)
		for more := true; more; {
			var l *lot
			if l, more = nextLot(src); l.count == 0 {
				close(l.ready) // it may have an error
			} else {
				more = send(ctx, todo, l) && more
			}
			more = send(ctx, inOrder, l) && more
		}
	})
	for range workers {
		work.Go(func() {
			for l := range todo {
				if ctx.Err() == nil {
					l.pairs, l.err = imp.encode(l)
				}
				close(l.ready)
			}
		})
	}
	return inOrder
}

func send(ctx context.Context, ch chan<- *lot, l *lot) bool {
	select {
	case ch <- l:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextLot reads the next records. One with an error has no records.
func nextLot(src source) (l *lot, more bool) {
	l = &lot{ready: make(chan struct{})}
	for l.count < lotLen {
		r, err := src.next()
		if errors.Is(err, io.EOF) {
			return l, false
		}
		if err != nil {
			return &lot{err: err, ready: l.ready}, false
		}
		l.raw = append(l.raw, r...)
		l.count++
	}
	return l, true
}

// encode seals and encodes the records of a lot.
func (imp *importer) encode(l *lot) ([]candidate, error) {
	pairs := make([]candidate, 0, l.count)
	var buf []byte
	for rest := l.raw; len(rest) > 0; {
		var c candidate
		c.raw, rest = firstRecord(rest)
		if c.raw[flagsAt]&flagSealed == 0 {
			sealed, err := imp.s.appendSealed(nil, c.raw)
			if err != nil {
				return nil, fmt.Errorf("PID %v: %w", c.raw.pid(), err)
			}
			c.raw = sealed
		}
		c.kind = imp.templates[c.raw[flagsAt]&^flagSealed]
		if n := c.kind.size(c.raw); cap(buf)-len(buf) < n {
			buf = make([]byte, 0, max(n, (l.count-len(pairs))*(n+16)))
		}
		at := len(buf)
		buf = c.kind.append(buf, c.raw)
		c.value = buf[at:len(buf):len(buf)]
		pairs = append(pairs, c)
	}
	return pairs, nil
}

// adapt sets the size of the next chunk by the time the last took.
func (imp *importer) adapt(n int, took time.Duration) {
	fit := int(float64(n) * float64(chunkTime) / float64(max(took, time.Millisecond)))
	if n < imp.chunk && fit > n {
		return // a short one that was fast tells little
	}
	imp.chunk = min(max(fit, n/2, minChunk), 2*n, imp.s.maxChunk)
}

// writeChunk writes the first of pairs in a transaction and says how many.
func (imp *importer) writeChunk(ctx context.Context, pairs []candidate) (n int, err error) {
	var rep AddReport
	var began time.Time // the waiting for others is over
	err = imp.db.Update(kv.Bulk(ctx), func(tx kv.Tx) error {
		began, rep = time.Now(), AddReport{}
		j, err := imp.load(tx)
		if err != nil {
			return err
		}
		j.LeaseUntil = stamp(imp.s.Now().Add(leaseTime))
		n, err = imp.insert(tx, j, pairs, &rep, began.Add(stopTime))
		return err
	})
	if err != nil {
		imp.report.join(AddReport{Conflicts: rep.Conflicts})
		return 0, err
	}
	imp.adapt(n, time.Since(began))
	imp.report.join(rep)
	return n, nil
}

// insert stores those of pairs that are new, as far as it comes until stop, and
// notes them in the job. It returns how many it has looked at.
func (imp *importer) insert(tx kv.Tx, j *scsstorev1.KeyJob, pairs []candidate, rep *AddReport, stop time.Time) (n int, err error) {
	known, err := imp.known(tx, pairs)
	if err != nil {
		return 0, err
	}
	var last rawRecord // of the latest that is new
	fresh := make([][]int, len(imp.templates))
	pids := make([]byte, 0, len(pairs)*amt.PIDLen)
	for ; n < len(pairs); n++ {
		if n%128 == 127 && time.Now().After(stop) {
			break
		}
		raw := pairs[n].raw
		pid := raw.pid()
		v := isNew
		if known(pid) || last != nil && last.pid() == pid {
			v, err = imp.judge(tx, raw, last)
		}
		if err := imp.count(rep, v, pid, err); err != nil {
			return 0, err
		}
		if v == isNew {
			kind := pairs[n].kind.number
			fresh[kind] = append(fresh[kind], n)
			pids = append(pids, pid[:]...)
			last = raw
		}
	}
	if !imp.im.SkipConflicts && imp.redraw == nil {
		if err := rep.conflictError(); err != nil {
			return 0, err
		}
	}
	for kind, places := range fresh {
		if err := imp.create(tx, j, imp.templates[kind], pairs, places); err != nil {
			return 0, err
		}
	}
	return n, putChunk(tx, j, pids)
}

// create stores those of pairs that lie at places, all of one kind.
func (imp *importer) create(tx kv.Tx, j *scsstorev1.KeyJob, kind *template, pairs []candidate, places []int) error {
	if len(places) == 0 {
		return nil
	}
	keys, values := make([][]byte, len(places)), make([][]byte, len(places))
	for i, at := range places {
		keys[i], values[i] = pairs[at].raw[:amt.PIDLen], pairs[at].value
	}
	addCount(j, kind.state, len(places))
	return keysTable.CreateAll(tx, kind.placement, keys, values)
}

// known returns a function that says of the pairs' PIDs, asked in order, whether
// the store has them before the first is put. Where the store has few pairs
// beside many on the list, going along its rows is faster than looking up each.
func (imp *importer) known(tx kv.Tx, pairs []candidate) (func(pid amt.PID) bool, error) {
	first, last := pairs[0].raw.pid(), pairs[len(pairs)-1].raw.pid()
	rg := kv.Range{From: first[:], To: behind(last[:]), Limit: len(pairs)/2 + 1}
	var rows []amt.PID
	err := tx.Scan(keysTable.Table, rg, func(key, _ []byte) error {
		rows = append(rows, pidFrom(key))
		return nil
	})
	all := len(rows) < rg.Limit
	return func(pid amt.PID) bool {
		for len(rows) > 0 && bytes.Compare(rows[0][:], pid[:]) < 0 {
			rows = rows[1:]
		}
		if len(rows) > 0 || all {
			return len(rows) > 0 && rows[0] == pid
		}
		_, err := tx.Get(keysTable.Table, pid[:])
		return !errors.Is(err, kv.ErrNotFound) // judge meets any other error
	}, err
}

// judge looks at a record of which the PID may be in the store, or is that of
// last, which is to be stored.
func (imp *importer) judge(r kv.Reader, raw, last rawRecord) (verdict, error) {
	old, err := stored(r, raw.pid())
	if err != nil {
		return 0, err
	}
	if old == nil && (last == nil || last.pid() != raw.pid()) {
		return isNew, nil
	}
	come, err := imp.s.secretsOf(raw)
	if err != nil {
		return 0, err
	}
	if old != nil {
		return imp.s.judge(r, old, come, imp.id)
	}
	first, err := imp.s.secretsOf(last)
	return compare(first, come), err
}

// count notes a verdict, unless judging failed.
func (imp *importer) count(rep *AddReport, v verdict, pid amt.PID, err error) error {
	if err != nil {
		return err
	}
	if v == isBusy && imp.redraw != nil {
		v = isKnown // another one is drawn
	}
	if v == isBusy {
		return fmt.Errorf("PID %v: %w", pid, ErrBusy)
	}
	rep.count(v, pid)
	return nil
}

// addCount notes in the job what a chunk adds.
func addCount(j *scsstorev1.KeyJob, state State, n int) {
	i := slices.IndexFunc(j.GetCounts(), func(c *scsstorev1.KeyCount) bool { return State(c.GetState()) == state })
	if i < 0 {
		i = len(j.GetCounts())
		j.Counts = append(j.Counts, &scsstorev1.KeyCount{State: scsstorev1.KeyState(state)})
	}
	j.Counts[i].Count += uint64(n)
}
