package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Tables.
const (
	tableEntries kv.Table = "audit_entries"
	indexWho     kv.Table = "audit_entries_who"
	indexObject  kv.Table = "audit_entries_object"
	tableHead    kv.Table = "audit_head"
)

var (
	headKey = []byte("head")
	heads   = kv.Collection[*scsstorev1.AuditHead]{Table: tableHead}
	entries = kv.Collection[*scsstorev1.AuditEntry]{Table: tableEntries, Indexes: []kv.Index[*scsstorev1.AuditEntry]{
		{Table: indexWho, Keys: func(m *scsstorev1.AuditEntry) [][]byte { return text(m.Who) }},
		{Table: indexObject, Keys: func(m *scsstorev1.AuditEntry) [][]byte { return text(m.Object) }},
	}}
)

func text(s string) [][]byte {
	if s == "" {
		return nil
	}
	return [][]byte{[]byte(s)}
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func headIdentity(n uint64) string { return fmt.Sprintf("audit/head/%d", n) }

// hashDomain begins what is hashed, so that the sums mean nothing elsewhere.
const hashDomain = "amtscs audit entry 1\n"

// hash is the sum over, in this order: hashDomain; the previous hash (32 bytes);
// sequence, seconds and nanoseconds of the time, outcome (8 bytes each,
// big-endian); then who, role, method, object and reason, each with its length
// (8 bytes) before it.
func (e *Entry) hash(previous Hash) Hash {
	b := append([]byte(hashDomain), previous[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.Nanosecond()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Outcome))
	for _, s := range []string{e.Who, e.Role, e.Method, e.Object, e.Reason} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

func recordOf(e Entry, previous Hash) *scsstorev1.AuditEntry {
	return &scsstorev1.AuditEntry{
		Sequence: e.Sequence,
		At:       timestamppb.New(e.At),
		Who:      e.Who,
		Role:     e.Role,
		Method:   e.Method,
		Object:   e.Object,
		Reason:   e.Reason,
		Outcome:  scsstorev1.AuditOutcome(e.Outcome),
		Previous: previous[:],
		Hash:     e.Hash[:],
	}
}

func entryOf(m *scsstorev1.AuditEntry) Entry {
	e := Entry{
		Sequence: m.Sequence,
		Who:      m.Who,
		Role:     m.Role,
		Method:   m.Method,
		Object:   m.Object,
		Reason:   m.Reason,
		Outcome:  Outcome(m.Outcome),
	}
	if m.At != nil {
		e.At = m.At.AsTime()
	} else {
		e.At = time.Unix(0, 0).UTC()
	}
	copy(e.Hash[:], m.Hash)
	return e
}

// Head returns the end of the log, the zero Head of an empty one. ErrBroken when
// what is stored of it does not open or has the wrong size.
func (l *Log) Head(r kv.Reader) (Head, error) {
	m, err := heads.Get(r, headKey)
	if errors.Is(err, kv.ErrNotFound) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	sum, err := l.sealer.Open(m.SealedHash, headIdentity(m.Sequence))
	if err != nil {
		return Head{}, fmt.Errorf("%w: its sealed end: %w", ErrBroken, err)
	}
	h := Head{Sequence: m.Sequence}
	if sum.Len() != len(h.Hash) || m.Sequence == 0 {
		return Head{}, fmt.Errorf("%w: its sealed end is no hash", ErrBroken)
	}
	copy(h.Hash[:], sum.Reveal())
	return h, nil
}

func (l *Log) putHead(tx kv.Tx, h Head) error {
	sealed, err := l.sealer.Seal(amt.NewSecret(h.Hash[:]), headIdentity(h.Sequence))
	if err != nil {
		return fmt.Errorf("sealing the end of the audit log: %w", err)
	}
	return heads.Put(tx, headKey, &scsstorev1.AuditHead{Sequence: h.Sequence, SealedHash: sealed})
}
