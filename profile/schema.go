package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// DefaultName is the name of the built-in profile.
const DefaultName = "default"

// defaultLength is the length of random passwords: about 92 bits.
const defaultLength = 16

// year is what a certificate lifetime counts as one: no leap days.
const year = 365 * 24 * time.Hour

// Base is a profile with the value of each field that a document leaves out. A
// name is missing, and a domain when there is a host name pattern.
func Base() *Profile {
	return &Profile{
		HostName:    HostName{Shared: true},
		Network:     Network{Ping: true},
		TLS:         TLS{Mode: ServerTLS},
		Certificate: Certificate{Lifetime: 2 * year},
		Admin:       Password{Policy: RandomPassword, Length: defaultLength},
		MEBx:        Password{Policy: RandomPassword, Length: defaultLength},
		Features:    Features{Consent: ConsentAll},
		NextPair:    NextPairOptional,
	}
}

// Default is the built-in profile: what Base gives, with names made from the
// UUID in a domain that is reserved for private use.
func Default() *Profile {
	p := Base()
	p.Name = DefaultName
	p.Description = "Built in: TLS, random passwords, no redirection."
	p.HostName.Pattern = "amt-{hash12}"
	p.Domain = "amt.internal"
	return p
}

// fields is the table of a whole document, in the order in which it is written.
// schema is where its version number is read to and written from.
func (p *Profile) fields(schema *int) group {
	return group{fields: []field{
		{name: "version", value: number{schema}},
		{name: "name", value: text{&p.Name}},
		{name: "description", value: text{&p.Description}, omit: p.Description == ""},
		{name: "min_amt", value: version(&p.MinAMT), omit: p.MinAMT.IsZero()},
		{name: "host_name", value: p.HostName.fields()},
		{name: "domain", value: text{&p.Domain}, omit: p.Domain == ""},
		{name: "network", value: p.Network.fields()},
		{name: "tls", value: p.TLS.fields()},
		{name: "certificate", value: group{fields: []field{{name: "lifetime", value: lifetime(&p.Certificate.Lifetime)}}}},
		{name: "admin_password", value: password{&p.Admin, noKeep}},
		{name: "mebx_password", value: password{&p.MEBx, policies}},
		{name: "users", value: list[User]{
			p: &p.Users, item: (*User).fields,
			zero: User{Access: NetworkAccess, Password: Password{Policy: RandomPassword, Length: defaultLength}},
		}, omit: len(p.Users) == 0},
		{name: "features", value: p.Features.fields()},
		{name: "power_package", value: powerPackage(&p.Power), omit: p.Power.IsZero()},
		{name: "next_pair", value: choice(&p.NextPair, nextPairs)},
	}}
}

func (h *HostName) fields() value {
	return group{fields: []field{
		{name: "pattern", value: text{&h.Pattern}, omit: h.Pattern == ""},
		{name: "reverse_dns", value: flag{&h.ReverseDNS}},
		{name: "shared", value: flag{&h.Shared}},
	}}
}

func (n *Network) fields() value {
	return group{fields: []field{
		{name: "ping", value: flag{&n.Ping}},
		{name: "rmcp_ping", value: flag{&n.RMCPPing}},
		{name: "static", value: optional[Static]{&n.Static, (*Static).fields}, omit: n.Static == nil},
	}}
}

func (s *Static) fields() value {
	return group{fields: []field{
		{name: "address", value: parsed[netip.Prefix]{&s.Address, parsePrefix, netip.Prefix.String}},
		{name: "gateway", value: parsed[netip.Addr]{&s.Gateway, parseAddr, netip.Addr.String}, omit: !s.Gateway.IsValid()},
		{name: "dns", value: list[netip.Addr]{p: &s.DNS, item: func(a *netip.Addr) value {
			return parsed[netip.Addr]{a, parseAddr, netip.Addr.String}
		}}, omit: len(s.DNS) == 0},
	}}
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s: want an address with its length, as 192.0.2.10/24", quote(s))
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("%s: want an address, as 192.0.2.1", quote(s))
	}
	return a, nil
}

var tlsModes = []word[TLSMode]{{ServerTLS, "server"}, {MutualTLS, "mutual"}, {NoTLS, "off"}}

// String is the mode's name in documents.
func (m TLSMode) String() string { return wordOf(m, tlsModes) }

func (t *TLS) fields() value {
	return group{fields: []field{
		{name: "mode", value: choice(&t.Mode, tlsModes)},
		{name: "allow_plain", value: flag{&t.AllowPlain}},
		{
			name: "trusted_cns", omit: len(t.TrustedCNs) == 0,
			value: list[string]{p: &t.TrustedCNs, item: func(s *string) value { return text{s} }},
		},
	}}
}

var accesses = []word[Access]{{LocalAccess, "local"}, {NetworkAccess, "network"}, {AnyAccess, "any"}}

// String is the access' name in documents.
func (a Access) String() string { return wordOf(a, accesses) }

func (u *User) fields() value {
	return group{fields: []field{
		{name: "name", value: text{&u.Name}},
		{name: "realms", value: list[amt.Realm]{p: &u.Realms, item: func(r *amt.Realm) value {
			return parsed[amt.Realm]{r, parseRealm, amt.Realm.String}
		}}},
		{name: "access", value: choice(&u.Access, accesses)},
		{name: "password", value: password{&u.Password, noKeep}},
	}, hide: true}
}

func parseRealm(s string) (amt.Realm, error) {
	r, err := amt.ParseRealm(s)
	if err != nil {
		return 0, fmt.Errorf("%s: no such realm: want one of %s", quote(s), strings.Join(amt.RealmNames(), ", "))
	}
	return r, nil
}

var consents = []word[Consent]{{ConsentNone, "none"}, {ConsentKVM, "kvm"}, {ConsentAll, "all"}}

// String is the consent's name in documents.
func (c Consent) String() string { return wordOf(c, consents) }

func (f *Features) fields() value {
	return group{fields: []field{
		{name: "sol", value: flag{&f.SOL}},
		{name: "ider", value: flag{&f.IDER}},
		{name: "kvm", value: flag{&f.KVM}},
		{name: "consent", value: choice(&f.Consent, consents)},
	}}
}

var nextPairs = []word[NextPair]{{NextPairOptional, "optional"}, {NextPairRequired, "required"}, {NextPairOff, "off"}}

// String is the choice's name in documents.
func (n NextPair) String() string { return wordOf(n, nextPairs) }

func powerPackage(p *amt.PowerPackage) value {
	return parsed[amt.PowerPackage]{p, func(s string) (amt.PowerPackage, error) {
		got, err := amt.ParsePowerPackage(s)
		if err != nil {
			return got, fmt.Errorf("%s: no such power package: want 32 hex digits or one of %s", quote(s), strings.Join(amt.PowerPackageNames(), ", "))
		}
		return got, nil
	}, amt.PowerPackage.String}
}

func version(v *amt.Version) value {
	return parsed[amt.Version]{v, func(s string) (amt.Version, error) {
		got, err := amt.ParseVersion(s)
		if err != nil {
			return got, fmt.Errorf("%s: want an AMT version, as 6.0", quote(s))
		}
		return got, nil
	}, amt.Version.String}
}

// lifetime reads whole numbers of hours, days or years: 17520h, 730d, 2y.
func lifetime(d *time.Duration) value {
	units := []word[time.Duration]{{year, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}}
	return parsed[time.Duration]{d, func(s string) (time.Duration, error) {
		for _, u := range units {
			digits, ok := strings.CutSuffix(s, u.name)
			if n, err := strconv.ParseUint(digits, 10, 32); ok && err == nil && n <= uint64(maxLifetime/u.value) {
				return time.Duration(n) * u.value, nil
			}
		}
		return 0, errors.New("want a whole number of hours, days or years up to 10y, as 730d")
	}, func(d time.Duration) string {
		for _, u := range units {
			if d >= u.value && d%u.value == 0 {
				return strconv.FormatInt(int64(d/u.value), 10) + u.name
			}
		}
		return d.String()
	}}
}
