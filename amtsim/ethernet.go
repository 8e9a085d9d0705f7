package amtsim

import (
	"fmt"
	"net/netip"

	"github.com/amtscs/amtscs/amt"
)

// classEthernet is AMT_EthernetPortSettings: the wired port alone.
var classEthernet = newClass(baseAMT, "AMT_EthernetPortSettings", class{
	props: []field{
		{name: "DHCPEnabled", kind: kBool, need: true, write: true},
		{name: "DefaultGateway", kind: kString, max: 15, write: true},
		{name: "ElementName", kind: kString},
		{name: "IPAddress", kind: kString, max: 15, write: true},
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "IpSyncEnabled", kind: kBool, write: true},
		{name: "LinkIsUp", kind: kBool},
		{name: "LinkPolicy", kind: kUint8, array: true, write: true},
		{name: "MACAddress", kind: kString, max: 17},
		{name: "PhysicalConnectionType", kind: kUint32},
		{name: "PrimaryDNS", kind: kString, max: 15, write: true},
		{name: "SecondaryDNS", kind: kString, max: 15, write: true},
		{name: "SharedDynamicIP", kind: kBool},
		{name: "SharedMAC", kind: kBool},
		{name: "SharedStaticIp", kind: kBool, write: true},
		{name: "SubnetMask", kind: kString, max: 15, write: true},
	},
	list: one(ethernetPort),
	put:  putEthernet,
	read: []amt.Realm{amt.RealmGeneralInfo},
})

// The values a simulated DHCP server gives.
const (
	dhcpGateway = "192.168.0.1"
	dhcpMask    = "255.255.255.0"
)

func ethernetPort(d *Device) object {
	e := d.flash.Ethernet
	address := e.Address
	if e.DHCP {
		address = d.opt.Addr.String()
		e.Gateway, e.Mask, e.Primary, e.Secondary = dhcpGateway, dhcpMask, dhcpGateway, ""
	}
	var o object
	optional := func(name, v string) {
		if v != "" {
			o.str(name, v)
		}
	}
	o.bool("DHCPEnabled", e.DHCP)
	optional("DefaultGateway", e.Gateway)
	o.str("ElementName", "Intel(r) AMT Ethernet Port Settings")
	if d.opt.Addr.Is4() {
		optional("IPAddress", address)
	}
	o.str("InstanceID", "Intel(r) AMT Ethernet Port Settings 0")
	o.bool("IpSyncEnabled", e.IPSync)
	o.bool("LinkIsUp", true)
	o.num("LinkPolicy", e.LinkPolicy...)
	u := d.opt.UUID
	o.str("MACAddress", fmt.Sprintf("02-%02x-%02x-%02x-%02x-%02x", u[11], u[12], u[13], u[14], u[15]))
	o.num("PhysicalConnectionType", 0)
	optional("PrimaryDNS", e.Primary)
	optional("SecondaryDNS", e.Secondary)
	o.bool("SharedDynamicIP", true)
	o.bool("SharedMAC", true)
	o.bool("SharedStaticIp", e.SharedStatic)
	optional("SubnetMask", e.Mask)
	return o
}

// putEthernet wants, with DHCP, no addresses at all, and without it an address
// and a mask: a Put of what was read with DHCP on is refused, as consoles that
// leave the addresses out tell (Device Management Toolkit, wired configuration).
func putEthernet(d *Device, _ *exchange, in *input) *fault {
	e := d.flash.Ethernet
	e.DHCP = in.bool("DHCPEnabled")
	in.setBool("IpSyncEnabled", &e.IPSync)
	in.setBool("SharedStaticIp", &e.SharedStatic)
	if in.has("LinkPolicy") {
		e.LinkPolicy = in.nums("LinkPolicy")
	}
	e.Address, e.Mask, e.Gateway = in.str("IPAddress"), in.str("SubnetMask"), in.str("DefaultGateway")
	e.Primary, e.Secondary = in.str("PrimaryDNS"), in.str("SecondaryDNS")
	if status := e.check(); status != Success {
		return faultStatus(status)
	}
	d.flash.Ethernet = e
	return nil
}

func (e *ethernet) check() Status {
	all := []string{e.Address, e.Gateway, e.Primary, e.Secondary}
	if e.DHCP {
		if e.Address+e.Mask+e.Gateway+e.Primary+e.Secondary != "" || e.SharedStatic {
			return InvalidParameter
		}
		return Success
	}
	for i, s := range all {
		if a, err := netip.ParseAddr(s); (s != "" || i == 0) && (err != nil || !a.Is4()) {
			return InvalidIPAddress
		}
	}
	if !isMask(e.Mask) {
		return InvalidNetmask
	}
	return Success
}

// isMask reports whether s is a netmask: ones, then zeros.
func isMask(s string) bool {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return false
	}
	b := a.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return n != 0 && (^n)&(^n+1) == 0
}
