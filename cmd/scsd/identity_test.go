package main

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

func contextfileLeaf(t *testing.T) (*x509.Certificate, error) {
	dir := t.TempDir()
	if code, _, errs := scsd(t, "init", "--data", filepath.Join(dir, "data"), "--kek", filepath.Join(dir, "kek")); code != 0 {
		t.Fatal(errs)
	}
	f, err := contextfile.Load(filepath.Join(dir, "admin.yaml"))
	if err != nil {
		return nil, err
	}
	return f.Leaf()
}

// TestIdentityRenewsItself turns the clock on until the certificate is due.
func TestIdentityRenewsItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek, "--server-name", "scs.example.com"); code != 0 {
		t.Fatal(errs)
	}
	db, keys, err := openStore(t.Context(), data, kek, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	at := time.Now()
	now := func() time.Time { return at }
	authority, err := ca.Open(t.Context(), db, keys, ca.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{apiIdentity, consoleIdentity} {
		at = time.Now()
		id := &identity{name: name, store: db, keys: keys, ca: authority, now: now}
		if _, err := id.certificate(); err == nil {
			t.Error("there is a certificate before it is loaded")
		}
		renews(t, id, &at)
	}
}

func renews(t *testing.T, id *identity, at *time.Time) {
	t.Helper()
	serials := map[string]bool{}
	for _, on := range []time.Duration{0, 24 * time.Hour, 500 * 24 * time.Hour} {
		*at = at.Add(on)
		if err := id.ensure(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c, err := id.certificate()
		if err != nil {
			t.Fatal(err)
		}
		serials[c.Leaf.SerialNumber.String()] = true
		if c.Leaf.NotAfter.Before(*at) {
			t.Errorf("%s: it ended on %v", id.name, c.Leaf.NotAfter)
		}
	}
	if len(serials) != 2 {
		t.Errorf("%s: %d certificates, want 2", id.name, len(serials))
	}
	if id.name == apiIdentity {
		if err := id.current.Load().Leaf.VerifyHostname("scs.example.com"); err != nil {
			t.Error(err)
		}
		if err := id.ensure(t.Context(), []string{"other.example.com"}); err != nil {
			t.Fatal(err)
		}
		if err := id.current.Load().Leaf.VerifyHostname("other.example.com"); err != nil {
			t.Error("new names need no new certificate:", err)
		}
	}
}

func TestDoctorKnowsTheTroubles(t *testing.T) {
	t.Parallel()
	d := &doctor{s: &settings{helloAddr: "127.0.0.1:1", data: "/no/such", kek: "/no/such/kek"}, now: time.Now}
	d.files()
	d.disk()
	d.store(t.Context())
	d.reach("127.0.0.1", "9971")
	d.reach("0.0.0.0", "1234")
	d.now = func() time.Time { return time.Unix(0, 0) }
	d.clock()
	for i, f := range d.findings {
		if f.Verdict == good || f.Verdict != skipped && (f.OnPC == "" || f.Cure == "") {
			t.Errorf("finding %d: %+v", i, f)
		}
	}
	if len(d.findings) < 8 {
		t.Errorf("got %d findings: %+v", len(d.findings), d.findings)
	}
}

func TestSearchDomains(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	doc := "nameserver 192.0.2.1\ndomain old.example.com\nsearch a.example.com b.example.com .\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	got := searchDomains(path)
	if len(got) != 2 || got[0] != "a.example.com" || got[1] != "b.example.com" {
		t.Errorf("got %v", got)
	}
	if got := searchDomains("/no/such"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestServerNames(t *testing.T) {
	t.Parallel()
	got := serverNames("Host1", []string{"scs.example.com", "127.0.0.1"})
	want := []string{"localhost", "127.0.0.1", "::1", "host1", "scs.example.com"}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	for _, strange := range []string{"", "a b", "192.0.2.1", "a..b", "-a"} {
		if got := serverNames(strange, nil); len(got) != 3 {
			t.Errorf("a machine named %q: got %v", strange, got)
		}
	}
	if got := serverNames("foo_bar", nil); len(got) != 4 {
		t.Errorf("got %v", got)
	}
	if consoleName("") != "scsd" || consoleName("PC.Example") != "pc.example" {
		t.Error("console names")
	}
	if level("warn") != slog.LevelWarn {
		t.Error("levels")
	}
}

// TestRevokedIdentityIsReplaced revokes the server's own certificates: a new one,
// with a new key, takes the place of each at the next look, and the doctor tells
// of it until then.
func TestRevokedIdentityIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{apiIdentity, consoleIdentity} {
		revokeIdentity(t, data, kek, name)
	}
	addrs := []string{"--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--metrics-addr", ""}
	code, out, _ := scsd(t, append([]string{"doctor", "--data", data, "--kek", kek}, addrs...)...)
	if code != 1 || strings.Count(out, "it was revoked\n") != 2 {
		t.Errorf("doctor: got %d\n%s", code, out)
	}
	db, keys, authority := openAuthority(t, data, kek)
	defer func() { _ = db.Close() }()
	for _, name := range []string{apiIdentity, consoleIdentity} {
		var log bytes.Buffer
		id := &identity{name: name, store: db, keys: keys, ca: authority, now: time.Now, log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := id.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := id.current.Load().Leaf
		for range 2 {
			if err := id.ensure(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		after := id.current.Load().Leaf
		if after.SerialNumber.Cmp(before.SerialNumber) == 0 || bytes.Equal(after.RawSubjectPublicKeyInfo, before.RawSubjectPublicKeyInfo) {
			t.Errorf("%s: serial or key are those of the revoked one", name)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, whyRevoked) {
			t.Errorf("%s: the log says %s", name, got)
		}
	}
}

// revokeIdentity revokes what certificate revoke would.
func revokeIdentity(t *testing.T, data, kek, name string) {
	t.Helper()
	db, keys, authority := openAuthority(t, data, kek)
	defer func() { _ = db.Close() }()
	id := &identity{name: name, store: db, keys: keys, ca: authority, now: time.Now}
	if err := id.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	serial, err := amt.SerialOf(id.current.Load().Leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx kv.Tx) error {
		return authority.Revoke(tx, serial, ca.Revocation{Reason: ca.KeyCompromise, Who: "test"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// openAuthority opens a stopped server's store and authority.
func openAuthority(t *testing.T, data, kek string) (*bolt.DB, *seal.Keyset, *ca.Authority) {
	t.Helper()
	db, keys, err := openStore(t.Context(), data, kek, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(t.Context(), db, keys, ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db, keys, authority
}
