package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
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
