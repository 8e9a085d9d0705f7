package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Limits of names, in characters.
const (
	MaxHostName = 63  // one DNS label
	MaxFQDN     = 253 // the most that DNS carries; AMT has room for 255
)

// Errors of names.
var (
	// ErrName is returned for what is no DNS name.
	ErrName = errors.New("not a DNS name")
	// ErrNoPattern is returned by HostNameFor when the profile makes no names.
	ErrNoPattern = errors.New("the profile has no host name pattern")
	// ErrFact is returned when a placeholder's value is not known of a device.
	ErrFact = errors.New("not known of this device")
)

// Facts is what is known of a device when it gets its name.
type Facts struct {
	UUID    amt.UUID
	Address netip.Addr
	Serial  string // "" when the device did not tell
}

// placeholder is one word in braces.
type placeholder struct {
	name    string
	longest int // 0: only known for each device
	about   string
	value   func(Facts) string // "" when it is not known
}

var placeholders = []placeholder{
	{"uuid", 36, "the UUID, with its hyphens", func(f Facts) string { return f.UUID.String() }},
	{"uuid8", 8, "the UUID's first 8 digits, which all boards of some makers share", func(f Facts) string { return f.UUID.String()[:8] }},
	{"hash8", 8, "8 hex digits of the UUID's SHA-256", func(f Facts) string { return digest(f, 8) }},
	{"hash12", 12, "12 hex digits of the UUID's SHA-256", func(f Facts) string { return digest(f, 12) }},
	{"ip", 39, "the address, with hyphens for its dots or colons", func(f Facts) string { return hyphened(f.Address) }},
	{"serial", 0, "the chassis' serial number, without what a host name cannot hold", func(f Facts) string { return label(f.Serial) }},
}

// digest is made from the UUID's text form, so that anyone can repeat it:
// printf d2ffc23e-9dd1-412d-860a-54b2039b72ff | sha256sum.
func digest(f Facts, n int) string {
	sum := sha256.Sum256([]byte(f.UUID.String()))
	return hex.EncodeToString(sum[:])[:n]
}

func hyphened(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.Unmap().WithZone("").StringExpanded())
}

// label drops what a host name cannot hold.
func label(s string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		if letterOrDigit(c) || c == '-' {
			return c
		}
		return -1
	}, s), "-")
}

// Placeholders lists the words that a host name pattern may hold in braces, with
// a few words about each.
func Placeholders() [][2]string {
	rows := make([][2]string, len(placeholders))
	for i, p := range placeholders {
		rows[i] = [2]string{p.name, p.about}
	}
	return rows
}

// expand replaces each placeholder of a pattern by what fn gives for it.
func expand(pattern string, fn func(placeholder) (string, error)) (string, error) {
	var sb strings.Builder
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			sb.WriteString(rest)
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[i] == '}' || end < 0 {
			return "", errors.New("braces come in pairs, as in {hash12}")
		}
		sb.WriteString(rest[:i])
		p, err := placeholderNamed(rest[i+1 : end])
		if err != nil {
			return "", err
		}
		s, err := fn(p)
		if err != nil {
			return "", err
		}
		sb.WriteString(s)
		rest = rest[end+1:]
	}
	return sb.String(), nil
}

func placeholderNamed(name string) (placeholder, error) {
	names := make([]string, len(placeholders))
	for i, p := range placeholders {
		if p.name == name {
			return p, nil
		}
		names[i] = "{" + p.name + "}"
	}
	return placeholder{}, fmt.Errorf("unknown placeholder %s: want one of %s", quote("{"+name+"}"), strings.Join(names, ", "))
}

// measure is what is known of the names that a pattern makes.
type measure struct{ length, placeholders int }

// checkPattern reports why a pattern cannot make host names, or how long they
// get.
func checkPattern(pattern string) (measure, error) {
	var m measure
	sample, err := expand(pattern, func(p placeholder) (string, error) {
		m.placeholders++
		return strings.Repeat("0", max(p.longest, 1)), nil
	})
	if err != nil {
		return m, err
	}
	m.length = len(sample)
	if err := checkLabel(sample); err != nil {
		return m, fmt.Errorf("it makes no host name: %w", err)
	}
	return m, nil
}

// HostNameFor makes the host name of a device from the pattern: one DNS label in
// lower case. ErrNoPattern says that the profile makes none, ErrFact which fact
// is missing, ErrName that the facts do not fit.
func (p *Profile) HostNameFor(f Facts) (string, error) {
	if p.HostName.Pattern == "" {
		return "", ErrNoPattern
	}
	name, err := expand(p.HostName.Pattern, func(ph placeholder) (string, error) {
		s := ph.value(f)
		if s == "" {
			return "", fmt.Errorf("placeholder {%s}: %w", ph.name, ErrFact)
		}
		return s, nil
	})
	if err != nil {
		return "", fmt.Errorf("making a host name: %w", err)
	}
	name = strings.ToLower(name)
	if err := checkLabel(name); err != nil {
		return "", fmt.Errorf("making a host name: %w", err)
	}
	return name, nil
}

// FQDNFor is HostNameFor and the domain, in lower case.
func (p *Profile) FQDNFor(f Facts) (string, error) {
	host, err := p.HostNameFor(f)
	if err != nil {
		return "", err
	}
	fqdn := host + "." + strings.ToLower(p.Domain)
	if err := CheckFQDN(fqdn); err != nil {
		return "", fmt.Errorf("making a host name: %w", err)
	}
	return fqdn, nil
}

// CheckFQDN reports what is wrong with a name that a device shall get: at least
// two DNS labels of at most 63 characters, 253 in all, no dot behind the last.
func CheckFQDN(fqdn string) error {
	if !strings.Contains(strings.Trim(fqdn, "."), ".") {
		return fmt.Errorf("%s: %w: want a host name and its domain, as pc7.corp.example", quote(fqdn), ErrName)
	}
	if err := checkDomain(fqdn); err != nil {
		return fmt.Errorf("%s: %w", quote(fqdn), err)
	}
	return nil
}

// SplitFQDN gives the host name, the first label, and the domain behind it.
func SplitFQDN(fqdn string) (host, domain string) {
	host, domain, _ = strings.Cut(fqdn, ".")
	return host, domain
}

// checkDomain wants DNS labels with dots between them.
func checkDomain(s string) error {
	if len(s) > MaxFQDN {
		return fmt.Errorf("%w: %d characters, at most %d", ErrName, len(s), MaxFQDN)
	}
	for i, l := range strings.Split(s, ".") {
		if err := checkLabel(l); err != nil {
			return fmt.Errorf("label %d: %w", i+1, err)
		}
	}
	return nil
}

// checkLabel wants 1 to 63 letters, digits and inner hyphens.
func checkLabel(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(s) > MaxHostName:
		return fmt.Errorf("%w: %d characters, at most %d", ErrName, len(s), MaxHostName)
	case s[0] == '-' || s[len(s)-1] == '-':
		return fmt.Errorf("%w: a hyphen stands first or last", ErrName)
	}
	for i, c := range s {
		if !letterOrDigit(c) && c != '-' {
			return fmt.Errorf("%w: character %d is no letter, digit or hyphen", ErrName, i+1)
		}
	}
	return nil
}
