package wsman_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

const (
	simMEBx  = "Staging1!"
	simAdmin = "Network1!"
)

// sim is a simulated device in set-up and what is known of it.
type sim struct {
	dev  *amtsim.Device
	pair amt.Pair
	key  *rsa.PrivateKey // of the issuer
	root *x509.Certificate
}

func newSim(t *testing.T, g *amtsim.Generation, trouble amtsim.Trouble) *sim {
	t.Helper()
	pair, err := amt.DrawPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := amtsim.New(amtsim.Options{
		Generation: g, Addr: netip.MustParseAddr("127.0.0.1"), EphemeralPort: true, Server: "127.0.0.1:1", Trouble: trouble,
		ClockSkew: -time.Hour, Setup: amtsim.Setup{Pair: pair, NewPassword: amt.NewSecretString(simMEBx)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	wait, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	if err := d.WaitPhase(wait, amt.InSetup); err != nil {
		t.Fatal(err)
	}
	s := &sim{dev: d, pair: pair}
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &s.key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	if s.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return s
}

// client logs in over connections that secure makes.
func (s *sim) client(t *testing.T, password string, secure func(context.Context, net.Conn) (net.Conn, error)) *wsman.Client {
	t.Helper()
	addr := s.dev.Addr().String()
	c, err := wsman.New(wsman.Config{
		Address: addr, Password: amt.NewSecretString(password), RetryWaitMin: time.Millisecond, RetryWaitMax: 20 * time.Millisecond,
		Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return secure(ctx, conn)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *sim) psk(ctx context.Context, conn net.Conn) (net.Conn, error) {
	c := tlspsk.Client(conn, tlspsk.PairConfig(s.pair))
	return c, c.HandshakeContext(ctx)
}

func (s *sim) certificateTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(s.root)
	c := tls.Client(conn, &tls.Config{
		RootCAs: roots, ServerName: "pc1.example.com", MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	})
	return c, c.HandshakeContext(ctx)
}

// certify gives the device a key and a certificate of it.
func (s *sim) certify(ctx context.Context, c *wsman.Client) error {
	handle, err := c.GenerateKeyPair(ctx, 2048)
	if wsman.IsAbsent(err) {
		var key *rsa.PrivateKey
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return err
		}
		handle, err = c.AddKey(ctx, key)
	}
	if err != nil {
		return err
	}
	pair, err := c.KeyPair(ctx, handle)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "pc1.example.com"}, DNSNames: []string{"pc1.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, s.root, pair.Public, s.key)
	if err != nil {
		return err
	}
	cert, err := c.AddCertificate(ctx, der)
	if err != nil {
		return err
	}
	if err := c.CreateTLSCredential(ctx, cert); err != nil {
		return err
	}
	if err := c.CreateTLSCredential(ctx, cert); !wsman.IsDuplicate(err) {
		return fmt.Errorf("created twice: %w", err)
	}
	list, err := c.TLSCredentials(ctx)
	if err != nil || len(list) != 1 || list[0].Certificate != cert {
		return fmt.Errorf("credentials %v: %w", list, err)
	}
	return c.PutTLSCredential(ctx, list[0], cert)
}

// setup is the sequence of set-up with the calls of this package.
func (s *sim) setup(ctx context.Context, c *wsman.Client) error {
	g, err := c.GeneralSettings(ctx)
	if err != nil || wsman.CheckRealm(g.DigestRealm()) != nil || g.DigestRealm() != c.Realm() {
		return fmt.Errorf("realm %q, %q: %w", g.DigestRealm(), c.Realm(), err)
	}
	if u, err := c.UUID(ctx); err != nil || u != s.dev.UUID() {
		return fmt.Errorf("uuid %v: %w", u, err)
	}
	if v, err := c.AMTVersion(ctx); err != nil || v != s.dev.Generation().Version {
		return fmt.Errorf("version %v: %w", v, err)
	}
	if ahead, err := c.SetTime(ctx, time.Now); err != nil || ahead > -50*time.Minute {
		return fmt.Errorf("clock %v: %w", ahead, err)
	}
	if err := s.certify(ctx, c); err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	g.Set("HostName", "pc1")
	if _, err := c.PutGeneralSettings(ctx, g); err != nil {
		return err
	}
	t, err := c.TLSSettings(ctx, wsman.TLSRemote)
	if err != nil {
		return err
	}
	t.Change(true, false, false, nil)
	if _, err := c.PutTLSSettings(ctx, t); err != nil {
		return err
	}
	user := wsman.User{Name: "desk", Access: wsman.AccessNetwork, Realms: []amt.Realm{amt.RealmGeneralInfo}}
	if _, err := c.AddUser(ctx, user, amt.NewSecretString("Desk1-Passw0rd!")); err != nil {
		return err
	}
	if err := c.SetMEBxPassword(ctx, amt.NewSecretString("Mebx1-Passw0rd!")); err != nil {
		return err
	}
	next, err := amt.DrawPair(rand.Reader)
	if err != nil {
		return err
	}
	if err := c.SetTLSPSK(ctx, next); err != nil {
		return err
	}
	if err := c.SetAdmin(ctx, amt.AdminUser, amt.NewSecretString(simAdmin)); err != nil {
		return err
	}
	c.SetCredentials(amt.AdminUser, amt.NewSecretString(simAdmin))
	if state, err := c.SetupService(ctx); err != nil || state.State != amt.InSetup {
		return fmt.Errorf("state %v: %w", state.State, err)
	}
	return c.CommitChanges(ctx)
}

// TestSetup takes simulated devices through set-up, over TLS-PSK and then over
// TLS with the certificate they were given.
func TestSetup(t *testing.T) {
	t.Parallel()
	dropped := amtsim.Trouble{DropAfter: []amtsim.CallTrouble{{Call: "CommitChanges", Times: 1}}}
	for _, tt := range []struct {
		name    string
		g       *amtsim.Generation
		trouble amtsim.Trouble
		lost    bool
	}{
		{"3.2", amtsim.AMT32, amtsim.Trouble{}, false},
		{"9.0", amtsim.AMT90, amtsim.Trouble{StrictNonce: true}, false},
		{"10.0, commit drops the connection", amtsim.AMT100, dropped, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, tt.g, tt.trouble)
			c := s.client(t, simMEBx, s.psk)
			err := s.setup(t.Context(), c)
			if tt.lost != errors.Is(err, wsman.ErrLost) || !tt.lost && err != nil {
				t.Fatal(err)
			}
			// One user and the administrator change the access list.
			if n := c.Stats(); n.Challenges > 1+2 || n.Connections > n.Challenges+1 {
				t.Errorf("%+v", n)
			}
			wait, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := s.dev.WaitPhase(wait, amt.Operational); err != nil {
				t.Fatal(err)
			}
			after := s.client(t, simAdmin, s.certificateTLS)
			if state, err := after.SetupService(t.Context()); err != nil || state.State != amt.Operational {
				t.Errorf("state %v, %v", state.State, err)
			}
		})
	}
}

// TestSimTroubles: what a bad device does comes out as this package's errors.
func TestSimTroubles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		g       *amtsim.Generation
		trouble amtsim.Trouble
		want    error
	}{
		{"AMT 2.2", amtsim.AMT22, amtsim.Trouble{}, wsman.ErrNoWSMan},
		{"garbage", amtsim.AMT90, amtsim.Trouble{Garbage: true}, wsman.ErrUnexpectedReply},
		{"wrong PPS", amtsim.AMT90, amtsim.Trouble{WrongPPS: true}, tlspsk.ErrKeyMismatch},
		{"nonces forgotten", amtsim.AMT90, amtsim.Trouble{NonceReset: 1, StaleFalse: true, StrictNonce: true}, nil},
		{"nonces forgotten often", amtsim.AMT90, amtsim.Trouble{NonceReset: 2}, nil},
	} {
		s := newSim(t, tt.g, tt.trouble)
		c := s.client(t, simMEBx, s.psk)
		for range 4 {
			if _, err := c.SetupService(t.Context()); tt.want == nil && err != nil || !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
	s := newSim(t, amtsim.AMT90, amtsim.Trouble{})
	if _, err := s.client(t, "Wrong1!", s.psk).SetupService(t.Context()); !errors.Is(err, wsman.ErrUnauthorized) {
		t.Errorf("wrong password: %v", err)
	}
}
