package keystore

import (
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

// candidate is a record that is sealed for its place and encoded, or one of which
// it is clear that it will not be stored.
type candidate struct {
	raw     rawRecord
	verdict verdict // 0: it is for the transaction to say
	kind    *template
	value   []byte // the stored form
}

// write writes sorted records in chunks, while the next ones are sealed.
func (imp *importer) write(ctx context.Context, src source) error {
	sctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() { stop(); work.Wait() }()
	lots := imp.lots(sctx, &work, src)
	var held []candidate // sealed and not yet written
	for {
		more, known := true, 0
		for more && len(held) < imp.chunk && known < maxChunk {
			var l *lot
			var err error
			if l, err = receive(ctx, lots); err != nil {
				return err
			}
			if more = l != nil; more {
				before := len(held)
				if held, err = imp.settle(held, l); err != nil {
					return err
				}
				known += l.count - (len(held) - before)
			}
		}
		if !more && len(held) == 0 {
			imp.findings.tell(&imp.report)
			return imp.refuse(imp.report)
		}
		n, err := imp.writeChunk(ctx, held[:min(imp.chunk, len(held))])
		if err != nil {
			return err
		}
		held = slices.Delete(held, 0, n)
	}
}

// receive waits for the next lot, nil behind the last.
func receive(ctx context.Context, lots <-chan *lot) (*lot, error) {
	select {
	case l, ok := <-lots:
		if !ok {
			return nil, nil
		}
		select {
		case <-l.ready:
			return l, l.err
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

// settle counts the pairs of a lot that have a verdict, and adds the others to held.
func (imp *importer) settle(held []candidate, l *lot) ([]candidate, error) {
	var rep AddReport
	for _, c := range l.pairs {
		if c.verdict == 0 {
			held = append(held, c)
		} else if err := imp.count(&rep, c.verdict, c.raw.pid(), nil); err != nil {
			return held, err
		}
	}
	imp.report.join(rep)
	return held, imp.refuse(rep)
}

// refuse is the error of an import that must not have conflicts.
func (imp *importer) refuse(rep AddReport) error {
	if imp.im.SkipConflicts || imp.redraw != nil {
		return nil
	}
	return rep.conflictError()
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
				if l.err = ctx.Err(); l.err == nil {
					l.pairs, l.err = imp.encode(ctx, l)
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

// encode seals and encodes those records of a lot that may be new.
func (imp *importer) encode(ctx context.Context, l *lot) ([]candidate, error) {
	pairs := make([]candidate, l.count)
	for i, rest := 0, l.raw; i < l.count; i++ {
		pairs[i].raw, rest = firstRecord(rest)
	}
	if err := imp.prejudge(ctx, pairs); err != nil {
		return nil, err
	}
	var buf []byte
	for i := range pairs {
		c := &pairs[i]
		if c.verdict != 0 {
			continue
		}
		if c.raw[flagsAt]&flagSealed == 0 {
			sealed, err := imp.s.appendSealed(nil, c.raw)
			if err != nil {
				return nil, fmt.Errorf("PID %v: %w", c.raw.pid(), err)
			}
			c.raw = sealed
		}
		c.kind = imp.templates[c.raw[flagsAt]&^flagSealed]
		if n := c.kind.size(c.raw); cap(buf)-len(buf) < n {
			buf = make([]byte, 0, (l.count-i)*(n+16))
		}
		at := len(buf)
		buf = c.kind.append(buf, c.raw)
		c.value = buf[at:len(buf):len(buf)]
	}
	return pairs, nil
}

// adapt sets the size of the next chunk by the time that the last took. It
// follows a store that becomes slow at once, and one that becomes fast slowly.
func (imp *importer) adapt(n int, took time.Duration) {
	pace := max(took, time.Millisecond) / time.Duration(max(n, 1))
	if pace < imp.pace {
		pace = imp.pace - (imp.pace-pace)/4
	}
	imp.pace = max(pace, 1)
	imp.chunk = min(max(int(chunkTime/imp.pace), minChunk), 2*imp.chunk, imp.s.maxChunk)
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
	if n > 0 {
		imp.adapt(n, time.Since(began))
	}
	imp.report.join(rep)
	return n, nil
}

// insert stores those of pairs that are new, as far as it comes until stop, and
// notes them in the job. It returns how many it has looked at.
func (imp *importer) insert(tx kv.Tx, j *scsstorev1.KeyJob, pairs []candidate, rep *AddReport, stop time.Time) (n int, err error) {
	if len(pairs) == 0 { // to renew the lease
		return 0, putChunk(tx, j, nil)
	}
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
	if err := imp.refuse(*rep); err != nil {
		return 0, err
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

// addCount notes in the job what a chunk adds.
func addCount(j *scsstorev1.KeyJob, state State, n int) {
	i := slices.IndexFunc(j.GetCounts(), func(c *scsstorev1.KeyCount) bool { return State(c.GetState()) == state })
	if i < 0 {
		i = len(j.GetCounts())
		j.Counts = append(j.Counts, &scsstorev1.KeyCount{State: scsstorev1.KeyState(state)})
	}
	j.Counts[i].Count += uint64(n)
}
