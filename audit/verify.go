package audit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// BrokenError is what Verify finds first.
type BrokenError struct {
	Sequence uint64 // the entry
	Why      string
}

// Error names the entry.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("%v at entry %d: %s", ErrBroken, e.Sequence, e.Why)
}

// Unwrap is ErrBroken.
func (e *BrokenError) Unwrap() error { return ErrBroken }

// Verify walks the whole log and returns a *BrokenError that names the first
// entry that does not follow from the one before it, or an error that is
// ErrBroken when the sealed end does not open.
func (l *Log) Verify(r kv.Reader) error {
	last := Head{}
	err := entries.Scan(r, kv.Range{}, func(key []byte, m *scsstorev1.AuditEntry) error {
		if err := follows(last, key, m); err != nil {
			return err
		}
		last = Head{Sequence: m.Sequence, Hash: Hash(m.Hash)}
		return nil
	})
	if err != nil {
		return undecodable(err, last)
	}
	head, err := l.Head(r)
	switch {
	case err != nil:
		return err
	case last.Sequence < head.Sequence:
		return &BrokenError{last.Sequence + 1, fmt.Sprintf("it and all up to %d are missing", head.Sequence)}
	case last.Sequence > head.Sequence:
		return &BrokenError{head.Sequence + 1, "the log ended before it"}
	case last.Hash != head.Hash:
		return &BrokenError{last.Sequence, "it is not the entry that the log ended with"}
	}
	return nil
}

// undecodable turns the error of a record that is no message into a
// BrokenError: the one behind the last good one.
func undecodable(err error, last Head) error {
	if errors.Is(err, ErrBroken) {
		return err
	}
	return fmt.Errorf("%w: %w", &BrokenError{last.Sequence + 1, "it cannot be read"}, err)
}

// follows checks m against the entry before it.
func follows(last Head, key []byte, m *scsstorev1.AuditEntry) error {
	want := last.Sequence + 1
	switch {
	case !bytes.Equal(key, sequenceKey(want)):
		return &BrokenError{want, "it is missing"}
	case m.Sequence != want:
		return &BrokenError{want, fmt.Sprintf("it says it is entry %d", m.Sequence)}
	case !bytes.Equal(m.Previous, last.Hash[:]):
		return &BrokenError{want, "it does not follow the entry before it"}
	}
	e := entryOf(m)
	if sum := e.hash(last.Hash); len(m.Hash) != len(sum) || e.Hash != sum {
		return &BrokenError{want, "it was changed"}
	}
	return nil
}

// CheckInvariants is Verify and a comparison of the indexes with the entries.
func (l *Log) CheckInvariants(r kv.Reader) error {
	if err := l.Verify(r); err != nil {
		return err
	}
	return entries.Check(r)
}
