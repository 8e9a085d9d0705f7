package keystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Sweep removes what aborted imports left. With all it takes every import, and
// ends exports that were confirmed but not marked to their end: right when
// nothing else works on the store, as at the start of the only server. Else it
// takes the imports whose lease ran out. It returns how many it removed.
func (s *Store) Sweep(ctx context.Context, db kv.Store, all bool) (int, error) {
	var imports, exports []*scsstorev1.KeyJob
	var orphans []uint64
	err := db.View(ctx, func(r kv.Reader) (err error) {
		if imports, err = jobs(r, scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT); err != nil {
			return err
		}
		if exports, err = jobs(r, scsstorev1.KeyJobKind_KEY_JOB_KIND_EXPORT); err != nil {
			return err
		}
		orphans, err = orphanChunks(r)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweeping: %w", err)
	}
	n := 0
	for _, j := range imports {
		if !all && !j.GetAborted() && moment(j.GetLeaseUntil()).After(s.Now()) {
			continue
		}
		found, err := s.sweepImport(ctx, db, j.GetId())
		if err != nil {
			return n, err
		}
		if found {
			n++
		}
	}
	for _, j := range exports {
		if !all || !j.GetWritten() {
			continue
		}
		m := Move{Who: j.GetBegunBy(), Why: j.GetWhy(), At: s.Now()}
		if _, err := s.markExport(ctx, db, j.GetId(), m); err != nil {
			return n, err
		}
	}
	for _, id := range orphans {
		if err := s.dropChunks(ctx, db, id); err != nil {
			return n, err
		}
	}
	return n, nil
}

// orphanChunks lists the ids of which there are chunks but no job.
func orphanChunks(r kv.Reader) ([]uint64, error) {
	var ids []uint64
	rg := kv.Range{Limit: 1}
	for {
		id := uint64(0)
		err := r.Scan(chunkTable.Table, rg, func(key, _ []byte) (err error) {
			id, err = chunkJob(key)
			return err
		})
		if err != nil || id == 0 {
			return ids, err
		}
		switch _, err := jobTable.Get(r, jobKey(id)); {
		case errors.Is(err, kv.ErrNotFound):
			ids = append(ids, id)
		case err != nil:
			return nil, err
		}
		rg.From = kv.PrefixEnd(jobKey(id))
	}
}

// sweepImport removes one import, piece by piece. It first marks the job, so
// that an importer that is still at work stops. found is false when there is no
// such job: the import is finished or was swept.
func (s *Store) sweepImport(ctx context.Context, db kv.Store, id uint64) (found bool, err error) {
	err = db.Update(ctx, func(tx kv.Tx) error {
		j, err := loadJob(tx, id, scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT)
		found = err == nil
		if errors.Is(err, ErrNoJob) {
			return nil
		}
		if err != nil {
			return err
		}
		j.Aborted = true
		return jobTable.Put(tx, jobKey(id), j)
	})
	for more := found; more && err == nil; {
		err = db.Update(ctx, func(tx kv.Tx) error {
			more, err = s.sweepChunk(tx, id)
			return err
		})
	}
	if err != nil {
		return found, fmt.Errorf("sweeping import %d: %w", id, err)
	}
	return found, nil
}

// sweepChunk removes the keys of one chunk, or the job when none is left.
func (s *Store) sweepChunk(tx kv.Tx, id uint64) (more bool, err error) {
	pids, err := takeChunk(tx, id)
	if err != nil {
		return false, err
	}
	if pids == nil {
		return false, jobTable.Delete(tx, jobKey(id))
	}
	for _, pid := range pids {
		k, err := keysTable.Get(tx, pid[:])
		if errors.Is(err, kv.ErrNotFound) || err == nil && k.GetImportId() != id {
			continue
		}
		if err != nil {
			return false, err
		}
		if err := keysTable.Delete(tx, pid[:]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropChunks removes the list of what a finished job has touched.
func (s *Store) dropChunks(ctx context.Context, db kv.Store, id uint64) error {
	for more := true; more; {
		err := db.Update(ctx, func(tx kv.Tx) error {
			for range 100 {
				pids, err := takeChunk(tx, id)
				if more = pids != nil; err != nil || !more {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("clearing up after job %d: %w", id, err)
		}
	}
	return nil
}
