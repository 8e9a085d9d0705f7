package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amtscs/amtscs/amt"
)

// compare lets cmp look at addresses; amt.Secret has its own Equal.
var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func parse(t testing.TB, doc string) *Profile {
	t.Helper()
	p, err := Parse("p.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// everything is a document with every field, and want what it says.
const everything = `# a comment
version: 1
name: everything
description: "All: of it"
min_amt: 6.0
host_name: {pattern: 'pc-{serial}', reverse_dns: false, shared: false}
domain: Corp.Example
network:
  ping: false
  rmcp_ping: true
  static:
    address: 192.0.2.10/24
    gateway: 192.0.2.1
    dns: [192.0.2.2, 198.51.100.1]
tls:
  mode: mutual
  allow_plain: true
  trusted_cns: [scs.corp.example, .corp.example]
certificate: {lifetime: 90d}
admin_password: {policy: fixed, value: "Adm1n.Passw0rd"}
mebx_password: {policy: keep}
users:
- name: one
  realms: [3]
  access: any
  password: {policy: fixed, value: 'Us3r.Passw0rd'}
- name: two
  realms:
  - redirection
  - ACL
  password: {policy: random, length: 32}
features: {sol: true, ider: true, kvm: true, consent: none}
power_package: 7322734623dc432fa98a13d37982d855
next_pair: required
`

func everythingWant() *Profile {
	power, _ := amt.ParsePowerPackage("desktop-wake-s5")
	return &Profile{
		Name: "everything", Description: "All: of it", MinAMT: amt.Version{Major: 6},
		HostName: HostName{Pattern: "pc-{serial}"}, Domain: "Corp.Example",
		Network: Network{RMCPPing: true, Static: &Static{
			Address: netip.MustParsePrefix("192.0.2.10/24"), Gateway: netip.MustParseAddr("192.0.2.1"),
			DNS: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")},
		}},
		TLS:         TLS{Mode: MutualTLS, AllowPlain: true, TrustedCNs: []string{"scs.corp.example", ".corp.example"}},
		Certificate: Certificate{Lifetime: 90 * 24 * time.Hour},
		Admin:       Password{Policy: FixedPassword, Fixed: amt.NewSecretString("Adm1n.Passw0rd")},
		MEBx:        Password{Policy: KeepPassword},
		Users: []User{
			{Name: "one", Realms: []amt.Realm{amt.RealmPTAdministration}, Access: AnyAccess, Password: Password{Policy: FixedPassword, Fixed: amt.NewSecretString("Us3r.Passw0rd")}},
			{Name: "two", Realms: []amt.Realm{amt.RealmRedirection, amt.RealmACL}, Access: NetworkAccess, Password: Password{Policy: RandomPassword, Length: 32}},
		},
		Features: Features{SOL: true, IDER: true, KVM: true},
		Power:    power, NextPair: NextPairRequired,
	}
}

func TestParseEverything(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(everythingWant(), parse(t, everything), compare); diff != "" {
		t.Error(diff)
	}
	crlf := strings.ReplaceAll("\ufeff"+everything, "\n", "\r\n")
	if diff := cmp.Diff(everythingWant(), parse(t, crlf), compare); diff != "" {
		t.Errorf("with BOM and CRLF: %s", diff)
	}
}

func TestEncodeAndOpen(t *testing.T) {
	t.Parallel()
	p := parse(t, everything)
	doc, secrets := p.Encode(), p.Secrets()
	for path, s := range secrets {
		if strings.Contains(string(doc), string(s.Reveal())) {
			t.Errorf("%s is in the document:\n%s", path, doc)
		}
	}
	if len(secrets) != 2 || secrets["admin_password.value"].IsZero() || secrets["users[0].password.value"].IsZero() {
		t.Errorf("Secrets: got %v", secrets)
	}
	got, err := Open(doc, secrets)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Error(diff)
	}
	if again := string(got.Encode()); again != string(doc) {
		t.Errorf("encoded again: got\n%s\nwant\n%s", again, doc)
	}
	if _, err := Parse("p.yaml", doc); err == nil || !strings.Contains(err.Error(), "admin_password.value: the fixed password is missing") {
		t.Errorf("Parse without secrets: got %v", err)
	}
}

func TestAttachFaults(t *testing.T) {
	t.Parallel()
	p := parse(t, everything)
	doc, secrets := p.Encode(), p.Secrets()
	delete(secrets, "admin_password.value")
	if _, err := Open(doc, secrets); !errors.Is(err, ErrNoSecret) || !strings.Contains(err.Error(), "no value for admin_password.value") {
		t.Errorf("one missing: got %v", err)
	}
	secrets = p.Secrets()
	secrets["mebx_password.value"] = amt.NewSecretString("M3Bx.Passw0rd")
	if _, err := Open(doc, secrets); !errors.Is(err, ErrNoSecret) || strings.Contains(err.Error(), "Passw0rd") {
		t.Errorf("one too many: got %v", err)
	}
	secrets = p.Secrets()
	secrets["admin_password.value"] = amt.NewSecretString("weak-secret")
	if _, err := Open(doc, secrets); !errors.Is(err, amt.ErrPassword) && (err == nil || strings.Contains(err.Error(), "weak-secret")) {
		t.Errorf("weak one: got %v", err)
	}
	if got := Default().Secrets(); got != nil {
		t.Errorf("Secrets of the default: %v", got)
	}
	if _, err := Open([]byte("name: [}"), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("broken document: got %v", err)
	}
}

func TestDefault(t *testing.T) {
	t.Parallel()
	p := Default()
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if p.Name != DefaultName {
		t.Errorf("name: got %q", p.Name)
	}
	got := parse(t, string(p.Encode()))
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Error(diff)
	}
	base := Base()
	base.Name, base.Domain, base.HostName.Pattern = "office", "corp.example", "amt-{hash12}"
	if diff := cmp.Diff(base, parse(t, "name: office\ndomain: corp.example\nhost_name: {pattern: \"amt-{hash12}\"}"), compare); diff != "" {
		t.Errorf("fields that are left out: %s", diff)
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../docs/examples/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(name, doc)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if got := parse(t, string(p.Encode())); cmp.Diff(p, got, compare) != "" {
			t.Errorf("%s: another profile after Encode", name)
		}
		if filepath.Base(name) == "full.yaml" && (len(p.Users) != 2 || !p.Features.SOL || !p.Features.IDER || !p.Features.KVM) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestFormatsDocument checks that every field has its row in docs/formats.md.
func TestFormatsDocument(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	p := everythingWant()
	schema := Schema
	var walk func(g group, path string)
	walk = func(g group, path string) {
		for _, row := range g.fields {
			at := join(path, row.name)
			if !strings.Contains(string(b), "| `"+at+"` |") {
				t.Errorf("docs/formats.md has no row for %s", at)
			}
			switch v := row.value.(type) {
			case group:
				walk(v, at)
			case password:
				walk(v.group(&Password{}), at)
			case optional[Static]:
				walk((&Static{}).fields().(group), at)
			case list[User]:
				walk((&User{}).fields().(group), at+"[]")
			}
		}
	}
	walk(p.fields(&schema), "")
	for _, row := range Placeholders() {
		if !strings.Contains(string(b), "`{"+row[0]+"}`") {
			t.Errorf("docs/formats.md does not tell of {%s}", row[0])
		}
	}
	for _, name := range amt.PowerPackageNames() {
		if !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("docs/formats.md does not tell of %s", name)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	doc := `{"name": "j", "min_amt": "9.0", "domain": "corp.example",
	"host_name": {"pattern": "pc-{hash8}"},
	"users": [{"name": "u", "realms": ["Redirection", "4"], "password": {"policy": "random", "length": 9}}],
	"features": {"sol": true}}`
	p := parse(t, doc)
	if p.Name != "j" || p.MinAMT.Major != 9 || len(p.Users) != 1 || p.Users[0].Password.Length != 9 || !p.Features.SOL {
		t.Errorf("got %+v", p)
	}
	if !json.Valid([]byte(doc)) {
		t.Fatal("the document is not JSON")
	}
	_, err := Parse("p.json", []byte("{\n  \"name\": \"j\",\n\t\"tls\": {\"mode\": \"of\"},\n  \"nam\": 1, \"name\": 2\n}"))
	if want := "p.json:4:13: the field stands here for the second time; the first is in line 2"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Parse("p.json", []byte("{\n  \"name\": \"j\",\n\t\"tls\": {\"mode\": \"of\"},\n  \"nam\": 1\n}"))
	want := "p.json:3:18: tls.mode: want one of server, mutual, off\np.json:4:3: nam: unknown field: want one of version, name,"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	if s, err := (Password{Policy: KeepPassword}).Draw(zeros{}); err != nil || !s.IsZero() {
		t.Errorf("keep: got %d characters, %v", s.Len(), err)
	}
	if s, err := (Password{Policy: RandomPassword, Length: 20}).Draw(&counter{}); err != nil || s.Len() != 20 || amt.CheckPassword(s) != nil {
		t.Errorf("random: got %d characters, %v", s.Len(), err)
	}
	fixed := amt.NewSecretString("P@ssw0rd")
	if s, err := (Password{Policy: FixedPassword, Fixed: fixed}).Draw(zeros{}); err != nil || !s.Equal(fixed) {
		t.Errorf("fixed: got %v", err)
	}
	if _, err := (Password{Policy: FixedPassword}).Draw(zeros{}); !errors.Is(err, ErrNoSecret) {
		t.Errorf("fixed without a value: got %v", err)
	}
	if _, err := (Password{}).Draw(zeros{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no policy: got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type counter struct{ n uint32 }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		c.n = c.n*1664525 + 1013904223
		b[i] = byte(c.n >> 24)
	}
	return len(b), nil
}

func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	p := parse(t, everything)
	all := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		all += fmt.Sprintf(verb, p) + fmt.Sprintf(verb, *p) + fmt.Sprintf(verb, p.Users) + fmt.Sprintf(verb, p.Secrets())
	}
	if strings.Contains(all, "Passw0rd") || strings.Contains(all, fmt.Sprintf("%x", "Passw0rd")) {
		t.Error("a password was printed")
	}
	if b, err := json.Marshal(p); !errors.Is(err, amt.ErrSecretEncoding) {
		t.Errorf("json.Marshal: got %s, %v", b, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add(Default().Encode())
	f.Add([]byte(`{"name": "x", "users": [{"name": "u"}]}`))
	f.Add([]byte("name: &a x\ndescription: *a\n<<: {}\n--- \nname: |\n  x\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := Parse("f", doc)
		if err != nil {
			var list Errors
			if !errors.As(err, &list) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %T %v", err, err)
			}
			return
		}
		enc := p.Encode()
		got, err := Open(enc, p.Secrets())
		if err != nil {
			t.Fatalf("%v\n%s", err, enc)
		}
		if diff := cmp.Diff(p, got, compare); diff != "" {
			t.Fatalf("%s\n%s", diff, enc)
		}
		if string(got.Encode()) != string(enc) {
			t.Fatalf("encoded twice:\n%s\n%s", enc, got.Encode())
		}
		_, _ = p.FQDNFor(Facts{Serial: "X", Address: netip.IPv6LinkLocalAllNodes()})
	})
}
