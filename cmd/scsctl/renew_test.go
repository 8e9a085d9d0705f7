package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/rpc"
	"github.com/amtscs/amtscs/seal/sealtest"
)

type noIssuer struct{ *ca.Authority }

func (noIssuer) IssueDevice(context.Context, provisioning.CertificateRequest) (*x509.Certificate, error) {
	return nil, provisioning.ErrNotIssued
}

func (noIssuer) Supersede(kv.Tx, amt.UUID, *x509.Certificate, string) (int, error) { return 0, nil }

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// oldContext makes a server and the context file of a user whose certificate was
// issued so long ago, of a year's lifetime.
func oldContext(t *testing.T, ago time.Duration) (path string) {
	t.Helper()
	return contextOf(t, access.Desk, ago)
}

// contextOf is oldContext for a user of any role.
func contextOf(t *testing.T, role access.Role, ago time.Duration) (path string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sealer, store := sealtest.New(t), bolttest.New(t)
	past, err := ca.Init(t.Context(), store, sealer, ca.Options{Now: func() time.Time { return time.Now().Add(-ago) }})
	check(err)
	key, csr, err := contextfile.NewKey("alice")
	check(err)
	cert, err := past.IssueClient(t.Context(), ca.ClientRequest{User: "alice", CSR: csr})
	check(err)
	users := &access.Store{}
	check(store.Update(t.Context(), func(tx kv.Tx) error {
		mv := access.Move{Who: "test", At: time.Now().Add(-ago)}
		if _, err := users.AddUser(tx, "alice", role, time.Time{}, mv); err != nil {
			return err
		}
		serial, err := amt.SerialOf(cert.SerialNumber)
		if err != nil {
			return err
		}
		return users.AddCertificate(tx, "alice", serial, cert.NotAfter, mv)
	}))
	authority, err := ca.Open(t.Context(), store, sealer, ca.Options{})
	check(err)
	keys := keystore.New(sealer)
	engine, err := provisioning.New(provisioning.Config{Store: store, Sealer: sealer, Keys: keys, Issuer: noIssuer{authority}})
	check(err)
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf, err := authority.IssueServer(t.Context(), ca.ServerRequest{Names: []string{"localhost"}, PublicKey: serverKey.Public()})
	check(err)
	server, err := rpc.New(rpc.Config{Store: store, Keys: keys, Engine: engine, CA: authority, Users: users, Audit: audit.New(sealer)},
		rpc.TLS(func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: serverKey}, nil
		}, authority.ClientPool()))
	check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Stop(context.Background()) })
	path = filepath.Join(t.TempDir(), "ctx.yaml")
	trust := pemOf(authority.APIIntermediate())
	check((&contextfile.File{
		Address: ln.Addr().String(), ServerName: "localhost", CA: trust, Certificate: append(pemOf(cert), trust...), Key: key,
	}).Create(path))
	return path
}

func TestCertificateRenewsItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ago    time.Duration
		renews bool
	}{{100 * 24 * time.Hour, false}, {300 * 24 * time.Hour, true}} {
		path := oldContext(t, c.ago)
		before, err := contextfile.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var out, errs bytes.Buffer
			if code := run(t.Context(), []string{"whoami", "--context", path}, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
				t.Fatalf("got %d, %s", code, errs.String())
			}
		}
		after, err := contextfile.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := after.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		if renewed := !after.Key.Equal(before.Key); renewed != c.renews {
			t.Errorf("%v old: renewed %t", c.ago, renewed)
		}
		if left := time.Until(leaf.NotAfter); c.renews && left < 360*24*time.Hour {
			t.Errorf("%v old: %v left", c.ago, left)
		}
	}
}

func TestEndedCertificate(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"whoami", "--context", oldContext(t, 400*24*time.Hour)}, strings.NewReader(""), &out, &errs)
	if code != exitRefused || !strings.Contains(errs.String(), "ended on") || !strings.Contains(errs.String(), "scsd recover-admin") {
		t.Errorf("got %d, %s", code, errs.String())
	}
}
