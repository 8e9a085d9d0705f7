package tlspsk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

// ends makes both ends of some TLS over a connection.
type ends func(a, b net.Conn) (client, server interface {
	net.Conn
	Handshake() error
})

func pskEnds(t testing.TB, version uint16) ends {
	client, server := configs(t)
	only(version, SuiteAES128, client, server)
	return func(a, b net.Conn) (_, _ interface {
		net.Conn
		Handshake() error
	},
	) {
		return Client(a, client), Server(b, server)
	}
}

// standardEnds is crypto/tls with the given suite under TLS 1.2 and a certificate
// that the client verifies.
func standardEnds(t testing.TB, suite uint16, cert *tls.Certificate) ends {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	base := tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{suite}, CurvePreferences: []tls.CurveID{tls.CurveP256},
		SessionTicketsDisabled: true,
	}
	server, client := base.Clone(), base.Clone()
	server.Certificates = []tls.Certificate{*cert}
	client.RootCAs, client.ServerName = pool, "device.test"
	return func(a, b net.Conn) (_, _ interface {
		net.Conn
		Handshake() error
	},
	) {
		return tls.Client(a, client), tls.Server(b, server)
	}
}

// p256Certificate is a self-signed certificate of P-256.
func p256Certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device.test"}, DNSNames: []string{"device.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// benchShake is one handshake, both ends, over net.Pipe.
func benchShake(b *testing.B, make ends) {
	x, y := net.Pipe()
	client, server := make(x, y)
	done := chanErr(server.Handshake)
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	_, _ = x.Close(), y.Close()
}

func chanErr(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// BenchmarkHandshake is the time of a handshake, both ends, by itself.
func BenchmarkHandshake(b *testing.B) {
	for _, v := range versions {
		b.Run("PSK/"+VersionName(v), func(b *testing.B) {
			make := pskEnds(b, v)
			b.ReportAllocs()
			for b.Loop() {
				benchShake(b, make)
			}
		})
	}
	b.Run("ECDHE-P256", func(b *testing.B) {
		make := standardEnds(b, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, p256Certificate(b))
		b.ReportAllocs()
		for b.Loop() {
			benchShake(b, make)
		}
	})
}

// BenchmarkHandshakeRatio alternates TLS-PSK and crypto/tls with ECDHE over P-256,
// so that both meet the same machine, and reports our time over theirs: the aim is
// 0.3 or less.
func BenchmarkHandshakeRatio(b *testing.B) {
	theirs := standardEnds(b, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, p256Certificate(b))
	for _, v := range versions {
		b.Run(VersionName(v), func(b *testing.B) {
			ours := pskEnds(b, v)
			var our, their time.Duration
			for b.Loop() {
				start := time.Now()
				benchShake(b, ours)
				our += time.Since(start)
				start = time.Now()
				benchShake(b, theirs)
				their += time.Since(start)
			}
			b.ReportMetric(float64(our)/float64(their), "ratio")
			b.ReportMetric(float64(our.Microseconds())/float64(b.N), "us/handshake")
		})
	}
}

// BenchmarkBulk sends 64 KiB writes one way over loopback, beside crypto/tls with
// the same cipher and MAC.
func BenchmarkBulk(b *testing.B) {
	rsa := rsaCertificate(b)
	for _, c := range []struct {
		name string
		make ends
	}{
		{"PSK/TLS 1.0", pskEnds(b, tls.VersionTLS10)},
		{"PSK/TLS 1.2", pskEnds(b, tls.VersionTLS12)},
		{"crypto-tls/AES128-CBC-SHA", func(a, b net.Conn) (_, _ interface {
			net.Conn
			Handshake() error
		},
		) {
			suites := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
			return tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: suites}),
				tls.Server(b, &tls.Config{Certificates: []tls.Certificate{*rsa}, MaxVersion: tls.VersionTLS12, CipherSuites: suites})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, y := tcpPair(b)
			client, server := c.make(x, y)
			done := chanErr(server.Handshake)
			if err := client.Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			data := make([]byte, 64<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			read := chanErr(func() error { _, err := io.Copy(io.Discard, server); return err })
			for b.Loop() {
				if _, err := client.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			_ = client.Close()
			if err := <-read; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkHeld reports the heap that one connection holds after its handshake,
// both ends, without sockets.
func BenchmarkHeld(b *testing.B) {
	make := pskEnds(b, tls.VersionTLS10)
	var held []net.Conn
	before := heap()
	n := 0
	for b.Loop() {
		x, y := net.Pipe()
		client, server := make(x, y)
		done := chanErr(server.Handshake)
		if err := client.Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		held = append(held, client, server)
		n++
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "B/connection")
	for _, c := range held {
		_ = c.(*Conn).NetConn().Close()
	}
}

// BenchmarkOpen opens one record of 1 KiB with each kind of padding, good and bad,
// and reports how far the medians are apart: what a listener to time would see.
func BenchmarkOpen(b *testing.B) {
	s := suiteByID(SuiteAES128)
	wrong := func(n, at int) []byte { p := pads(n); p[at] ^= 1; return p }
	payload := make([]byte, 1004-256)
	kinds := map[string][]byte{
		"good, short":  craft(b, s, append(payload, make([]byte, 240)...), pads(16), false),
		"good, long":   craft(b, s, payload, pads(256), false),
		"wrong, first": craft(b, s, payload, wrong(256, 0), false),
		"wrong, last":  craft(b, s, payload, wrong(256, 254), false),
		"wrong MAC":    craft(b, s, append(payload, make([]byte, 240)...), pads(16), true),
		"too long":     craft(b, s, append(payload, make([]byte, 255)...), []byte{255}, false),
	}
	times := map[string][]time.Duration{}
	body := make([]byte, 1024)
	for b.Loop() {
		for name, sealed := range kinds {
			_, open := bothEnds(b, tls.VersionTLS10, s)
			copy(body, sealed)
			start := time.Now()
			_, _ = open.open(recordApplication, body)
			times[name] = append(times[name], time.Since(start))
		}
	}
	var least, most time.Duration
	for _, list := range times {
		slices.Sort(list)
		median := list[len(list)/2]
		if least == 0 || median < least {
			least = median
		}
		most = max(most, median)
	}
	b.ReportMetric(100*float64(most-least)/float64(least), "%spread")
	b.ReportMetric(0, "ns/op")
}
