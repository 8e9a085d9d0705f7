package amtsim

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/amtscs/amtscs/amt"
)

// hasKVM gates the classes that came with KVM.
func hasKVM(g *Generation) bool { return g.KVM }

// stateChange is the input of RequestStateChange, whose time-out is optional.
var stateChange = []field{
	{name: "RequestedState", kind: kUint16, need: true},
	{name: "TimeoutPeriod", kind: kString, max: 32},
}

// classRedirection is AMT_RedirectionService: SOL and IDER.
var classRedirection = newClass(baseAMT, "AMT_RedirectionService", class{
	common: true,
	props: append([]field{
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledState", kind: kUint16, need: true, write: true},
		{name: "ListenerEnabled", kind: kBool, need: true, write: true},
		{name: "Name", kind: kString, key: true, need: true},
	}, serviceKeys...),
	list: one(redirectionService),
	read: []amt.Realm{amt.RealmRedirection, amt.RealmRemoteControl},
	put: func(d *Device, _ *exchange, in *input) *fault {
		state := in.num("EnabledState")
		if !isRedirection(state) {
			return faultStatus(InvalidParameter)
		}
		d.flash.Redirection, d.flash.Listener = state, in.bool("ListenerEnabled")
		return nil
	},
	methods: map[string]*method{
		"RequestStateChange": {in: stateChange, run: func(d *Device, _ *exchange, in *input) Status {
			state := in.num("RequestedState")
			if !isRedirection(state) {
				return vendor(InvalidParameter)
			}
			d.flash.Redirection = state
			return Success
		}},
	},
})

// isRedirection: 32768 off, 32769 IDER, 32770 SOL, 32771 both.
func isRedirection(state uint32) bool { return state >= 32768 && state <= 32771 }

// vendor moves a PT_STATUS into the vendor's range of a standard CIM method
// (Intel AMT Implementation and Reference Guide, "Errors and Return Values").
func vendor(s Status) Status { return 32768 + s }

func redirectionService(d *Device) object {
	var o object
	o.str("CreationClassName", "AMT_RedirectionService")
	o.str("ElementName", "Intel(r) AMT Redirection Service")
	o.num("EnabledState", d.flash.Redirection)
	o.bool("ListenerEnabled", d.flash.Listener)
	o.str("Name", "Intel(r) AMT Redirection Service")
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	return o
}

// classKVM is CIM_KVMRedirectionSAP.
var classKVM = newClass(baseCIM, "CIM_KVMRedirectionSAP", class{
	common: true,
	gate:   hasKVM,
	props: append([]field{
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledState", kind: kUint16},
		{name: "KVMProtocol", kind: kUint16},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "RequestedState", kind: kUint16},
	}, serviceKeys...),
	list: one(kvmService),
	read: []amt.Realm{amt.RealmRedirection},
	methods: map[string]*method{
		"RequestStateChange": {in: stateChange, run: func(d *Device, _ *exchange, in *input) Status {
			switch in.num("RequestedState") {
			case 2:
				d.flash.KVM = true
			case 3:
				d.flash.KVM = false
			default:
				return vendor(InvalidParameter)
			}
			return Success
		}},
	},
})

// kvmService shows 6, enabled but without a session, or 3, disabled.
func kvmService(d *Device) object {
	enabled, requested := uint32(3), uint32(3)
	if d.flash.KVM {
		enabled, requested = 6, 2
	}
	var o object
	o.str("CreationClassName", "CIM_KVMRedirectionSAP")
	o.str("ElementName", "KVM Redirection Service Access Point")
	o.num("EnabledState", enabled)
	o.num("KVMProtocol", 4)
	o.str("Name", "KVM Redirection Service Access Point")
	o.num("RequestedState", requested)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", "ManagedSystem")
	return o
}

// consentAll is OptInRequired for every remote operation.
const consentAll = 4294967295

// classOptIn is IPS_OptInService.
var classOptIn = newClass(baseIPS, "IPS_OptInService", class{
	common: true,
	gate:   hasKVM,
	props: append([]field{
		{name: "CanModifyOptInPolicy", kind: kUint32},
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "OptInCodeTimeout", kind: kUint16, write: true},
		{name: "OptInDisplayTimeout", kind: kUint16, write: true},
		{name: "OptInRequired", kind: kUint32, need: true, write: true},
		{name: "OptInState", kind: kUint16},
	}, serviceKeys...),
	list: one(optInService),
	read: []amt.Realm{amt.RealmRedirection},
	put: func(d *Device, _ *exchange, in *input) *fault {
		if n := in.num("OptInRequired"); n > 1 && n != consentAll {
			return faultStatus(InvalidParameter)
		}
		o := &d.flash.OptIn
		in.setNum("OptInRequired", &o.Required)
		in.setNum("OptInCodeTimeout", &o.CodeTimeout)
		in.setNum("OptInDisplayTimeout", &o.DisplayTimeout)
		return nil
	},
})

func optInService(d *Device) object {
	o := object{}
	o.num("CanModifyOptInPolicy", 1)
	o.str("CreationClassName", "IPS_OptInService")
	o.str("ElementName", "Intel(r) AMT OptIn Service")
	o.str("Name", "Intel(r) AMT OptIn Service")
	o.num("OptInCodeTimeout", d.flash.OptIn.CodeTimeout)
	o.num("OptInDisplayTimeout", d.flash.OptIn.DisplayTimeout)
	o.num("OptInRequired", d.flash.OptIn.Required)
	o.num("OptInState", 0)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	return o
}

// powerSchemes are a desktop's power packages: Intel's names and raw GUIDs, as
// its Configuration Utility lists them.
var powerSchemes = [][2]string{
	{"Desktop: ON in S0", "944F8312FB104FDC968E1E232B0C9065"},
	{"Desktop: ON in S0, S3", "A18600AB9A7F4C42A6E6BB243A295D9E"},
	{"Desktop: ON in S0, S3, S4-5", "7286ABAC96B448E29B9E9B7DF91C7FD4"},
	{"Desktop: ON in S0, ME Wake in S3", "7B32CD4D6BBE4389A62A4D7BD8DBD026"},
	{"Desktop: ON in S0, ME Wake in S3, S4-5", "7322734623DC432FA98A13D37982D855"},
}

func schemeID(i int) string { return fmt.Sprintf("SCHEME %d", i) }

// classPowerScheme is AMT_SystemPowerScheme. Which scheme is in force cannot be
// read from it.
var classPowerScheme = newClass(baseAMT, "AMT_SystemPowerScheme", class{
	props: []field{
		{name: "Description", kind: kString},
		{name: "ElementName", kind: kString},
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "SchemeGUID", kind: kBase64},
	},
	list: func(*Device) []object {
		list := make([]object, len(powerSchemes))
		for i, s := range powerSchemes {
			raw, _ := hex.DecodeString(s[1]) // a constant
			list[i].str("Description", s[0])
			list[i].str("ElementName", "Intel(r) AMT Power Scheme")
			list[i].str("InstanceID", schemeID(i))
			list[i].str("SchemeGUID", base64.StdEncoding.EncodeToString(raw))
		}
		return list
	},
	read: []amt.Realm{amt.RealmGeneralInfo},
	methods: map[string]*method{
		"SetPowerScheme": {selects: true, run: func(d *Device, x *exchange, _ *input) Status {
			d.flash.PowerScheme = x.index
			return Success
		}},
	},
})
