package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// record is the stored form of a new pair.
func (p Prepared) record(batch string, model amt.Model) *scsstorev1.Key {
	return &scsstorev1.Key{
		Pid: p.pid[:], Batch: batch, Model: scsstorev1.KeyModel(model), Exported: p.exported,
		Pps: p.pps, CurrentPassword: p.current, NewPassword: p.next,
	}
}

// sorted returns the records by PID: bbolt is slow at other orders.
func sorted(recs []Prepared) []Prepared {
	recs = slices.Clone(recs)
	slices.SortStableFunc(recs, func(a, b Prepared) int { return bytes.Compare(a.pid[:], b.pid[:]) })
	return recs
}

// verdict says what becomes of a record.
type verdict uint8

const (
	isNew      verdict = 1
	isKnown    verdict = 2
	isDiffer   verdict = 3 // known, with other passwords
	isConflict verdict = 4
	isBusy     verdict = 5 // hidden by another import
)

// judge compares a record with the store. job is the import that asks, 0 for
// none: its own keys count as visible.
func (s *Store) judge(r kv.Reader, p Prepared, job uint64) (verdict, error) {
	k, err := keysTable.Get(r, p.pid[:])
	if errors.Is(err, kv.ErrNotFound) {
		return isNew, nil
	}
	if err != nil {
		return 0, err
	}
	if job == 0 || k.GetImportId() != job {
		if hidden, err := isHidden(r, k); err != nil || hidden {
			return isBusy, err
		}
	}
	old, err := s.open(k)
	if err != nil {
		return 0, err
	}
	switch {
	case !old.PPS.Equal(p.secrets.PPS):
		return isConflict, nil
	case !old.CurrentPassword.Equal(p.secrets.CurrentPassword) || !old.NewPassword.Equal(p.secrets.NewPassword):
		return isDiffer, nil
	}
	return isKnown, nil
}

// count notes a verdict other than isBusy.
func (rep *AddReport) count(v verdict, pid amt.PID) {
	switch v {
	case isNew:
		rep.Added++
	case isDiffer:
		rep.Known++
		rep.Differ = append(rep.Differ, pid)
	case isKnown:
		rep.Known++
	case isConflict:
		rep.Conflicts = append(rep.Conflicts, pid)
	}
}

// join adds what another report says.
func (rep *AddReport) join(o AddReport) {
	rep.Added += o.Added
	rep.Known += o.Known
	rep.Differ = append(rep.Differ, o.Differ...)
	rep.Conflicts = append(rep.Conflicts, o.Conflicts...)
}

// conflictError is nil when there are no conflicts.
func (rep *AddReport) conflictError() error {
	switch n := len(rep.Conflicts); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("PID %v: %w", rep.Conflicts[0], ErrConflict)
	default:
		return fmt.Errorf("PID %v and %d others: %w", rep.Conflicts[0], n-1, ErrConflict)
	}
}

// Add stores records in an existing batch. A known pair is left as it is. With
// any conflict the error is ErrConflict and the report names the PIDs: return
// the error from the Update to keep nothing of the call, then draw them again or
// leave them out. Other errors: ErrNoBatch, ErrBatchRetired, ErrBusy.
func (s *Store) Add(tx kv.Tx, batch string, recs []Prepared, m Move) (AddReport, error) {
	b, err := openBatch(tx, batch)
	if err != nil {
		return AddReport{}, err
	}
	m, err = s.dated(m)
	if err != nil {
		return AddReport{}, err
	}
	counts := tally{}
	rep, _, err := s.insert(tx, inserting{batch: batch, model: amt.Model(b.GetModel()), move: m, counts: counts}, recs)
	if err != nil {
		return rep, err
	}
	if err := counts.store(tx); err != nil {
		return rep, err
	}
	return rep, rep.conflictError()
}

// inserting is what an Add or a chunk of an import has in common for all its
// records.
type inserting struct {
	batch  string
	model  amt.Model
	move   Move
	job    uint64 // import, or 0
	counts tally  // takes what is added
	// skipBusy counts pairs that another import hides as known.
	skipBusy bool
}

// insert stores the new ones of the records and returns their PIDs, in order.
func (s *Store) insert(tx kv.Tx, in inserting, recs []Prepared) (AddReport, []byte, error) {
	var rep AddReport
	var pids []byte
	for _, p := range sorted(recs) {
		v, err := s.judge(tx, p, in.job)
		if err != nil {
			return rep, nil, err
		}
		if v == isBusy && in.skipBusy {
			v = isKnown
		}
		if v == isBusy {
			return rep, nil, fmt.Errorf("PID %v: %w", p.pid, ErrBusy)
		}
		rep.count(v, p.pid)
		if v != isNew {
			continue
		}
		act := ActAdd
		if p.used {
			act = ActAddUsed
		}
		k := p.record(in.batch, in.model)
		k.ImportId = in.job
		if err := create(tx, k, act, amt.UUID{}, in.move); err != nil {
			return rep, nil, err
		}
		in.counts.add(k, State(k.GetState()), 1)
		pids = append(pids, p.pid[:]...)
	}
	return rep, pids, nil
}

// create stores a record that was just not found in the store, by one of the acts that
// begin a pair's life.
func create(tx kv.Tx, k *scsstorev1.Key, act Act, device amt.UUID, m Move) error {
	if _, err := apply(k, act, device, m); err != nil {
		return fmt.Errorf("PID %v: %w", pidOf(k), err)
	}
	k.CreatedAt = stamp(m.At)
	return keysTable.Create(tx, k.GetPid(), k)
}

// Reserve stores a fresh pair for the next set-up of the device uuid. batch,
// which gives the model, may be empty. The error is ErrConflict when the PID is
// in the store, with whatever PPS: draw another.
func (s *Store) Reserve(tx kv.Tx, uuid amt.UUID, rec Prepared, batch string, m Move) error {
	m, err := s.dated(m)
	if err != nil {
		return err
	}
	var model scsstorev1.KeyModel
	if batch != "" {
		b, err := loadBatch(tx, batch)
		if err != nil {
			return err
		}
		model = b.GetModel()
	}
	switch _, err := keysTable.Get(tx, rec.pid[:]); {
	case err == nil:
		return fmt.Errorf("PID %v: %w", rec.pid, ErrConflict)
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	k := rec.record(batch, amt.Model(model))
	if err := create(tx, k, ActReserve, uuid, m); err != nil {
		return err
	}
	return recount(tx, k, 0)
}
