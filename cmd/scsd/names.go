package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/ca"
)

// maxServerNames leaves room for the names that are always there.
const maxServerNames = 24

// serverNames are the names the API's certificate gets: localhost, this
// machine's name if it can stand in a certificate, and those given.
func serverNames(hostname string, more []string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	// Windows host names have underscores, which a certificate may carry.
	if net.ParseIP(hostname) == nil && len(hostname) <= ca.MaxCommonName && validServerName(strings.ReplaceAll(hostname, "_", "-")) {
		more = append([]string{hostname}, more...)
	}
	for _, n := range more {
		if n = strings.ToLower(n); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// checkServerNames refuses what no client would look for: it would make the
// certificate impossible, or one that nobody can use.
func checkServerNames(names []string) error {
	if len(names) > maxServerNames {
		return usage("--server-name: %d names, want at most %d", len(names), maxServerNames)
	}
	for _, n := range names {
		if !validServerName(n) {
			return usage("--server-name %q: want a DNS name such as scs.example.com (letters, digits and dashes between the dots), or an address", n)
		}
	}
	return nil
}

func validServerName(name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Zone() == "" && !a.IsUnspecified()
	}
	labels := strings.Split(name, ".")
	if last := labels[len(labels)-1]; len(name) > 253 || len(labels) > 1 && strings.Trim(last, "0123456789") == "" {
		return false
	}
	return !slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.ContainsFunc(l, func(c rune) bool {
				return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
			})
	})
}

// named reports whether a certificate of these names is good for a host.
func named(names []string, host string) bool {
	want, err := netip.ParseAddr(host)
	return slices.ContainsFunc(names, func(n string) bool {
		if a, e := netip.ParseAddr(n); e == nil && err == nil {
			return a.Unmap() == want.Unmap()
		}
		return strings.EqualFold(n, strings.TrimSuffix(host, "."))
	})
}
