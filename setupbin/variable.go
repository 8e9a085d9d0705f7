package setupbin

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is the form of a variable's value.
type Kind uint8

// The kinds.
const (
	Text  Kind = 1 // ASCII
	Byte  Kind = 2 // 1 byte
	Word  Kind = 3 // 2 bytes
	Dword Kind = 4 // 4 bytes
	GUID  Kind = 5 // 16 bytes
	Bytes Kind = 6 // a structure
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Text:
		return "text"
	case Byte:
		return "byte"
	case Word:
		return "word"
	case Dword:
		return "dword"
	case GUID:
		return "GUID"
	case Bytes:
		return "bytes"
	}
	return fmt.Sprintf("unknown kind (%d)", uint8(k))
}

// Variable is one row of the table of variables.
type Variable struct {
	Module, Variable uint16
	Name             string
	Kind             Kind
	MinLen, MaxLen   int     // of the value, in bytes
	Since            Version // the first version that has it
	Secret           bool    // the value is a password or a key
	Unverified       bool    // version or layout rest on a weak source
}

// ID names the variable as in "2/1".
func (v Variable) ID() string { return fmt.Sprintf("%d/%d", v.Module, v.Variable) }

// String is number and name.
func (v Variable) String() string { return v.ID() + " " + v.Name }

// Modules.
const (
	ModuleME  uint16 = 1 // kernel and MEBx
	ModuleAMT uint16 = 2
)

// Variables that this package writes or rules about by name, as module*256 +
// variable.
const (
	varCurrentPassword = ModuleME<<8 | 1
	varNewPassword     = ModuleME<<8 | 2
	varManageability   = ModuleME<<8 | 3
	varPowerPackage    = ModuleME<<8 | 6
	varPID             = ModuleAMT<<8 | 1
	varPPS             = ModuleAMT<<8 | 2
	varDNSSuffix       = ModuleAMT<<8 | 3
	varServerFQDN      = ModuleAMT<<8 | 4
	varHashConfig      = ModuleAMT<<8 | 7
	varHashAdd         = ModuleAMT<<8 | 8
	varRedirection     = ModuleAMT<<8 | 10
	varHostName        = ModuleAMT<<8 | 11
	varDomain          = ModuleAMT<<8 | 12
	varDHCP            = ModuleAMT<<8 | 13
	varServerIPv4      = ModuleAMT<<8 | 17
	varServerPort      = ModuleAMT<<8 | 18
	varStaticIPv4      = ModuleAMT<<8 | 19
	varVLAN            = ModuleAMT<<8 | 20
	varKVM             = ModuleAMT<<8 | 25
	varConsent         = ModuleAMT<<8 | 26
	varProvisioning    = ModuleAMT<<8 | 28
	varSupport         = ModuleAMT<<8 | 30
	varServiceType     = ModuleAMT<<8 | 34
)

// Limits of values.
const (
	maxFQDN            = 255
	minCurrentPassword = 5 // "admin"
)

// variables is the table. Numbers, names and kinds are MeshCentral's; versions
// 1, 2 and 2.1 are from Intel's list of what each version added; rows marked
// unverified have a version that no source states, or a layout that none tells.
var variables = []Variable{
	{Module: 1, Variable: 1, Name: "Current MEBx password", Kind: Text, MinLen: minCurrentPassword, MaxLen: 32, Since: V1, Secret: true},
	{Module: 1, Variable: 2, Name: "New MEBx password", Kind: Text, MinLen: 8, MaxLen: 32, Since: V1, Secret: true},
	{Module: 1, Variable: 3, Name: "Manageability feature selection", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V1},
	{Module: 1, Variable: 4, Name: "Firmware local update", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V21},
	{Module: 1, Variable: 5, Name: "Firmware update qualifier", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V21, Unverified: true},
	{Module: 1, Variable: 6, Name: "Power package", Kind: GUID, MinLen: 16, MaxLen: 16, Since: V21},
	{Module: 2, Variable: 1, Name: "PID", Kind: Text, MinLen: 8, MaxLen: 8, Since: V1},
	{Module: 2, Variable: 2, Name: "PPS", Kind: Text, MinLen: 32, MaxLen: 32, Since: V1, Secret: true},
	{Module: 2, Variable: 3, Name: "PKI DNS suffix", Kind: Text, MinLen: 1, MaxLen: maxFQDN, Since: V2},
	{Module: 2, Variable: 4, Name: "Configuration server FQDN", Kind: Text, MinLen: 1, MaxLen: maxFQDN, Since: V2},
	{Module: 2, Variable: 5, Name: "Remote configuration", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V2},
	{Module: 2, Variable: 6, Name: "Pre-installed certificates", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V2, Unverified: true},
	{Module: 2, Variable: 7, Name: "User-defined certificate config", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V2},
	{Module: 2, Variable: 8, Name: "User-defined certificate add", Kind: Bytes, MinLen: 22, MaxLen: 81, Since: V2},
	{Module: 2, Variable: 10, Name: "SOL/IDER", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V2},
	{Module: 2, Variable: 11, Name: "Host name", Kind: Text, MinLen: 1, MaxLen: 63, Since: V21},
	{Module: 2, Variable: 12, Name: "Domain name", Kind: Text, MinLen: 1, MaxLen: maxFQDN, Since: V21},
	{Module: 2, Variable: 13, Name: "DHCP", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V21},
	{Module: 2, Variable: 14, Name: "Secure firmware update", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V21, Unverified: true},
	{Module: 2, Variable: 15, Name: "ITO idle time-out", Kind: Bytes, MinLen: 1, MaxLen: 4, Since: V21, Unverified: true},
	{Module: 2, Variable: 16, Name: "Provisioning mode", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V21, Unverified: true},
	{Module: 2, Variable: 17, Name: "Provisioning server IPv4", Kind: Bytes, MinLen: 4, MaxLen: 4, Since: V21},
	{Module: 2, Variable: 18, Name: "Provisioning server port", Kind: Word, MinLen: 2, MaxLen: 2, Since: V21},
	{Module: 2, Variable: 19, Name: "Static IPv4", Kind: Bytes, MinLen: 1, MaxLen: Capacity, Since: V21, Unverified: true},
	{Module: 2, Variable: 20, Name: "VLAN", Kind: Bytes, MinLen: 1, MaxLen: Capacity, Since: V21, Unverified: true},
	{Module: 2, Variable: 21, Name: "Password policy", Kind: Bytes, MinLen: 1, MaxLen: Capacity, Since: V21, Unverified: true},
	{Module: 2, Variable: 22, Name: "IPv6", Kind: Bytes, MinLen: 1, MaxLen: 204, Since: V3, Unverified: true},
	{Module: 2, Variable: 23, Name: "Shared FQDN", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 24, Name: "Dynamic DNS update", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 25, Name: "KVM", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 26, Name: "User consent", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 27, Name: "Remote consent policy", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 28, Name: "Provisioning halt or activate", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 29, Name: "Manual set-up and configuration", Kind: Byte, MinLen: 1, MaxLen: 1, Since: V3, Unverified: true},
	{Module: 2, Variable: 30, Name: "Support channel", Kind: Dword, MinLen: 4, MaxLen: 4, Since: V3, Unverified: true},
	{Module: 2, Variable: 31, Name: "Support channel description", Kind: Text, MinLen: 1, MaxLen: 60, Since: V3, Unverified: true},
	{Module: 2, Variable: 32, Name: "Service account number", Kind: Text, MinLen: 1, MaxLen: 32, Since: V3, Unverified: true},
	{Module: 2, Variable: 33, Name: "Enrolment passcode", Kind: Text, MinLen: 1, MaxLen: 32, Since: V3, Secret: true, Unverified: true},
	{Module: 2, Variable: 34, Name: "Service type", Kind: Dword, MinLen: 4, MaxLen: 4, Since: V3, Unverified: true},
	{Module: 2, Variable: 35, Name: "Service provider", Kind: GUID, MinLen: 16, MaxLen: 16, Since: V3, Unverified: true},
}

var byID = func() map[[2]uint16]Variable {
	m := make(map[[2]uint16]Variable, len(variables))
	for _, v := range variables {
		m[[2]uint16{v.Module, v.Variable}] = v
	}
	return m
}()

// Variables gives a copy of the table, by module and variable.
func Variables() []Variable { return append([]Variable{}, variables...) }

// Lookup finds a variable by its numbers; false for one that is not known, which
// files may hold all the same.
func Lookup(module, variable uint16) (Variable, bool) {
	v, ok := byID[[2]uint16{module, variable}]
	return v, ok
}

// ParseVariable finds a variable by its numbers, as in "2/1", or its name in any
// case.
func ParseVariable(s string) (Variable, error) {
	for _, v := range variables {
		if s == v.ID() || strings.EqualFold(s, v.Name) {
			return v, nil
		}
	}
	return Variable{}, fmt.Errorf("setup.bin variable %s: not known: want module/variable as in 2/1, or a name", strconv.Quote(s))
}

// Describe is the entry's number and, where it is known, its name.
func (e Entry) Describe() string {
	if v, ok := Lookup(e.Module, e.Variable); ok {
		return v.String()
	}
	return e.ID() + " (unknown)"
}
