package amt_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func TestUUID(t *testing.T) {
	t.Parallel()
	// RFC 4122's fields, first three little-endian in SMBIOS order (SMBIOS 2.6, 7.2.1).
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	const smbios = "33221100554477668899aabbccddeeff"
	u, err := amt.ParseUUID(text)
	if err != nil || u.String() != text {
		t.Fatalf("got %v, %v", u, err)
	}
	wire := u.SMBIOS()
	if got := hex.EncodeToString(wire[:]); got != smbios {
		t.Errorf("SMBIOS: got %s, want %s", got, smbios)
	}
	if got := amt.UUIDFromSMBIOS(wire); got != u {
		t.Errorf("UUIDFromSMBIOS: got %v, want %v", got, u)
	}
	for _, s := range []string{strings.ToUpper(text), strings.ReplaceAll(text, "-", "")} {
		if got, err := amt.ParseUUID(s); err != nil || got != u {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "x", text + "0", text[:35], "{" + text + "}", " " + text, strings.Replace(text, "-", "", 1) + "0",
		"0011223344556677-8899-aabb-ccddeeff0", "00112233-4455-6677-8899-aabbccddeefg", strings.Repeat("-", 36), "001122334455-6677-8899-aabbccddeeff--",
		"00112233-4455-6677-8899-aabbccdd--ff",
	} {
		if got, err := amt.ParseUUID(s); !errors.Is(err, amt.ErrUUID) && err == nil || got != (amt.UUID{}) {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]bool{
		text: true, "00000000-0000-0000-0000-000000000000": false, "ffffffff-ffff-ffff-ffff-ffffffffffff": false,
		"00000000-0000-0000-0000-000000000001": true, "ffffffff-ffff-ffff-ffff-fffffffffffe": true,
	} {
		if u, err := amt.ParseUUID(s); err != nil || u.Present() != want {
			t.Errorf("%s: Present is %v, %v", s, u.Present(), err)
		}
	}
}

func FuzzUUID(f *testing.F) {
	for _, s := range []string{"00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899AABBCCDDEEFF", "", "00112233-4455"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := amt.ParseUUID(s)
		if err != nil {
			return
		}
		if !strings.EqualFold(s, u.String()) && !strings.EqualFold(s, hex.EncodeToString(u[:])) {
			t.Errorf("%q parses as %v", s, u)
		}
		if again, err := amt.ParseUUID(u.String()); err != nil || again != u {
			t.Errorf("%v parses as %v, %v", u, again, err)
		}
		if again := amt.UUIDFromSMBIOS(u.SMBIOS()); again != u {
			t.Errorf("%v comes back from SMBIOS as %v", u, again)
		}
	})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"9": "9.0.0", "9.0": "9.0.0", "9.0.31": "9.0.31", "9.0.31.2": "9.0.31", "10.0.60": "10.0.60", "0.0.0": "0.0.0", "007.1": "7.1.0", "65535.65535.65535": "65535.65535.65535",
	} {
		if v, err := amt.ParseVersion(s); err != nil || v.String() != want {
			t.Errorf("%q: got %v, %v, want %s", s, v, err, want)
		}
	}
	for _, s := range []string{"", ".", "9.", ".9", "9..1", "9.0.31.2.1", "a", "9.x", "-9", "+9", " 9", "9 ", "0x9", "65536", "9,0", "٩"} {
		if v, err := amt.ParseVersion(s); err == nil || !v.IsZero() {
			t.Errorf("%q: got %v, %v", s, v, err)
		}
	}
	v, _ := amt.ParseVersion("6.2.10")
	for _, c := range []struct {
		major, minor int
		want         bool
	}{{6, 2, true}, {6, 1, true}, {6, 3, false}, {5, 9, true}, {7, 0, false}} {
		if got := v.AtLeast(c.major, c.minor); got != c.want {
			t.Errorf("%v at least %d.%d: got %v", v, c.major, c.minor, got)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"9.0.31", "6.2", "11", "9.0.31.2", "007", "9.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := amt.ParseVersion(s)
		if err != nil {
			return
		}
		if again, err := amt.ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%q parses as %v, which parses as %v, %v", s, v, again, err)
		}
	})
}

func TestRealms(t *testing.T) {
	t.Parallel()
	names := amt.RealmNames()
	if len(names) != 22 || names[0] != "Redirection" || names[21] != "LocalSystem" {
		t.Errorf("got %d realms: %q", len(names), names)
	}
	numbers := map[amt.Realm]bool{}
	for _, name := range names {
		r, err := amt.ParseRealm(name)
		if err != nil || r.String() != name || numbers[r] {
			t.Errorf("%s: got %v, %v", name, r, err)
		}
		numbers[r] = true
		for _, s := range []string{strings.ToLower(name), strings.ToUpper(name), fmt.Sprintf("%d", r)} {
			if again, err := amt.ParseRealm(s); err != nil || again != r {
				t.Errorf("%q: got %v, %v, want %v", s, again, err, r)
			}
		}
	}
	for _, s := range []string{"", "22", "0", "1", "25", "02", "Redir", "-3", "unknown realm (22)"} {
		if r, err := amt.ParseRealm(s); err == nil || !strings.Contains(err.Error(), "want one of Redirection, PTAdministration") {
			t.Errorf("%q: got %v, %v", s, r, err)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    fmt.Stringer
		want string
	}{
		{amt.Factory, "Factory"},
		{amt.InSetup, "In-Setup"},
		{amt.Operational, "Operational"},
		{amt.Phase(9), "unknown phase (9)"},
		{amt.ModelUnknown, "Unknown"},
		{amt.Manual, "Manual"},
		{amt.USBKey, "USBKey"},
		{amt.OEM, "OEM"},
		{amt.Model(9), "unknown model (9)"},
		{amt.New, "New"},
		{amt.Reallocate, "Reallocate"},
		{amt.Kind(9), "unknown kind (9)"},
		{amt.RealmPTAdministration, "PTAdministration"},
		{amt.Realm(22), "unknown realm (22)"},
	} {
		if got := c.v.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	// The stored values and those of WS-Man do not change.
	got := fmt.Sprintln(uint8(amt.Factory), uint8(amt.InSetup), uint8(amt.Operational), uint8(amt.Manual), uint8(amt.USBKey), uint8(amt.OEM), uint8(amt.New), uint8(amt.Reallocate))
	if got != "0 1 2 1 2 3 1 2\n" {
		t.Errorf("values: %s", got)
	}
}
