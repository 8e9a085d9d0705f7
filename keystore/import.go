package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Import is a list of pairs on its way into a batch.
type Import struct {
	// Batch is made when there is none of this name, unless no pair of the list
	// comes into the store. If it comes into being otherwise while the list is read,
	// with other facts, or its facts change, the error is ErrBatchDiffers.
	Batch Batch
	Move  Move
	// SkipConflicts leaves conflicting pairs out; else the first ends the
	// import with ErrConflict, and nothing is kept.
	SkipConflicts bool
	// Check, if set, may refuse the batch as it is in the store: before the list is
	// read, and again in the transaction that makes the import visible.
	Check func(r kv.Reader) error
	// DryRun, if set, is asked once the list has been read. If it says so, the
	// pairs are only compared with the store: the report is what the import would
	// have said, and what Finish writes is undone.
	DryRun func() bool
	// Finish, if set, runs in the transaction that makes the import visible, as
	// any closure of an Update several times if need be; its error undoes the
	// import.
	Finish func(tx kv.Tx, rep AddReport) error
}

// leaseTime is how long a chunk may take before the import counts as aborted.
const leaseTime = time.Minute

// ErrImportLost is returned by an import that was swept while it went on: the
// clock jumped, or it stood still for a minute.
var ErrImportLost = errors.New("the import was aborted by a sweep: begin it again")

// importer is one import under way.
type importer struct {
	s         *Store
	db        kv.Store
	im        Import
	id        uint64
	templates []*template   // by the flags of a record
	chunk     int           // size of the next chunk
	pace      time.Duration // of a pair, while chunks are written
	report    AddReport
	redraw    func(n int) iter.Seq2[Record, error] // for pairs whose PID is taken; nil: they conflict

	seen     *scsstorev1.KeyBatch // the batch before the list was read, nil for none
	finished bool                 // the transaction that makes it visible may have happened

	findings findings
}

// Import stores the records of seq, any number of them, all or nothing: other
// readers see none before they see all. It first reads and sorts the list, in
// bounded memory and without touching the store, then writes it in chunks. An
// error of seq ends it with that error. After a crash Sweep removes what was
// written. The report counts as far as the import came. Errors besides those of
// seq and the store: ErrBatchName, ErrBatchRetired,
// ErrBatchDiffers, ErrRecord, ErrConflict,
// ErrBusy, ErrTempFile, ErrImportLost.
func (s *Store) Import(ctx context.Context, db kv.Store, im Import, seq iter.Seq2[Record, error]) (AddReport, error) {
	return s.runImport(ctx, &importer{s: s, db: db, im: im}, seq)
}

// Generate draws n pairs and stores them as Import does; PIDs that are taken
// are drawn again. password is as in Draw.
func (s *Store) Generate(ctx context.Context, db kv.Store, im Import, n int, password func() (amt.Secret, error)) (AddReport, error) {
	draw := func(n int) iter.Seq2[Record, error] {
		return func(yield func(Record, error) bool) {
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
		}
	}
	return s.runImport(ctx, &importer{s: s, db: db, im: im, redraw: draw}, draw(n))
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
	if err := imp.run(ctx, seq); err != nil {
		return imp.report, fmt.Errorf("importing into batch %q: %w", imp.im.Batch.Name, err)
	}
	return imp.report, nil
}

// run sorts the list and writes it.
func (imp *importer) run(ctx context.Context, seq iter.Seq2[Record, error]) error {
	// A batch that takes nothing is better told before a long list is read.
	err := imp.db.View(ctx, func(r kv.Reader) error {
		return imp.lookUp(r)
	})
	if err != nil {
		return err
	}
	return imp.sort(ctx, seq, func(src source) error {
		if imp.im.DryRun != nil && imp.im.DryRun() {
			return imp.look(ctx, src)
		}
		err := imp.begin(ctx)
		if err == nil {
			err = imp.write(ctx, src)
		}
		if err == nil {
			err = imp.drawAgain(ctx)
		}
		imp.report.sort()
		if err == nil {
			err = imp.finish(ctx)
		}
		return imp.undo(ctx, err)
	})
}

// sort hands the records of seq on, in order.
func (imp *importer) sort(ctx context.Context, seq iter.Seq2[Record, error], use func(source) error) error {
	sort := &sorter{dir: imp.s.TempDir, limit: imp.s.runLen, seal: imp.s.appendSealed}
	defer sort.close()
	for rec, err := range seq {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := rec.Check(); err != nil {
			return fmt.Errorf("PID %v: %w", rec.Pair.PID, err)
		}
		if err := sort.add(rec); err != nil {
			return err
		}
	}
	src, err := sort.sorted()
	if err != nil {
		return err
	}
	return use(imp.agreed(src))
}

// batchModel is the model of the batch, which must take pairs.
func (imp *importer) batchModel(r kv.Reader) (amt.Model, error) {
	b, err := openBatch(r, imp.im.Batch.Name)
	if errors.Is(err, ErrNoBatch) {
		return imp.im.Batch.Model, nil
	}
	return amt.Model(b.GetModel()), err
}

// begin stores the job.
func (imp *importer) begin(ctx context.Context) error {
	imp.chunk = min(pieceLen, imp.s.maxChunk)
	return imp.db.Update(ctx, func(tx kv.Tx) error {
		model, err := imp.batchModel(tx)
		if err != nil {
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
		imp.templates, err = newTemplates(imp.im, model, imp.id)
		return err
	})
}

// drawAgain writes new pairs for those whose PIDs were taken, until none is.
func (imp *importer) drawAgain(ctx context.Context) error {
	for tries := 0; imp.redraw != nil; tries++ {
		taken, added := imp.report.Known+len(imp.report.Conflicts), imp.report.Added
		imp.report = AddReport{Added: added}
		if taken == 0 {
			return nil
		}
		if tries > maxAgain {
			return errRandom
		}
		err := imp.sort(ctx, imp.redraw(taken), func(src source) error { return imp.write(ctx, src) })
		if err != nil {
			return err
		}
		if imp.report.Added > added {
			tries = 0
		}
	}
	return nil
}

// undo sweeps what the import wrote before err ended it.
func (imp *importer) undo(ctx context.Context, err error) error {
	if err == nil || imp.id == 0 {
		return err
	}
	// The context may be what ended it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	found, serr := imp.s.sweepImport(ctx, imp.db, imp.id)
	switch {
	case serr != nil:
		return fmt.Errorf("%w (and what it wrote is still to be swept: %w)", err, serr)
	case !found && imp.finished && !errors.Is(err, ErrImportLost):
		return nil // the commit went through and its answer was lost
	}
	return err
}

// undoTime bounds how long an aborted import is swept; what is left then, the
// next sweep takes.
const undoTime = time.Minute

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
	err := imp.db.Update(ctx, func(tx kv.Tx) (err error) {
		defer func() { imp.finished = err == nil }()
		j, err := imp.load(tx)
		if err != nil {
			return err
		}
		if err := imp.keepBatch(tx, len(j.GetCounts()) > 0); err != nil {
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

// look is write for a dry run.
func (imp *importer) look(ctx context.Context, src source) error {
	var last rawRecord // of the latest PID that would be added
	for more := true; more; {
		err := imp.db.View(ctx, func(r kv.Reader) error {
			for range pieceLen {
				raw, err := src.next()
				if errors.Is(err, io.EOF) {
					more = false
					return nil
				}
				if err != nil {
					return err
				}
				v, err := imp.judge(r, raw, last)
				if err := imp.count(&imp.report, v, raw.pid(), err); err != nil {
					return err
				}
				if v == isNew {
					last = slices.Clone(raw)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	imp.findings.tell(&imp.report)
	imp.report.sort()
	if err := imp.report.conflictError(); err != nil && !imp.im.SkipConflicts {
		return err
	}
	return imp.pretend(ctx)
}

// errPretended ends the transaction of a dry run.
var errPretended = errors.New("a dry run keeps nothing")

// pretend calls Finish and keeps nothing of what it wrote.
func (imp *importer) pretend(ctx context.Context) error {
	if imp.im.Finish == nil {
		return nil
	}
	err := imp.db.Update(ctx, func(tx kv.Tx) error {
		if err := imp.im.Finish(tx, imp.report); err != nil {
			return err
		}
		return errPretended
	})
	if errors.Is(err, errPretended) {
		return nil
	}
	return err
}
