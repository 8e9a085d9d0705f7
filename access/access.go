// Package access keeps the users of the API: their names, roles and client
// certificates, and answers, on every call, whom a certificate belongs to.
//
// A user is refused from the moment the transaction that revokes it commits:
// Lookup reads the store each time and remembers nothing. Names are given out
// again only in a new generation, so that no certificate of a former bearer
// ever works for the next. The last administrator who can log in can neither be
// revoked nor lose the role; only the passing of time can lock it out, when its
// certificates expire, and then scsd recover-admin lets it in again.
//
// What a role may do is a table in package rpc. This package issues no
// certificates (ca), keeps no passwords, and does not verify certificate chains:
// by the time it sees a serial, TLS has.
package access

import (
	"errors"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Errors of users.
var (
	// ErrUserName is returned for a name outside the rules of CheckName.
	ErrUserName = errors.New("user name refused")
	// ErrRole is returned for a role that does not exist.
	ErrRole = errors.New("no such role")
	// ErrUserExists is returned when an unrevoked user has the name.
	ErrUserExists = errors.New("the user exists already")
	// ErrUnknownUser is returned when no user has the name.
	ErrUnknownUser = errors.New("no such user")
	// ErrLastAdmin is returned when the change would leave no administrator who
	// can log in.
	ErrLastAdmin = errors.New("the last administrator cannot be removed")
	// ErrExpiry is returned for a time of expiry that is not in the future.
	ErrExpiry = errors.New("the time of expiry has passed")
)

// Errors of certificates and logins.
var (
	// ErrUnknownCertificate is returned when no user has the certificate.
	ErrUnknownCertificate = errors.New("no user has this certificate")
	// ErrCertificateTaken is returned when another user, or an earlier generation
	// of this one, has the certificate.
	ErrCertificateTaken = errors.New("the certificate belongs to another user")
	// ErrRevoked is returned when the user or the certificate is revoked.
	ErrRevoked = errors.New("revoked")
	// ErrExpired is returned when the user or the certificate has expired.
	ErrExpired = errors.New("expired")
	// ErrPage is returned for a page token that no List gave out.
	ErrPage = errors.New("not a page token")
	// ErrDamaged is returned by CheckInvariants.
	ErrDamaged = errors.New("the users' records are damaged")
)

// User is a user of the API.
type User struct {
	Name string
	Role Role
	// Generation counts how often the name was given out, from 1.
	Generation uint32
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  time.Time // refused from then on; zero: never
	Revocation *Revocation
}

// Certificate is a client certificate of a user.
type Certificate struct {
	Serial     amt.Serial
	User       string
	Generation uint32
	AddedAt    time.Time
	AddedBy    string
	NotAfter   time.Time
	Revocation *Revocation // of this certificate alone
}

// Revocation says when, by whom and why.
type Revocation struct {
	At  time.Time
	Who string
	Why string
}

// Move is who makes a change, why and when.
type Move struct {
	Who string // user name or program
	Why string // in that person's words
	At  time.Time
}

// Active reports whether u is neither revoked nor expired at that time.
func (u *User) Active(at time.Time) bool { return u.refused(at) == nil }

func (u *User) refused(at time.Time) error {
	switch {
	case u.Revocation != nil:
		return ErrRevoked
	case !u.ExpiresAt.IsZero() && !at.Before(u.ExpiresAt):
		return ErrExpired
	}
	return nil
}

func (c *Certificate) refused(at time.Time) error {
	switch {
	case c.Revocation != nil:
		return ErrRevoked
	case at.After(c.NotAfter):
		return ErrExpired
	}
	return nil
}

// Store keeps users and certificates in the caller's transactions. Its zero
// value is ready and safe for concurrent use.
type Store struct {
	// Now is the clock of Lookup and of the question who can log in; nil is
	// time.Now. Everything that is stored takes its time from the Move.
	Now func() time.Time
}

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}
