package setupbin

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/amtscs/amtscs/amt"
)

// Settings are what a record can say beside passwords, pair and server. The zero
// value says nothing; a nil pointer leaves its variable out.
type Settings struct {
	PowerPackage amt.PowerPackage // 1/6, from version 2.1
	DNSSuffix    string           // 2/3, from version 2
	Hashes       []Hash           // 2/7 and 2/8, from version 2: at most three
	Redirection  *byte            // 2/10, from version 2: bits 1 SOL, 2 IDER, 4 log-in by user and password
	HostName     string           // 2/11, from version 2.1
	Domain       string           // 2/12, from version 2.1
	DHCP         *bool            // 2/13, from version 2.1
	Static       *StaticIPv4      // 2/19, from version 2.1; layout unverified
	VLAN         uint16           // 2/20, from version 2.1: 1 to 4094; layout unverified
	KVM          *bool            // 2/25, from version 3
	Consent      *byte            // 2/26, from version 3: 0 none, 1 KVM, 255 all
	Activate     *bool            // 2/28, from version 3: start provisioning, or halt it
}

// StaticIPv4 is a fixed address of the device.
type StaticIPv4 struct {
	Address netip.Prefix
	Gateway netip.Addr   // may be invalid: none
	DNS     []netip.Addr // at most two
}

// Hash is a root certificate that remote configuration shall trust.
type Hash struct {
	Algorithm byte // 1 SHA-1, 2 SHA-256, 3 SHA-384; 2 and 3 from version 3
	Sum       []byte
	Name      string // at most 31 characters
}

// Hash algorithms of 2/8.
const (
	SHA1   byte = 1
	SHA256 byte = 2
	SHA384 byte = 3
)

// maxHashName is the longest name that MeshCommander lets in; its notes say 32.
const maxHashName = 31

// ParseHash reads a value of 2/8: algorithm, sum, length of the name, name.
func ParseHash(b []byte) (Hash, error) {
	if len(b) == 0 {
		return Hash{}, errors.New("a hash without an algorithm")
	}
	if err := checkHash(b, V4); err != nil {
		return Hash{}, err
	}
	n := hashLens[b[0]]
	return Hash{Algorithm: b[0], Sum: bytes.Clone(b[1 : n+1]), Name: string(b[n+2:])}, nil
}

// String is algorithm, sum and name.
func (h Hash) String() string {
	s := map[byte]string{SHA1: "SHA-1", SHA256: "SHA-256", SHA384: "SHA-384"}[h.Algorithm] + " " + hex.EncodeToString(h.Sum)
	if h.Name != "" {
		s += " " + h.Name
	}
	return s
}

func (h Hash) value() (Raw, error) {
	switch {
	case hashLens[h.Algorithm] == 0 || len(h.Sum) != hashLens[h.Algorithm]:
		return nil, fmt.Errorf("variable 2/8 User-defined certificate add: %w: algorithm %d with a sum of %d bytes", ErrVariable, h.Algorithm, len(h.Sum))
	case len(h.Name) > maxHashName || checkASCII([]byte(h.Name)) != nil:
		return nil, fmt.Errorf("variable 2/8 User-defined certificate add: %w: the name has at most %d printable ASCII characters", ErrVariable, maxHashName)
	}
	b := append(append(Raw{h.Algorithm}, h.Sum...), byte(len(h.Name)))
	return append(b, h.Name...), nil
}

// value is the layout of 2/19. UNVERIFIED: no source tells it. Here it is address,
// mask, gateway, first and second DNS server, 4 bytes each, the last octet first
// as in 2/17, and 0.0.0.0 for none.
func (s *StaticIPv4) value() (Raw, error) {
	bad := func(what string) (Raw, error) {
		return nil, fmt.Errorf("variable 2/19 Static IPv4: %w: %s", ErrVariable, what)
	}
	if !s.Address.IsValid() || !s.Address.Addr().Is4() || s.Address.Bits() == 0 {
		return bad("want an IPv4 address with its length, as 192.0.2.10/24")
	}
	if s.Gateway.IsValid() && (!s.Gateway.Is4() || !s.Address.Contains(s.Gateway)) {
		return bad(fmt.Sprintf("the gateway %v is not in %v", s.Gateway, s.Address.Masked()))
	}
	if len(s.DNS) > 2 {
		return bad(fmt.Sprintf("%d DNS servers, at most 2", len(s.DNS)))
	}
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], ^uint32(0)<<(32-s.Address.Bits()))
	list := []netip.Addr{s.Address.Addr(), netip.AddrFrom4(mask), s.Gateway, {}, {}}
	for i, a := range s.DNS {
		if !a.Is4() {
			return bad(fmt.Sprintf("%v is no IPv4 address", a))
		}
		list[3+i] = a
	}
	var b Raw
	for _, a := range list {
		if !a.IsValid() {
			a = netip.IPv4Unspecified()
		}
		b = append(b, reverse(a)...)
	}
	return b, nil
}

// vlanValue is the layout of 2/20. UNVERIFIED: no source tells it. Here it is the
// tag in two bytes.
func vlanValue(tag uint16) (Raw, error) {
	if tag > 4094 {
		return nil, fmt.Errorf("variable 2/20 VLAN: %w: tag %d: want 1 to 4094", ErrVariable, tag)
	}
	return binary.LittleEndian.AppendUint16(nil, tag), nil
}

// Entries lists the variables that are set, by module and variable. What no
// record can hold is ErrVariable; Record.Check knows the rest.
func (s *Settings) Entries() ([]Entry, error) {
	var list []Entry
	add := func(packed uint16, value Raw) {
		list = append(list, Entry{Module: packed >> 8, Variable: packed & 0xff, Value: value})
	}
	if !s.PowerPackage.IsZero() {
		add(varPowerPackage, slices.Clone(s.PowerPackage[:]))
	}
	for _, t := range []struct {
		packed uint16
		text   string
	}{{varDNSSuffix, s.DNSSuffix}, {varHostName, s.HostName}, {varDomain, s.Domain}} {
		if t.text != "" {
			add(t.packed, Raw(t.text))
		}
	}
	for _, t := range []struct {
		packed  uint16
		flag    *bool
		off, on byte
	}{{varDHCP, s.DHCP, 1, 2}, {varKVM, s.KVM, 0, 1}, {varProvisioning, s.Activate, 0, 1}} {
		if t.flag != nil {
			add(t.packed, Raw{choose(*t.flag, t.on, t.off)})
		}
	}
	for packed, v := range map[uint16]*byte{varRedirection: s.Redirection, varConsent: s.Consent} {
		if v != nil {
			add(packed, Raw{*v})
		}
	}
	err := s.structures(add)
	slices.SortStableFunc(list, compare)
	return list, err
}

func choose(b bool, yes, no byte) byte {
	if b {
		return yes
	}
	return no
}

// compare orders entries by module and variable.
func compare(a, b Entry) int {
	switch {
	case a.before(b):
		return -1
	case b.before(a):
		return 1
	}
	return 0
}

// structures adds the variables whose values have parts.
func (s *Settings) structures(add func(uint16, Raw)) error {
	if len(s.Hashes) > 0 {
		add(varHashConfig, Raw{1})
	}
	for _, h := range s.Hashes {
		v, err := h.value()
		if err != nil {
			return err
		}
		add(varHashAdd, v)
	}
	if s.Static != nil {
		v, err := s.Static.value()
		if err != nil {
			return err
		}
		add(varStaticIPv4, v)
	}
	if s.VLAN != 0 {
		v, err := vlanValue(s.VLAN)
		if err != nil {
			return err
		}
		add(varVLAN, v)
	}
	return nil
}
