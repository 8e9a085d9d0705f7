package amtsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/tlspsk"
)

// oidRemoteConsole marks a client certificate that may manage a device by mutual
// TLS (Intel AMT Implementation and Reference Guide, "Mutual Authentication").
const oidRemoteConsole = "2.16.840.1.113741.1.2.1"

// Causes of a failed handshake beyond those of the TLS packages.
var (
	errTLSOff     = errors.New("TLS is off")
	errClientCert = errors.New("the client's certificate is refused")
)

// secure makes the TLS that the phase asks for: TLS-PSK in set-up, certificate
// TLS afterwards.
func (d *Device) secure(ctx context.Context, c net.Conn, inSetup bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if inSetup {
		s := tlspsk.Server(c, d.pskConfig())
		return s, s.HandshakeContext(ctx)
	}
	config, err := d.tlsConfig()
	if err != nil {
		refuseConn(c)
		return nil, err
	}
	s := tls.Server(c, config)
	return s, s.HandshakeContext(ctx)
}

// pskConfig accepts the device's PID and no other identity.
func (d *Device) pskConfig() *tlspsk.Config {
	d.mu.Lock()
	pair := d.flash.Pair
	wrong := d.opt.Trouble.WrongPPS
	d.mu.Unlock()
	g := d.opt.Generation
	config := tlspsk.PairServerConfig(pair)
	config.MinVersion, config.MaxVersion = g.MinTLS, g.MaxTLS
	if wrong {
		key := pair.PPS.Reveal()
		slices.Reverse(key)
		other := amt.NewSecret(append(key, '0'))
		config.GetKey = func([]byte) (amt.Secret, error) { return other, nil }
	}
	return config
}

// tlsConfig serves the certificate of AMT_TLSCredentialContext, alone, by RSA key
// exchange, as firmware below 11.8 does.
func (d *Device) tlsConfig() (*tls.Config, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.flash
	if !f.TLS.Remote.Enabled {
		return nil, errTLSOff
	}
	cert, key := f.credential()
	if cert == nil || key == nil {
		return nil, errors.New("TLS is on without key or certificate")
	}
	g := d.opt.Generation
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.DER}, PrivateKey: key.Key}},
		MinVersion:   g.MinTLS, MaxVersion: g.MaxTLS,
		CipherSuites:           []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
		SessionTicketsDisabled: true,
		Time:                   d.deviceClock,
	}
	if f.TLS.Remote.Mutual {
		config.ClientAuth = tls.RequireAnyClientCert
		config.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) error { return d.checkClient(chain) }
	}
	return config, nil
}

func (d *Device) deviceClock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now()
}

// credential finds the certificate that TLS presents, and its key.
func (f *flash) credential() (*certificate, *keyPair) {
	for i := range f.Certs {
		c := &f.Certs[i]
		if certID(c.Handle) != f.Credential {
			continue
		}
		for j := range f.Keys {
			if f.Keys[j].Handle == c.Key {
				return c, &f.Keys[j]
			}
		}
		return c, nil
	}
	return nil, nil
}

// checkClient verifies a console's chain against the trusted roots: clientAuth
// and Intel's own usage in the leaf, and a common name that ends in one of
// TrustedCN if there are any.
func (d *Device) checkClient(chain [][]byte) error {
	leaf, rest, err := parseChain(chain)
	if err != nil {
		return fmt.Errorf("%w: %w", errClientCert, err)
	}
	d.mu.Lock()
	roots, names, now := x509.NewCertPool(), d.flash.TLS.Remote.TrustedCN, d.now()
	for _, c := range d.flash.Certs {
		if cert, err := x509.ParseCertificate(c.DER); err == nil && c.Root {
			roots.AddCert(cert)
		}
	}
	d.mu.Unlock()
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: rest, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return fmt.Errorf("%w: %w", errClientCert, err)
	}
	remote := slices.ContainsFunc(leaf.UnknownExtKeyUsage, func(o asn1.ObjectIdentifier) bool { return o.String() == oidRemoteConsole })
	if !remote || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return fmt.Errorf("%w: it needs the usages clientAuth and %s", errClientCert, oidRemoteConsole)
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return hasSuffixFold(leaf.Subject.CommonName, n) }) {
		return fmt.Errorf("%w: no TrustedCN ends the common name %q", errClientCert, leaf.Subject.CommonName)
	}
	return nil
}

func parseChain(chain [][]byte) (*x509.Certificate, *x509.CertPool, error) {
	var leaf *x509.Certificate
	rest := x509.NewCertPool()
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			leaf = c
		} else {
			rest.AddCert(c)
		}
	}
	if leaf == nil {
		return nil, nil, errors.New("there is none")
	}
	return leaf, rest, nil
}

func hasSuffixFold(s, suffix string) bool {
	return strings.HasSuffix(strings.ToLower(s), strings.ToLower(suffix))
}

// watchClear opens and closes the port for HTTP in clear as phase and settings
// ask, until ctx is done.
func (d *Device) watchClear(ctx context.Context) {
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		d.adjustClear(ctx)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// wantsClear reports whether HTTP is served without TLS. The caller holds d.mu.
func (d *Device) wantsClear() bool {
	t := d.flash.TLS.Remote
	return d.opt.Generation.ClearPort && d.flash.Phase == amt.Operational && (!t.Enabled || t.AcceptClear)
}

func (d *Device) adjustClear(ctx context.Context) {
	if err := d.openClear(ctx); err != nil {
		d.event(EventTrouble, nil, "the port for HTTP in clear: %v", err)
	}
}

func (d *Device) openClear(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	want := d.wantsClear() && d.main != nil
	switch {
	case want && d.clear == nil:
		ln, err := net.Listen("tcp", netip.AddrPortFrom(d.opt.Addr, d.opt.ClearPort).String())
		if err != nil {
			return err
		}
		d.clear = ln
		d.spawn(func() { d.accept(ctx, ln, true) })
	case !want && d.clear != nil:
		_ = d.clear.Close()
		d.clear = nil
	}
	return nil
}
