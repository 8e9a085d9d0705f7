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
	isBare     verdict = 6 // known, without passwords that come

	// ofUsed is added to a verdict that says known: what comes is used, and the
	// stored pair is available.
	ofUsed verdict = 0x80
)

// stored returns the record of a PID, nil when there is none.
func stored(r kv.Reader, pid amt.PID) (*scsstorev1.Key, error) {
	k, err := keysTable.Get(r, pid[:])
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	return k, err
}

// judge compares what comes with what is stored of the PID. job is the import
// that asks, 0 for none: its own keys count as visible.
func (s *Store) judge(r kv.Reader, k *scsstorev1.Key, come Secrets, job uint64) (verdict, error) {
	if job == 0 || k.GetImportId() != job {
		if hidden, err := isHidden(r, k); err != nil || hidden {
			return isBusy, err
		}
	}
	old, err := s.open(k)
	if err != nil {
		return 0, err
	}
	v := compare(old, come)
	if v == isDiffer && old.within(come) {
		v = isBare
	}
	return v, nil
}

// fills reports whether come is as old, or comes where nothing is.
func fills(old, come amt.Secret) bool { return old.IsZero() || old.Equal(come) }

// compare is the verdict on come, where old is known.
func compare(old, come Secrets) verdict {
	switch {
	case !old.PPS.Equal(come.PPS):
		return isConflict
	case !old.CurrentPassword.Equal(come.CurrentPassword) || !old.NewPassword.Equal(come.NewPassword):
		return isDiffer
	}
	return isKnown
}

// count notes a verdict other than isBusy.
func (rep *AddReport) count(v verdict, pid amt.PID) {
	if v&ofUsed != 0 {
		rep.Unused = append(rep.Unused, pid)
	}
	switch v &^ ofUsed {
	case isNew:
		rep.Added++
	case isDiffer:
		rep.Known++
		rep.Differ = append(rep.Differ, pid)
	case isBare:
		rep.Known++
		rep.Bare = append(rep.Bare, pid)
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
	rep.Bare = append(rep.Bare, o.Bare...)
	rep.Unused = append(rep.Unused, o.Unused...)
	rep.Conflicts = append(rep.Conflicts, o.Conflicts...)
}

// sort brings the PIDs into order.
func (rep *AddReport) sort() {
	for _, pids := range [][]amt.PID{rep.Differ, rep.Bare, rep.Unused, rep.Conflicts} {
		slices.SortFunc(pids, func(a, b amt.PID) int { return bytes.Compare(a[:], b[:]) })
	}
}

// conflictError is nil when there are no conflicts.
func (rep *AddReport) conflictError() error {
	switch n := len(rep.Conflicts); n {
	case 0:
		if len(rep.Contradictions) > 0 {
			return fmt.Errorf("PID %v: %w", rep.Contradictions[0].PID, ErrContradiction)
		}
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
	rep, counts := AddReport{}, tally{}
	for _, p := range sorted(recs) {
		old, err := stored(tx, p.pid)
		if err != nil {
			return rep, err
		}
		v := isNew
		if old != nil {
			v, err = s.judge(tx, old, p.secrets, 0)
		} else {
			k := p.record(batch, amt.Model(b.GetModel()))
			err = create(tx, k, beginning(p.used), amt.UUID{}, m)
			counts.add(k, State(k.GetState()), 1)
		}
		if err != nil {
			return rep, err
		}
		if v == isBusy {
			return rep, fmt.Errorf("PID %v: %w", p.pid, ErrBusy)
		}
		rep.count(v, p.pid)
	}
	if err := counts.store(tx); err != nil {
		return rep, err
	}
	return rep, rep.conflictError()
}

// beginning is the act by which a pair comes into the store.
func beginning(used bool) Act {
	if used {
		return ActAddUsed
	}
	return ActAdd
}

// create stores a record that was just not found in the store, by one of the acts that
// begin a pair's life.
func create(tx kv.Tx, k *scsstorev1.Key, act Act, device amt.UUID, m Move) error {
	if err := begin(k, act, device, m); err != nil {
		return fmt.Errorf("PID %v: %w", pidOf(k), err)
	}
	return keysTable.Create(tx, k.GetPid(), k)
}

// begin does the act that begins the life of the pair k.
func begin(k *scsstorev1.Key, act Act, device amt.UUID, m Move) error {
	_, err := apply(k, act, device, m)
	k.CreatedAt = stamp(m.At)
	return err
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
