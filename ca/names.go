package ca

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of names.
const (
	// MaxCommonName is the upper bound of a common name (RFC 5280 appendix A.1,
	// ub-common-name). A device's FQDN is one, so it is held to it, too.
	MaxCommonName = 64
	maxDNSName    = 253
	maxLabel      = 63
	maxNames      = 32 // names of one server certificate
	maxCAName     = 40 // leaves room for " devices CA " and an id in a common name
)

// checkDNSName returns name in lower case. Underscores are let through: Windows
// host names have them.
func checkDNSName(name string) (string, error) {
	if name == "" || len(name) > maxDNSName {
		return "", fmt.Errorf("%w: a DNS name has 1 to %d characters, not %d", ErrName, maxDNSName, len(name))
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", fmt.Errorf("%w: %q is an address, not a DNS name", ErrName, name)
	}
	labels := strings.Split(name, ".")
	if last := labels[len(labels)-1]; len(labels) > 1 && last != "" && strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%w: %q ends in a number, as addresses do", ErrName, name)
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel {
			return "", fmt.Errorf("%w: %q: each label has 1 to %d characters", ErrName, name, maxLabel)
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("%w: %q: a label neither begins nor ends with a dash", ErrName, name)
		}
		for _, c := range []byte(label) {
			if !dnsCharacter(c) {
				return "", fmt.Errorf("%w: %q: only letters, digits, dash and underscore between the dots", ErrName, name)
			}
		}
	}
	return strings.ToLower(name), nil
}

func dnsCharacter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// checkFQDN is checkDNSName for a name that becomes a common name.
func checkFQDN(name string) (string, error) {
	if len(name) > MaxCommonName {
		return "", fmt.Errorf("%w: %q has %d characters, and a common name has at most %d", ErrName, name, len(name), MaxCommonName)
	}
	return checkDNSName(name)
}

// checkCommonName takes any printable text: what it means is the caller's
// matter, and the template quotes it.
func checkCommonName(name string) error {
	if name == "" || utf8.RuneCountInString(name) > MaxCommonName {
		return fmt.Errorf("%w: a common name has 1 to %d characters", ErrName, MaxCommonName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: %q is not valid UTF-8", ErrName, name)
	}
	for _, c := range name {
		if !unicode.IsPrint(c) {
			return fmt.Errorf("%w: %q holds a character that does not print", ErrName, name)
		}
	}
	return nil
}

// splitNames sorts what a server is called into DNS names and addresses,
// without repeats.
func splitNames(list []string) (dns []string, ips []netip.Addr, err error) {
	if len(list) == 0 || len(list) > maxNames {
		return nil, nil, fmt.Errorf("%w: a server has 1 to %d names, not %d", ErrName, maxNames, len(list))
	}
	seen := map[string]bool{}
	for _, n := range list {
		ip, err := netip.ParseAddr(n)
		if err == nil {
			if ip.Zone() != "" {
				return nil, nil, fmt.Errorf("%w: %q: an address in a certificate has no zone", ErrName, n)
			}
			if ip = ip.Unmap(); !seen[ip.String()] {
				seen[ip.String()] = true
				ips = append(ips, ip)
			}
			continue
		}
		n, err = checkDNSName(n)
		if err != nil {
			return nil, nil, err
		}
		if !seen[n] {
			seen[n] = true
			dns = append(dns, n)
		}
	}
	return dns, ips, nil
}

// within reports whether name is one of the domains or lies below one; an empty
// list confines nothing.
func within(name string, domains []string) bool {
	for _, d := range domains {
		if name == d || strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return len(domains) == 0
}
