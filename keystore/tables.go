package keystore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

const (
	stateIndex kv.Table = "keys_by_state"
	batchIndex kv.Table = "keys_by_batch"
	uuidIndex  kv.Table = "keys_by_uuid"
)

// keysTable holds the pairs.
var keysTable = kv.Collection[*scsstorev1.Key]{
	Table: "keys",
	Indexes: []kv.Index[*scsstorev1.Key]{
		{Table: stateIndex, Keys: func(k *scsstorev1.Key) [][]byte {
			return [][]byte{stateKey(State(k.GetState()))}
		}},
		{Table: batchIndex, Keys: func(k *scsstorev1.Key) [][]byte {
			if k.GetBatch() == "" {
				return nil
			}
			return [][]byte{batchKey(k.GetBatch(), State(k.GetState()), k.GetExported())}
		}},
		{Table: uuidIndex, Keys: func(k *scsstorev1.Key) [][]byte {
			if len(k.GetUuid()) == 0 {
				return nil
			}
			return [][]byte{k.GetUuid()} // of one length
		}},
	},
}

func stateKey(s State) []byte { return []byte{byte(s)} }

// batchKey is free of zero bytes: a batch's name has no control characters.
func batchKey(batch string, s State, exported bool) []byte {
	mark := byte(1)
	if exported {
		mark = 2
	}
	return append([]byte(batch), 1, byte(s), mark)
}

var (
	batchTable = kv.Collection[*scsstorev1.KeyBatch]{Table: "batches"}
	jobTable   = kv.Collection[*scsstorev1.KeyJob]{Table: "key_jobs"}
	chunkTable = kv.Collection[*scsstorev1.KeyJobChunk]{Table: "key_job_chunks"}
)

const countTable kv.Table = "key_counts"

func jobKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func chunkKey(id uint64, n uint32) []byte {
	return binary.BigEndian.AppendUint32(jobKey(id), n)
}

// lastJobKey is the row of countTable with the last id of a job.
var lastJobKey = []byte("job id")

// newJobID returns an id that no job ever had.
func newJobID(tx kv.Tx) (uint64, error) {
	last, err := number(tx, lastJobKey)
	if err != nil {
		return 0, err
	}
	return uint64(last) + 1, setNumber(tx, lastJobKey, last+1)
}

// number reads a row of countTable, 0 when there is none.
func number(r kv.Reader, key []byte) (int64, error) {
	b, err := r.Get(countTable, key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeNumber(key, b)
}

func decodeNumber(key, value []byte) (int64, error) {
	if len(value) != 8 {
		return 0, fmt.Errorf("table %s, key %x: %w: %d bytes, want 8", countTable, key, kv.ErrDamaged, len(value))
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

func setNumber(tx kv.Tx, key []byte, n int64) error {
	return tx.Put(countTable, key, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// load reads the visible key of a PID.
func load(r kv.Reader, pid amt.PID) (*scsstorev1.Key, error) {
	k, err := keysTable.Get(r, pid[:])
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("PID %v: %w", pid, ErrUnknownPID)
	}
	if err != nil {
		return nil, err
	}
	hidden, err := isHidden(r, k)
	if err != nil {
		return nil, err
	}
	if hidden {
		return nil, fmt.Errorf("PID %v: %w", pid, ErrUnknownPID)
	}
	return k, nil
}

// isHidden reports whether the import of k has not finished.
func isHidden(r kv.Reader, k *scsstorev1.Key) (bool, error) {
	if k.GetImportId() == 0 {
		return false, nil
	}
	_, err := jobTable.Get(r, jobKey(k.GetImportId()))
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func pidOf(k *scsstorev1.Key) amt.PID { return pidFrom(k.GetPid()) }

// pidFrom takes the bytes of a stored PID; CheckInvariants looks at their length.
func pidFrom(b []byte) amt.PID {
	var p amt.PID
	copy(p[:], b)
	return p
}

func uuidFrom(b []byte) amt.UUID {
	var u amt.UUID
	copy(u[:], b)
	return u
}

// uuidBytes is nil for no device.
func uuidBytes(u amt.UUID) []byte {
	if u == (amt.UUID{}) {
		return nil
	}
	return u[:]
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// moment is the zero time for a missing stamp.
func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// identity is what a secret of a pair is sealed for.
func identity(pid amt.PID, field string) string { return "keys/" + pid.Wire() + "/" + field }

const (
	ppsField     = "pps"
	currentField = "current_password"
	newField     = "new_password"

	previousField = "previous_password"
)

// chunkJob reads the id of the job from the key of a chunk.
func chunkJob(key []byte) (uint64, error) {
	if len(key) != 12 {
		return 0, fmt.Errorf("table %s, key %x: %w: %d bytes, want 12", chunkTable.Table, key, kv.ErrDamaged, len(key))
	}
	return binary.BigEndian.Uint64(key), nil
}
