package amtsim

import (
	"slices"

	"github.com/amtscs/amtscs/amt"
)

const (
	uriTLSContext    = baseAMT + "AMT_TLSCredentialContext"
	uriTLSCollection = baseAMT + "AMT_TLSProtocolEndpointCollection"
)

// classTLSCollection is AMT_TLSProtocolEndpointCollection.
var classTLSCollection = newClass(baseAMT, "AMT_TLSProtocolEndpointCollection", class{
	props: []field{{name: "ElementName", kind: kString, key: true, need: true}},
	list: one(func(*Device) object {
		var o object
		o.str("ElementName", collectionName)
		return o
	}),
})

// classTLSContext is AMT_TLSCredentialContext, which says what certificate the
// TLS server presents; there is one or none.
var classTLSContext = newClass(baseAMT, "AMT_TLSCredentialContext", class{
	props: []field{
		{name: "ElementInContext", kind: kRef, key: true, need: true, write: true},
		{name: "ElementProvidingContext", kind: kRef, key: true, need: true},
	},
	list: func(d *Device) []object {
		if d.flash.Credential == "" {
			return nil
		}
		return []object{tlsContext(d.flash.Credential)}
	},
	create: func(d *Device, _ *exchange, in *input) (*reference, *fault) {
		if d.flash.Credential != "" {
			return nil, faultExists()
		}
		if f := d.setCredential(in); f != nil {
			return nil, f
		}
		o := tlsContext(d.flash.Credential)
		return &reference{resource: uriTLSContext, selectors: []selector{
			{name: o[0].name, ref: o[0].ref}, {name: o[1].name, ref: o[1].ref},
		}}, nil
	},
	put: func(d *Device, _ *exchange, in *input) *fault { return d.setCredential(in) },
	del: func(d *Device, _ *exchange) *fault {
		f := &d.flash
		pending := f.PendingTLS != nil && (f.PendingTLS.Remote.Enabled || f.PendingTLS.Local.Enabled)
		if f.TLS.Remote.Enabled || f.TLS.Local.Enabled || pending {
			return faultStatus(NotPermitted)
		}
		f.Credential = ""
		return nil
	},
})

func tlsContext(credential string) object {
	var o object
	o.point("ElementInContext", pointTo(uriCertificate, "InstanceID", credential))
	o.point("ElementProvidingContext", pointTo(uriTLSCollection, "ElementName", collectionName))
	return o
}

// setCredential takes a certificate of the device's own whose key is there.
func (d *Device) setCredential(in *input) *fault {
	cert, ok1 := in.ref("ElementInContext").id(uriCertificate, "InstanceID")
	coll, ok2 := in.ref("ElementProvidingContext").id(uriTLSCollection, "ElementName")
	if !ok1 || !ok2 || canonical(coll) != collectionName {
		return faultRepresentation("references to other objects than a certificate and the collection")
	}
	f := &d.flash
	i := slices.IndexFunc(f.Certs, func(c certificate) bool { return certID(c.Handle) == cert })
	switch {
	case i < 0:
		return faultStatus(NotFound)
	case f.Certs[i].Root:
		return faultStatus(MissingKeys)
	}
	f.Credential = cert
	return nil
}

// The InstanceIDs of AMT_TLSSettingData.
const (
	tlsRemoteID = "Intel(r) AMT 802.3 TLS Settings"
	tlsLocalID  = "Intel(r) AMT LMS TLS Settings"
)

// classTLSSetting is AMT_TLSSettingData. Nothing but TrustedCN takes effect
// before CommitChanges.
var classTLSSetting = newClass(baseAMT, "AMT_TLSSettingData", class{
	props: []field{
		{name: "AcceptNonSecureConnections", kind: kBool, need: true, write: true},
		{name: "ElementName", kind: kString, need: true},
		{name: "Enabled", kind: kBool, need: true, write: true},
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "MutualAuthentication", kind: kBool, need: true, write: true},
		{name: "TrustedCN", kind: kString, array: true, max: 256, write: true},
	},
	list: func(d *Device) []object {
		t := d.flash.TLS
		if d.flash.PendingTLS != nil && !d.opt.TLSReadCurrent {
			t = *d.flash.PendingTLS
		}
		return []object{t.Remote.object(tlsRemoteID), t.Local.object(tlsLocalID)}
	},
	put:  putTLSSetting,
	read: []amt.Realm{amt.RealmGeneralInfo},
})

func (t tlsSetting) object(id string) object {
	var o object
	o.bool("AcceptNonSecureConnections", t.AcceptClear)
	o.str("ElementName", id)
	o.bool("Enabled", t.Enabled)
	o.str("InstanceID", id)
	o.bool("MutualAuthentication", t.Mutual)
	if len(t.TrustedCN) > 0 {
		o.str("TrustedCN", t.TrustedCN...)
	}
	return o
}

// maxTrustedCN bounds the list (unverified).
const maxTrustedCN = 4

func putTLSSetting(d *Device, x *exchange, in *input) *fault {
	f := &d.flash
	names := in.strs("TrustedCN")
	if len(names) > maxTrustedCN || slices.Contains(names, "") {
		return faultStatus(InvalidParameter)
	}
	want := tlsSetting{
		Enabled: in.bool("Enabled"), Mutual: in.bool("MutualAuthentication"),
		AcceptClear: in.bool("AcceptNonSecureConnections"), TrustedCN: names,
	}
	if want.Mutual && !want.Enabled {
		return faultStatus(InvalidParameter)
	}
	next := f.TLS.clone()
	if f.PendingTLS != nil {
		next = f.PendingTLS.clone()
	}
	now, into := &f.TLS.Remote, &next.Remote
	if x.index == 1 {
		now, into = &f.TLS.Local, &next.Local
	}
	now.TrustedCN = slices.Clone(names)
	*into = want
	f.PendingTLS = &next
	return nil
}

func (t tlsSettings) clone() tlsSettings {
	t.Remote.TrustedCN = slices.Clone(t.Remote.TrustedCN)
	t.Local.TrustedCN = slices.Clone(t.Local.TrustedCN)
	return t
}
