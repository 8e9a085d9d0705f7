package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal"
)

// identities are the server's own certificates and sealed keys.
var identities = kv.Collection[*scsstorev1.ServerIdentity]{Table: "server_identities"}

// The names of the identities.
const (
	apiIdentity     = "api"
	consoleIdentity = "console"
)

// identity is one certificate of the server itself, renewed while it runs.
type identity struct {
	name  string
	store kv.Store
	keys  *seal.Keyset
	ca    *ca.Authority
	now   func() time.Time
	log   *slog.Logger // nil: nothing is logged

	current atomic.Pointer[tls.Certificate]
}

// certificate is the one in use.
func (id *identity) certificate() (*tls.Certificate, error) {
	c := id.current.Load()
	if c == nil {
		return nil, fmt.Errorf("the server has no %s certificate", id.name)
	}
	return c, nil
}

// stored is the record of the certificate.
func (id *identity) stored(ctx context.Context) (m *scsstorev1.ServerIdentity, err error) {
	err = id.store.View(ctx, func(r kv.Reader) error {
		m, err = identities.Get(r, []byte(id.name))
		return err
	})
	return m, err
}

// read loads the certificate as it is stored.
func (id *identity) read(ctx context.Context) error {
	m, err := id.stored(ctx)
	if err != nil {
		return err
	}
	return id.load(m)
}

// Why a certificate of the server is issued, for the log.
const (
	whyNone    = "there was none"
	whyRevoked = "the one before was revoked"
	whyDue     = "the one before is due for renewal"
	whyNames   = "its names have changed"
)

// ensure loads the certificate, and issues one, with a new key, when there is
// none, when it was revoked or is due, or when names (empty: those it has) are
// others.
func (id *identity) ensure(ctx context.Context, names []string) error {
	m, err := id.stored(ctx)
	if errors.Is(err, kv.ErrNotFound) {
		return id.renew(ctx, names, whyNone)
	}
	if err != nil {
		return err
	}
	if err := id.load(m); err != nil {
		return fmt.Errorf("the server's %s certificate: %w", id.name, err)
	}
	if len(names) == 0 {
		names = m.GetNames()
	}
	revoked, err := id.revoked(ctx)
	switch {
	case err != nil:
		return err
	case revoked:
		return id.renew(ctx, names, whyRevoked)
	case due(id.current.Load().Leaf, id.now()):
		return id.renew(ctx, names, whyDue)
	case !slices.Equal(names, m.GetNames()):
		return id.renew(ctx, names, whyNames)
	}
	return nil
}

// renew issues a certificate and says so.
func (id *identity) renew(ctx context.Context, names []string, why string) error {
	if err := id.issue(ctx, names); err != nil {
		return err
	}
	if id.log != nil {
		leaf := id.current.Load().Leaf
		serial, _ := amt.SerialOf(leaf.SerialNumber) // one of ours
		id.log.Info("a certificate of the server is issued", "certificate", id.name, "why", why,
			"serial", serial, "names", strings.Join(names, ","), "until", leaf.NotAfter)
	}
	return nil
}

// revoked reports whether the certificate in use was revoked.
func (id *identity) revoked(ctx context.Context) (revoked bool, err error) {
	serial, err := amt.SerialOf(id.current.Load().Leaf.SerialNumber)
	if err != nil {
		return false, fmt.Errorf("the server's %s certificate: %w", id.name, err)
	}
	err = id.store.View(ctx, func(r kv.Reader) error {
		c, err := id.ca.Get(r, serial)
		revoked = err == nil && c.Revocation != nil
		return err
	})
	if err != nil && !errors.Is(err, ca.ErrUnknown) {
		return false, fmt.Errorf("looking up the server's %s certificate: %w", id.name, err)
	}
	return revoked, nil
}

// due reports whether a third of the lifetime or less is left.
func due(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) <= leaf.NotAfter.Sub(leaf.NotBefore)/3
}

func (id *identity) sealed() string { return "server_identities/" + id.name + "/key" }

func (id *identity) load(m *scsstorev1.ServerIdentity) error {
	der, err := id.keys.Open(m.GetSealedKey(), id.sealed())
	if err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der.Reveal())
	if err != nil {
		return errors.New("its key does not parse")
	}
	leaf, err := x509.ParseCertificate(m.GetCertificate())
	if err != nil {
		return err
	}
	id.use(leaf, key)
	return nil
}

func (id *identity) use(leaf *x509.Certificate, key crypto.PrivateKey) {
	id.current.Store(&tls.Certificate{
		Certificate: [][]byte{leaf.Raw, id.ca.APIIntermediate().Raw}, PrivateKey: key, Leaf: leaf,
	})
}

// issue makes a new key and certificate and stores them before they are used.
func (id *identity) issue(ctx context.Context, names []string) error {
	key, leaf, err := id.certify(ctx, names)
	if err != nil {
		return fmt.Errorf("issuing the server's %s certificate: %w", id.name, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the server's %s key: %w", id.name, err)
	}
	sealed, err := id.keys.Seal(amt.NewSecret(der), id.sealed())
	if err != nil {
		return err
	}
	m := &scsstorev1.ServerIdentity{Name: id.name, Names: names, Certificate: leaf.Raw, SealedKey: sealed, At: timestamppb.New(id.now())}
	err = id.store.Update(ctx, func(tx kv.Tx) error { return identities.Put(tx, []byte(id.name), m) })
	if err != nil {
		return fmt.Errorf("storing the server's %s certificate: %w", id.name, err)
	}
	id.use(leaf, key)
	return nil
}

// certify makes ECDSA for the API; AMT knows RSA alone.
func (id *identity) certify(ctx context.Context, names []string) (crypto.Signer, *x509.Certificate, error) {
	if len(names) == 0 {
		return nil, nil, errors.New("it has no name")
	}
	if id.name == consoleIdentity {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		leaf, err := id.ca.IssueConsole(ctx, ca.ConsoleRequest{Name: names[0], PublicKey: key.Public()})
		return key, leaf, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := id.ca.IssueServer(ctx, ca.ServerRequest{Names: names, PublicKey: key.Public()})
	return key, leaf, err
}

// keep renews the certificate when it is due or was revoked, until ctx is done.
func (id *identity) keep(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := id.ensure(ctx, nil); err != nil && ctx.Err() == nil {
			log.Error("a certificate of the server is not renewed", "certificate", id.name, "error", err)
		}
	}
}
