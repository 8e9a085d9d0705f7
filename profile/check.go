package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amtscs/amtscs/amt"
)

// Limits.
const (
	// MaxUsers is how many digest users AMT takes beside admin (Intel SCS 11
	// help, "Defining the Access Control List").
	MaxUsers = 7
	// MaxTrustedCNs is how many ends of names AMT_TLSSettingData takes:
	// unverified.
	MaxTrustedCNs = 4

	maxNameLen     = 64
	maxDescription = 256
	maxDNS         = 2 // AMT_EthernetPortSettings has a primary and a secondary
	minLifetime    = time.Hour
	maxLifetime    = 10 * year // that of the issuing certificate
)

// check reports everything that is wrong with p.
func (p *Profile) check(f *faults) {
	p.checkNames(f)
	p.Network.check(f)
	p.checkTLS(f)
	if l := p.Certificate.Lifetime; l < minLifetime || l > maxLifetime || l%time.Hour != 0 {
		f.report("certificate.lifetime", "want whole hours from 1h to 10y")
	}
	p.Admin.check(f, "admin_password", noKeep)
	p.MEBx.check(f, "mebx_password", policies)
	p.checkUsers(f)
	if !known(p.Features.Consent, consents) {
		f.report("features.consent", "want none, kvm or all")
	}
	if !known(p.NextPair, nextPairs) {
		f.report("next_pair", "want optional, required or off")
	}
}

func known[T enum](v T, words []word[T]) bool {
	for _, w := range words {
		if w.value == v {
			return true
		}
	}
	return false
}

func (p *Profile) checkNames(f *faults) {
	if p.Name == "" {
		f.report("name", "the profile needs a name")
	} else if err := checkName(p.Name); err != nil {
		f.report("name", "%v", err)
	}
	if err := checkLine(p.Description); err != nil {
		f.report("description", "%v", err)
	}
	if !p.MinAMT.IsZero() && !p.MinAMT.AtLeast(3, 0) {
		f.report("min_amt", "AMT before 3.0 has no WS-Management and cannot take a profile: say 3.0 or leave it out")
	}
	if p.Domain != "" {
		if err := checkDomain(p.Domain); err != nil {
			f.report("domain", "%v", err)
		}
	}
	p.checkHostName(f)
}

// checkName wants what fits a command line, a file name and a table.
func checkName(s string) error {
	if len(s) > maxNameLen {
		return fmt.Errorf("%d characters, at most %d", len(s), maxNameLen)
	}
	for i, c := range s {
		if !letterOrDigit(c) && (i == 0 || c != '-' && c != '_' && c != '.') {
			return errors.New("want letters, digits, hyphens, underscores and dots, the first a letter or digit")
		}
	}
	return nil
}

func letterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func checkLine(s string) error {
	if n := utf8.RuneCountInString(s); n > maxDescription {
		return fmt.Errorf("%d characters, at most %d", n, maxDescription)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return errors.New("want one line of printable characters")
		}
	}
	return nil
}

func (p *Profile) checkHostName(f *faults) {
	h := p.HostName
	if h.Pattern == "" {
		return
	}
	if h.ReverseDNS {
		f.report("host_name.reverse_dns", "a pattern always gives a name, so DNS is never asked: remove one of the two")
	}
	longest, err := checkPattern(h.Pattern)
	switch {
	case err != nil:
		f.report("host_name.pattern", "%v", err)
	case longest.placeholders == 0 && p.Network.Static == nil:
		f.report("host_name.pattern", "all devices would get the same name: add a placeholder such as {hash12}")
	case p.Domain == "":
		f.report("domain", "a host name pattern needs a domain: add one, or remove the pattern and assign each device its FQDN")
	case longest.length+1+len(p.Domain) > MaxFQDN:
		f.report("domain", "%d characters, and host names have up to %d: at most %d with the dot between them", len(p.Domain), longest.length, MaxFQDN)
	}
}

func (n *Network) check(f *faults) {
	if n.Static == nil {
		return
	}
	s := n.Static
	a := s.Address
	if !a.IsValid() || !a.Addr().Is4() || a.Bits() < 1 || a.Bits() > 30 {
		f.report("network.static.address", "want an IPv4 address with a length from 1 to 30, as 192.0.2.10/24")
		return
	}
	if a.Addr() == a.Masked().Addr() || a.Addr() == last(a) || a.Addr().IsMulticast() || a.Addr().IsUnspecified() {
		f.report("network.static.address", "%v is no address of a device: it names the network, all of its devices, or a group", a.Addr())
	}
	if g := s.Gateway; g.IsValid() && (!a.Contains(g) || g == a.Addr()) {
		f.report("network.static.gateway", "%v: want another address of %v", g, a.Masked())
	}
	if len(s.DNS) > maxDNS {
		f.report("network.static.dns", "%d servers, at most %d", len(s.DNS), maxDNS)
	}
	for i, d := range s.DNS {
		if !d.Is4() || d.IsUnspecified() || d.IsMulticast() {
			f.report(fmt.Sprintf("network.static.dns[%d]", i), "want the IPv4 address of a server")
		}
	}
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func (p *Profile) checkTLS(f *faults) {
	t := p.TLS
	switch {
	case !known(t.Mode, tlsModes):
		f.report("tls.mode", "want server, mutual or off")
	case t.Mode == NoTLS && !t.AllowPlain:
		f.report("tls.mode", "off sends passwords' hashes and all else in clear on port 16992: say allow_plain: true as well if that is meant")
	case t.Mode != MutualTLS && len(t.TrustedCNs) > 0:
		f.report("tls.trusted_cns", "only mode: mutual looks at callers' names: remove it, or change the mode")
	case t.Mode == MutualTLS && !p.MinAMT.IsZero() && !p.MinAMT.AtLeast(6, 0):
		f.report("tls.mode", "mutual needs AMT 6.0, and min_amt allows %v: say min_amt: 6.0, or mode: server", p.MinAMT)
	}
	if len(t.TrustedCNs) > MaxTrustedCNs {
		f.report("tls.trusted_cns", "%d names, at most %d", len(t.TrustedCNs), MaxTrustedCNs)
	}
	seen := map[string]bool{}
	for i, cn := range t.TrustedCNs {
		path := fmt.Sprintf("tls.trusted_cns[%d]", i)
		if err := checkDomain(strings.TrimPrefix(cn, ".")); err != nil {
			f.report(path, "%v", err)
		}
		if seen[strings.ToLower(cn)] {
			f.report(path, "the name stands here twice")
		}
		seen[strings.ToLower(cn)] = true
	}
}

// check looks at one password.
func (p Password) check(f *faults, path string, allowed []word[PasswordPolicy]) {
	switch {
	case !known(p.Policy, allowed):
		f.report(path+".policy", "want one of %s", namesOf(allowed))
	case p.Policy == RandomPassword && (p.Length < amt.PasswordMin || p.Length > amt.PasswordMax):
		f.report(path+".length", "%d: want %d to %d", p.Length, amt.PasswordMin, amt.PasswordMax)
	case p.Policy == FixedPassword && p.Fixed.IsZero():
		f.report(path+valueField, "the fixed password is missing: it is not part of a shown profile and must be entered again")
	case p.Policy == FixedPassword:
		if err := amt.CheckPassword(p.Fixed); err != nil {
			f.report(path+valueField, "%v", err)
		}
	}
}

func (p *Profile) checkUsers(f *faults) {
	if len(p.Users) > MaxUsers {
		f.report("users", "%d users, at most %d beside %s", len(p.Users), MaxUsers, amt.AdminUser)
	}
	seen := map[string]bool{}
	for i := range p.Users {
		u, path := &p.Users[i], fmt.Sprintf("users[%d]", i)
		if err := amt.CheckUserName(u.Name); err != nil {
			f.report(path+".name", "%v", err)
		}
		if name := strings.ToLower(u.Name); seen[name] {
			f.report(path+".name", "another user has this name")
		} else {
			seen[name] = true
		}
		if !known(u.Access, accesses) {
			f.report(path+".access", "want local, network or any")
		}
		p.checkRealms(f, u.Realms, path+".realms")
		u.Password.check(f, path+".password", noKeep)
	}
}

// realmSince holds the realms that came later than AMT 3.0 (AMT_AuthorizationService).
var realmSince = map[amt.Realm]amt.Version{
	amt.RealmAuditLog: {Major: 4}, amt.RealmACL: {Major: 4}, amt.RealmDT: {Major: 5, Minor: 1},
}

func (p *Profile) checkRealms(f *faults, realms []amt.Realm, path string) {
	if len(realms) == 0 {
		f.report(path, "the user needs a realm: want one or more of %s", strings.Join(amt.RealmNames(), ", "))
	}
	seen := map[amt.Realm]bool{}
	for i, r := range realms {
		at := fmt.Sprintf("%s[%d]", path, i)
		since, later := realmSince[r]
		switch {
		case seen[r]:
			f.report(at, "%v stands here twice", r)
		case strings.HasPrefix(r.String(), "unknown"):
			f.report(at, "%v: want one of %s", r, strings.Join(amt.RealmNames(), ", "))
		case later && !p.MinAMT.IsZero() && !p.MinAMT.AtLeast(since.Major, since.Minor):
			f.report(at, "%v needs AMT %d.%d, and min_amt allows %v: raise min_amt or remove the realm", r, since.Major, since.Minor, p.MinAMT)
		}
		seen[r] = true
	}
}
