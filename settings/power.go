package settings

import (
	"context"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// powerState is what the device offers and has in force.
type powerState struct {
	schemes []wsman.PowerScheme
	current string // InstanceID; "" if the firmware does not tell
}

// power is the power package: AMT_SystemPowerScheme. A package that the device
// does not offer (a desktop's on a laptop) is Unsupported. Which one is in force
// stands in CIM_ElementSettingData; firmware that does not serve it gets the
// package at every Apply, which is harmless.
func power(p *profile.Profile) Setting {
	want := p.Power
	return &part[powerState]{
		name: "power",
		read: func(ctx context.Context, c *wsman.Client) (powerState, error) { return readPower(ctx, c, want) },
		diff: func(s powerState) ([]Difference, string) {
			if s.current == "" {
				return nil, "the firmware does not tell which power package is in force"
			}
			var diff []Difference
			compareField(&diff, "PowerPackage", want.String(), s.name(s.current))
			return diff, ""
		},
		always: func(s powerState) bool { return s.current == "" },
		write: func(ctx context.Context, c *wsman.Client, _ Journal, s powerState, _ []Difference) error {
			id, _ := s.find(want)
			return c.SetPowerScheme(ctx, id)
		},
	}
}

func readPower(ctx context.Context, c *wsman.Client, want amt.PowerPackage) (powerState, error) {
	var s powerState
	var err error
	if s.schemes, err = c.PowerSchemes(ctx); err != nil {
		if wsman.IsAbsent(err) {
			return s, unsupported("this firmware has no power packages")
		}
		return s, err
	}
	if _, ok := s.find(want); !ok {
		return s, unsupported(fmt.Sprintf("the device does not offer the power package %v", want))
	}
	if s.current, err = c.CurrentPowerScheme(ctx); wsman.IsAbsent(err) {
		err = nil
	}
	return s, err
}

// find returns the InstanceID of a package.
func (s powerState) find(want amt.PowerPackage) (string, bool) {
	for _, p := range s.schemes {
		if p.Package == want {
			return p.InstanceID, true
		}
	}
	return "", false
}

// name is the package of an InstanceID.
func (s powerState) name(id string) string {
	for _, p := range s.schemes {
		if p.InstanceID == id {
			return p.Package.String()
		}
	}
	return id
}
