package profile

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func facts(t *testing.T) Facts {
	t.Helper()
	u, err := amt.ParseUUID("d2ffc23e-9dd1-412d-860a-54b2039b72ff")
	if err != nil {
		t.Fatal(err)
	}
	return Facts{UUID: u, Address: netip.MustParseAddr("::ffff:192.0.2.7"), Serial: "5CG/123 4X"}
}

func TestHostNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ pattern, want string }{
		{"amt-{uuid}", "amt-d2ffc23e-9dd1-412d-860a-54b2039b72ff"},
		{"{uuid8}", "d2ffc23e"},
		{"PC-{hash8}", "pc-311e2632"},
		{"amt-{hash12}", "amt-311e26324faf"},
		{"pc-{ip}", "pc-192-0-2-7"},
		{"{serial}-x", "5cg1234x-x"},
		{"plain", "plain"},
		{"{hash8}{uuid8}", "311e2632d2ffc23e"},
	}
	for _, tt := range tests {
		p := Base()
		p.HostName.Pattern, p.Domain = tt.pattern, "Corp.Example"
		f := facts(t)
		got, err := p.HostNameFor(f)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.pattern, got, err, tt.want)
		}
		if fqdn, err := p.FQDNFor(f); err != nil || fqdn != tt.want+".corp.example" {
			t.Errorf("%s: got %s, %v", tt.pattern, fqdn, err)
		}
	}
}

func TestHostNameFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pattern string
		change        func(*Facts)
		want          error
	}{
		{"no pattern", "", func(*Facts) {}, ErrNoPattern},
		{"no serial", "{serial}", func(f *Facts) { f.Serial = "" }, ErrFact},
		{"serial of nothing but signs", "{serial}", func(f *Facts) { f.Serial = "-/ -" }, ErrFact},
		{"long serial", "{serial}", func(f *Facts) { f.Serial = strings.Repeat("x", 64) }, ErrName},
		{"no address", "{ip}", func(f *Facts) { f.Address = netip.Addr{} }, ErrFact},
	}
	for _, tt := range tests {
		p := Base()
		p.HostName.Pattern, p.Domain = tt.pattern, "corp.example"
		f := facts(t)
		tt.change(&f)
		if got, err := p.HostNameFor(f); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %q, %v; want %v", tt.name, got, err, tt.want)
		}
		if got, err := p.FQDNFor(f); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %q, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	p := Base()
	p.HostName.Pattern, p.Domain = "{uuid}", strings.Repeat("a.", 108)+"a"
	if got, err := p.FQDNFor(facts(t)); !errors.Is(err, ErrName) {
		t.Errorf("long FQDN: got %q, %v", got, err)
	}
}

func TestIPv6Name(t *testing.T) {
	t.Parallel()
	p := Base()
	p.HostName.Pattern = "{ip}"
	got, err := p.HostNameFor(Facts{Address: netip.MustParseAddr("fe80::1%eth0")})
	if want := "fe80-0000-0000-0000-0000-0000-0000-0001"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestCheckFQDN(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"pc7.corp.example", "a.b", "PC-7.Corp.Example", strings.Repeat("a.", 126) + "a"} {
		if err := CheckFQDN(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "pc7", "pc7.", ".corp", "a..b", "a.b.", "-a.b", "a-.b", "a_b.c", "a b.c", "ä.b", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 127) + "a", "a.b\n"} {
		if err := CheckFQDN(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	if host, domain := SplitFQDN("pc7.corp.example"); host != "pc7" || domain != "corp.example" {
		t.Errorf("SplitFQDN: got %s, %s", host, domain)
	}
}

// TestPlaceholders checks that no value is longer than the table says.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	f := facts(t)
	f.Address = netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")
	for _, p := range placeholders {
		v := p.value(f)
		if p.longest > 0 && len(v) > p.longest || checkLabel(v) != nil {
			t.Errorf("{%s}: %s has %d characters, at most %d", p.name, v, len(v), p.longest)
		}
	}
}
