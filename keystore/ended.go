package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Errors of an export that ended otherwise than its caller believes.
var (
	// ErrExportDiscarded is returned when an export is to be gone on with, or to be
	// marked as written, and was discarded: its pairs are free for others.
	ErrExportDiscarded = errors.New("the export was discarded")
	// ErrExportWritten is returned when an export is to be gone on with, or to be
	// discarded, and was marked as written: its pairs count as exported.
	ErrExportWritten = errors.New("the export was marked as written")
)

// endLife is how long the end of an export is remembered, from then on.
const endLife = 30 * 24 * time.Hour

var endTable = kv.Collection[*scsstorev1.KeyExportEnd]{Table: "key_export_ends"}

// keepEnd notes how an export ended in the transaction that removes its job, and
// forgets some old ends.
func (s *Store) keepEnd(tx kv.Tx, j *scsstorev1.KeyJob, written bool, m Move) error {
	if err := s.forgetEnds(tx, m.At); err != nil {
		return err
	}
	err := endTable.Put(tx, jobKey(j.GetId()), &scsstorev1.KeyExportEnd{
		Id: j.GetId(), Batch: j.GetBatch(), Written: written, Pairs: j.GetPairs(), Marked: j.GetMarked(),
		At: stamp(m.At), Who: m.Who, BegunAt: j.GetBegunAt(), BegunBy: j.GetBegunBy(),
	})
	if err != nil {
		return err
	}
	return jobTable.Delete(tx, jobKey(j.GetId()))
}

// forgetEnds removes those of the oldest exports that ended long ago. More are
// looked at than one export adds, so that they do not pile up.
func (s *Store) forgetEnds(tx kv.Tx, now time.Time) error {
	var old [][]byte
	err := endTable.Scan(tx, kv.Range{Limit: 20}, func(key []byte, e *scsstorev1.KeyExportEnd) error {
		if moment(e.GetAt()).Before(now.Add(-endLife)) {
			old = append(old, bytes.Clone(key))
		}
		return nil
	})
	for _, key := range old {
		err = errors.Join(err, endTable.Delete(tx, key))
	}
	return err
}

// exportEnd is how an export ended. The error is ErrNoJob for one that is not
// known: it never was, or it ended long ago.
func exportEnd(r kv.Reader, id uint64) (*scsstorev1.KeyExportEnd, error) {
	e, err := endTable.Get(r, jobKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNoJob
	}
	return e, err
}

// viewEnd is an export after its end.
func viewEnd(e *scsstorev1.KeyExportEnd) Export {
	return Export{
		ID: e.GetId(), Batch: e.GetBatch(), Pairs: int(e.GetPairs()), Marked: int(e.GetMarked()),
		BegunAt: moment(e.GetBegunAt()), BegunBy: e.GetBegunBy(), Ended: true,
	}
}

// endedOtherwise is the error of an export whose end was not the wanted one.
func endedOtherwise(e *scsstorev1.KeyExportEnd) error {
	end := ErrExportDiscarded
	if e.GetWritten() {
		end = ErrExportWritten
	}
	return fmt.Errorf("%w by %s at %s", end, e.GetWho(), moment(e.GetAt()).Format(time.DateTime))
}

// whyNoPairs is the error of ExportNext for an export that goes on no more.
func whyNoPairs(r kv.Reader, id uint64) error {
	e, err := exportEnd(r, id)
	if err == nil {
		err = endedOtherwise(e)
	}
	return fmt.Errorf("export %d: %w", id, err)
}

// checkEnds looks at the records of ended exports.
func checkEnds(r kv.Reader) error {
	return endTable.Scan(r, kv.Range{}, func(key []byte, e *scsstorev1.KeyExportEnd) error {
		if !bytes.Equal(key, jobKey(e.GetId())) {
			return fmt.Errorf("%w: the end of export %d lies under %x", ErrInvariant, e.GetId(), key)
		}
		if e.GetMarked() > e.GetPairs() || !e.GetWritten() && e.GetMarked() > 0 {
			return fmt.Errorf("%w: export %d has marked %d of %d pairs, written %t", ErrInvariant, e.GetId(), e.GetMarked(), e.GetPairs(), e.GetWritten())
		}
		switch _, err := loadJob(r, e.GetId(), scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT); {
		case err == nil:
			return fmt.Errorf("%w: export %d has ended and is under way", ErrInvariant, e.GetId())
		case !errors.Is(err, ErrNoJob):
			return err
		}
		return nil
	})
}
