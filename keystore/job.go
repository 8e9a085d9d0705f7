package keystore

import (
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// pieceLen is how many pairs a transaction of a longer job works on, where it
// is not measured.
const pieceLen = 500

// ErrNoJob is returned for an import or export that is not under way.
var ErrNoJob = errors.New("no such import or export is under way")

// loadJob reads a job of a kind; the error is ErrNoJob.
func loadJob(r kv.Reader, id uint64, kind scsstorev1.KeyJobKind) (*scsstorev1.KeyJob, error) {
	j, err := jobTable.Get(r, jobKey(id))
	if errors.Is(err, kv.ErrNotFound) || err == nil && j.GetKind() != kind {
		return nil, fmt.Errorf("job %d: %w", id, ErrNoJob)
	}
	return j, err
}

// newJob stores a job under a new id.
func newJob(tx kv.Tx, j *scsstorev1.KeyJob) error {
	id, err := newJobID(tx)
	if err != nil {
		return err
	}
	j.Id = id
	return jobTable.Put(tx, jobKey(id), j)
}

// jobs lists the jobs of a kind by id.
func jobs(r kv.Reader, kind scsstorev1.KeyJobKind) ([]*scsstorev1.KeyJob, error) {
	var out []*scsstorev1.KeyJob
	err := jobTable.Scan(r, kv.Range{}, func(_ []byte, j *scsstorev1.KeyJob) error {
		if j.GetKind() == kind {
			out = append(out, j)
		}
		return nil
	})
	return out, err
}

// putChunk stores the PIDs as the job's next chunk and the job with them.
func putChunk(tx kv.Tx, j *scsstorev1.KeyJob, pids []byte) error {
	if len(pids) > 0 {
		j.Chunks++
		if err := chunkTable.Put(tx, chunkKey(j.GetId(), j.GetChunks()), &scsstorev1.KeyJobChunk{Pids: pids}); err != nil {
			return err
		}
	}
	return jobTable.Put(tx, jobKey(j.GetId()), j)
}

// firstChunk returns the first chunk of a job and its key, nil when there is
// none.
func firstChunk(r kv.Reader, id uint64) (key, pids []byte, err error) {
	rg := kv.Prefix(jobKey(id))
	rg.Limit = 1
	err = chunkTable.Scan(r, rg, func(k []byte, c *scsstorev1.KeyJobChunk) error {
		key, pids = k, c.GetPids()
		return nil
	})
	return key, pids, err
}
