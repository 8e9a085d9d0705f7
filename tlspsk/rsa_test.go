package tlspsk

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// rsaConfigs are configs of RSA_PSK alone; the verifier takes everything.
func rsaConfigs(t testing.TB) (client, server *Config) {
	t.Helper()
	client, server = configs(t)
	only(tls.VersionTLS12, SuiteRSAAES128, client, server)
	client.VerifyCertificate = func([]*x509.Certificate) error { return nil }
	server.Certificate = rsaCertificate(t)
	return client, server
}

// TestRSAPremaster sends a server encrypted secrets of every kind of badness: all
// must fail in the same way and at the same place as a wrong key.
func TestRSAPremaster(t *testing.T) {
	t.Parallel()
	public := rsaCertificate(t).PrivateKey.(*rsa.PrivateKey).Public().(*rsa.PublicKey)
	encrypt := func(secret []byte) []byte {
		//lint:ignore SA1019 RSA_PSK is defined over this padding.
		b, err := rsa.EncryptPKCS1v15(rand.Reader, public, secret)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := make([]byte, premasterLen)
	binary.BigEndian.PutUint16(good, tls.VersionTLS12)
	old := slices.Clone(good)
	old[1] = 1
	flipped := encrypt(good)
	flipped[100] ^= 1
	for _, c := range []struct {
		name              string
		encrypted, secret []byte // what is sent, what the client uses
		want              error
	}{
		{"good", encrypt(good), good, nil},
		{"another version in it", encrypt(old), old, ErrKeyMismatch},
		{"too short", encrypt(good[:47]), good, ErrKeyMismatch},
		{"too long", encrypt(append(good[:48:48], 0)), good, ErrKeyMismatch},
		{"broken padding", flipped, good, ErrKeyMismatch},
		{"not a ciphertext", bytes.Repeat([]byte{0xFF}, 256), good, ErrKeyMismatch},
		{"of another size", []byte{1, 2, 3}, good, ErrKeyMismatch},
		{"empty", []byte{}, good, ErrKeyMismatch},
	} {
		if err := rsaHandshake(t, c.encrypted, c.secret); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// rsaHandshake plays a client that sends this secret, and gives the server's
// error.
func rsaHandshake(t *testing.T, encrypted, secret []byte) error {
	t.Helper()
	client, server := rsaConfigs(t)
	c, v := connPair(t, client, server)
	done := chanErr(v.Handshake)
	h := &handshake{c: c}
	m := clientKeyExchange{identity: client.Identity, encrypted: encrypted}
	if err := steps(h.sendClientHello, h.readServerHello, h.readServerFlight,
		func() error { return h.queue(m.append(nil)) },
		func() error { return h.deriveKeys(premaster(secret, client.Key.Reveal())) },
		func() error { return h.sendFinished(labelClientFinished) }); err != nil {
		t.Fatal(err)
	}
	return <-done
}

// TestRSACertificates sends a client certificates that cannot serve.
func TestRSACertificates(t *testing.T) {
	t.Parallel()
	asked := errors.New("asked")
	for _, c := range []struct {
		name  string
		chain [][]byte
	}{
		{"none", nil},
		{"empty", [][]byte{{}}},
		{"garbage", [][]byte{{0x30, 0x03, 1, 2, 3}}},
		{"garbage behind the leaf", [][]byte{rsaCertificate(t).Certificate[0], {1}}},
		{"not RSA", p256Certificate(t).Certificate},
	} {
		client, server := rsaConfigs(t)
		conn, v := connPair(t, client, server)
		done := chanErr(conn.Handshake)
		h := &handshake{c: v}
		if err := steps(h.readClientHello, func() error { return h.queue(appendCertificate(nil, c.chain)) },
			h.flushed(appendMessage(nil, typeServerHelloDone, nil))); err != nil {
			t.Fatal(err)
		}
		var alert *AlertError
		if err := <-done; !errors.Is(err, ErrCertificate) || !errors.As(err, &alert) || alert.Alert != AlertBadCertificate {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	client, server := rsaConfigs(t)
	client.VerifyCertificate = func(chain []*x509.Certificate) error {
		if len(chain) != 1 || chain[0].Subject.CommonName != "tlspsk test" {
			t.Errorf("the verifier sees %d certificates", len(chain))
		}
		return asked
	}
	c, v := connPair(t, client, server)
	if err, _ := shake(c, v); !errors.Is(err, asked) || !errors.Is(err, ErrCertificate) {
		t.Errorf("got %v", err)
	}
}
