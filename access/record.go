package access

import (
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
	tableUsers        kv.Table = "access_users"
	indexRole         kv.Table = "access_users_role"
	tableCertificates kv.Table = "access_certificates"
	indexUser         kv.Table = "access_certificates_user"
)

var (
	users = kv.Collection[*scsstorev1.AccessUser]{
		Table: tableUsers,
		Indexes: []kv.Index[*scsstorev1.AccessUser]{{Table: indexRole, Keys: func(m *scsstorev1.AccessUser) [][]byte {
			return [][]byte{roleKey(Role(m.Role))}
		}}},
	}
	certificates = kv.Collection[*scsstorev1.AccessCertificate]{
		Table: tableCertificates,
		Indexes: []kv.Index[*scsstorev1.AccessCertificate]{{Table: indexUser, Keys: func(m *scsstorev1.AccessCertificate) [][]byte {
			return [][]byte{[]byte(m.User)}
		}}},
	}
)

func roleKey(r Role) []byte { return []byte{byte(r)} }

func getUser(r kv.Reader, name string) (User, error) {
	if err := CheckName(name); err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnknownUser, err)
	}
	m, err := users.Get(r, []byte(name))
	if errors.Is(err, kv.ErrNotFound) {
		return User{}, fmt.Errorf("%w: %q", ErrUnknownUser, name)
	}
	if err != nil {
		return User{}, err
	}
	return userOf(m), nil
}

func putUser(tx kv.Tx, u User) error { return users.Put(tx, []byte(u.Name), userRecord(u)) }

func getCertificate(r kv.Reader, serial amt.Serial) (Certificate, error) {
	m, err := certificates.Get(r, serial[:])
	if errors.Is(err, kv.ErrNotFound) {
		return Certificate{}, fmt.Errorf("%w: %v", ErrUnknownCertificate, serial)
	}
	if err != nil {
		return Certificate{}, err
	}
	return certificateOf(m)
}

func putCertificate(tx kv.Tx, c Certificate) error {
	return certificates.Put(tx, c.Serial[:], certificateRecord(c))
}

func userOf(m *scsstorev1.AccessUser) User {
	return User{
		Name:       m.Name,
		Role:       Role(m.Role),
		Generation: m.Generation,
		CreatedAt:  timeOf(m.CreatedAt),
		CreatedBy:  m.CreatedBy,
		ExpiresAt:  timeOf(m.ExpiresAt),
		Revocation: revocationOf(m.RevokedAt, m.RevokedBy, m.RevokedWhy),
	}
}

func userRecord(u User) *scsstorev1.AccessUser {
	m := &scsstorev1.AccessUser{
		Name:       u.Name,
		Role:       scsstorev1.AccessRole(u.Role),
		Generation: u.Generation,
		CreatedAt:  stamp(u.CreatedAt),
		CreatedBy:  u.CreatedBy,
		ExpiresAt:  stamp(u.ExpiresAt),
	}
	if rv := u.Revocation; rv != nil {
		m.RevokedAt, m.RevokedBy, m.RevokedWhy = timestamppb.New(rv.At), rv.Who, rv.Why
	}
	return m
}

func certificateOf(m *scsstorev1.AccessCertificate) (Certificate, error) {
	if len(m.Serial) != amt.SerialLen {
		return Certificate{}, fmt.Errorf("certificate %x: %w", m.Serial, ErrDamaged)
	}
	return Certificate{
		Serial:     amt.Serial(m.Serial),
		User:       m.User,
		Generation: m.Generation,
		AddedAt:    timeOf(m.AddedAt),
		AddedBy:    m.AddedBy,
		NotAfter:   timeOf(m.NotAfter),
		Revocation: revocationOf(m.RevokedAt, m.RevokedBy, m.RevokedWhy),
	}, nil
}

func certificateRecord(c Certificate) *scsstorev1.AccessCertificate {
	m := &scsstorev1.AccessCertificate{
		Serial:     c.Serial[:],
		User:       c.User,
		Generation: c.Generation,
		AddedAt:    stamp(c.AddedAt),
		AddedBy:    c.AddedBy,
		NotAfter:   stamp(c.NotAfter),
	}
	if rv := c.Revocation; rv != nil {
		m.RevokedAt, m.RevokedBy, m.RevokedWhy = timestamppb.New(rv.At), rv.Who, rv.Why
	}
	return m
}

func revocationOf(at *timestamppb.Timestamp, who, why string) *Revocation {
	if at == nil {
		return nil
	}
	return &Revocation{At: at.AsTime(), Who: who, Why: why}
}

// stamp is nil for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
