package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Import is a list of pairs on its way into a batch.
type Import struct {
	Batch Batch // made when there is none of this name
	Move  Move
	// SkipConflicts leaves conflicting pairs out; else the first ends the
	// import with ErrConflict, and nothing is kept.
	SkipConflicts bool
	// Finish, if set, runs in the transaction that makes the import visible, as
	// any closure of an Update several times if need be; its error undoes the
	// import.
	Finish func(tx kv.Tx, rep AddReport) error
}

const (
	// runLen is how many records are held in memory and sorted at a time.
	runLen = 50_000
	// Chunks are made to take about chunkTime, so that others need not wait
	// long for the store.
	chunkTime = 20 * time.Millisecond
	minChunk  = 50
	maxChunk  = 4000
	// leaseTime is how long a chunk may take before the import counts as
	// aborted.
	leaseTime = time.Minute
)

// ErrImportLost is returned by an import that was swept while it went on: the
// clock jumped, or it stood still for a minute.
var ErrImportLost = errors.New("the import was aborted by a sweep: begin it again")

// importer is one import under way.
type importer struct {
	s      *Store
	db     kv.Store
	im     Import
	id     uint64
	model  amt.Model
	chunk  int // size of the next chunk
	report AddReport
	redraw func() (Record, error) // for pairs whose PID is taken; nil: they conflict

	finishing bool // the transaction that makes it visible may have happened
}

// Import stores the records of seq, any number of them, all or nothing: other
// readers see none before they see all. An error of seq ends it with that
// error. After a crash Sweep removes what was written. The report counts as far
// as the import came. Errors besides those of seq and the store: ErrBatchName,
// ErrBatchRetired, ErrRecord, ErrConflict, ErrBusy, ErrImportLost.
func (s *Store) Import(ctx context.Context, db kv.Store, im Import, seq iter.Seq2[Record, error]) (AddReport, error) {
	return s.runImport(ctx, &importer{s: s, db: db, im: im}, seq)
}

// Generate draws n pairs and stores them as Import does; PIDs that are taken
// are drawn again. password is as in Draw.
func (s *Store) Generate(ctx context.Context, db kv.Store, im Import, n int, password func() (amt.Secret, error)) (AddReport, error) {
	imp := &importer{s: s, db: db, im: im, redraw: func() (Record, error) {
		recs, err := s.Draw(1, password)
		if err != nil {
			return Record{}, err
		}
		return recs[0], nil
	}}
	return s.runImport(ctx, imp, func(yield func(Record, error) bool) {
		for left := n; left > 0; {
			recs, err := s.Draw(min(left, 1000), password)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, rec := range recs {
				if !yield(rec, nil) {
					return
				}
			}
			left -= len(recs)
		}
	})
}

func (s *Store) runImport(ctx context.Context, imp *importer, seq iter.Seq2[Record, error]) (AddReport, error) {
	var err error
	if imp.im.Move, err = s.dated(imp.im.Move); err != nil {
		return AddReport{}, err
	}
	if imp.im.Batch.CreatedAt.IsZero() {
		imp.im.Batch.CreatedAt = imp.im.Move.At
	}
	if imp.im.Batch.CreatedBy == "" {
		imp.im.Batch.CreatedBy = imp.im.Move.Who
	}
	if _, err := s.Sweep(ctx, imp.db, false); err != nil {
		return AddReport{}, err
	}
	if err := imp.begin(ctx); err != nil {
		return AddReport{}, fmt.Errorf("importing into batch %q: %w", imp.im.Batch.Name, err)
	}
	err = imp.run(ctx, seq)
	if err == nil {
		return imp.report, nil
	}
	err = fmt.Errorf("importing into batch %q: %w", imp.im.Batch.Name, err)
	// The context may be what ended it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	found, serr := s.sweepImport(ctx, imp.db, imp.id)
	switch {
	case serr != nil:
		err = fmt.Errorf("%w (and what it wrote is still to be swept: %w)", err, serr)
	case !found && imp.finishing && !errors.Is(err, ErrImportLost):
		return imp.report, nil // the commit went through and its answer was lost
	}
	return imp.report, err
}

// begin stores the job.
func (imp *importer) begin(ctx context.Context) error {
	imp.chunk = pieceLen
	return imp.db.Update(ctx, func(tx kv.Tx) error {
		b, err := openBatch(tx, imp.im.Batch.Name)
		switch {
		case err == nil:
			imp.model = amt.Model(b.GetModel())
		case errors.Is(err, ErrNoBatch):
			imp.model = imp.im.Batch.Model
		default:
			return err
		}
		j := &scsstorev1.KeyJob{
			Kind: scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT, Batch: imp.im.Batch.Name,
			BegunAt: stamp(imp.im.Move.At), BegunBy: imp.im.Move.Who, Why: imp.im.Move.Why,
			LeaseUntil: stamp(imp.s.Now().Add(leaseTime)),
		}
		if err := newJob(tx, j); err != nil {
			return err
		}
		imp.id = j.GetId()
		return nil
	})
}

// run takes the records in sorted runs, each in chunks.
func (imp *importer) run(ctx context.Context, seq iter.Seq2[Record, error]) error {
	var held []Record
	for rec, err := range seq {
		if err != nil {
			return err
		}
		if held = append(held, rec); len(held) == imp.s.runLen {
			if err := imp.store(ctx, held); err != nil {
				return err
			}
			held = held[:0]
		}
	}
	if err := imp.store(ctx, held); err != nil {
		return err
	}
	return imp.finish(ctx)
}

// store writes one run, chunk by chunk; while one is written the next is sealed.
func (imp *importer) store(ctx context.Context, recs []Record) error {
	slices.SortStableFunc(recs, func(a, b Record) int { return bytes.Compare(a.Pair.PID[:], b.Pair.PID[:]) })
	taken := 0 // redrawn without one that was new
	next, recs := imp.prepare(recs)
	for next != nil {
		now := <-next
		next, recs = imp.prepare(recs)
		rep, err := imp.storeTimed(ctx, now)
		if err == nil && imp.redraw != nil {
			if taken = imp.taken(rep, taken); taken > maxAgain {
				err = errRandom
			}
			var again []Record
			if err == nil {
				again, err = imp.drawAgain(rep)
			}
			recs = append(slices.Clip(recs), again...)
			rep = AddReport{Added: rep.Added}
		}
		if err != nil {
			if next != nil {
				<-next // its goroutine ends before the import does
			}
			imp.report.join(AddReport{Conflicts: rep.Conflicts})
			return err
		}
		imp.report.join(rep)
		if next == nil {
			next, recs = imp.prepare(recs)
		}
	}
	return nil
}

// sealed is a chunk that is ready to be written.
type sealed struct {
	recs []Prepared
	err  error
}

// prepare begins to seal the next chunk of recs and returns the rest. The
// channel is nil when there are none.
func (imp *importer) prepare(recs []Record) (<-chan sealed, []Record) {
	if len(recs) == 0 {
		return nil, nil
	}
	n := min(imp.chunk, len(recs))
	ch := make(chan sealed, 1)
	go func() {
		c := sealed{recs: make([]Prepared, n)}
		for i, rec := range recs[:n] {
			if c.recs[i], c.err = imp.s.prepare(rec); c.err != nil {
				c.err = fmt.Errorf("PID %v: %w", rec.Pair.PID, c.err)
				break
			}
		}
		ch <- c
	}()
	return ch, recs[n:]
}

// storeTimed writes a chunk and learns from the time it took.
func (imp *importer) storeTimed(ctx context.Context, c sealed) (AddReport, error) {
	if c.err != nil {
		return AddReport{}, c.err
	}
	began := time.Now()
	rep, err := imp.storeChunk(ctx, c.recs)
	imp.adapt(len(c.recs), time.Since(began))
	return rep, err
}

// taken counts on how often PIDs were taken since one was new.
func (imp *importer) taken(rep AddReport, before int) int {
	if rep.Added > 0 {
		return 0
	}
	return before + rep.Known + len(rep.Conflicts)
}

// drawAgain draws pairs for those whose PIDs were taken.
func (imp *importer) drawAgain(rep AddReport) ([]Record, error) {
	var recs []Record
	for range rep.Known + len(rep.Conflicts) {
		rec, err := imp.redraw()
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// adapt sets the size of the next chunk by the time the last took.
func (imp *importer) adapt(n int, took time.Duration) {
	if n < imp.chunk {
		return // a short one tells little
	}
	fit := int(float64(n) * float64(chunkTime) / float64(max(took, time.Millisecond)))
	imp.chunk = min(max(fit, n/2, minChunk), 2*n, maxChunk)
}

// storeChunk writes one chunk in its own transaction.
func (imp *importer) storeChunk(ctx context.Context, recs []Prepared) (AddReport, error) {
	var rep AddReport
	err := imp.db.Update(ctx, func(tx kv.Tx) error {
		rep = AddReport{}
		j, err := imp.load(tx)
		if err != nil {
			return err
		}
		counts := tally{}
		var pids []byte
		rep, pids, err = imp.s.insert(tx, inserting{
			batch: imp.im.Batch.Name, model: imp.model, move: imp.im.Move,
			job: imp.id, counts: counts, skipBusy: imp.redraw != nil,
		}, recs)
		if err != nil {
			return err
		}
		if !imp.im.SkipConflicts && imp.redraw == nil {
			if err := rep.conflictError(); err != nil {
				return err
			}
		}
		addCounts(j, counts)
		j.LeaseUntil = stamp(imp.s.Now().Add(leaseTime))
		return putChunk(tx, j, pids)
	})
	return rep, err
}

// addCounts notes what a chunk added in the job.
func addCounts(j *scsstorev1.KeyJob, t tally) {
	for _, state := range States() {
		var n int64
		for k, v := range t {
			if k.state == state {
				n += v
			}
		}
		if n == 0 {
			continue
		}
		i := slices.IndexFunc(j.Counts, func(c *scsstorev1.KeyCount) bool { return State(c.GetState()) == state })
		if i < 0 {
			i = len(j.Counts)
			j.Counts = append(j.Counts, &scsstorev1.KeyCount{State: scsstorev1.KeyState(state)})
		}
		j.Counts[i].Count += uint64(n)
	}
}

// load reads the job, which must still be this importer's.
func (imp *importer) load(r kv.Reader) (*scsstorev1.KeyJob, error) {
	j, err := loadJob(r, imp.id, scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT)
	if errors.Is(err, ErrNoJob) || err == nil && j.GetAborted() {
		return nil, ErrImportLost
	}
	return j, err
}

// finish makes the import visible in one small transaction, and then clears
// away the list of what it wrote.
func (imp *importer) finish(ctx context.Context) error {
	imp.finishing = true
	err := imp.db.Update(ctx, func(tx kv.Tx) error {
		j, err := imp.load(tx)
		if err != nil {
			return err
		}
		switch _, err := openBatch(tx, imp.im.Batch.Name); {
		case errors.Is(err, ErrNoBatch):
			if err := imp.s.CreateBatch(tx, imp.im.Batch); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		counts := tally{}
		for _, c := range j.GetCounts() {
			counts[tallyKey{imp.im.Batch.Name, State(c.GetState()), 0}] = int64(c.GetCount())
		}
		if err := counts.store(tx); err != nil {
			return err
		}
		if err := jobTable.Delete(tx, jobKey(imp.id)); err != nil {
			return err
		}
		if imp.im.Finish == nil {
			return nil
		}
		return imp.im.Finish(tx, imp.report)
	})
	if err != nil {
		return err
	}
	// It is visible. What is left behind by an error here, Sweep takes.
	_ = imp.s.dropChunks(ctx, imp.db, imp.id)
	return nil
}
