package settings

import (
	"context"
	"net"
	"net/netip"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// wired is the index of the wired port.
const wired = 0

// The properties that hold addresses.
var addressFields = []string{"IPAddress", "SubnetMask", "DefaultGateway", "PrimaryDNS", "SecondaryDNS"}

// ethernet is the wired port's IPv4 address: AMT_EthernetPortSettings.
//
// With DHCP a Put must leave the addresses out and have IpSyncEnabled true and
// SharedStaticIp false; with a static address all three switches are false (Device
// Management Toolkit, wired configuration). The device may move to its address at
// once: a write without an answer is then found done, or not, by a later Apply
// over a connection to the new address.
func ethernet(p *profile.Profile) Setting {
	want := addresses(p.Network.Static)
	return &part[wsman.EthernetPort]{
		name: "ethernet",
		read: func(ctx context.Context, c *wsman.Client) (wsman.EthernetPort, error) {
			return c.EthernetPort(ctx, wired)
		},
		diff: func(e wsman.EthernetPort) ([]Difference, string) {
			var diff []Difference
			if p.Network.Static == nil {
				compareField(&diff, "DHCPEnabled", "true", e.Value("DHCPEnabled"))
				return diff, ""
			}
			for _, f := range []string{"DHCPEnabled", "IpSyncEnabled", "SharedStaticIp"} {
				if e.Has(f) {
					compareField(&diff, f, "false", e.Value(f))
				}
			}
			for _, f := range addressFields {
				compareField(&diff, f, want[f], canonical(e.Value(f)))
			}
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, e wsman.EthernetPort, _ []Difference) error {
			dhcp := p.Network.Static == nil
			e.SetBool("DHCPEnabled", dhcp)
			for f, v := range map[string]bool{"IpSyncEnabled": dhcp, "SharedStaticIp": false} {
				if e.Has(f) {
					e.SetBool(f, v)
				}
			}
			for _, f := range addressFields {
				e.Remove(f)
				if want[f] != "" {
					e.Set(f, want[f])
				}
			}
			_, err := c.PutEthernetPort(ctx, e)
			return err
		},
	}
}

// addresses are the property values of s, none for DHCP.
func addresses(s *profile.Static) map[string]string {
	want := map[string]string{}
	if s == nil {
		return want
	}
	want["IPAddress"] = s.Address.Addr().String()
	want["SubnetMask"] = net.IP(net.CIDRMask(s.Address.Bits(), 32)).String()
	if s.Gateway.IsValid() {
		want["DefaultGateway"] = s.Gateway.String()
	}
	for i, dns := range s.DNS {
		if i < 2 {
			want[addressFields[3+i]] = dns.String()
		}
	}
	return want
}

// canonical is an address as netip writes it; 0.0.0.0 means none.
func canonical(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	if a.IsUnspecified() {
		return ""
	}
	return a.String()
}
