package amt

import (
	"errors"
	"strings"
	"testing"
)

func TestPowerPackages(t *testing.T) {
	t.Parallel()
	if n := len(PowerPackageNames()); n != 12 {
		t.Errorf("%d packages, want 12", n)
	}
	seen := map[PowerPackage]bool{}
	for _, name := range PowerPackageNames() {
		p, err := ParsePowerPackage(strings.ToUpper(name))
		if err != nil || p.String() != name || p.IsZero() || seen[p] || !strings.HasPrefix(p.About(), name[:strings.Index(name, "-")]) {
			t.Errorf("%s: got %v (%s), %v", name, p, p.About(), err)
		}
		seen[p] = true
	}
	// The bytes that Intel's Configuration Utility 12.1 wrote into a setup.bin.
	p, err := ParsePowerPackage("7322734623DC432FA98A13D37982D855")
	if err != nil || p.String() != "desktop-wake-s5" || p[0] != 0x73 || p[15] != 0x55 {
		t.Errorf("hex: got %v, %v", p, err)
	}
	if q, err := ParsePowerPackage("73227346-23dc-432f-a98a-13d37982d855"); err != nil || q != p {
		t.Errorf("with dashes: got %v, %v", q, err)
	}
	other, err := ParsePowerPackage("000102030405060708090a0b0c0d0e0f")
	if err != nil || other.String() != "000102030405060708090a0b0c0d0e0f" || !strings.HasPrefix(other.About(), "unknown power package") {
		t.Errorf("unknown package: got %v (%s), %v", other, other.About(), err)
	}
	for _, bad := range []string{"", "desktop", "73227346", strings.Repeat("g", 32), strings.Repeat("0", 34)} {
		if _, err := ParsePowerPackage(bad); !errors.Is(err, ErrPowerPackage) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
