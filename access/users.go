package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// AddUser adds a user, who can log in once AddCertificate gave it a
// certificate. expires may be zero: never. The name of a revoked user is given
// out again in a new generation. ErrUserName, ErrRole, ErrExpiry, ErrUserExists.
func (s *Store) AddUser(tx kv.Tx, name string, role Role, expires time.Time, mv Move) (User, error) {
	if err := CheckName(name); err != nil {
		return User{}, err
	}
	if !role.Valid() {
		return User{}, fmt.Errorf("%w: %v", ErrRole, role)
	}
	if !expires.IsZero() && !expires.After(mv.At) {
		return User{}, fmt.Errorf("user %s: %w: %v", name, ErrExpiry, expires)
	}
	generation := uint32(1)
	old, err := getUser(tx, name)
	switch {
	case err == nil && old.Revocation == nil:
		return User{}, fmt.Errorf("%w: %q", ErrUserExists, name)
	case err == nil:
		generation = old.Generation + 1
	case !errors.Is(err, ErrUnknownUser):
		return User{}, err
	}
	u := User{
		Name: name, Role: role, Generation: generation,
		CreatedAt: mv.At.UTC(), CreatedBy: mv.Who, ExpiresAt: expires,
	}
	return u, putUser(tx, u)
}

// SetRole gives a user another role. ErrUnknownUser, ErrRole, ErrRevoked,
// ErrLastAdmin.
func (s *Store) SetRole(tx kv.Tx, name string, role Role) error {
	if !role.Valid() {
		return fmt.Errorf("%w: %v", ErrRole, role)
	}
	u, err := getUser(tx, name)
	if err != nil {
		return err
	}
	if u.Revocation != nil {
		return fmt.Errorf("user %s: %w", name, ErrRevoked)
	}
	was, err := s.canAdminister(tx, u)
	if err != nil {
		return err
	}
	u.Role = role
	if err := putUser(tx, u); err != nil {
		return err
	}
	return s.keepAdmin(tx, was)
}

// RevokeUser refuses the user and all its certificates from this commit on.
// ErrUnknownUser, ErrRevoked, ErrLastAdmin.
func (s *Store) RevokeUser(tx kv.Tx, name string, mv Move) error {
	u, err := getUser(tx, name)
	if err != nil {
		return err
	}
	if u.Revocation != nil {
		return fmt.Errorf("user %s: %w", name, ErrRevoked)
	}
	was, err := s.canAdminister(tx, u)
	if err != nil {
		return err
	}
	u.Revocation = &Revocation{At: mv.At, Who: mv.Who, Why: mv.Why}
	if err := putUser(tx, u); err != nil {
		return err
	}
	return s.keepAdmin(tx, was)
}

// Get returns a user; ErrUnknownUser.
func (s *Store) Get(r kv.Reader, name string) (User, error) { return getUser(r, name) }

// Filter selects users; its zero value selects all.
type Filter struct {
	Role   Role
	Active bool // leave out the revoked and the expired
}

// Bounds of List.
const (
	PageLimit = 100
	MaxPage   = 1000
)

// List returns up to limit users (0: PageLimit) in the order of their names,
// behind the name after ("": from the start), and the name to go on from, "" at
// the end.
func (s *Store) List(r kv.Reader, f Filter, after string, limit int) (list []User, next string, err error) {
	rg := kv.Range{}
	if after != "" {
		if err := CheckName(after); err != nil {
			return nil, "", fmt.Errorf("%w: %q", ErrPage, after)
		}
		rg.From = append([]byte(after), 0)
	}
	if limit = min(limit, MaxPage); limit <= 0 {
		limit = PageLimit
	}
	now, more := s.now(), false
	err = users.Scan(r, rg, func(_ []byte, m *scsstorev1.AccessUser) error {
		u := userOf(m)
		if f.Role != 0 && u.Role != f.Role || f.Active && !u.Active(now) {
			return nil
		}
		if more = len(list) == limit; more {
			return kv.ErrStop
		}
		list = append(list, u)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if more {
		next = list[len(list)-1].Name
	}
	return list, next, nil
}

// canAdminister reports whether u is an administrator who can log in now.
func (s *Store) canAdminister(r kv.Reader, u User) (bool, error) {
	now := s.now()
	if u.Role != Admin || !u.Active(now) {
		return false, nil
	}
	list, err := certificatesOf(r, u.Name)
	if err != nil {
		return false, err
	}
	for i := range list {
		if list[i].Generation == u.Generation && list[i].refused(now) == nil {
			return true, nil
		}
	}
	return false, nil
}

// keepAdmin returns ErrLastAdmin if the change took away an administrator who
// could log in (was) and none is left.
func (s *Store) keepAdmin(r kv.Reader, was bool) error {
	if !was {
		return nil
	}
	left := false
	err := users.ScanIndex(r, indexRole, kv.IndexKey(roleKey(Admin)), func(_, _ []byte, m *scsstorev1.AccessUser) error {
		can, err := s.canAdminister(r, userOf(m))
		if err == nil && can {
			left, err = true, kv.ErrStop
		}
		return err
	})
	if err != nil {
		return err
	}
	if !left {
		return ErrLastAdmin
	}
	return nil
}
