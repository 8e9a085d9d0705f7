package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// finishTime bounds steps 3 to 5.
const finishTime = 10 * time.Second

// serialTries bounds the draws of one issue: a second one means that the
// random source is broken.
const serialTries = 4

// errTaken is returned by a transaction 1 whose serial exists.
var errTaken = errors.New("the random source repeats itself")

// issue goes the steps of the package comment.
func (a *Authority) issue(ctx context.Context, o *order) (*x509.Certificate, error) {
	s, err := a.signerOf(o.issuer)
	if err != nil {
		return nil, err
	}
	// Steps 1 and 2.
	known, err := a.begin(ctx, o, s)
	if err != nil {
		return nil, fmt.Errorf("certificate of %v %s: %w", o.purpose, o.holder, err)
	}
	if known != nil {
		return known, nil
	}
	// From here on a caller that goes away no longer stops us: only a crash leaves
	// the serial unfinished, and the caller's next call finds the certificate.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	// Step 3.
	cert, err := s.sign(ctx, a.carrier, o)
	if err != nil {
		return nil, fmt.Errorf("certificate %v of %v %s: %w", o.serial, o.purpose, o.holder, err)
	}
	// Step 4.
	if err := a.verify(cert, o, s); err != nil {
		return nil, fmt.Errorf("certificate %v of %v %s: %w", o.serial, o.purpose, o.holder, err)
	}
	// Step 5.
	if err := a.finish(ctx, o, cert); err != nil {
		return nil, fmt.Errorf("storing certificate %v of %v %s: %w", o.serial, o.purpose, o.holder, err)
	}
	return cert, nil
}

// schedule sets the times. A lifetime beyond the issuer's is cut to it.
func (a *Authority) schedule(o *order, s *signer) error {
	now := a.seconds()
	if now.Before(s.cert.NotBefore) || now.Add(MinLifetime).After(s.cert.NotAfter) {
		return fmt.Errorf("%w: %s is valid from %v to %v, and it is %v", ErrIssuer,
			s.cert.Subject.CommonName, s.cert.NotBefore, s.cert.NotAfter, now)
	}
	o.begunAt = now
	o.notBefore = now.Add(-Backdate)
	o.notAfter = now.Add(o.lifetime)
	if o.notAfter.After(s.cert.NotAfter) {
		o.notAfter = s.cert.NotAfter
	}
	o.renewAt = now.Add(o.notAfter.Sub(now) / 3 * 2).Truncate(time.Second)
	return nil
}

// foreign refuses the authorities' own keys.
func (a *Authority) foreign(spki []byte) error {
	for _, c := range []*x509.Certificate{a.root, a.devices.cert, a.api.cert} {
		if bytes.Equal(spki, c.RawSubjectPublicKeyInfo) {
			return fmt.Errorf("%w: %s", ErrKeyInUse, c.Subject.CommonName)
		}
	}
	return nil
}

// begin stores the serial, or returns the certificate that answers o already.
func (a *Authority) begin(ctx context.Context, o *order, s *signer) (*x509.Certificate, error) {
	if err := a.foreign(o.spki); err != nil {
		return nil, err
	}
	if err := a.schedule(o, s); err != nil {
		return nil, err
	}
	for range serialTries {
		serial, err := drawSerial(a.rand)
		if err != nil {
			return nil, err
		}
		o.serial = serial
		var known *record
		err = a.store.Update(ctx, func(tx kv.Tx) error {
			var err error
			known, err = admit(tx, o)
			if err != nil || known != nil {
				return err
			}
			return intend(tx, o)
		})
		switch {
		case errors.Is(err, errTaken):
			continue
		case err != nil:
			return nil, err
		case known == nil:
			return nil, nil
		}
		return x509.ParseCertificate(known.Certificate)
	}
	return nil, fmt.Errorf("drawing a serial: %w", errTaken)
}

// drawSerial draws a positive number of 127 bits.
func drawSerial(rand io.Reader) (amt.Serial, error) {
	var s amt.Serial
	for range serialTries {
		if _, err := io.ReadFull(rand, s[:]); err != nil {
			return s, fmt.Errorf("drawing a serial: %w", err)
		}
		s[0] &= 0x7f
		if !s.IsZero() {
			return s, nil
		}
	}
	return s, errors.New("drawing a serial: the random source gives zeros")
}

// admit reads what is known of the order's key and names: an error refuses the
// order, a record answers it.
func admit(r kv.Reader, o *order) (*record, error) {
	var known *record
	var inUse error
	err := records.ScanIndex(r, indexKey, kv.IndexKey(keyID(o.spki)), func(_, _ []byte, m *record) error {
		switch {
		case m.Revocation != nil && Reason(m.Revocation.Reason) == KeyCompromise:
			return ErrKeyCompromised
		case Purpose(m.Purpose) != o.purpose || m.Holder != o.holder:
			inUse = fmt.Errorf("%w: %v %s", ErrKeyInUse, Purpose(m.Purpose), m.Holder)
		case answers(m, o) && (known == nil || m.IssuedAt.AsTime().After(known.IssuedAt.AsTime())):
			known = m
		}
		return nil
	})
	if err == nil {
		err = inUse
	}
	if err != nil {
		return nil, err
	}
	if o.purpose == Device {
		return known, reserved(r, o)
	}
	return known, nil
}

// answers reports whether the certificate in m is what o asks for and good for
// a while yet.
func answers(m *record, o *order) bool {
	return live(m) && len(m.ReplacedBy) == 0 && bytes.Equal(m.PublicKey, o.spki) &&
		Issuer(m.Issuer) == o.issuer && m.CommonName == o.commonName &&
		slices.Equal(m.DnsNames, o.dnsNames) && slices.Equal(m.IpAddresses, recordOf(o).IpAddresses) &&
		m.Lifetime.AsDuration() == o.lifetime &&
		!o.begunAt.Before(m.NotBefore.AsTime()) && o.begunAt.Before(m.RenewAt.AsTime())
}

// reserved refuses a device a name that a good server certificate has.
func reserved(r kv.Reader, o *order) error {
	for _, n := range o.dnsNames {
		err := records.ScanIndex(r, indexServer, kv.IndexKey([]byte(n)), func(_, _ []byte, m *record) error {
			if o.begunAt.Before(m.NotAfter.AsTime()) {
				return fmt.Errorf("%w: %q", ErrNameReserved, n)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// intend is transaction 1: what is about to be signed.
func intend(tx kv.Tx, o *order) error {
	_, err := tx.Get(tableRecords, o.serial[:])
	switch {
	case err == nil:
		return errTaken
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	return put(tx, nil, recordOf(o))
}

// finish is transaction 2: the certificate, and a mark on what it replaces.
func (a *Authority) finish(ctx context.Context, o *order, cert *x509.Certificate) error {
	at := timestamppb.New(a.now())
	return a.store.Update(ctx, func(tx kv.Tx) error {
		m, err := get(tx, o.serial)
		if err != nil {
			return err
		}
		if m.Revocation != nil {
			return ErrRevoked
		}
		if len(m.Certificate) > 0 && !bytes.Equal(m.Certificate, cert.Raw) {
			return fmt.Errorf("certificate %v is finished: %w", o.serial, ErrDamaged)
		}
		old := proto.Clone(m).(*record)
		m.Certificate, m.IssuedAt = cert.Raw, at
		if err := put(tx, old, m); err != nil {
			return err
		}
		if o.purpose == Client {
			return nil // a user may have several, one per machine
		}
		return replace(tx, o)
	})
}

// replace marks the older certificates of the same purpose and holder.
func replace(tx kv.Tx, o *order) error {
	var older []*record
	err := records.ScanIndex(tx, indexHolder, kv.IndexKey([]byte(o.holder)), func(_, _ []byte, m *record) error {
		if Purpose(m.Purpose) == o.purpose && live(m) && len(m.ReplacedBy) == 0 && !bytes.Equal(m.Serial, o.serial[:]) {
			older = append(older, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range older {
		m.ReplacedBy = o.serial[:]
		if err := records.Put(tx, m.Serial, m); err != nil {
			return err
		}
	}
	return nil
}
