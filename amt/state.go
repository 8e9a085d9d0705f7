package amt

import (
	"fmt"
	"strconv"
	"strings"
)

// Phase is ProvisioningState of AMT_SetupAndConfigurationService.
type Phase uint8

// The phases of a device, by their WS-Man values.
const (
	Factory     Phase = 0 // pre-provisioning
	InSetup     Phase = 1 // in provisioning: says hello, takes a profile
	Operational Phase = 2 // post-provisioning
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case Factory:
		return "Factory"
	case InSetup:
		return "In-Setup"
	case Operational:
		return "Operational"
	}
	return fmt.Sprintf("unknown phase (%d)", uint8(p))
}

// Model says how a pair reached its PC.
type Model uint8

// The set-up models, by their stored values.
const (
	ModelUnknown Model = 0
	Manual       Model = 1 // typed into MEBx
	USBKey       Model = 2 // read from a setup.bin
	OEM          Model = 3 // put in at the factory
)

// String names the model.
func (m Model) String() string {
	switch m {
	case ModelUnknown:
		return "Unknown"
	case Manual:
		return "Manual"
	case USBKey:
		return "USBKey"
	case OEM:
		return "OEM"
	}
	return fmt.Sprintf("unknown model (%d)", uint8(m))
}

// Kind says whether a set-up is a device's first or a later one.
type Kind uint8

// The kinds of set-up, by their stored values.
const (
	New        Kind = 1
	Reallocate Kind = 2
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case New:
		return "New"
	case Reallocate:
		return "Reallocate"
	}
	return fmt.Sprintf("unknown kind (%d)", uint8(k))
}

// Version is a firmware release such as 9.0.31: the first three numbers of
// CIM_SoftwareIdentity AMT VersionString.
type Version struct{ Major, Minor, Micro int }

// ParseVersion reads "9", "9.0", "9.0.31" or "9.0.31.2", whose fourth number it
// drops.
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return Version{}, fmt.Errorf("AMT version %q: want major.minor.micro", s)
	}
	var n [4]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Version{}, fmt.Errorf("AMT version %q: want numbers as in 9.0.31", s)
		}
		n[i] = int(v)
	}
	return Version{n[0], n[1], n[2]}, nil
}

// AtLeast reports whether v is release major.minor or a later one.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// IsZero reports whether v is unknown.
func (v Version) IsZero() bool { return v == Version{} }

// String is major.minor.micro.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro) }
