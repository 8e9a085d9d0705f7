package provisioning

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestDialPolicy(t *testing.T) {
	t.Parallel()
	own := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil }
	campus := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	tests := []struct {
		addr     string
		allow    []netip.Prefix
		loopback bool
		want     bool
	}{
		{"198.51.100.7", nil, false, true},
		{"2001:db8::7", nil, false, true},
		{"0.0.0.0", nil, true, false},
		{"::", nil, true, false},
		{"224.0.0.1", nil, true, false},
		{"ff02::1", nil, true, false},
		{"255.255.255.255", nil, true, false},
		{"192.0.2.1", nil, true, false},
		{"::ffff:192.0.2.1", nil, true, false},
		{"127.0.0.1", nil, false, false},
		{"127.0.0.1", nil, true, true},
		{"::1", nil, false, false},
		{"::1", nil, true, true},
		{"10.1.2.3", campus, false, true},
		{"::ffff:10.1.2.3", campus, false, true},
		{"fe80::1%eth0", campus, false, true},
		{"198.51.100.7", campus, false, false},
		{"127.0.0.1", campus, true, false},
	}
	for _, tt := range tests {
		p := &dialPolicy{allow: tt.allow, loopback: tt.loopback, own: own, now: time.Now}
		err := p.check(netip.MustParseAddr(tt.addr))
		if got := err == nil; got != tt.want {
			t.Errorf("%s in %v, loopback %t: got %v", tt.addr, tt.allow, tt.loopback, err)
		}
		if err != nil && classify(err).reason != AddressNotAllowed {
			t.Errorf("%s: reason %s", tt.addr, classify(err).reason)
		}
	}
	if err := (&dialPolicy{own: own, now: time.Now}).check(netip.Addr{}); err == nil {
		t.Error("no address at all was allowed")
	}
}

func TestOwnAddressesAreRemembered(t *testing.T) {
	t.Parallel()
	now, asked, broken := noon, 0, false
	p := &dialPolicy{now: func() time.Time { return now }, own: func() ([]netip.Addr, error) {
		asked++
		if broken {
			return nil, errors.New("no netlink")
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}}
	for range 3 {
		p.ownAddresses()
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	now, broken = now.Add(time.Hour), true
	if got := p.ownAddresses(); len(got) != 1 {
		t.Errorf("when the system does not answer: got %v, want the last known", got)
	}
}
