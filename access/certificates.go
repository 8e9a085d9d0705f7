package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// certificatesOf reads the certificates of all generations of a user.
func certificatesOf(r kv.Reader, name string) ([]Certificate, error) {
	var list []Certificate
	err := certificates.ScanIndex(r, indexUser, kv.IndexKey([]byte(name)), func(_, _ []byte, m *scsstorev1.AccessCertificate) error {
		c, err := certificateOf(m)
		list = append(list, c)
		return err
	})
	return list, err
}

// AddCertificate lets a certificate log in as the user until notAfter. To add
// the same one again is no error. ErrUnknownUser, ErrRevoked and ErrExpired of
// the user, ErrExpiry, ErrCertificateTaken.
func (s *Store) AddCertificate(tx kv.Tx, name string, serial amt.Serial, notAfter time.Time, mv Move) error {
	if serial.IsZero() {
		return fmt.Errorf("%w: the serial is zero", ErrUnknownCertificate)
	}
	u, err := getUser(tx, name)
	if err != nil {
		return err
	}
	if err := u.refused(mv.At); err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	if !notAfter.After(mv.At) {
		return fmt.Errorf("certificate %v: %w: %v", serial, ErrExpiry, notAfter)
	}
	old, err := getCertificate(tx, serial)
	switch {
	case err == nil && old.User == name && old.Generation == u.Generation && old.Revocation == nil:
		return nil
	case err == nil && old.User == name && old.Generation == u.Generation:
		return fmt.Errorf("certificate %v: %w", serial, ErrRevoked)
	case err == nil:
		return fmt.Errorf("certificate %v: %w", serial, ErrCertificateTaken)
	case !errors.Is(err, ErrUnknownCertificate):
		return err
	}
	return putCertificate(tx, Certificate{
		Serial: serial, User: name, Generation: u.Generation,
		AddedAt: mv.At, AddedBy: mv.Who, NotAfter: notAfter,
	})
}

// RevokeCertificate refuses one certificate from this commit on.
// ErrUnknownCertificate, ErrRevoked, ErrLastAdmin.
func (s *Store) RevokeCertificate(tx kv.Tx, serial amt.Serial, mv Move) error {
	c, err := getCertificate(tx, serial)
	if err != nil {
		return err
	}
	if c.Revocation != nil {
		return fmt.Errorf("certificate %v: %w", serial, ErrRevoked)
	}
	u, err := getUser(tx, c.User)
	if err != nil {
		return err
	}
	was, err := s.canAdminister(tx, u)
	if err != nil {
		return err
	}
	c.Revocation = &Revocation{At: mv.At, Who: mv.Who, Why: mv.Why}
	if err := putCertificate(tx, c); err != nil {
		return err
	}
	return s.keepAdmin(tx, was)
}

// Certificates returns a user's certificates, those of earlier generations
// included. ErrUnknownUser.
func (s *Store) Certificates(r kv.Reader, name string) ([]Certificate, error) {
	if _, err := getUser(r, name); err != nil {
		return nil, err
	}
	return certificatesOf(r, name)
}

// Lookup returns the user a certificate belongs to, in two reads. It is called
// on every request. ErrUnknownCertificate, ErrRevoked, ErrExpired: each means
// that the caller is nobody.
func (s *Store) Lookup(r kv.Reader, serial amt.Serial) (User, error) {
	now := s.now()
	c, err := getCertificate(r, serial)
	if err != nil {
		return User{}, err
	}
	if err := c.refused(now); err != nil {
		return User{}, fmt.Errorf("certificate %v: %w", serial, err)
	}
	u, err := getUser(r, c.User)
	if err != nil {
		return User{}, err
	}
	if u.Generation != c.Generation {
		return User{}, fmt.Errorf("certificate %v: %w: it belongs to an earlier %s", serial, ErrRevoked, u.Name)
	}
	if err := u.refused(now); err != nil {
		return User{}, fmt.Errorf("user %s: %w", u.Name, err)
	}
	return u, nil
}
