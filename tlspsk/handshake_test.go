package tlspsk

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// TestBothEnds lets the two ends of this package meet in every version and suite.
func TestBothEnds(t *testing.T) {
	t.Parallel()
	everyProtection(t, func(t *testing.T, version uint16, s *suite) {
		client, server := configs(t)
		only(version, s.id, client, server)
		server.Certificate = rsaCertificate(t)
		client.VerifyCertificate = func([]*x509.Certificate) error { return nil }
		c, v := connPair(t, client, server)
		mustShake(t, c, v)
		checkState(t, c.ConnectionState(), version, s.id, "0000037M")
		checkState(t, v.ConnectionState(), version, s.id, "0000037M")
		if got := len(c.ConnectionState().Certificates); (got == 1) != s.rsa {
			t.Errorf("%d certificates", got)
		}
		for _, n := range []int{1, 2, 100, maxPlaintext, maxPlaintext + 1, 100_000} {
			exchange(t, c, v, n)
		}
		closeBoth(t, c, v)
	})
}

// exchange sends n bytes each way at the same time.
func exchange(t testing.TB, c, v *Conn, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i, pair := range [][2]*Conn{{c, v}, {v, c}} {
		data := bytes.Repeat([]byte{byte(i + 1)}, n)
		wg.Go(func() {
			if got, err := pair[0].Write(data); got != n || err != nil {
				t.Errorf("wrote %d of %d: %v", got, n, err)
			}
		})
		wg.Go(func() {
			got := make([]byte, n)
			if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("reading %d: %v", n, err)
			}
		})
	}
	wg.Wait()
}

// closeBoth closes in order: each end must see the other's close_notify.
func closeBoth(t testing.TB, c, v *Conn) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Errorf("CloseWrite: %v", err)
	}
	if n, err := v.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("server reads %d, %v after close_notify", n, err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("client reads %d, %v after close_notify", n, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// failure is a pair of configs that do not fit and what each end must say.
type failure struct {
	name           string
	change         func(client, server *Config)
	client, server error
	alert          Alert // what travels, 0 for none
}

func failures(t testing.TB) []failure {
	t.Helper()
	errStore := errors.New("the store is down")
	list := []failure{
		{"unknown identity", func(c, _ *Config) { c.Identity = []byte("0000000C") }, ErrUnknownIdentity, ErrUnknownIdentity, AlertUnknownPSKIdentity},
		{"dashed identity", func(c, _ *Config) { c.Identity = []byte("0000-037M") }, ErrUnknownIdentity, ErrUnknownIdentity, AlertUnknownPSKIdentity},
		{"identity with a byte more", func(c, _ *Config) { c.Identity = []byte("0000037M\x00") }, ErrUnknownIdentity, ErrUnknownIdentity, AlertUnknownPSKIdentity},
		{"empty key of the store", func(_, s *Config) {
			s.GetKey = func([]byte) (amt.Secret, error) { return amt.Secret{}, nil }
		}, ErrUnknownIdentity, ErrUnknownIdentity, AlertUnknownPSKIdentity},
		{"store down", func(_, s *Config) {
			s.GetKey = func([]byte) (amt.Secret, error) { return amt.Secret{}, errStore }
		}, nil, errStore, AlertInternalError},
		{"overlong key of the store", func(_, s *Config) {
			s.GetKey = func([]byte) (amt.Secret, error) { return amt.NewSecret(make([]byte, MaxKey+1)), nil }
		}, nil, ErrConfig, AlertInternalError},
		{"no shared suite", func(c, s *Config) {
			c.CipherSuites, s.CipherSuites = []uint16{SuiteAES128}, []uint16{SuiteAES256}
		}, ErrNoSharedSuite, ErrNoSharedSuite, AlertHandshakeFailure},
		{"client too old", func(c, s *Config) {
			c.MaxVersion, s.MinVersion = tls.VersionTLS10, tls.VersionTLS11
		}, ErrNoSharedVersion, ErrNoSharedVersion, AlertProtocolVersion},
		{"server too old", func(c, s *Config) {
			c.MinVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS11
		}, ErrNoSharedVersion, ErrNoSharedVersion, AlertProtocolVersion},
		{"certificate refused", func(c, s *Config) {
			c.CipherSuites, s.CipherSuites = []uint16{SuiteRSAAES128}, []uint16{SuiteRSAAES128}
			s.Certificate = rsaCertificate(t)
			c.VerifyCertificate = func([]*x509.Certificate) error { return errStore }
		}, ErrCertificate, nil, AlertBadCertificate},
	}
	for _, v := range versions {
		list = append(list, failure{"wrong key/" + VersionName(v), func(c, s *Config) {
			c.Key = otherPair(t).PPS
			c.MaxVersion = v
		}, ErrKeyMismatch, ErrKeyMismatch, AlertBadRecordMAC})
	}
	return list
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, f := range failures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			client, server := configs(t)
			f.change(client, server)
			c, v := connPair(t, client, server)
			ce, se := shake(c, v)
			for _, end := range []struct {
				name      string
				got, want error
			}{{"client", ce, f.client}, {"server", se, f.server}} {
				var alert *AlertError
				if end.got == nil || end.want != nil && !errors.Is(end.got, end.want) {
					t.Errorf("%s: got %v, want %v", end.name, end.got, end.want)
				} else if !errors.As(end.got, &alert) || alert.Alert != f.alert {
					t.Errorf("%s: got %v, want alert %v", end.name, end.got, f.alert)
				}
				if strings.Contains(fmt.Sprint(end.got), "NKLD") {
					t.Errorf("%s: the error shows the key: %v", end.name, end.got)
				}
			}
			checkDead(t, c, v, ce, se)
		})
	}
}

// checkDead: after a failed handshake everything fails, and no state is shown.
func checkDead(t *testing.T, c, v *Conn, ce, se error) {
	t.Helper()
	for _, end := range []struct {
		conn *Conn
		err  error
	}{{c, ce}, {v, se}} {
		if _, err := end.conn.Write([]byte("x")); err != end.err {
			t.Errorf("Write: got %v, want %v", err, end.err)
		}
		if _, err := end.conn.Read(make([]byte, 1)); err != end.err {
			t.Errorf("Read: got %v, want %v", err, end.err)
		}
		if err := end.conn.CloseWrite(); err == nil {
			t.Error("CloseWrite works")
		}
		if s := end.conn.ConnectionState(); s.Complete || s.Version != 0 || s.Identity != nil {
			t.Errorf("state %+v", s)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		name   string
		client bool
		change func(c *Config)
	}{
		{"no identity", true, func(c *Config) { c.Identity = nil }},
		{"long identity", true, func(c *Config) { c.Identity = make([]byte, MaxIdentity+1) }},
		{"no key", true, func(c *Config) { c.Key = amt.Secret{} }},
		{"long key", true, func(c *Config) { c.Key = amt.NewSecret(make([]byte, MaxKey+1)) }},
		{"SSL 3.0", true, func(c *Config) { c.MinVersion = 0x0300 }},
		{"TLS 1.3", true, func(c *Config) { c.MaxVersion = tls.VersionTLS13 }},
		{"versions crossed", true, func(c *Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS10 }},
		{"unknown suite", true, func(c *Config) { c.CipherSuites = []uint16{0x002F} }},
		{"the SCSV as suite", true, func(c *Config) { c.CipherSuites = []uint16{scsvRenegotiation} }},
		{"RSA_PSK without verifier", true, func(c *Config) { c.CipherSuites = []uint16{SuiteAES128, SuiteRSAAES128} }},
		{"no GetKey", false, func(c *Config) { c.GetKey = nil }},
		{"long hint", false, func(c *Config) { c.IdentityHint = make([]byte, MaxIdentity+1) }},
		{"RSA_PSK without certificate", false, func(c *Config) { c.CipherSuites = []uint16{SuiteRSAAES128} }},
		{"RSA_PSK with another key", false, func(c *Config) {
			c.CipherSuites = []uint16{SuiteRSAAES128}
			c.Certificate = &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: key}
		}},
	} {
		client, server := configs(t)
		conn := newReplay(nil)
		var end *Conn
		if r.client {
			r.change(client)
			end = Client(conn, client)
		} else {
			r.change(server)
			end = Server(conn, server)
		}
		if err := end.Handshake(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", r.name, err)
		}
		if conn.out.Len() != 0 || conn.reads != 0 {
			t.Errorf("%s: the peer heard of it", r.name)
		}
	}
	if err := Client(newReplay(nil), nil).Handshake(); !errors.Is(err, ErrConfig) {
		t.Errorf("no Config: got %v", err)
	}
}

func TestPairForms(t *testing.T) {
	t.Parallel()
	p := intelPair(t)
	for _, f := range []struct {
		form          PairForm
		identity, key string
	}{
		{Undashed, "0000037M", "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"},
		{Dashed, "0000-037M", "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"},
	} {
		c, s := f.form.Config(p), f.form.ServerConfig(p)
		if string(c.Identity) != f.identity || string(c.Key.Reveal()) != f.key {
			t.Errorf("%v: identity %q", f.form, c.Identity)
		}
		key, err := s.GetKey([]byte(f.identity))
		if err != nil || !key.Equal(c.Key) || string(s.IdentityHint) != f.identity {
			t.Errorf("%v: server: %v, hint %q", f.form, err, s.IdentityHint)
		}
		a, b := connPair(t, c, s)
		mustShake(t, a, b)
	}
}

// TestNotTLS meets peers that speak something else.
func TestNotTLS(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	for _, said := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x80\x2e\x01\x03\x01\x00", "\x16\x02\x01\x00\x05hello"} {
		c, s := newReplay([]byte(said)), newReplay([]byte(said))
		if err := Client(c, client).Handshake(); !errors.Is(err, ErrNotTLS) {
			t.Errorf("client, %q: got %v", said, err)
		}
		if err := Server(s, server).Handshake(); !errors.Is(err, ErrNotTLS) {
			t.Errorf("server, %q: got %v", said, err)
		}
		if s.out.Len() != 0 {
			t.Errorf("%q is answered by % x", said, s.out.Bytes())
		}
	}
}

// TestCryptoTLSServer meets a server of crypto/tls, which knows no PSK suites.
func TestCryptoTLSServer(t *testing.T) {
	t.Parallel()
	client, _ := configs(t)
	a, b := tcpPair(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{*rsaCertificate(t)}, MinVersion: tls.VersionTLS10}).Handshake()
	})
	if err := Client(a, client).Handshake(); !errors.Is(err, ErrNoSharedSuite) {
		t.Errorf("got %v", err)
	}
	wg.Wait()
}

// TestCryptoTLSClient meets a client of crypto/tls.
func TestCryptoTLSClient(t *testing.T) {
	t.Parallel()
	_, server := configs(t)
	a, b := tcpPair(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = tls.Client(a, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).Handshake()
	})
	if err := Server(b, server).Handshake(); !errors.Is(err, ErrNoPSK) {
		t.Errorf("got %v", err)
	}
	wg.Wait()
}

// TestListener serves over a wrapped listener, whose Accept must not wait for a
// silent client.
func TestListener(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := NewListener(inner, server)
	for i := range 2 { // the first is silent
		a, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			mustShake(t, Client(a, client), b.(*Conn))
		}
		_, _ = a.Close(), b.Close()
	}
	_ = ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}
