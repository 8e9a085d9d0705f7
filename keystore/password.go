package keystore

import (
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// SetCurrentPassword corrects what a pair's PC has as its MEBx password before
// set-up: the pair is Available or Reserved and stays so, and its story tells
// that the password was set. The next try to log in uses it. The password known
// before, be it the pair's or its batch's, becomes PreviousPassword. Errors:
// ErrUnknownPID, ErrRecord for a password that MEBx cannot have, and those of a
// pair in another state.
func (s *Store) SetCurrentPassword(tx kv.Tx, pid amt.PID, password amt.Secret, m Move) error {
	if password.IsZero() || password.Len() > maxPassword {
		return fmt.Errorf("%w: the password has %d bytes, want 1 to %d", ErrRecord, password.Len(), maxPassword)
	}
	sealed, err := s.sealer.Seal(password, identity(pid, currentField))
	if err != nil {
		return fmt.Errorf("sealing the password of %v: %w", pid, err)
	}
	m, err = s.dated(m)
	if err != nil {
		return err
	}
	k, err := load(tx, pid)
	if err != nil {
		return err
	}
	if _, err := apply(k, ActPassword, amt.UUID{}, m); err != nil {
		return fmt.Errorf("PID %v: %w", pid, err)
	}
	if err := s.keepPrevious(tx, k, password); err != nil {
		return fmt.Errorf("keeping the previous password of %v: %w", pid, err)
	}
	k.CurrentPassword = sealed
	return keysTable.Put(tx, pid[:], k)
}

// keepPrevious keeps the password of which next takes the place, unless they are
// the same.
func (s *Store) keepPrevious(r kv.Reader, k *scsstorev1.Key, next amt.Secret) error {
	old, err := s.openWhole(r, k)
	if err != nil || old.CurrentPassword.IsZero() || old.CurrentPassword.Equal(next) {
		return err
	}
	k.PreviousPassword, err = s.sealer.Seal(old.CurrentPassword, identity(pidOf(k), previousField))
	return err
}
