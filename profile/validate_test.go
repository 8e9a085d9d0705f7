package profile

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// TestValidateValues: profiles that were made by a program, with values that no
// document can give.
func TestValidateValues(t *testing.T) {
	t.Parallel()
	user := User{Name: "u", Realms: []amt.Realm{amt.RealmACL}, Access: NetworkAccess, Password: Password{Policy: RandomPassword, Length: 16}}
	tests := []struct {
		name   string
		change func(*Profile)
		want   string
	}{
		{"as it is", func(*Profile) {}, ""},
		{"a user", func(p *Profile) { p.Users = []User{user} }, ""},
		{"no host name at all", func(p *Profile) { p.HostName, p.Domain = HostName{}, "" }, ""},
		{"one name for one device", func(p *Profile) {
			p.HostName.Pattern = "front-desk"
			p.Network.Static = &Static{Address: netip.MustParsePrefix("192.0.2.1/30")}
		}, ""},
		{"TLS off on purpose", func(p *Profile) { p.TLS = TLS{Mode: NoTLS, AllowPlain: true} }, ""},
		{"mutual TLS, any AMT", func(p *Profile) { p.TLS.Mode = MutualTLS }, ""},
		{"no TLS mode", func(p *Profile) { p.TLS.Mode = 0 }, "tls.mode: want server, mutual or off"},
		{"TLS mode 9", func(p *Profile) { p.TLS.Mode = 9 }, "tls.mode: want server"},
		{"consent 7", func(p *Profile) { p.Features.Consent = 7 }, "features.consent: want none"},
		{"no next pair", func(p *Profile) { p.NextPair = 0 }, "next_pair: want optional"},
		{"no lifetime", func(p *Profile) { p.Certificate.Lifetime = 0 }, "certificate.lifetime: want whole hours"},
		{"negative lifetime", func(p *Profile) { p.Certificate.Lifetime = -time.Hour }, "certificate.lifetime"},
		{"longest time", func(p *Profile) { p.Certificate.Lifetime = math.MaxInt64 }, "certificate.lifetime"},
		{"half an hour", func(p *Profile) { p.Certificate.Lifetime = 90 * time.Minute }, "certificate.lifetime"},
		{"admin kept", func(p *Profile) { p.Admin = Password{Policy: KeepPassword} }, "admin_password.policy: want one of random, fixed"},
		{"no MEBx policy", func(p *Profile) { p.MEBx = Password{} }, "mebx_password.policy: want one of keep, random, fixed"},
		{"fixed without value", func(p *Profile) { p.MEBx = Password{Policy: FixedPassword} }, "mebx_password.value: the fixed password is missing"},
		{"user without password", func(p *Profile) { p.Users = []User{user}; p.Users[0].Password = Password{} }, "users[0].password.policy"},
		{"access 9", func(p *Profile) { p.Users = []User{user}; p.Users[0].Access = 9 }, "users[0].access: want local"},
		{"realm 22", func(p *Profile) { p.Users = []User{user}; p.Users[0].Realms = []amt.Realm{22} }, "users[0].realms[0]: unknown realm (22): want one of Redirection"},
		{"empty static", func(p *Profile) { p.Network.Static = &Static{} }, "network.static.address"},
		{"multicast", func(p *Profile) { p.Network.Static = &Static{Address: netip.MustParsePrefix("224.0.0.5/24")} }, "network.static.address: 224.0.0.5 is no address"},
		{"gateway is itself", func(p *Profile) {
			p.Network.Static = &Static{Address: netip.MustParsePrefix("192.0.2.5/24"), Gateway: netip.MustParseAddr("192.0.2.5")}
		}, "network.static.gateway: 192.0.2.5: want another"},
		{"invalid DNS server", func(p *Profile) {
			p.Network.Static = &Static{Address: netip.MustParsePrefix("192.0.2.5/24"), DNS: []netip.Addr{{}}}
		}, "network.static.dns[0]"},
		{"long description", func(p *Profile) { p.Description = strings.Repeat("ä", 257) }, "description: 257 characters, at most 256"},
		{"long name", func(p *Profile) { p.Name = strings.Repeat("a", 65) }, "name: 65 characters, at most 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := Default()
			tt.change(p)
			err := p.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
			_ = p.Encode() // never panics
		})
	}
}

// TestZeroProfile: everything that is missing is told.
func TestZeroProfile(t *testing.T) {
	t.Parallel()
	err := (&Profile{}).Validate()
	for _, path := range []string{"name", "tls.mode", "certificate.lifetime", "admin_password.policy", "mebx_password.policy", "next_pair"} {
		if !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%s is not told of: %v", path, err)
		}
	}
	if strings.Contains(err.Error(), "features.consent") {
		t.Error("consent none is a good value")
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]interface{ String() string }{
		"server": ServerTLS, "mutual": MutualTLS, "off": NoTLS, "unknown (9)": TLSMode(9),
		"keep": KeepPassword, "random": RandomPassword, "fixed": FixedPassword, "unknown (0)": PasswordPolicy(0),
		"local": LocalAccess, "network": NetworkAccess, "any": AnyAccess, "unknown (3)": Access(3),
		"none": ConsentNone, "kvm": ConsentKVM, "all": ConsentAll, "unknown (2)": Consent(2),
		"optional": NextPairOptional, "required": NextPairRequired, "unknown (4)": NextPair(4),
		"profile default": Default(),
	} {
		if got.String() != want {
			t.Errorf("%T: got %s, want %s", got, got, want)
		}
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"2y": "2y", "730d": "2y", "17520h": "2y", "90d": "90d", "36h": "36h", "24h": "1d", "10y": "10y", "3650d": "10y", "87600h": "10y"} {
		p := parse(t, ok+"certificate: {lifetime: "+in+"}")
		if doc := string(p.Encode()); !strings.Contains(doc, `lifetime: "`+want+`"`) {
			t.Errorf("%s: got\n%s", in, doc)
		}
	}
	for _, in := range []string{"''", "2", "y", "-1d", "1.5y", "2w", "2Y", "87601h", "3651d", "18446744073709551615h", "4294967296h", "1y1d", "' 1y'"} {
		if _, err := Parse("p", []byte(ok+"certificate: {lifetime: "+in+"}")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Error{
		"a.yaml:3:4: users: x": {Doc: "a.yaml", Line: 3, Column: 4, Path: "users", Problem: "x"},
		"a.yaml: x":            {Doc: "a.yaml", Problem: "x"},
		"3:4: users: x":        {Line: 3, Column: 4, Path: "users", Problem: "x"},
		"x":                    {Problem: "x"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var one *Error
	if _, err := Parse("a.yaml", []byte("name: -")); !errors.As(err, &one) || one.Path != "name" && one.Path != "" {
		t.Errorf("errors.As: got %v", one)
	}
}
