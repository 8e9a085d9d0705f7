package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

func TestIssueDevice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert := f.device(1, "PC-1.Example.com", key(0))
	if cert.Subject.String() != "CN=pc-1.example.com" || !cmp.Equal(cert.DNSNames, []string{"pc-1.example.com"}) {
		t.Errorf("got subject %v, names %q", cert.Subject, cert.DNSNames)
	}
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment; cert.KeyUsage != want {
		t.Errorf("got key usage %b, want %b", cert.KeyUsage, want)
	}
	if !cmp.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || cert.UnknownExtKeyUsage != nil {
		t.Errorf("got extended key usage %v, %v", cert.ExtKeyUsage, cert.UnknownExtKeyUsage)
	}
	now := f.clock.now().Truncate(time.Second)
	if want := now.Add(-Backdate); !cert.NotBefore.Equal(want) {
		t.Errorf("got notBefore %v, want %v", cert.NotBefore, want)
	}
	if want := now.Add(DeviceLifetime); !cert.NotAfter.Equal(want) {
		t.Errorf("got notAfter %v, want %v", cert.NotAfter, want)
	}
	if !key(0).PublicKey.Equal(cert.PublicKey) {
		t.Error("it has another public key")
	}
	got := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serialOf(t, cert)) })
	want := Certificate{
		Serial: serialOf(t, cert), Issuer: Devices, Purpose: Device, Holder: uuid(1).String(),
		CommonName: "pc-1.example.com", DNSNames: []string{"pc-1.example.com"}, PublicKey: cert.RawSubjectPublicKeyInfo,
		Lifetime: DeviceLifetime, BegunAt: now, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
		RenewAt: now.Add(DeviceLifetime / 3 * 2).Truncate(time.Second), IssuedAt: f.clock.now(), DER: cert.Raw,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestIssueServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert, err := f.IssueServer(t.Context(), ServerRequest{
		Names:     []string{"SCS.example.com", "127.0.0.1", "::1", "scs", "::ffff:127.0.0.1", "scs.example.com"},
		PublicKey: key(0).Public(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "scs.example.com" || !cmp.Equal(cert.DNSNames, []string{"scs.example.com", "scs"}) {
		t.Errorf("got subject %v, names %q", cert.Subject, cert.DNSNames)
	}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	if got := addresses(cert); !cmp.Equal(got, ips, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })) {
		t.Errorf("got addresses %v, want %v", got, ips)
	}
	if want := f.clock.now().Add(UserLifetime).Truncate(time.Second); !cert.NotAfter.Equal(want) {
		t.Errorf("got notAfter %v, want %v", cert.NotAfter, want)
	}
	byAddress, err := f.IssueServer(t.Context(), ServerRequest{Names: []string{"192.0.2.7"}, PublicKey: key(1).Public()})
	if err != nil || byAddress.Subject.CommonName != "192.0.2.7" {
		t.Errorf("got %v, %v", byAddress, err)
	}
}

func TestIssueClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for user, csr := range map[string][]byte{
		"anna":  csrOf(t, key(0)),
		"bob":   csrOf(t, ecKey),
		"carla": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csrOf(t, edKey)}),
	} {
		cert, err := f.IssueClient(t.Context(), ClientRequest{User: user, CSR: csr})
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		if cert.Subject.String() != "CN="+user || cert.DNSNames != nil {
			t.Errorf("got subject %v, names %q: the request's must not count", cert.Subject, cert.DNSNames)
		}
		if !cmp.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || cert.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("got usages %v, %b", cert.ExtKeyUsage, cert.KeyUsage)
		}
		c := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serialOf(t, cert)) })
		if c.Holder != user || c.Purpose != Client || c.Issuer != API {
			t.Errorf("stored as %v of %v %s", c.Issuer, c.Purpose, c.Holder)
		}
	}
}

func TestIssueConsole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert, err := f.IssueConsole(t.Context(), ConsoleRequest{Name: "scs.example.com", PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.UnknownExtKeyUsage) != 1 || cert.UnknownExtKeyUsage[0].String() != "2.16.840.1.113741.1.2.1" {
		t.Errorf("got %v", cert.UnknownExtKeyUsage)
	}
	if !cmp.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Errorf("got %v", cert.ExtKeyUsage)
	}
	if _, err := f.IssueConsole(t.Context(), ConsoleRequest{Name: "x", PublicKey: ed25519.PublicKey(make([]byte, 32))}); !errors.Is(err, ErrKey) {
		t.Errorf("an Ed25519 key: got %v, want %v", err, ErrKey)
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	issue := func(n byte, lifetime time.Duration) (*x509.Certificate, error) {
		return f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(n), FQDN: "pc.example.com", PublicKey: key(int(n)).Public(), Lifetime: lifetime})
	}
	for n, lifetime := range []time.Duration{MinLifetime, 36 * time.Hour, MaxLifetime} {
		cert, err := issue(byte(n), lifetime)
		if err != nil {
			t.Fatal(err)
		}
		if got := cert.NotAfter.Sub(cert.NotBefore); got != lifetime+Backdate {
			t.Errorf("got %v, want %v", got, lifetime+Backdate)
		}
	}
	for _, lifetime := range []time.Duration{-time.Hour, time.Second, MinLifetime - 1, MaxLifetime + 1} {
		if _, err := issue(3, lifetime); !errors.Is(err, ErrLifetime) {
			t.Errorf("%v: got %v, want %v", lifetime, err, ErrLifetime)
		}
	}
	// Nine years on, the intermediate has one year left.
	f.clock.add(9 * year)
	cert, err := issue(3, 5*year)
	if err != nil || !cert.NotAfter.Equal(f.DeviceIntermediate().NotAfter) {
		t.Errorf("got %v, %v: want it cut to the issuer's end", cert, err)
	}
	c := view(f, func(r kv.Reader) (Certificate, error) { return f.Get(r, serialOf(t, cert)) })
	if c.RenewAt.After(c.NotAfter) || c.Lifetime != 5*year {
		t.Errorf("got renewal at %v, lifetime %v", c.RenewAt, c.Lifetime)
	}
	f.clock.add(year)
	if _, err := issue(4, time.Hour); !errors.Is(err, ErrIssuer) {
		t.Errorf("the issuer has expired: got %v, want %v", err, ErrIssuer)
	}
	f.clock.add(-30 * year)
	if _, err := issue(4, time.Hour); !errors.Is(err, ErrIssuer) {
		t.Errorf("the clock is decades behind: got %v, want %v", err, ErrIssuer)
	}
}

// TestSameAnswer asks again, with one thing changed each time.
func TestSameAnswer(t *testing.T) {
	t.Parallel()
	base := DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", Lifetime: year}
	for _, c := range []struct {
		name   string
		change func(f *fixture, r *DeviceRequest, first amt.Serial)
		same   bool
	}{
		{"nothing", func(*fixture, *DeviceRequest, amt.Serial) {}, true},
		{"case of the name", func(_ *fixture, r *DeviceRequest, _ amt.Serial) { r.FQDN = "PC.example.com" }, true},
		{"some months later", func(f *fixture, _ *DeviceRequest, _ amt.Serial) { f.clock.add(year / 2) }, true},
		{"due for renewal", func(f *fixture, _ *DeviceRequest, _ amt.Serial) { f.clock.add(year/3*2 + time.Hour) }, false},
		{"expired", func(f *fixture, _ *DeviceRequest, _ amt.Serial) { f.clock.add(2 * year) }, false},
		{"another name", func(_ *fixture, r *DeviceRequest, _ amt.Serial) { r.FQDN = "pc2.example.com" }, false},
		{"another key", func(_ *fixture, r *DeviceRequest, _ amt.Serial) { r.PublicKey = key(1).Public() }, false},
		{"another lifetime", func(_ *fixture, r *DeviceRequest, _ amt.Serial) { r.Lifetime = 2 * year }, false},
		{"revoked", func(f *fixture, _ *DeviceRequest, s amt.Serial) { f.revoke(s, Superseded) }, false},
		{"replaced", func(f *fixture, _ *DeviceRequest, _ amt.Serial) { f.device(1, "pc.example.com", key(2)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			req := base
			req.PublicKey = key(0).Public()
			first, err := f.IssueDevice(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			c.change(f, &req, serialOf(t, first))
			second, err := f.IssueDevice(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if same := first.Equal(second); same != c.same {
				t.Errorf("got the same certificate: %v, want %v", same, c.same)
			}
		})
	}
}

func TestReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.device(1, "pc.example.com", key(0))
	f.clock.add(time.Hour)
	second := f.device(1, "pc.example.com", key(1))
	list := view(f, func(r kv.Reader) ([]Certificate, error) { return f.DeviceCertificates(r, uuid(1)) })
	if len(list) != 2 || list[0].Serial != serialOf(t, second) || list[1].ReplacedBy != serialOf(t, second) {
		t.Errorf("got %+v, want the second first, and the first replaced by it", list)
	}
	due := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Due(r, f.clock.now().Add(9*year), 10) })
	if len(due) != 1 || due[0].Serial != serialOf(t, second) {
		t.Errorf("due: got %d, want the second only", len(due))
	}
	if f.state(serialOf(t, first)) != Good {
		t.Error("a replaced certificate is still good")
	}
	// A user keeps one per machine.
	for _, n := range []int{2, 3} {
		if _, err := f.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, key(n))}); err != nil {
			t.Fatal(err)
		}
	}
	due = view(f, func(r kv.Reader) ([]Certificate, error) { return f.Due(r, f.clock.now().Add(9*year), 10) })
	if len(due) != 3 {
		t.Errorf("due: got %d, want 3", len(due))
	}
}

func TestKeyReuse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert := f.device(1, "pc.example.com", key(0))
	ask := func(n byte, k *rsa.PrivateKey) error {
		_, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(n), FQDN: "pc2.example.com", PublicKey: k.Public()})
		return err
	}
	if err := ask(2, key(0)); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("another UUID: got %v, want %v", err, ErrKeyInUse)
	}
	_, err := f.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, key(0))})
	if !errors.Is(err, ErrKeyInUse) {
		t.Errorf("a user: got %v, want %v", err, ErrKeyInUse)
	}
	for i := range 3 {
		if err := ask(2, sharedKeys[i]()); !errors.Is(err, ErrKeyInUse) {
			t.Errorf("an authority's key: got %v, want %v", err, ErrKeyInUse)
		}
	}
	f.revoke(serialOf(t, cert), Superseded)
	if err := ask(2, key(0)); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("another UUID after revocation: got %v, want %v", err, ErrKeyInUse)
	}
	if err := ask(1, key(0)); err != nil {
		t.Errorf("the same UUID after revocation: %v", err)
	}
	f.revoke(serialOf(t, cert), KeyCompromise)
	for n := byte(1); n < 3; n++ {
		if err := ask(n, key(0)); !errors.Is(err, ErrKeyCompromised) {
			t.Errorf("device %d, after the key was lost: got %v, want %v", n, err, ErrKeyCompromised)
		}
	}
	unfinished := view(f, func(r kv.Reader) ([]Certificate, error) { return f.Unfinished(r, f.clock.now().Add(year), 10) })
	if len(unfinished) != 0 {
		t.Errorf("refused requests left %d serials", len(unfinished))
	}
}

func TestReservedName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server, err := f.IssueServer(t.Context(), ServerRequest{Names: []string{"scs.example.com", "alias.example.com"}, PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(fqdn string) error {
		_, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: fqdn, PublicKey: key(1).Public()})
		return err
	}
	for _, n := range []string{"scs.example.com", "ALIAS.example.com"} {
		if err := ask(n); !errors.Is(err, ErrNameReserved) {
			t.Errorf("%s: got %v, want %v", n, err, ErrNameReserved)
		}
	}
	f.revoke(serialOf(t, server), CessationOfOperation)
	if err := ask("scs.example.com"); err != nil {
		t.Errorf("after the server gave up the name: %v", err)
	}
}

func TestDeviceDomains(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, Options{DeviceDomains: []string{"Example.com", "corp.test"}})
	ask := func(fqdn string) error {
		_, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: fqdn, PublicKey: key(0).Public()})
		return err
	}
	for _, n := range []string{"pc.example.com", "a.b.corp.test", "example.com"} {
		if err := ask(n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	for _, n := range []string{"pc.example.org", "notexample.com", "pc"} {
		if err := ask(n); !errors.Is(err, ErrName) {
			t.Errorf("%s: got %v, want %v", n, err, ErrName)
		}
	}
	ic := f.DeviceIntermediate()
	if !ic.PermittedDNSDomainsCritical || len(ic.ExcludedIPRanges) != 2 {
		t.Errorf("the constraint is %v, %v", ic.PermittedDNSDomains, ic.ExcludedIPRanges)
	}
}

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := key(0).Public()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	long := strings.Repeat("a", 60)
	for _, c := range []struct {
		name string
		req  DeviceRequest
		want error
	}{
		{"no UUID", DeviceRequest{FQDN: "pc", PublicKey: good}, ErrRequest},
		{"UUID of ones", DeviceRequest{UUID: amt.UUID([]byte(strings.Repeat("\xff", 16))), FQDN: "pc", PublicKey: good}, ErrRequest},
		{"no name", DeviceRequest{UUID: uuid(1), PublicKey: good}, ErrName},
		{"long name", DeviceRequest{UUID: uuid(1), FQDN: long + ".example.com", PublicKey: good}, ErrName},
		{"long label", DeviceRequest{UUID: uuid(1), FQDN: long + "aaaa", PublicKey: good}, ErrName},
		{"wildcard", DeviceRequest{UUID: uuid(1), FQDN: "*.example.com", PublicKey: good}, ErrName},
		{"address", DeviceRequest{UUID: uuid(1), FQDN: "192.0.2.1", PublicKey: good}, ErrName},
		{"trailing dot", DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com.", PublicKey: good}, ErrName},
		{"dash first", DeviceRequest{UUID: uuid(1), FQDN: "-pc.example.com", PublicKey: good}, ErrName},
		{"zero byte", DeviceRequest{UUID: uuid(1), FQDN: "pc\x00.example.com", PublicKey: good}, ErrName},
		{"umlaut", DeviceRequest{UUID: uuid(1), FQDN: "pc-ä.example.com", PublicKey: good}, ErrName},
		{"JSON", DeviceRequest{UUID: uuid(1), FQDN: `pc","isCA":true,"`, PublicKey: good}, ErrName},
		{"no key", DeviceRequest{UUID: uuid(1), FQDN: "pc"}, ErrKey},
		{"nil key", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: (*rsa.PublicKey)(nil)}, ErrKey},
		{"1024 bits", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: small.Public()}, ErrKey},
		{"private key", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: key(0)}, ErrKey},
		{"ECDSA", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: p521.Public()}, ErrKey},
		{"Ed25519", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: ed25519.PublicKey{}}, ErrKey},
		{"exponent 1", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: key(0).N, E: 1}}, ErrKey},
		{"even exponent", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: key(0).N, E: 65536}}, ErrKey},
		{"factor 3", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Mul(key(0).N, big.NewInt(3)), E: 3}}, ErrKey},
		{"even modulus", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(key(0).N, 1), E: 3}}, ErrKey},
		{"negative modulus", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Neg(key(0).N), E: 3}}, ErrKey},
		{"8192 bits", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(key(0).N, 6144), E: 3}}, ErrKey},
	} {
		if cert, err := f.IssueDevice(t.Context(), c.req); !errors.Is(err, c.want) || cert != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: small.Public()}); !strings.Contains(err.Error(), "1024 bits, want at least 2048") {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
	counts := view(f, func(r kv.Reader) (map[Purpose]Count, error) { return f.Counts(r) })
	if (counts[Device] != Count{}) {
		t.Errorf("refused requests are counted: %+v", counts[Device])
	}
}

func TestWrongUserRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := csrOf(t, key(0))
	bent := append([]byte(nil), good...)
	bent[len(bent)-1] ^= 1
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good})
	for _, c := range []struct {
		name string
		req  ClientRequest
		want error
	}{
		{"no name", ClientRequest{CSR: good}, ErrName},
		{"long name", ClientRequest{User: strings.Repeat("x", 65), CSR: good}, ErrName},
		{"newline", ClientRequest{User: "anna\nrole: admin", CSR: good}, ErrName},
		{"zero byte", ClientRequest{User: "anna\x00", CSR: good}, ErrName},
		{"not UTF-8", ClientRequest{User: "anna\xff", CSR: good}, ErrName},
		{"right to left", ClientRequest{User: "an\u202ena", CSR: good}, ErrName},
		{"no request", ClientRequest{User: "anna"}, ErrRequest},
		{"garbage", ClientRequest{User: "anna", CSR: []byte("garbage")}, ErrRequest},
		{"bent signature", ClientRequest{User: "anna", CSR: bent}, ErrRequest},
		{"too long", ClientRequest{User: "anna", CSR: make([]byte, maxCSR+1)}, ErrRequest},
		{"other PEM", ClientRequest{User: "anna", CSR: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: good})}, ErrRequest},
		{"two PEM blocks", ClientRequest{User: "anna", CSR: append(block, block...)}, ErrRequest},
		{"weak curve", ClientRequest{User: "anna", CSR: csrOf(t, p521)}, ErrKey},
		{"lifetime", ClientRequest{User: "anna", CSR: good, Lifetime: 1}, ErrLifetime},
	} {
		if cert, err := f.IssueClient(t.Context(), c.req); !errors.Is(err, c.want) || cert != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for name, names := range map[string][]string{
		"none": nil, "empty": {""}, "zone": {"fe80::1%eth0"}, "space": {"a b"},
		"long": {strings.Repeat("a.", 40) + "example"}, "many": make([]string, 33),
	} {
		if _, err := f.IssueServer(t.Context(), ServerRequest{Names: names, PublicKey: key(0).Public()}); !errors.Is(err, ErrName) {
			t.Errorf("server, %s: got %v, want %v", name, err, ErrName)
		}
	}
}

// TestInjection puts JSON and template language where names belong.
func TestInjection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, user := range []string{
		`x"},"basicConstraints":{"isCA":true},"subject":{"commonName":"y`,
		`{{ .Insecure }}`, `{"commonName":"root"}`, `\u0022,"isCA":true`, `</script>&<>`, `CN=root,O=amtscs`, "ü ☃ 漢字",
	} {
		cert, err := f.IssueClient(t.Context(), ClientRequest{User: user, CSR: csrOf(t, freshEC(t))})
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		if cert.Subject.CommonName != user || len(cert.Subject.Names) != 1 || cert.IsCA {
			t.Errorf("got subject %v, CA %v, want the common name %q", cert.Subject, cert.IsCA, user)
		}
	}
	// What no request can hold, the template quotes as well.
	o, err := f.deviceOrder(DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.schedule(o, f.devices); err != nil {
		t.Fatal(err)
	}
	o.serial = amt.Serial{1}
	o.commonName = `a","keyUsage":["certSign"],"basicConstraints":{"isCA":true,"maxPathLen":5},"x":"`
	o.dnsNames = []string{`b"],"uris":["http://evil"],"y":["`}
	cert, err := f.devices.sign(t.Context(), f.carrier, o)
	if err == nil && (cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 || cert.URIs != nil || cert.Subject.CommonName != o.commonName) {
		t.Errorf("a name became more than a name: %+v", cert.Subject)
	}
}

func freshEC(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSerialsConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.over(f.store, Options{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{} // guarded by mu
	for n := range 32 {
		wg.Go(func() {
			a := []*Authority{f.Authority, other}[n%2]
			cert, err := a.IssueClient(context.Background(), ClientRequest{User: fmt.Sprintf("user%d", n), CSR: csrOf(t, freshEC(t))})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[cert.SerialNumber.String()] = true
		})
	}
	wg.Wait()
	if len(seen) != 32 {
		t.Errorf("got %d serials for 32 certificates", len(seen))
	}
	list, _, err := listAll(f, Filter{Purpose: Client, State: Good})
	if err != nil || len(list) != 32 {
		t.Errorf("got %d of them in the store, %v", len(list), err)
	}
}

// TestOneKeyTwoDevices lets many devices claim one key at once.
func TestOneKeyTwoDevices(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for n := range errs {
		wg.Go(func() {
			_, errs[n] = f.IssueDevice(context.Background(), DeviceRequest{UUID: uuid(byte(n)), FQDN: "pc.example.com", PublicKey: key(0).Public()})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrKeyInUse) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d devices got a certificate for one key", won)
	}
}

// repeating gives the same bytes n times, then others.
type repeating struct {
	n    int
	rest io.Reader
}

func (r *repeating) Read(b []byte) (int, error) {
	r.n--
	if r.n >= 0 {
		for i := range b {
			b[i] = 0xaa
		}
		return len(b), nil
	}
	return r.rest.Read(b)
}

func TestSerialTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.over(f.store, Options{Rand: &repeating{n: 3, rest: rand.Reader}})
	issue := func(n byte) (*x509.Certificate, error) {
		return a.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(n), FQDN: "pc.example.com", PublicKey: key(int(n)).Public()})
	}
	first, err := issue(0)
	if err != nil || serialOf(t, first).String() != "2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
		t.Fatalf("got %v, %v", first, err)
	}
	second, err := issue(1)
	if err != nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Fatalf("got %v, %v", second, err)
	}
	broken := f.over(f.store, Options{Rand: &repeating{n: 1 << 20}})
	if _, err := broken.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); !errors.Is(err, errTaken) {
		t.Errorf("a source that repeats itself: got %v, want %v", err, errTaken)
	}
	empty := f.over(f.store, Options{Rand: strings.NewReader("short")})
	if _, err := empty.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); err == nil {
		t.Error("a source that ends: no error")
	}
	zeros := f.over(f.store, Options{Rand: zeroReader{}})
	if _, err := zeros.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); err == nil {
		t.Error("a source of zeros: no error")
	}
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestConsoleOID(t *testing.T) {
	t.Parallel()
	der, err := asn1.Marshal(ConsoleOID)
	if err != nil {
		t.Fatal(err)
	}
	// 2.16 is 0x60; 840 is 86 48; 113741 is 86 f8 4d.
	if got, want := string(der), "\x06\x0a\x60\x86\x48\x01\x86\xf8\x4d\x01\x02\x01"; got != want {
		t.Errorf("got % x, want % x", got, want)
	}
}
