package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// checkAddr refuses what no listener can have.
func checkAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usage("--%s %q: want host:port, or :port for all addresses", flag, addr)
	}
	if n, err := strconv.Atoi(port); err == nil {
		if n < 0 || n > 65535 {
			return usage("--%s %q: want a port from 1 to 65535, or 0 to have one drawn", flag, addr)
		}
		return nil
	}
	if _, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", port); port == "" || err != nil {
		return usage("--%s %q: want a port as a number", flag, addr)
	}
	return nil
}

// listenFault adds the way out to an error of listening on --flag.
func listenFault(flag string, err error) error {
	var dns *net.DNSError
	told := fmt.Errorf("--%s: %w", flag, err)
	switch {
	case errors.As(err, &dns):
		return hint("give an address of this machine, or :PORT for all of them", fmt.Errorf("--%s: the host does not resolve: %w", flag, err))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hint("ip address shows this machine's addresses; :PORT is all of them", fmt.Errorf("--%s: no such address on this machine: %w", flag, err))
	case errors.Is(err, fs.ErrPermission):
		return hint("ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose a higher one", told)
	case errors.Is(err, syscall.EADDRINUSE):
		return hint("scsd doctor tells who has the port", told)
	}
	return told
}

// parseNetworks reads networks and single addresses.
func parseNetworks(flag string, list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if a, e := netip.ParseAddr(text); e == nil {
			if bits, looks := networkBits(a); looks {
				return nil, usage("--%s %q: did you mean %s/%d? For this address alone write %s/%d", flag, text, a, bits, a, a.BitLen())
			}
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, usage("--%s %q: want a network such as 10.0.0.0/8", flag, text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// networkBits reports whether an address looks like a network without its
// length, and of how many bits: its last bytes are zero, of IPv6 the last eight.
func networkBits(a netip.Addr) (bits int, looks bool) {
	b := a.AsSlice()
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return 8 * n, a.Is4() && n < 4 || n <= 8 && !a.Is4()
}

// days is a time that can be given in hours, days and years, too, as in profiles.
type days struct{ value *time.Duration }

// String implements pflag.Value.
func (d *days) String() string {
	if d.value == nil {
		return ""
	}
	if n := *d.value / (24 * time.Hour); n > 0 && *d.value == n*24*time.Hour {
		return fmt.Sprintf("%dd", n)
	}
	return d.value.String()
}

// Type implements pflag.Value.
func (d *days) Type() string { return "duration" }

// maxDays bounds what is kept, as profiles do.
const maxDays = 3650

// Set implements pflag.Value.
func (d *days) Set(s string) error {
	units := []struct {
		name string
		days uint64
	}{{"d", 1}, {"y", 365}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n*u.days > maxDays {
			return errors.New("want a whole number of days or years up to 10y, as 90d")
		}
		*d.value = time.Duration(n*u.days) * 24 * time.Hour
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("want a time such as 90d or 2160h")
	}
	*d.value = v
	return nil
}

// checkAddrs checks the addresses to listen on.
func (s *settings) checkAddrs() error {
	for _, a := range []struct{ flag, addr string }{
		{"hello-addr", s.helloAddr}, {"grpc-addr", s.grpcAddr}, {"metrics-addr", s.metricsAddr},
	} {
		if a.addr == "" && a.flag == "metrics-addr" {
			continue
		}
		if err := checkAddr(a.flag, a.addr); err != nil {
			return err
		}
	}
	return nil
}
