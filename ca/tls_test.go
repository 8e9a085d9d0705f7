package ca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// handshake lets two configurations talk and returns what each end says.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		s := tls.Server(conn, server)
		if err = s.Handshake(); err == nil {
			_, err = s.Write([]byte("x"))
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(conn, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1)) // in TLS 1.3 a refusal comes after the handshake
	}
	return <-done, clientErr
}

func identity(cert *x509.Certificate, key crypto.PrivateKey, chain ...*x509.Certificate) []tls.Certificate {
	list := [][]byte{cert.Raw}
	for _, c := range chain {
		list = append(list, c.Raw)
	}
	return []tls.Certificate{{Certificate: list, PrivateKey: key}}
}

// TestDeviceTLS is a device as old firmware is: it presents its leaf alone and
// knows RSA key exchange and TLS 1.0 only.
func TestDeviceTLS(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	device := &tls.Config{
		Certificates: identity(f.device(1, "pc.example.com", key(0)), key(0)), Time: f.clock.now,
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	}
	for name, pool := range map[string]*x509.CertPool{"pool": f.DevicePool(), "bundle": pool(f.Bundle()...)} {
		client := &tls.Config{
			RootCAs: pool, ServerName: "pc.example.com", Time: f.clock.now,
			MinVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
		}
		if s, c := handshake(t, device, client); s != nil || c != nil {
			t.Errorf("%s: got %v and %v", name, s, c)
		}
		client.ServerName = "pc2.example.com"
		if _, c := handshake(t, device, client); c == nil {
			t.Errorf("%s: another host's name passes", name)
		}
	}
}

// TestAPITLS: users get in, devices and consoles' impostors do not, and a device
// cannot play the server.
func TestAPITLS(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server, err := f.IssueServer(t.Context(), ServerRequest{Names: []string{"scs.example.com"}, PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	userKey := freshEC(t)
	user, err := f.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, userKey)})
	if err != nil {
		t.Fatal(err)
	}
	device := f.device(1, "pc.example.com", key(1))
	listener := &tls.Config{
		Certificates: identity(server, key(0)), ClientCAs: f.ClientPool(), ClientAuth: tls.RequireAndVerifyClientCert, Time: f.clock.now,
	}
	for _, c := range []struct {
		name   string
		server *tls.Config
		certs  []tls.Certificate
		host   string
		ok     bool
	}{
		{"user", listener, identity(user, userKey), "scs.example.com", true},
		{"nobody", listener, nil, "scs.example.com", false},
		{"device", listener, identity(device, key(1)), "scs.example.com", false},
		{"device with its chain", listener, identity(device, key(1), f.Bundle()...), "scs.example.com", false},
		{"another name", listener, identity(user, userKey), "other.example.com", false},
		{
			"a device as the server",
			&tls.Config{Certificates: identity(device, key(1), f.Bundle()...), Time: f.clock.now},
			identity(user, userKey), "pc.example.com", false,
		},
		{
			"a user as the server",
			&tls.Config{Certificates: identity(user, userKey), Time: f.clock.now},
			identity(user, userKey), "anna", false,
		},
	} {
		client := &tls.Config{RootCAs: f.APIPool(), ServerName: c.host, Certificates: c.certs, Time: f.clock.now}
		if s, cl := handshake(t, c.server, client); (s == nil && cl == nil) != c.ok {
			t.Errorf("%s: got %v and %v", c.name, s, cl)
		}
	}
}
