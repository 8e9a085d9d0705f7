package keystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Sweep removes what aborted imports left. With all it takes every import, and
// ends exports that were confirmed but not marked to their end: right when
// nothing else works on the store, as at the start of the only server. Else it
// takes the imports whose lease ran out. It returns how many imports it removed.
func (s *Store) Sweep(ctx context.Context, db kv.Store, all bool) (int, error) {
	if all && s.TempDir != "" {
		if err := removeSpills(s.TempDir); err != nil {
			return 0, fmt.Errorf("removing temporary files: %w", err)
		}
	}
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
		m := Move{Who: cmp.Or(j.GetWrittenBy(), j.GetBegunBy()), Why: j.GetWhy(), At: s.Now()}
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
		err = db.Update(kv.Bulk(ctx), func(tx kv.Tx) (err error) {
			more, err = s.sweepChunk(tx, id)
			return err
		})
	}
	if err != nil {
		return found, fmt.Errorf("sweeping import %d: %w", id, err)
	}
	return found, nil
}

// sweepChunk removes some keys of one chunk, or the job when none is left.
func (s *Store) sweepChunk(tx kv.Tx, id uint64) (more bool, err error) {
	stop := time.Now().Add(stopTime)
	key, pids, err := firstChunk(tx, id)
	if err != nil {
		return false, err
	}
	if key == nil {
		return false, jobTable.Delete(tx, jobKey(id))
	}
	for n := 1; len(pids) > 0; n++ {
		pid := pidFrom(pids[:min(amt.PIDLen, len(pids))])
		pids = pids[len(pid):]
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
		if n%64 == 0 && time.Now().After(stop) && len(pids) > 0 {
			return true, chunkTable.Put(tx, key, &scsstorev1.KeyJobChunk{Pids: pids})
		}
	}
	return true, chunkTable.Delete(tx, key)
}

// dropChunks removes the list of what a finished job has touched.
func (s *Store) dropChunks(ctx context.Context, db kv.Store, id uint64) error {
	for more := true; more; {
		err := db.Update(kv.Bulk(ctx), func(tx kv.Tx) error {
			rg := kv.Prefix(jobKey(id))
			rg.Limit = 50
			var keys [][]byte
			err := tx.Scan(chunkTable.Table, rg, func(k, _ []byte) error {
				keys = append(keys, k)
				return nil
			})
			more = len(keys) == rg.Limit
			for _, k := range keys {
				err = errors.Join(err, chunkTable.Delete(tx, k))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("clearing up after job %d: %w", id, err)
		}
	}
	return nil
}
