package keystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Errors of exports.
var (
	// ErrNothingToExport is returned when no pair of the batch is left that was
	// not handed out, or none is Available.
	ErrNothingToExport = errors.New("the batch has no pair to export")
	// ErrExportOpen is returned when an earlier export of the batch was begun
	// and not finished: its pairs may be in a file.
	ErrExportOpen = errors.New("an export of this batch was begun and not finished")
)

// Export is an export under way. The order is: BeginExport and ExportNext until
// it returns none, each noting in the store what it hands out; write the file and
// sync it; FinishExport. After a crash between them the pairs handed out are not
// given away again by accident: BeginExport refuses with ErrExportOpen until the
// export is finished one way or the other, or again is set.
type Export struct {
	ID      uint64
	Batch   string
	Again   bool // with pairs that were exported before
	Pairs   int  // handed out so far
	Marked  int  // of them, as exported
	Ended   bool // one way or the other; Again and Why are not kept then
	BegunAt time.Time
	BegunBy string
	Why     string
}

// Exported is a pair as an export hands it out.
type Exported struct {
	PID     amt.PID
	Secrets Secrets
}

func viewExport(j *scsstorev1.KeyJob) Export {
	return Export{
		ID: j.GetId(), Batch: j.GetBatch(), Again: j.GetAgain(), Pairs: int(j.GetPairs()), Marked: int(j.GetMarked()),
		BegunAt: moment(j.GetBegunAt()), BegunBy: j.GetBegunBy(), Why: j.GetWhy(),
	}
}

// exportFilter selects the pairs of an export.
func exportFilter(batch string, again bool) Filter {
	f := Filter{Batch: batch, State: Available}
	if !again {
		f.Exported = &again
	}
	return f
}

// BeginExport stores the intention to hand out the Available pairs of a batch:
// those never exported, or with again all. Errors: ErrNoBatch,
// ErrBatchExpired, ErrNothingToExport, ErrExportOpen.
func (s *Store) BeginExport(tx kv.Tx, batch string, again bool, m Move) (Export, error) {
	m, err := s.dated(m)
	if err != nil {
		return Export{}, err
	}
	if err := s.checkExport(tx, batch, m); err != nil {
		return Export{}, err
	}
	open, err := s.Exports(tx)
	if err != nil {
		return Export{}, err
	}
	for _, e := range open {
		if e.Batch == batch && !again {
			return Export{}, fmt.Errorf("batch %q: %w: %s began it at %v and took %d pairs",
				batch, ErrExportOpen, e.BegunBy, e.BegunAt.Format(time.DateTime), e.Pairs)
		}
	}
	j := &scsstorev1.KeyJob{
		Kind: scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT, Batch: batch, Again: again,
		BegunAt: stamp(m.At), BegunBy: m.Who, Why: m.Why,
	}
	switch recs, err := s.exportPage(tx, j, 1); {
	case err != nil:
		return Export{}, err
	case len(recs) == 0:
		return Export{}, fmt.Errorf("batch %q: %w", batch, ErrNothingToExport)
	}
	if err := newJob(tx, j); err != nil {
		return Export{}, err
	}
	return viewExport(j), nil
}

// ExportNext hands out the next n pairs (at most 1000) of an export by PID, and
// none after the last. They are noted in the store, so use them only when the
// transaction is committed. Errors: ErrNoJob; ErrExportWritten and
// ErrExportDiscarded for an export that somebody ended: what was handed out is
// not all of it.
func (s *Store) ExportNext(tx kv.Tx, id uint64, n int) ([]Exported, error) {
	j, err := loadJob(tx, id, scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT)
	switch {
	case errors.Is(err, ErrNoJob):
		return nil, whyNoPairs(tx, id)
	case err != nil:
		return nil, err
	case j.GetWritten():
		return nil, fmt.Errorf("export %d: %w by %s", id, ErrExportWritten, j.GetWrittenBy())
	}
	recs, err := s.exportPage(tx, j, Page{Size: n}.size())
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	out := make([]Exported, len(recs))
	var pids []byte
	for i, k := range recs {
		secrets, err := s.openWhole(tx, k)
		if err != nil {
			return nil, err
		}
		out[i] = Exported{PID: pidOf(k), Secrets: secrets}
		pids = append(pids, k.GetPid()...)
	}
	j.LastPid = recs[len(recs)-1].GetPid()
	j.Pairs += uint64(len(recs))
	if err := putChunk(tx, j, pids); err != nil {
		return nil, err
	}
	return out, nil
}

// exportPage reads on until it has a record or there is none: a page may be
// empty because a running import hides many.
func (s *Store) exportPage(r kv.Reader, j *scsstorev1.KeyJob, size int) ([]*scsstorev1.Key, error) {
	after := j.GetLastPid()
	for {
		recs, last, err := s.page(r, exportFilter(j.GetBatch(), j.GetAgain()), after, size)
		if err != nil || len(recs) > 0 || last == nil {
			return recs, err
		}
		after = last
	}
}

// Ending says how an export ended.
type Ending struct {
	// Written says that its pairs lie safely in a file: they are marked as exported,
	// some hundred in each of several transactions. Else they are as before.
	Written bool
	Move    Move // Why is the export's own if it has one
	// Also, if set, runs in the transaction in which the end takes effect, with the
	// export as it was before; with one that has ended so already, too. Its error
	// leaves the export as it was.
	Also func(tx kv.Tx, e Export) error
}

// FinishExport ends an export and returns how many pairs it marked as exported.
// It may be called again, with the same answer for a month. Errors besides those
// of Also and the store: ErrNoJob for an export that is not known (or no more),
// ErrExportDiscarded and ErrExportWritten for one that ended otherwise.
func (s *Store) FinishExport(ctx context.Context, db kv.Store, id uint64, end Ending) (int, error) {
	m, err := s.dated(end.Move)
	if err != nil {
		return 0, err
	}
	end.Move = m
	err = db.Update(ctx, func(tx kv.Tx) error {
		before, err := s.endExport(tx, id, end)
		if err != nil || end.Also == nil {
			return err
		}
		return end.Also(tx, before)
	})
	if err != nil {
		return 0, fmt.Errorf("finishing export %d: %w", id, err)
	}
	if !end.Written {
		return 0, s.dropChunks(ctx, db, id)
	}
	return s.markExport(ctx, db, id, m)
}

// endExport sets the end of an export, unless it has it, and returns the export
// as it was.
func (s *Store) endExport(tx kv.Tx, id uint64, end Ending) (before Export, err error) {
	j, err := loadJob(tx, id, scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT)
	if errors.Is(err, ErrNoJob) {
		e, err := exportEnd(tx, id)
		if err == nil && e.GetWritten() != end.Written {
			err = endedOtherwise(e)
		}
		return viewEnd(e), err
	}
	if err != nil {
		return Export{}, err
	}
	before = viewExport(j)
	switch {
	case j.GetWritten() && !end.Written:
		return before, fmt.Errorf("%w by %s", ErrExportWritten, j.GetWrittenBy())
	case j.GetWritten(): // an earlier call came so far
		return before, nil
	case !end.Written:
		return before, s.keepEnd(tx, j, false, end.Move)
	}
	j.Written, j.WrittenBy = true, end.Move.Who
	return before, jobTable.Put(tx, jobKey(id), j)
}

// markExport marks the pairs of a written export chunk by chunk and ends it. It
// returns how many were marked in all.
func (s *Store) markExport(ctx context.Context, db kv.Store, id uint64, m Move) (total int, err error) {
	for more := true; more; {
		err := db.Update(ctx, func(tx kv.Tx) (err error) {
			total, more, err = s.markChunk(tx, id, m)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("marking the pairs of export %d: %w", id, err)
		}
	}
	return total, nil
}

// markChunk marks the pairs of the next chunk, or ends the export when none is
// left. total is how many were marked so far.
func (s *Store) markChunk(tx kv.Tx, id uint64, m Move) (total int, more bool, err error) {
	j, err := loadJob(tx, id, scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT)
	if errors.Is(err, ErrNoJob) {
		e, err := exportEnd(tx, id)
		return int(e.GetMarked()), false, err
	}
	if err != nil {
		return 0, false, err
	}
	key, pids, err := firstChunk(tx, id)
	if err != nil {
		return 0, false, err
	}
	if key == nil {
		if j.GetWrittenBy() != "" {
			m.Who = j.GetWrittenBy()
		}
		return int(j.GetMarked()), false, s.keepEnd(tx, j, true, m)
	}
	if err := chunkTable.Delete(tx, key); err != nil {
		return 0, false, err
	}
	if why := j.GetWhy(); why != "" {
		m.Why = why
	}
	for pid := range slices.Chunk(pids, amt.PIDLen) {
		err := s.MarkExportedAgain(tx, pidFrom(pid), m)
		switch {
		case err == nil:
			j.Marked++
		case !moved(err):
			return 0, false, err
		}
	}
	return int(j.GetMarked()), true, jobTable.Put(tx, jobKey(id), j)
}

// moved reports whether a pair could not be marked because its life went on
// meanwhile: then its state says more than the mark would.
func moved(err error) bool {
	for _, e := range []error{ErrUnknownPID, ErrMove, ErrSpent, ErrRevoked, ErrRetired} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Exports lists the exports that were begun and not finished, the oldest first.
func (s *Store) Exports(r kv.Reader) ([]Export, error) {
	open, err := jobs(r, scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT)
	if err != nil {
		return nil, fmt.Errorf("listing exports: %w", err)
	}
	out := make([]Export, len(open))
	for i, j := range open {
		out[i] = viewExport(j)
	}
	return out, nil
}
