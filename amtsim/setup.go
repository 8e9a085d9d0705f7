package amtsim

import (
	"encoding/base64"

	"github.com/amtscs/amtscs/amt"
)

// The keys that services share.
var serviceKeys = []field{
	{name: "SystemCreationClassName", kind: kString, key: true, need: true},
	{name: "SystemName", kind: kString, key: true, need: true},
}

const systemClass, systemName = "CIM_ComputerSystem", "Intel(r) AMT"

// one lists the only object of a class.
func one(make func(d *Device) object) func(d *Device) []object {
	return func(d *Device) []object { return []object{make(d)} }
}

// classSetupService is AMT_SetupAndConfigurationService.
var classSetupService = newClass(baseAMT, "AMT_SetupAndConfigurationService", class{
	common: true,
	props: append([]field{
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledState", kind: kUint16},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "PasswordModel", kind: kUint8},
		{name: "ProvisioningMode", kind: kUint8},
		{name: "ProvisioningServerOTP", kind: kBase64},
		{name: "ProvisioningState", kind: kUint8},
		{name: "RequestedState", kind: kUint16},
	}, append(serviceKeys, field{name: "ZeroTouchConfigurationEnabled", kind: kBool})...),
	list: one(setupService),
	read: []amt.Realm{amt.RealmGeneralInfo},
	methods: map[string]*method{
		"GetUuid":            {read: true, run: getUUID},
		"CommitChanges":      {run: commitChanges},
		"PartialUnprovision": {run: partialUnprovision},
		"Unprovision":        {in: []field{{name: "ProvisioningMode", kind: kUint32, need: true}}, run: unprovision},
		"SetMEBxPassword":    {in: []field{{name: "Password", kind: kString, need: true, max: 64}}, run: setMEBxPassword},
		"SetTLSPSK": {
			in:   []field{{name: "PID", kind: kBase64, need: true}, {name: "PPS", kind: kBase64, need: true}},
			gate: func(d *Device) bool { return d.opt.PSK != PSKFault },
			run:  setTLSPSK,
		},
	},
})

func setupService(d *Device) object {
	var o object
	o.str("CreationClassName", "AMT_SetupAndConfigurationService")
	o.str("ElementName", "Intel(r) AMT Setup and Configuration Service")
	o.num("EnabledState", 5)
	o.str("Name", "Intel(r) AMT Setup and Configuration Service")
	o.num("PasswordModel", 1)
	o.num("ProvisioningMode", 1)
	o.str("ProvisioningServerOTP", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	o.num("ProvisioningState", uint32(d.flash.Phase))
	o.num("RequestedState", 12)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	o.bool("ZeroTouchConfigurationEnabled", true)
	return o
}

func getUUID(d *Device, x *exchange, _ *input) Status {
	u := d.opt.UUID
	if d.opt.Trouble.WrongUUID {
		u[15] ^= 0xff
	}
	b := u.SMBIOS()
	x.out.str("UUID", base64.StdEncoding.EncodeToString(b[:]))
	return Success
}

// commitChanges ends set-up, or, later, puts waiting TLS settings in force. The
// preconditions are those of Intel's notes on the method that can be met over
// WS-Management.
func commitChanges(d *Device, x *exchange, _ *input) Status {
	f := &d.flash
	want := f.TLS
	if f.PendingTLS != nil {
		want = *f.PendingTLS
	}
	if !f.ready(want) {
		return DataMissing
	}
	f.TLS, f.PendingTLS = want, nil
	if f.Phase == amt.InSetup {
		switch {
		case !f.Pending.PPS.IsZero():
			f.Pair, f.Pending = f.Pending, amt.Pair{}
		case d.opt.ForgetPair:
			f.Pair = amt.Pair{}
		}
	}
	d.setPhase(amt.Operational, x.conn)
	x.closing = true
	return Success
}

// ready reports whether a commit of these TLS settings has what it needs.
func (f *flash) ready(t tlsSettings) bool {
	if t.Remote.Enabled || t.Local.Enabled {
		if cert, key := f.credential(); cert == nil || key == nil {
			return false
		}
	}
	root := false
	for _, c := range f.Certs {
		root = root || c.Root
	}
	if (t.Remote.Mutual || t.Local.Mutual) && !root {
		return false
	}
	return f.ClockSet && f.MEBxChanged && (!f.Ethernet.DHCP || f.HostName != "")
}

// partialUnprovision forgets the profile and says hello again; administrator,
// pair, names and server stay (LMS, PartialUnprovision).
func partialUnprovision(d *Device, x *exchange, _ *input) Status {
	f := &d.flash
	if f.Phase != amt.Operational || f.Pair.PPS.IsZero() {
		return InvalidState
	}
	d.resetSettings()
	d.ram.nonces.reset()
	d.beginSetup(x.conn)
	x.closing = true
	return Success
}

// unprovision returns to the factory state: users, keys, certificates, names and
// the pair are gone, the MEBx password stays (Intel AMT Implementation and
// Reference Guide, "Restoring Intel AMT to Factory Mode").
func unprovision(d *Device, x *exchange, in *input) Status {
	switch {
	case in.num("ProvisioningMode") > 1:
		return InvalidParameter
	case d.flash.Phase == amt.Factory:
		return InvalidState
	}
	d.reset()
	d.ram.nonces.reset()
	d.setPhase(amt.Factory, x.conn)
	x.closing = true
	return Success
}

func setMEBxPassword(d *Device, _ *exchange, in *input) Status {
	f := &d.flash
	if d.opt.MEBx == MEBxDefaultOnly || d.opt.MEBx == MEBxDuringSetup && f.Phase != amt.InSetup {
		return NotPermitted
	}
	password := amt.NewSecretString(in.str("Password"))
	if amt.CheckPassword(password) != nil {
		return InvalidPassword
	}
	f.MEBxPassword, f.MEBxChanged = password, true
	if d.opt.AdminFollowsMEBx && !f.AdminSet {
		f.AdminHA1 = ha1(f.AdminUser, f.Realm, password)
		d.ram.nonces.reset()
	}
	return Success
}

// setTLSPSK takes the pair for the next set-up. That PID and PPS are base64 of
// their 8 and 32 ASCII characters is unverified: this function is the only place
// that knows.
func setTLSPSK(d *Device, _ *exchange, in *input) Status {
	f := &d.flash
	pid, ok := in.bytes("PID")
	if !ok || len(pid) != amt.PIDLen || amt.PID(pid).Check() != nil {
		return InvalidPIDFormat
	}
	raw, ok := in.bytes("PPS")
	if !ok || len(raw) != amt.PPSLen {
		return InvalidPPSFormat
	}
	pps, err := amt.ParsePPS(string(raw))
	if err != nil || !pps.Equal(amt.NewSecret(raw)) {
		return InvalidPPSFormat
	}
	pair := amt.Pair{PID: amt.PID(pid), PPS: pps}
	if f.Phase == amt.InSetup && d.opt.PSK == PSKAtCommit {
		f.Pending = pair
		return Success
	}
	f.Pair, f.Pending = pair, amt.Pair{}
	return Success
}
