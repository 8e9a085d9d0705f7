package provisioning

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// ownAddressLife is how long the list of the server's own addresses is believed.
const ownAddressLife = 30 * time.Second

// dialPolicy says which addresses may be dialled.
type dialPolicy struct {
	allow    []netip.Prefix
	loopback bool
	own      func() ([]netip.Addr, error)
	now      func() time.Time

	mu     sync.Mutex
	cached []netip.Addr // guarded by mu
	until  time.Time    // guarded by mu
}

// check returns an error with reason AddressNotAllowed for an address that must
// not be dialled.
func (p *dialPolicy) check(a netip.Addr) error {
	a = a.Unmap()
	refuse := func(why string) error {
		return because(AddressNotAllowed, fmt.Errorf("%v %s", a, why))
	}
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return refuse("is the unspecified address")
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refuse("is a multicast or broadcast address")
	case a.IsLoopback():
		if !p.loopback {
			return refuse("is a loopback address")
		}
	case slices.Contains(p.ownAddresses(), a.WithZone("")):
		return refuse("is an address of this server")
	}
	if len(p.allow) == 0 {
		return nil
	}
	for _, prefix := range p.allow {
		if prefix.Contains(a.WithZone("")) {
			return nil
		}
	}
	return refuse("is in no network of --dial-allow")
}

// ownAddresses lists the server's addresses; when they cannot be read the last
// known ones stand.
func (p *dialPolicy) ownAddresses() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.After(p.until) {
		if own, err := p.own(); err == nil {
			p.cached = own
		}
		p.until = now.Add(ownAddressLife)
	}
	return p.cached
}

// systemAddresses lists the addresses of this machine's interfaces.
func systemAddresses() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of this machine: %w", err)
	}
	var own []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	return own, nil
}
