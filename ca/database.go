package ca

import (
	"context"
	"crypto/x509"
	"math/big"

	"github.com/smallstep/certificates/db"
	"golang.org/x/crypto/ssh"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// database is the store as the embedded authority sees it. It reads ours and
// writes nothing: serials, certificates and revocations are stored by the
// transactions of issue and Revoke. SSH and tokens are not used here.
type database struct{ store kv.Store }

var (
	_ db.AuthDB            = (*database)(nil)
	_ db.CertificateStorer = (*database)(nil)
)

// lookup reads a record by the decimal serial that the embedded authority uses.
func (d *database) lookup(decimal string) (Certificate, error) {
	var c Certificate
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		return c, ErrUnknown
	}
	serial, err := amt.SerialOf(n)
	if err != nil {
		return c, ErrUnknown
	}
	err = d.store.View(context.Background(), func(r kv.Reader) error {
		m, err := get(r, serial)
		if err != nil {
			return err
		}
		c, err = certificateOf(m)
		return err
	})
	return c, err
}

// IsRevoked reports what the store says; an unknown serial is an error.
func (d *database) IsRevoked(serial string) (bool, error) {
	c, err := d.lookup(serial)
	return c.Revocation != nil, err
}

// GetCertificate reads a certificate.
func (d *database) GetCertificate(serial string) (*x509.Certificate, error) {
	c, err := d.lookup(serial)
	if err != nil {
		return nil, err
	}
	return c.X509()
}

// StoreCertificate does nothing: the certificate is not verified yet, and
// transaction 2 of issue stores it.
func (d *database) StoreCertificate(*x509.Certificate) error { return nil }

// Revoke is not the way to revoke: see Authority.Revoke.
func (d *database) Revoke(*db.RevokedCertificateInfo) error { return db.ErrNotImplemented }

// StoreSSHCertificate is not implemented.
func (d *database) StoreSSHCertificate(*ssh.Certificate) error { return db.ErrNotImplemented }

// RevokeSSH is not implemented.
func (d *database) RevokeSSH(*db.RevokedCertificateInfo) error { return db.ErrNotImplemented }

// IsSSHRevoked is not implemented.
func (d *database) IsSSHRevoked(string) (bool, error) { return false, db.ErrNotImplemented }

// IsSSHHost is not implemented.
func (d *database) IsSSHHost(string) (bool, error) { return false, db.ErrNotImplemented }

// GetSSHHostPrincipals is not implemented.
func (d *database) GetSSHHostPrincipals() ([]string, error) { return nil, db.ErrNotImplemented }

// UseToken is not implemented.
func (d *database) UseToken(string, string) (bool, error) { return false, db.ErrNotImplemented }

// Shutdown leaves the store to its owner.
func (d *database) Shutdown() error { return nil }
