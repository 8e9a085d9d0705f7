package ca

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
)

func optionsWithEnd(end time.Time) provisioner.SignOptions {
	return provisioner.SignOptions{NotAfter: provisioner.NewTimeDuration(end)}
}

// TestDatabase asks the store as the embedded authority does.
func TestDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := &database{store: f.store}
	cert := f.device(1, "pc.example.com", key(0))
	decimal := cert.SerialNumber.String()
	if got, err := d.GetCertificate(decimal); err != nil || !got.Equal(cert) {
		t.Errorf("got %v, %v", got, err)
	}
	if revoked, err := d.IsRevoked(decimal); revoked || err != nil {
		t.Errorf("got %v, %v", revoked, err)
	}
	f.revoke(serialOf(t, cert), Superseded)
	if revoked, err := d.IsRevoked(decimal); !revoked || err != nil {
		t.Errorf("got %v, %v", revoked, err)
	}
	for _, serial := range []string{"", "x", "-1", "0", "5", "99999999999999999999999999999999999999999999999999"} {
		if _, err := d.GetCertificate(serial); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: got %v, want %v", serial, err, ErrUnknown)
		}
	}
	if err := d.StoreCertificate(&x509.Certificate{}); err != nil {
		t.Errorf("storing must do nothing: %v", err)
	}
	_, e1 := d.IsSSHRevoked("1")
	_, e2 := d.IsSSHHost("h")
	_, e3 := d.GetSSHHostPrincipals()
	_, e4 := d.UseToken("i", "t")
	for _, err := range []error{d.Revoke(nil), d.RevokeSSH(nil), d.StoreSSHCertificate(nil), e1, e2, e3, e4} {
		if !errors.Is(err, db.ErrNotImplemented) {
			t.Errorf("got %v, want %v", err, db.ErrNotImplemented)
		}
	}
	if err := d.Shutdown(); err != nil {
		t.Error(err)
	}
	if f.state(serialOf(t, cert)) != Revoked {
		t.Error("the store was shut with it")
	}
}
