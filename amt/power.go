package amt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// PowerPackage says in which sleep states a device's management engine runs: the
// 16 bytes of a power package as firmware lists and stores them, in no GUID byte
// order (setup.bin variable 1/6; SchemeGUID of AMT_SystemPowerScheme).
type PowerPackage [16]byte

// ErrPowerPackage is returned for text that names no power package.
var ErrPowerPackage = errors.New("no such power package")

// powerPackages holds the packages of Intel's USB key tool, in its order. The
// names are ours: S0 on, then what else keeps the engine on or wakes it.
var powerPackages = []struct{ name, hex, about string }{
	{"mobile-s0", "763997110b56504388709812f391b560", "mobile: on in S0"},
	{"mobile-s3", "26d31c768708c74bbb5f38744315a5ff", "mobile: on in S0, S3/AC"},
	{"mobile-s5", "530e08db6c0fd948b2d28958d3f1156e", "mobile: on in S0, S3/AC, S4-5/AC"},
	{"mobile-wake-s3", "055dd5b64ca4874da5a8b47c14deda5f", "mobile: on in S0, wake in S3/AC"},
	{"mobile-wake-s5", "30800dee09c07843af287868a2dbbe3a", "mobile: on in S0, wake in S3/AC, S4-5/AC"},
	{"desktop-s0", "944f8312fb104fdc968e1e232b0c9065", "desktop: on in S0"},
	{"desktop-s3", "a18600ab9a7f4c42a6e6bb243a295d9e", "desktop: on in S0, S3"},
	{"desktop-s5", "7286abac96b448e29b9e9b7df91c7fd4", "desktop: on in S0, S3, S4-5"},
	{"desktop-wake-s3", "7b32cd4d6bbe4389a62a4d7bd8dbd026", "desktop: on in S0, wake in S3"},
	{"desktop-wake-s5", "7322734623dc432fa98a13d37982d855", "desktop: on in S0, wake in S3, S4-5"},
	{"desktop-s5-not-after-loss", "c519a4ba6e6f8d4db227517f7e4595db", "desktop: on in S0, S3, S4-5, off after a power loss"},
	{"desktop-wake-s5-not-after-loss", "d60be3ed04c52c46b772d18018ee2fc4", "desktop: on in S0, wake in S3, S4-5, off after a power loss"},
}

// ParsePowerPackage reads a name of PowerPackageNames or 32 hex digits, which
// may be grouped by dashes. The digits are taken in the order in which they
// stand.
func ParsePowerPackage(s string) (PowerPackage, error) {
	var p PowerPackage
	digits := strings.ReplaceAll(s, "-", "")
	for _, row := range powerPackages {
		if strings.EqualFold(s, row.name) {
			digits = row.hex
		}
	}
	if len(digits) != 2*len(p) {
		return p, fmt.Errorf("power package %q: %w: want 32 hex digits or one of %s", s, ErrPowerPackage, strings.Join(PowerPackageNames(), ", "))
	}
	if _, err := hex.Decode(p[:], []byte(digits)); err != nil {
		return PowerPackage{}, fmt.Errorf("power package %q: %w: want 32 hex digits or one of %s", s, ErrPowerPackage, strings.Join(PowerPackageNames(), ", "))
	}
	return p, nil
}

// PowerPackageNames lists the names, in Intel's order.
func PowerPackageNames() []string {
	names := make([]string, len(powerPackages))
	for i, row := range powerPackages {
		names[i] = row.name
	}
	return names
}

// IsZero reports whether no package was chosen.
func (p PowerPackage) IsZero() bool { return p == PowerPackage{} }

// String is the package's name, or its 32 hex digits.
func (p PowerPackage) String() string {
	digits := hex.EncodeToString(p[:])
	for _, row := range powerPackages {
		if row.hex == digits {
			return row.name
		}
	}
	return digits
}

// About describes the package in a few words.
func (p PowerPackage) About() string {
	digits := hex.EncodeToString(p[:])
	for _, row := range powerPackages {
		if row.hex == digits {
			return row.about
		}
	}
	return "unknown power package (" + digits + ")"
}
