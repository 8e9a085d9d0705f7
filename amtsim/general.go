package amtsim

import (
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// maxHostName is a DNS label; maxDomain a name (AMT_GeneralSettings class page
// names neither: unverified).
const (
	maxHostName = 63
	maxDomain   = 192
)

// since6 marks what came with 6.0: IPv6, dynamic DNS and the shared FQDN (Intel
// AMT Implementation and Reference Guide, "Set/Get General Network Settings"). The
// rows that the page does not date are unverified.
var since6 = amt.Version{Major: 6}

// classGeneralSettings is AMT_GeneralSettings.
var classGeneralSettings = newClass(baseAMT, "AMT_GeneralSettings", class{
	props: []field{
		{name: "AMTNetworkEnabled", kind: kUint32, write: true, since: since6},
		{name: "DDNSPeriodicUpdateInterval", kind: kUint32, write: true, since: since6},
		{name: "DDNSTTL", kind: kUint32, write: true, since: since6},
		{name: "DDNSUpdateByDHCPServerEnabled", kind: kBool, write: true, since: since6},
		{name: "DDNSUpdateEnabled", kind: kBool, write: true, since: since6},
		{name: "DHCPv6ConfigurationTimeout", kind: kUint16, write: true, since: since6},
		{name: "DigestRealm", kind: kString},
		{name: "DomainName", kind: kString, write: true, max: 255},
		{name: "ElementName", kind: kString},
		{name: "HostName", kind: kString, write: true, max: 255},
		{name: "HostOSFQDN", kind: kString, write: true, max: 255, since: since6},
		{name: "IdleWakeTimeout", kind: kUint32, write: true},
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "NetworkInterfaceEnabled", kind: kBool},
		{name: "PingResponseEnabled", kind: kBool, write: true},
		{name: "PowerSource", kind: kUint32, since: since6},
		{name: "PreferredAddressFamily", kind: kUint32, write: true, since: since6},
		{name: "PresenceNotificationInterval", kind: kUint32, write: true, since: since6},
		{name: "PrivacyLevel", kind: kUint32, since: since6},
		{name: "RmcpPingResponseEnabled", kind: kBool, write: true},
		{name: "SharedFQDN", kind: kBool, write: true, since: since6},
		{name: "WsmanOnlyMode", kind: kBool, write: true},
	},
	list: one(generalSettings),
	put:  putGeneral,
	read: []amt.Realm{amt.RealmGeneralInfo},
})

const generalID = "Intel(r) AMT: General Settings"

func generalSettings(d *Device) object {
	f, g := &d.flash, &d.flash.General
	var o object
	six := d.opt.Generation.Version.AtLeast(6, 0)
	if six {
		o.num("AMTNetworkEnabled", g.AMTNetworkEnabled)
		o.num("DDNSPeriodicUpdateInterval", g.DDNSPeriodicUpdateInterval)
		o.num("DDNSTTL", g.DDNSTTL)
		o.bool("DDNSUpdateByDHCPServerEnabled", g.DDNSUpdateByDHCPServerEnabled)
		o.bool("DDNSUpdateEnabled", g.DDNSUpdateEnabled)
		o.num("DHCPv6ConfigurationTimeout", g.DHCPv6ConfigurationTimeout)
	}
	o.str("DigestRealm", f.Realm)
	o.str("DomainName", f.Domain)
	o.str("ElementName", generalID)
	o.str("HostName", f.HostName)
	if six {
		o.str("HostOSFQDN", g.HostOSFQDN)
	}
	o.num("IdleWakeTimeout", g.IdleWakeTimeout)
	o.str("InstanceID", generalID)
	o.bool("NetworkInterfaceEnabled", true)
	o.bool("PingResponseEnabled", g.PingResponseEnabled)
	if six {
		o.num("PowerSource", 0)
		o.num("PreferredAddressFamily", g.PreferredAddressFamily)
		o.num("PresenceNotificationInterval", g.PresenceNotificationInterval)
		o.num("PrivacyLevel", g.PrivacyLevel)
	}
	o.bool("RmcpPingResponseEnabled", g.RmcpPingResponseEnabled)
	if six {
		o.bool("SharedFQDN", g.SharedFQDN)
	}
	o.bool("WsmanOnlyMode", g.WsmanOnlyMode)
	return o
}

// putGeneral checks everything before it changes anything.
func putGeneral(d *Device, _ *exchange, in *input) *fault {
	if h := in.str("HostName"); h != "" && (len(h) > maxHostName || !isHostName(h)) {
		return faultStatus(InvalidName)
	}
	if n := in.str("DomainName"); len(n) > maxDomain || n != "" && !isDomain(n) {
		return faultStatus(InvalidDomainName)
	}
	if n := in.num("PresenceNotificationInterval"); n > 0 && n < 15 {
		return faultStatus(InvalidParameter)
	}
	if t := in.num("IdleWakeTimeout"); t > 65535 || in.has("IdleWakeTimeout") && t == 0 {
		return faultStatus(InvalidParameter)
	}
	f, g := &d.flash, &d.flash.General
	in.setNum("AMTNetworkEnabled", &g.AMTNetworkEnabled)
	in.setNum("DDNSPeriodicUpdateInterval", &g.DDNSPeriodicUpdateInterval)
	in.setNum("DDNSTTL", &g.DDNSTTL)
	in.setBool("DDNSUpdateByDHCPServerEnabled", &g.DDNSUpdateByDHCPServerEnabled)
	in.setBool("DDNSUpdateEnabled", &g.DDNSUpdateEnabled)
	in.setNum("DHCPv6ConfigurationTimeout", &g.DHCPv6ConfigurationTimeout)
	in.setStr("DomainName", &f.Domain)
	in.setStr("HostName", &f.HostName)
	in.setStr("HostOSFQDN", &g.HostOSFQDN)
	in.setNum("IdleWakeTimeout", &g.IdleWakeTimeout)
	in.setBool("PingResponseEnabled", &g.PingResponseEnabled)
	in.setNum("PreferredAddressFamily", &g.PreferredAddressFamily)
	in.setNum("PresenceNotificationInterval", &g.PresenceNotificationInterval)
	in.setBool("RmcpPingResponseEnabled", &g.RmcpPingResponseEnabled)
	in.setBool("SharedFQDN", &g.SharedFQDN)
	in.setBool("WsmanOnlyMode", &g.WsmanOnlyMode)
	return nil
}

func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > maxHostName || !isHostName(label) {
			return false
		}
	}
	return true
}

// isHostName reports whether s is a label of letters, digits and inner hyphens.
func isHostName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != ""
}

// classSoftwareIdentity is CIM_SoftwareIdentity.
var classSoftwareIdentity = newClass(baseCIM, "CIM_SoftwareIdentity", class{
	common: true,
	props: []field{
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "IsEntity", kind: kBool},
		{name: "VersionString", kind: kString},
	},
	list: softwareIdentities,
	read: []amt.Realm{amt.RealmGeneralInfo, amt.RealmHardwareAsset},
})

func softwareIdentities(d *Device) []object {
	g := d.opt.Generation
	v, build := g.Version.String(), uintText(uint64(g.Build))
	var list []object
	for _, row := range [][2]string{
		{"Flash", v},
		{"Netstack", v},
		{"AMTApps", v},
		{"AMT", v},
		{"Sku", "8"},
		{"VendorID", "8086"},
		{"Build Number", build},
		{"Recovery Version", v},
		{"Recovery Build Num", build},
		{"Legacy Mode", "False"},
	} {
		var o object
		o.str("InstanceID", row[0])
		o.bool("IsEntity", true)
		o.str("VersionString", row[1])
		list = append(list, o)
	}
	return list
}

// classTimeService is AMT_TimeSynchronizationService.
var classTimeService = newClass(baseAMT, "AMT_TimeSynchronizationService", class{
	common: true,
	props: append([]field{
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledState", kind: kUint16},
		{name: "LocalTimeSyncEnabled", kind: kUint32},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "RequestedState", kind: kUint16},
	}, append(serviceKeys, field{name: "TimeSource", kind: kUint32})...),
	list: one(timeService),
	read: []amt.Realm{amt.RealmNetworkTime},
	methods: map[string]*method{
		"GetLowAccuracyTimeSynch": {read: true, run: func(d *Device, x *exchange, _ *input) Status {
			x.out.num("Ta0", uint32(d.now().Unix()))
			return Success
		}},
		"SetHighAccuracyTimeSynch": {in: []field{
			{name: "Ta0", kind: kUint32, need: true}, {name: "Tm1", kind: kUint32, need: true}, {name: "Tm2", kind: kUint32, need: true},
		}, run: setTime},
	},
})

func timeService(*Device) object {
	var o object
	o.str("CreationClassName", "AMT_TimeSynchronizationService")
	o.str("ElementName", "Intel(r) AMT Time Synchronization Service")
	o.num("EnabledState", 5)
	o.num("LocalTimeSyncEnabled", 0)
	o.str("Name", "Intel(r) AMT Time Synchronization Service")
	o.num("RequestedState", 12)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	o.num("TimeSource", 0)
	return o
}

// maxSynch is how long Ta0 is good for (the device's own rule: unverified).
const maxSynch = 10 * time.Minute

// setTime moves the clock by ((Tm1+Tm2)-(Ta0+Ta3))/2, all in seconds: Ta0 what the
// device answered, Tm1 when the server had the answer, Tm2 when it sends this,
// Ta3 when the device has it.
func setTime(d *Device, _ *exchange, in *input) Status {
	ta0, tm1, tm2 := int64(in.num("Ta0")), int64(in.num("Tm1")), int64(in.num("Tm2"))
	ta3 := d.now().Unix()
	if tm2 < tm1 || ta0 > ta3 || ta3-ta0 > int64(maxSynch/time.Second) {
		return InvalidParameter
	}
	d.flash.ClockOffset += time.Duration((tm1+tm2)-(ta0+ta3)) * time.Second / 2
	d.flash.ClockSet = true
	return Success
}
