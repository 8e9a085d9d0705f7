package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
)

func TestHierarchy(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, Options{Name: "Firma Süd", Organization: "Süd GmbH"})
	now := f.clock.now().Truncate(time.Second)
	for _, c := range []struct {
		cert     *x509.Certificate
		issuer   Issuer
		lifetime time.Duration
		path     int
		usages   int
	}{
		{f.Root(), Root, RootLifetime, 1, 0},
		{f.DeviceIntermediate(), Devices, IntermediateLifetime, 0, 1},
		{f.APIIntermediate(), API, IntermediateLifetime, 0, 3},
	} {
		cn := c.cert.Subject.CommonName
		if !strings.HasPrefix(cn, "Firma Süd "+c.issuer.String()+" CA ") || c.cert.Subject.Organization[0] != "Süd GmbH" {
			t.Errorf("got subject %v", c.cert.Subject)
		}
		if !c.cert.IsCA || c.cert.MaxPathLen != c.path || c.path == 0 && !c.cert.MaxPathLenZero {
			t.Errorf("%s: CA %v, path length %d, want %d", cn, c.cert.IsCA, c.cert.MaxPathLen, c.path)
		}
		if c.cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(c.cert.ExtKeyUsage)+len(c.cert.UnknownExtKeyUsage) != c.usages {
			t.Errorf("%s: usages %b, %v, %v", cn, c.cert.KeyUsage, c.cert.ExtKeyUsage, c.cert.UnknownExtKeyUsage)
		}
		if !c.cert.NotAfter.Equal(now.Add(c.lifetime)) || !c.cert.NotBefore.Before(now) {
			t.Errorf("%s: valid from %v to %v", cn, c.cert.NotBefore, c.cert.NotAfter)
		}
		if k := c.cert.PublicKey.(*rsa.PublicKey); k.N.BitLen() != 2048 || c.cert.SignatureAlgorithm != x509.SHA256WithRSA {
			t.Errorf("%s: %d bits, %v", cn, k.N.BitLen(), c.cert.SignatureAlgorithm)
		}
		if c.cert.SerialNumber.Sign() <= 0 || c.cert.SerialNumber.BitLen() > 127 {
			t.Errorf("%s: serial %v", cn, c.cert.SerialNumber)
		}
	}
	if b := f.Bundle(); len(b) != 2 || !b[0].Equal(f.Root()) || !b[1].Equal(f.DeviceIntermediate()) {
		t.Error("the bundle is not root and device intermediate")
	}
}

func TestInitTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := f.Root()
	if _, err := Init(t.Context(), f.store, f.sealer, Options{NewKey: authorityKeys()}); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want %v", err, ErrExists)
	}
	if !f.over(f.store, Options{}).Root().Equal(root) {
		t.Error("the root is another")
	}
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	store, sealer := bolttest.New(t), sealtest.New(t)
	for _, opts := range []Options{
		{Name: strings.Repeat("x", 41)},
		{Name: "a\nb"},
		{Organization: "\x00"},
		{DeviceDomains: []string{"*.example.com"}},
		{DeviceDomains: []string{""}},
	} {
		opts.NewKey = authorityKeys()
		if _, err := Init(t.Context(), store, sealer, opts); !errors.Is(err, ErrName) {
			t.Errorf("%+v: got %v, want %v", opts, err, ErrName)
		}
	}
	broken := errors.New("no entropy")
	_, err := Init(t.Context(), store, sealer, Options{NewKey: func(int) (*rsa.PrivateKey, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if _, err := Open(t.Context(), store, sealer, Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want %v", err, ErrMissing)
	}
}

// TestTampered changes what is stored of the authorities and opens them.
func TestTampered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(t *testing.T, root, devices, api *scsstorev1.CaAuthority)
		want   error
	}{
		{"nothing", func(*testing.T, *scsstorev1.CaAuthority, *scsstorev1.CaAuthority, *scsstorev1.CaAuthority) {}, nil},
		{"keys exchanged", func(_ *testing.T, _, devices, api *scsstorev1.CaAuthority) {
			devices.SealedKey, api.SealedKey = api.SealedKey, devices.SealedKey
		}, seal.ErrSealed},
		{"intermediates exchanged", func(_ *testing.T, _, devices, api *scsstorev1.CaAuthority) {
			devices.SealedKey, api.SealedKey = api.SealedKey, devices.SealedKey
			devices.Certificate, api.Certificate = api.Certificate, devices.Certificate
		}, seal.ErrSealed},
		{"certificate bent", func(_ *testing.T, _, devices, _ *scsstorev1.CaAuthority) {
			devices.Certificate[len(devices.Certificate)-1] ^= 1
		}, ErrDamaged},
		{"certificate cut", func(_ *testing.T, _, _, api *scsstorev1.CaAuthority) { api.Certificate = api.Certificate[:100] }, ErrDamaged},
		{"root cut", func(_ *testing.T, root, _, _ *scsstorev1.CaAuthority) { root.Certificate = nil }, ErrDamaged},
		{"sealed key gone", func(_ *testing.T, _, devices, _ *scsstorev1.CaAuthority) { devices.SealedKey = nil }, ErrDamaged},
		{"foreign root over our intermediates", foreignRoot, seal.ErrSealed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureOn(t, bolttest.New(t), Options{})
			err := f.update(func(tx kv.Tx) error {
				var list []*scsstorev1.CaAuthority
				for _, i := range []Issuer{Root, Devices, API} {
					m, err := authorities.Get(tx, issuerKey(i))
					if err != nil {
						return err
					}
					list = append(list, proto.Clone(m).(*scsstorev1.CaAuthority))
				}
				c.change(t, list[0], list[1], list[2])
				for _, m := range list {
					if err := authorities.Put(tx, issuerKey(Issuer(m.Issuer)), m); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), f.store, f.sealer, Options{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// foreignRoot signs our intermediates' keys by a root of its own: all
// signatures are right, but the sealed keys belong to other certificates.
func foreignRoot(t *testing.T, root, devices, api *scsstorev1.CaAuthority) {
	evil := key(0)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "evil"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	sign := func(template *x509.Certificate, pub any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, template, pub, evil)
		if err != nil {
			t.Error(err)
		}
		return der
	}
	root.Certificate = sign(template, evil.Public())
	for _, m := range []*scsstorev1.CaAuthority{devices, api} {
		cert, err := x509.ParseCertificate(m.Certificate)
		if err != nil {
			t.Error(err)
			return
		}
		m.Certificate = sign(template, cert.PublicKey)
	}
}

// TestWorldsApart verifies each kind of certificate against each pool.
func TestWorldsApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	certs := map[Purpose]*x509.Certificate{Device: f.device(1, "pc.example.com", key(0))}
	var err [3]error
	certs[Server], err[0] = f.IssueServer(t.Context(), ServerRequest{Names: []string{"scs.example.com"}, PublicKey: key(1).Public()})
	certs[Client], err[1] = f.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, key(2))})
	certs[Console], err[2] = f.IssueConsole(t.Context(), ConsoleRequest{Name: "scs.example.com", PublicKey: key(3).Public()})
	if e := errors.Join(err[:]...); e != nil {
		t.Fatal(e)
	}
	serverAuth, clientAuth := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	pools := map[string]*x509.CertPool{"api": f.APIPool(), "clients": f.ClientPool(), "devices": f.DevicePool()}
	trusted := map[string][]Purpose{
		"api server": {Server}, "api client": {Client, Console}, "clients server": {Server}, "clients client": {Client, Console},
		"devices server": {Device}, "devices client": nil,
	}
	for where, pool := range pools {
		for usageName, usage := range map[string]x509.ExtKeyUsage{"server": serverAuth, "client": clientAuth} {
			for purpose, cert := range certs {
				_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: f.clock.now(), KeyUsages: []x509.ExtKeyUsage{usage}})
				want := false
				for _, p := range trusted[where+" "+usageName] {
					want = want || p == purpose
				}
				if (err == nil) != want {
					t.Errorf("%v certificate as a %s in pool %s: got %v", purpose, usageName, where, err)
				}
			}
		}
	}
	// With the bundle, as people's tools have it.
	for purpose, cert := range certs {
		_, err := cert.Verify(x509.VerifyOptions{Roots: pool(f.Bundle()...), CurrentTime: f.clock.now(), DNSName: "pc.example.com"})
		if (err == nil) != (purpose == Device) {
			t.Errorf("%v certificate against the bundle: got %v", purpose, err)
		}
	}
}

// TestNothingInClear looks for the authorities' keys in what is stored.
func TestNothingInClear(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.device(1, "pc.example.com", key(0))
	for i := range 3 {
		k := sharedKeys[i]()
		for name, secret := range map[string][]byte{"d": k.D.Bytes(), "p": k.Primes[0].Bytes(), "q": k.Primes[1].Bytes()} {
			for _, table := range []kv.Table{tableAuthorities, tableRecords, tableLists} {
				_ = f.store.View(t.Context(), func(r kv.Reader) error {
					return r.Scan(table, kv.Range{}, func(_, v []byte) error {
						if bytes.Contains(v, secret) {
							t.Errorf("%s of key %d lies open in %s", name, i, table)
						}
						return nil
					})
				})
			}
		}
	}
}

// TestReseal rotates the keyset: the authorities' keys go along, once.
func TestReseal(t *testing.T) {
	t.Parallel()
	f := newFixtureOn(t, bolttest.New(t), Options{})
	kek := sealtest.KEK(t)
	keyset, err := seal.Init(t.Context(), f.store, kek)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.update(forget); err != nil {
		t.Fatal(err)
	}
	first, err := Init(t.Context(), f.store, keyset, Options{NewKey: authorityKeys()})
	if err != nil {
		t.Fatal(err)
	}
	if err := keyset.Rotate(t.Context(), f.store, kek); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{3, 0} {
		var n int
		err := f.update(func(tx kv.Tx) error {
			var err error
			n, err = Reseal(tx, keyset)
			return err
		})
		if err != nil || n != want {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
	again, err := Open(t.Context(), f.store, keyset, Options{})
	if err != nil || !again.Root().Equal(first.Root()) {
		t.Errorf("after the rotation: %v", err)
	}
	if err := f.update(func(tx kv.Tx) error {
		_, err := Reseal(tx, sealtest.New(t))
		return err
	}); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("another keyset: got %v, want %v", err, seal.ErrSealed)
	}
	if err := f.update(forget); err != nil {
		t.Fatal(err)
	}
	if err := f.update(func(tx kv.Tx) error {
		_, err := Reseal(tx, keyset)
		return err
	}); !errors.Is(err, ErrMissing) {
		t.Errorf("no authority: got %v, want %v", err, ErrMissing)
	}
}
