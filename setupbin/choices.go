package setupbin

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// choices are the values of the variables of one byte, and what they mean
// (MeshCentral's lists). 2/16 is not here: sources disagree about its values.
var choices = map[uint16]map[byte]string{
	varManageability:  {0: "none", 1: "Intel AMT"},
	ModuleME<<8 | 4:   {0: "disabled", 1: "enabled", 2: "password protected"},
	ModuleME<<8 | 5:   {0: "always", 1: "never", 2: "restricted"},
	ModuleAMT<<8 | 5:  onOff,
	ModuleAMT<<8 | 6:  onOff,
	varHashConfig:     {0: "disabled", 1: "enabled", 2: "delete"},
	varRedirection:    {0: "off", 1: "SOL", 2: "IDER", 3: "SOL, IDER", 4: "user/password", 5: "SOL, user/password", 6: "IDER, user/password", 7: "SOL, IDER, user/password"},
	varDHCP:           {1: "off", 2: "on"},
	ModuleAMT<<8 | 14: onOff,
	ModuleAMT<<8 | 23: {0: "dedicated", 1: "shared"},
	ModuleAMT<<8 | 24: onOff,
	varKVM:            onOff,
	varConsent:        {0: "none", 1: "kvm", 255: "all"},
	ModuleAMT<<8 | 27: onOff,
	varProvisioning:   {0: "halt", 1: "activate"},
	ModuleAMT<<8 | 29: {0: "automated", 1: "manual"},
}

var onOff = map[byte]string{0: "off", 1: "on"}

// serviceTypes are the values of 2/34.
var serviceTypes = map[uint32]string{1: "reactive", 2: "proactive", 4: "one-time"}

// checkChoice wants a value that has a meaning.
func checkChoice(e Entry) error {
	list, ok := choices[id(e)]
	if !ok {
		return nil
	}
	if _, ok := list[e.Value[0]]; ok {
		return nil
	}
	var want []string
	for v, word := range list {
		want = append(want, fmt.Sprintf("%03d (%s)", v, word))
	}
	slices.Sort(want)
	for i, w := range want {
		want[i] = strings.TrimLeft(w[:2], "0") + w[2:]
	}
	return fmt.Errorf("value %d: want %s", e.Value[0], strings.Join(want, ", "))
}

// checkNumber wants a number within the limits of its variable.
func checkNumber(e Entry) error {
	switch n := number(e.Value); id(e) {
	case varServerPort:
		if n == 0 {
			return fmt.Errorf("port 0: want 1 to 65535")
		}
	case varSupport:
		if n == 0 || n > 0xffff {
			return fmt.Errorf("value %d: want 1 to 65535", n)
		}
	case varServiceType:
		if _, ok := serviceTypes[n]; !ok {
			return fmt.Errorf("value %d: want 1 (reactive), 2 (proactive) or 4 (one-time)", n)
		}
	}
	return nil
}

// number reads 1 to 4 bytes, the last one highest.
func number(b []byte) uint32 {
	var four [4]byte
	copy(four[:], b)
	return binary.LittleEndian.Uint32(four[:])
}

// Text is the value for people: text as it is, a choice by its word, numbers,
// addresses, power packages and hashes in their usual forms, and hex digits for
// the rest. It reveals secrets: Secret tells which entries hold one.
func (e Entry) Text() string {
	row, known := Lookup(e.Module, e.Variable)
	if !known || len(e.Value) < row.MinLen || len(e.Value) > row.MaxLen {
		return hex.EncodeToString(e.Value)
	}
	switch id(e) {
	case varServerIPv4:
		return reversed(e.Value).String()
	case varPowerPackage:
		return amt.PowerPackage(e.Value).String()
	case varHashAdd:
		if h, err := ParseHash(e.Value); err == nil {
			return h.String()
		}
	case varServiceType:
		if word, ok := serviceTypes[number(e.Value)]; ok {
			return word
		}
	}
	switch row.Kind {
	case Text:
		if checkASCII(e.Value) == nil {
			return string(e.Value)
		}
	case Byte, Word, Dword:
		if word, ok := choices[id(e)][e.Value[0]]; ok && row.Kind == Byte {
			return word
		}
		return fmt.Sprint(number(e.Value))
	}
	return hex.EncodeToString(e.Value)
}

// Printable reports whether the entry is a variable of kind Text whose value is
// printable 7-bit ASCII.
func (e Entry) Printable() bool {
	row, ok := Lookup(e.Module, e.Variable)
	return ok && row.Kind == Text && checkASCII(e.Value) == nil
}

// Secret reports whether the entry holds a password or a key. That an unknown
// variable holds none is not known.
func (e Entry) Secret() bool {
	row, ok := Lookup(e.Module, e.Variable)
	return ok && row.Secret
}

// reversed reads an IPv4 address whose last octet comes first.
func reversed(b []byte) netip.Addr { return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}) }

// reverse is the form of an IPv4 address in a record.
func reverse(a netip.Addr) []byte {
	b := a.Unmap().As4()
	return []byte{b[3], b[2], b[1], b[0]}
}
