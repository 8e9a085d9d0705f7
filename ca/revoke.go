package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Times of revocation lists.
const (
	// CRLLifetime is how long a list may be used from its making, and it is valid
	// for verifiers whose clocks are Backdate behind; after half of it CRL makes a
	// new one even when nothing was revoked.
	CRLLifetime = 7 * 24 * time.Hour
	// crlGrace is how long an expired certificate stays on the list: RFC 5280
	// section 3.3 wants it on one regular list after its end.
	crlGrace = 2 * CRLLifetime
)

// Revoke revokes a certificate or an unfinished serial; the next CRL has it.
// ErrUnknown, ErrReason, and ErrRevoked when it is revoked already, except that
// a later KeyCompromise takes the place of another reason and keeps the time.
func (a *Authority) Revoke(tx kv.Tx, serial amt.Serial, rv Revocation) error {
	rv, err := a.checked(rv)
	if err != nil {
		return err
	}
	m, err := get(tx, serial)
	if err != nil {
		return err
	}
	return revoke(tx, m, rv)
}

// RevokeHolder revokes every certificate and unfinished serial of a purpose and
// holder that is neither revoked nor expired, and says how many: what goes with
// a user's revocation, or with a device that was stolen.
func (a *Authority) RevokeHolder(tx kv.Tx, p Purpose, holder string, rv Revocation) (int, error) {
	return a.revokeAll(tx, p, holder, nil, rv)
}

// Supersede revokes, as superseded, every certificate and unfinished serial of a
// device other than keep, which may be nil, and says how many: what is due once
// a device serves another certificate, or none.
func (a *Authority) Supersede(tx kv.Tx, uuid amt.UUID, keep *x509.Certificate, rv Revocation) (int, error) {
	rv.Reason = Superseded
	return a.revokeAll(tx, Device, uuid.String(), keep, rv)
}

func (a *Authority) revokeAll(tx kv.Tx, p Purpose, holder string, keep *x509.Certificate, rv Revocation) (int, error) {
	rv, err := a.checked(rv)
	if err != nil {
		return 0, err
	}
	var todo []*record
	err = records.ScanIndex(tx, indexHolder, kv.IndexKey([]byte(holder)), func(_, _ []byte, m *record) error {
		if Purpose(m.Purpose) != p || m.Holder != holder || keep != nil && bytes.Equal(m.Certificate, keep.Raw) {
			return nil
		}
		if m.Revocation == nil && !rv.At.After(m.NotAfter.AsTime()) {
			todo = append(todo, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, m := range todo {
		if err := revoke(tx, m, rv); err != nil {
			return 0, err
		}
	}
	return len(todo), nil
}

// checked refuses unknown reasons and sets a time that is missing or to come.
func (a *Authority) checked(rv Revocation) (Revocation, error) {
	if !rv.Reason.known() {
		return rv, fmt.Errorf("%w: %v", ErrReason, rv.Reason)
	}
	if now := a.seconds(); rv.At.IsZero() || rv.At.After(now) {
		rv.At = now
	}
	return rv, nil
}

func revoke(tx kv.Tx, m *record, rv Revocation) error {
	old := proto.Clone(m).(*record)
	switch {
	case m.Revocation == nil:
		m.Revocation = &scsstorev1.CaRevocation{
			At: timestamppb.New(rv.At), Reason: uint32(rv.Reason), Who: rv.Who, Why: rv.Why,
		}
	case rv.Reason == KeyCompromise && Reason(m.Revocation.Reason) != KeyCompromise:
		m.Revocation.Reason, m.Revocation.Who, m.Revocation.Why = uint32(rv.Reason), rv.Who, rv.Why
	default:
		return fmt.Errorf("certificate %x: %w", m.Serial, ErrRevoked)
	}
	if err := put(tx, old, m); err != nil {
		return err
	}
	key := issuerKey(Issuer(m.Issuer))
	l, err := listOf(tx, key)
	if err != nil {
		return err
	}
	l.Revision++
	return lists.Put(tx, key, l)
}

// listOf reads the row of an issuer's CRL, an empty one when there is none yet.
func listOf(r kv.Reader, key []byte) (*scsstorev1.CaRevocationList, error) {
	l, err := lists.Get(r, key)
	if errors.Is(err, kv.ErrNotFound) {
		return &scsstorev1.CaRevocationList{}, nil
	}
	return l, err
}

// fresh reports whether the stored list shows every revocation, is valid by now
// (a clock that was wrong for a while must not leave a list of the future
// behind), and has half of its time before it.
func fresh(l *scsstorev1.CaRevocationList, now time.Time) bool {
	age := now.Sub(l.ThisUpdate.AsTime()) - Backdate
	return l.Number > 0 && l.BuiltRevision == l.Revision && age >= -Backdate && age < CRLLifetime/2
}

// CRL returns an intermediate's revocation list, DER: the stored one if it still
// holds, else a new one, whose number is one higher. It is built from the
// revocations and stored within one transaction, so that several replicas on
// one store neither lose an entry nor repeat a number. It carries no Issuing
// Distribution Point, which old firmware may refuse. The root has none.
func (a *Authority) CRL(ctx context.Context, i Issuer) ([]byte, error) {
	s, err := a.signerOf(i)
	if err != nil {
		return nil, err
	}
	now, key := a.seconds(), issuerKey(i)
	var l *scsstorev1.CaRevocationList
	err = a.store.View(ctx, func(r kv.Reader) error {
		var err error
		l, err = listOf(r, key)
		return err
	})
	if err != nil || fresh(l, now) {
		return l.GetDer(), err
	}
	err = a.store.Update(ctx, func(tx kv.Tx) error {
		var err error
		if l, err = listOf(tx, key); err != nil || fresh(l, now) {
			return err
		}
		if l, err = s.buildList(tx, l, now); err != nil {
			return err
		}
		return lists.Put(tx, key, l)
	})
	if err != nil {
		return nil, fmt.Errorf("revocation list of %v: %w", i, err)
	}
	return l.GetDer(), nil
}

// buildList signs the list that follows last.
func (s *signer) buildList(r kv.Reader, last *scsstorev1.CaRevocationList, now time.Time) (*scsstorev1.CaRevocationList, error) {
	template := &x509.RevocationList{
		Number:             new(big.Int).SetUint64(last.Number + 1),
		ThisUpdate:         now.Add(-Backdate),
		NextUpdate:         now.Add(CRLLifetime),
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	rg := kv.Range{From: revokedKey(s.issuer, now.Add(-crlGrace)), To: kv.PrefixEnd([]byte{byte(s.issuer)})}
	err := records.ScanIndex(r, indexRevoked, rg, func(_, _ []byte, m *record) error {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber:   new(big.Int).SetBytes(m.Serial),
			RevocationTime: m.Revocation.At.AsTime(),
			ReasonCode:     int(m.Revocation.Reason),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return &scsstorev1.CaRevocationList{
		Number:        last.Number + 1,
		Revision:      last.Revision,
		BuiltRevision: last.Revision,
		ThisUpdate:    timestamppb.New(template.ThisUpdate),
		NextUpdate:    timestamppb.New(template.NextUpdate),
		Der:           der,
	}, nil
}
