package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/settings"
	"github.com/amtscs/amtscs/setupbin"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

// bareDevice is one device on its way. The calls are those of the steps of
// docs/lifecycle.md in their order, which the measurement "device" makes sure of.
type bareDevice struct {
	b    *bare
	addr netip.AddrPort
	rec  setupbin.SetupRecord
	uuid amt.UUID

	fqdn    string
	version amt.Version
	admin   amt.Secret    // the administrator's new password
	traffic []wsman.Stats // of each session
}

// dialTime bounds one dial and handshake.
const dialTime = 15 * time.Second

func (d *bareDevice) setUp(ctx context.Context) error {
	c, err := d.client(d.rec.NewPassword, d.dialPSK)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, part := range []func(context.Context, *wsman.Client) error{d.meet, d.certify, d.configure, d.commit} {
		if err = part(ctx, c); err != nil {
			break
		}
	}
	d.traffic = append(d.traffic, c.Stats())
	if err != nil {
		return err
	}
	return d.verify(ctx)
}

func (d *bareDevice) client(password amt.Secret, dial func(context.Context) (net.Conn, error)) (*wsman.Client, error) {
	return wsman.New(wsman.Config{Address: d.addr.String(), User: amt.AdminUser, Password: password, Dial: dial})
}

func (d *bareDevice) dialPSK(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", d.addr.String())
	if err != nil {
		return nil, err
	}
	conn := tlspsk.Client(raw, tlspsk.PairConfig(d.rec.Pair))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// dialTLS is as scsd dials a device after its commit.
func (d *bareDevice) dialTLS(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: d.fqdn, RootCAs: d.b.pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	}}
	return dialer.DialContext(ctx, "tcp", d.addr.String())
}

// meet is what every session begins with, and the clock.
func (d *bareDevice) meet(ctx context.Context, c *wsman.Client) (err error) {
	if err := d.identify(ctx, c, amt.InSetup); err != nil {
		return err
	}
	if d.version, err = c.AMTVersion(ctx); err != nil {
		return err
	}
	if d.fqdn, err = d.b.profile.FQDNFor(profile.Facts{UUID: d.uuid, Address: d.addr.Addr()}); err != nil {
		return err
	}
	_, err = c.SetTime(ctx, time.Now)
	return err
}

func (d *bareDevice) identify(ctx context.Context, c *wsman.Client, want amt.Phase) error {
	if _, err := c.GeneralSettings(ctx); err != nil {
		return err
	}
	uuid, err := c.UUID(ctx)
	if err != nil {
		return err
	}
	s, err := c.SetupService(ctx)
	if err != nil {
		return err
	}
	if uuid != d.uuid || s.State != want {
		return fmt.Errorf("it is %v in phase %v", uuid, s.State)
	}
	return nil
}

// certify has the device make a key, and gives it a certificate.
func (d *bareDevice) certify(ctx context.Context, c *wsman.Client) error {
	if _, err := c.KeyPairs(ctx); err != nil {
		return err
	}
	h, err := c.GenerateKeyPair(ctx, 2048)
	if err != nil {
		return err
	}
	key, err := c.KeyPair(ctx, h)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: d.fqdn}, DNSNames: []string{d.fqdn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(d.b.profile.Certificate.Lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, d.b.root, key.Public, d.b.key)
	if err != nil {
		return err
	}
	cert, err := c.AddCertificate(ctx, der)
	if err != nil {
		return err
	}
	return c.CreateTLSCredential(ctx, cert)
}

// configure applies the profile.
func (d *bareDevice) configure(ctx context.Context, c *wsman.Client) error {
	passwords := map[string]amt.Secret{}
	for _, u := range d.b.profile.Users {
		s, err := u.Password.Draw(rand.Reader)
		if err != nil {
			return err
		}
		passwords[u.Name] = s
	}
	dev := settings.Device{FQDN: d.fqdn, Version: d.version, Passwords: passwords, Prune: true}
	for _, s := range settings.For(d.b.profile, dev) {
		if _, err := s.Apply(ctx, c, nil); err != nil {
			return err
		}
	}
	return nil
}

// commit sets the new secrets and ends set-up.
func (d *bareDevice) commit(ctx context.Context, c *wsman.Client) error {
	mebx, err := d.b.profile.MEBx.Draw(rand.Reader)
	if err != nil {
		return err
	}
	if d.admin, err = d.b.profile.Admin.Draw(rand.Reader); err != nil {
		return err
	}
	next, err := amt.DrawPair(rand.Reader)
	if err != nil {
		return err
	}
	if err := c.SetMEBxPassword(ctx, mebx); err != nil {
		return err
	}
	if err := c.SetTLSPSK(ctx, next); err != nil {
		return err
	}
	if err := c.SetAdmin(ctx, amt.AdminUser, d.admin); err != nil {
		return err
	}
	c.SetCredentials(amt.AdminUser, d.admin)
	if _, err := c.SetupService(ctx); err != nil {
		return err
	}
	return c.CommitChanges(ctx)
}

// verify asks the device over its new TLS whether it is Operational.
func (d *bareDevice) verify(ctx context.Context) error {
	c, err := d.client(d.admin, d.dialTLS)
	if err != nil {
		return err
	}
	defer c.Close()
	err = d.identify(ctx, c, amt.Operational)
	d.traffic = append(d.traffic, c.Stats())
	return err
}
