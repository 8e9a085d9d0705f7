package setupbin

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func ptr[T any](v T) *T { return &v }

// TestSettings gives every setting and wants these entries.
func TestSettings(t *testing.T) {
	t.Parallel()
	power, err := amt.ParsePowerPackage("desktop-wake-s5")
	if err != nil {
		t.Fatal(err)
	}
	s := setups(t, V21)[0]
	s.Settings = Settings{
		PowerPackage: power, DNSSuffix: "corp.example", HostName: "pc-17", Domain: "corp.example",
		Hashes:      []Hash{{SHA1, make([]byte, 20), "Root"}, {SHA256, make([]byte, 32), ""}},
		Redirection: ptr(byte(3)), DHCP: ptr(false), KVM: ptr(true), Consent: ptr(byte(255)), Activate: ptr(false), VLAN: 7,
		Static: &StaticIPv4{netip.MustParsePrefix("192.0.2.10/24"), netip.MustParseAddr("192.0.2.1"), []netip.Addr{netip.MustParseAddr("192.0.2.53")}},
	}
	r, err := s.Record(V3)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range r.Entries {
		if e.Secret() || e.Printable() {
			got = append(got, e.ID())
			continue
		}
		got = append(got, e.ID()+"="+hex.EncodeToString(e.Value))
	}
	want := "1/1 1/2 1/3=01 1/6=7322734623dc432fa98a13d37982d855 2/1 2/2 2/3 2/4 2/7=01 " +
		"2/8=01" + strings.Repeat("00", 20) + "04526f6f74 2/8=02" + strings.Repeat("00", 33) + " 2/10=03 2/11 2/12 2/13=01 2/17=0a0200c0 2/18=f326 " +
		"2/19=0a0200c000ffffff010200c0350200c000000000 2/20=0700 2/25=01 2/26=ff 2/28=00"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	address := netip.MustParsePrefix("192.0.2.10/24")
	v6 := netip.MustParseAddr("2001:db8::1")
	hash := Hash{Algorithm: SHA1, Sum: make([]byte, 20)}
	tests := []struct {
		name string
		v    Version
		s    Settings
		want error
		text string
	}{
		{"power package in 2", V2, Settings{PowerPackage: amt.PowerPackage{1}}, ErrVariable, "1/6 Power package: variable refused: file version 2 does not have it; version 2.1"},
		{"KVM in 2.1", V21, Settings{KVM: ptr(true)}, ErrVariable, "2/25 KVM: variable refused: file version 2.1 does not have it; version 3"},
		{"consent 2", V3, Settings{Consent: ptr(byte(2))}, ErrVariable, "value 2: want 0 (none), 1 (kvm), 255 (all)"},
		{"redirection 8", V3, Settings{Redirection: ptr(byte(8))}, ErrVariable, "value 8"},
		{"host name with dots", V3, Settings{HostName: "pc.example"}, ErrVariable, "no dots"},
		{"bad domain", V3, Settings{Domain: "a_b"}, ErrVariable, "character 2"},
		{"SHA-256 in 2.1", V21, Settings{Hashes: []Hash{{Algorithm: SHA256, Sum: make([]byte, 32)}}}, ErrVariable, "SHA-1 alone"},
		{"four hashes", V3, Settings{Hashes: []Hash{hash, hash, hash, hash}}, ErrOrder, "4 times, at most 3"},
		{"short sum", V3, Settings{Hashes: []Hash{{Algorithm: SHA1, Sum: make([]byte, 19)}}}, ErrVariable, "19 bytes"},
		{"unknown algorithm", V3, Settings{Hashes: []Hash{{Algorithm: 4}}}, ErrVariable, "algorithm 4"},
		{"long name", V3, Settings{Hashes: []Hash{{SHA1, make([]byte, 20), strings.Repeat("n", 32)}}}, ErrVariable, "at most 31"},
		{"VLAN 4095", V3, Settings{VLAN: 4095}, ErrVariable, "tag 4095: want 1 to 4094"},
		{"static and DHCP", V3, Settings{DHCP: ptr(true), Static: &StaticIPv4{Address: address}}, ErrVariable, "comes by DHCP"},
		{"no static address", V3, Settings{Static: &StaticIPv4{}}, ErrVariable, "want an IPv4 address"},
		{"static IPv6", V3, Settings{Static: &StaticIPv4{Address: netip.MustParsePrefix("2001:db8::1/64")}}, ErrVariable, "want an IPv4 address"},
		{"gateway outside", V3, Settings{Static: &StaticIPv4{Address: address, Gateway: netip.MustParseAddr("192.0.3.1")}}, ErrVariable, "192.0.3.1 is not in 192.0.2.0/24"},
		{"three DNS servers", V3, Settings{Static: &StaticIPv4{Address: address, DNS: make([]netip.Addr, 3)}}, ErrVariable, "3 DNS servers"},
		{"DNS by IPv6", V3, Settings{Static: &StaticIPv4{Address: address, DNS: []netip.Addr{v6}}}, ErrVariable, "2001:db8::1 is no IPv4"},
		{"too much", V4, Settings{DNSSuffix: strings.Repeat("a.", 120) + "a", Domain: strings.Repeat("b.", 60) + "b"}, ErrCapacity, "484 are the most"},
	}
	for _, tt := range tests {
		s := setups(t, V1)[0]
		s.Settings = tt.s
		if r, err := s.Record(tt.v); r != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
		}
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	h, err := ParseHash(append(append([]byte{1}, make([]byte, 20)...), "\x04Root"...))
	if err != nil || h.String() != "SHA-1 "+strings.Repeat("00", 20)+" Root" {
		t.Errorf("got %v, %v", h, err)
	}
	for _, b := range []string{"", "\x01", "\x07" + strings.Repeat("x", 30), "\x01" + strings.Repeat("x", 20) + "\x05abc"} {
		if h, err := ParseHash([]byte(b)); err == nil {
			t.Errorf("%q: got %v", b, h)
		}
	}
}
