package amtsim

import (
	"encoding/base64"
	"slices"

	"github.com/amtscs/amtscs/amt"
)

// AccessPermission of AMT_AuthorizationService.
const (
	accessLocal   = 0
	accessNetwork = 1
	accessBoth    = 2
)

// md5Len is the size of a stored digest password.
const md5Len = 16

// maxSID is the most bytes of a Kerberos user's SID (class page of
// AMT_AuthorizationService).
const maxSID = 28

var handleField = field{name: "Handle", kind: kUint32, need: true}

// userFields are those that AddUserAclEntryEx and UpdateUserAclEntryEx share, in
// the order of the class page.
var userFields = []field{
	{name: "DigestUsername", kind: kString},
	{name: "DigestPassword", kind: kBase64},
	{name: "KerberosUserSid", kind: kBase64},
	{name: "AccessPermission", kind: kUint32, need: true},
	{name: "Realms", kind: kUint32, array: true},
}

// classAuthorization is AMT_AuthorizationService.
var classAuthorization = newClass(baseAMT, "AMT_AuthorizationService", class{
	common: true,
	props: append([]field{
		{name: "AllowHttpQopAuthOnly", kind: kUint32},
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledState", kind: kUint16},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "RequestedState", kind: kUint16},
	}, serviceKeys...),
	list: one(authorizationService),
	methods: map[string]*method{
		"AddUserAclEntryEx":    {in: userFields, run: addUser},
		"UpdateUserAclEntryEx": {in: append([]field{handleField}, userFields...), run: updateUser},
		"RemoveUserAclEntry":   {in: []field{handleField}, run: removeUser},
		"GetUserAclEntryEx":    {in: []field{handleField}, read: true, run: getUser},
		"EnumerateUserAclEntries": {
			in: []field{{name: "StartIndex", kind: kUint32, need: true}}, read: true, run: enumerateUsers,
		},
		"SetAclEnabledState": {in: []field{handleField, {name: "Enabled", kind: kBool, need: true}}, run: enableUser},
		"GetAclEnabledState": {in: []field{handleField}, read: true, run: userEnabled},
		"SetAdminAclEntryEx": {
			in:  []field{{name: "Username", kind: kString, need: true}, {name: "DigestPassword", kind: kBase64, need: true}},
			run: setAdmin,
		},
		"GetAdminAclEntry": {read: true, run: func(d *Device, x *exchange, _ *input) Status {
			x.out.str("Username", d.flash.AdminUser)
			return Success
		}},
		"GetAdminAclEntryStatus": {read: true, run: func(d *Device, x *exchange, _ *input) Status {
			x.out.bool("IsDefault", !d.flash.MEBxChanged)
			return Success
		}},
		"GetAdminNetAclEntryStatus": {read: true, run: func(d *Device, x *exchange, _ *input) Status {
			x.out.bool("IsDefault", !d.flash.MEBxChanged && !d.flash.AdminSet)
			return Success
		}},
	},
})

func authorizationService(d *Device) object {
	var o object
	o.num("AllowHttpQopAuthOnly", 1)
	o.str("CreationClassName", "AMT_AuthorizationService")
	o.str("ElementName", "Intel(r) AMT Authorization Service")
	o.num("EnabledState", 5)
	o.str("Name", "Intel(r) AMT Authorization Service")
	o.num("RequestedState", 12)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	return o
}

// newUser reads and checks an account: either a name and an MD5, or a SID.
func (d *Device) newUser(in *input, handle uint32) (user, Status) {
	u := user{Handle: handle, Name: in.str("DigestUsername"), Access: in.num("AccessPermission")}
	kerberos := in.has("KerberosUserSid")
	if kerberos == (in.has("DigestUsername") || in.has("DigestPassword")) || u.Access > accessBoth {
		return u, InvalidParameter
	}
	if kerberos {
		sid, ok := in.bytes("KerberosUserSid")
		if !ok || len(sid) == 0 || len(sid) > maxSID {
			return u, InvalidParameter
		}
		u.SID = sid
	} else {
		sum, ok := in.bytes("DigestPassword")
		switch {
		case amt.CheckUserName(u.Name) != nil || u.Name == d.flash.AdminUser:
			return u, InvalidName
		case !ok || len(sum) != md5Len:
			return u, InvalidPassword
		}
		u.HA1 = amt.NewSecret(sum)
	}
	var ok bool
	if u.Realms, ok = d.realms(in.nums("Realms")); !ok {
		return u, InvalidRealm
	}
	for _, other := range d.flash.Users {
		if other.Handle != handle && (u.Name != "" && other.Name == u.Name || u.SID != nil && slices.Equal(other.SID, u.SID)) {
			return u, Duplicate
		}
	}
	return u, Success
}

// realms checks the numbers: at least one, none twice, none that the firmware
// does not have.
func (d *Device) realms(numbers []uint32) ([]amt.Realm, bool) {
	v := d.opt.Generation.Version
	var list []amt.Realm
	for _, n := range numbers {
		known := n >= 2 && n <= 24 && n != 22
		if n >= 20 && n <= 21 {
			known = v.AtLeast(4, 0)
		}
		if n >= 23 {
			known = known && v.AtLeast(5, 1)
		}
		if !known || slices.Contains(list, amt.Realm(n)) {
			return nil, false
		}
		list = append(list, amt.Realm(n))
	}
	return list, len(list) > 0
}

// aclChanged forgets the digest sessions, as every change of an account does
// (Intel AMT Implementation and Reference Guide, "Authentication Options").
func (d *Device) aclChanged() Status {
	d.ram.nonces.reset()
	return Success
}

func addUser(d *Device, x *exchange, in *input) Status {
	f := &d.flash
	u, status := d.newUser(in, f.NextUser)
	if status != Success {
		return status
	}
	n := 0
	for _, other := range f.Users {
		if !other.System {
			n++
		}
	}
	if n >= d.opt.Limits.Users {
		return MaxLimitReached
	}
	f.Users = append(f.Users, u)
	f.NextUser++
	x.out.num("Handle", u.Handle)
	return d.aclChanged()
}

// userAt finds the account with the handle of the input; nil if there is none.
func (d *Device) userAt(in *input) *user {
	i := slices.IndexFunc(d.flash.Users, func(u user) bool { return u.Handle == in.num("Handle") })
	if i < 0 {
		return nil
	}
	return &d.flash.Users[i]
}

func updateUser(d *Device, _ *exchange, in *input) Status {
	u := d.userAt(in)
	switch {
	case u == nil:
		return InvalidHandle
	case u.System:
		return NotPermitted
	}
	next, status := d.newUser(in, u.Handle)
	if status != Success {
		return status
	}
	next.Disabled = u.Disabled
	*u = next
	return d.aclChanged()
}

func removeUser(d *Device, _ *exchange, in *input) Status {
	u := d.userAt(in)
	switch {
	case u == nil:
		return InvalidHandle
	case u.System:
		return NotPermitted
	}
	handle := u.Handle
	d.flash.Users = slices.DeleteFunc(d.flash.Users, func(u user) bool { return u.Handle == handle })
	return d.aclChanged()
}

func getUser(d *Device, x *exchange, in *input) Status {
	u := d.userAt(in)
	if u == nil {
		return InvalidHandle
	}
	if u.SID != nil {
		x.out.str("KerberosUserSid", base64.StdEncoding.EncodeToString(u.SID))
	} else {
		x.out.str("DigestUsername", u.Name)
	}
	x.out.num("AccessPermission", u.Access)
	realms := make([]uint32, len(u.Realms))
	for i, r := range u.Realms {
		realms[i] = uint32(r)
	}
	x.out.num("Realms", realms...)
	return Success
}

// maxHandles is how many handles one EnumerateUserAclEntries gives.
const maxHandles = 50

func enumerateUsers(d *Device, x *exchange, in *input) Status {
	users, from := d.flash.Users, int(in.num("StartIndex"))
	if from < 1 || from > max(1, len(users)) {
		return InvalidIndex
	}
	x.out.num("TotalCount", uint32(len(users)))
	var handles []uint32
	for _, u := range users[min(from-1, len(users)):] {
		if len(handles) < maxHandles {
			handles = append(handles, u.Handle)
		}
	}
	x.out.num("HandlesCount", uint32(len(handles)))
	x.out.num("Handles", handles...)
	return Success
}

func enableUser(d *Device, _ *exchange, in *input) Status {
	u := d.userAt(in)
	if u == nil {
		return InvalidHandle
	}
	u.Disabled = !in.bool("Enabled")
	return d.aclChanged()
}

func userEnabled(d *Device, x *exchange, in *input) Status {
	u := d.userAt(in)
	if u == nil {
		return InvalidHandle
	}
	x.out.bool("Enabled", !u.Disabled)
	return Success
}

// setAdmin takes base64 of the 16 bytes of MD5(user:realm:password); the hex form
// that one console sends decodes to 24 bytes and is refused.
func setAdmin(d *Device, _ *exchange, in *input) Status {
	f := &d.flash
	name := in.str("Username")
	if name != amt.AdminUser && amt.CheckUserName(name) != nil {
		return InvalidName
	}
	if slices.ContainsFunc(f.Users, func(u user) bool { return u.Name == name }) {
		return Duplicate
	}
	sum, ok := in.bytes("DigestPassword")
	if !ok || len(sum) != md5Len {
		return InvalidPassword
	}
	f.AdminUser, f.AdminHA1, f.AdminSet = name, amt.NewSecret(sum), true
	return d.aclChanged()
}
