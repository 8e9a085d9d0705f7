package settings

import (
	"context"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// hasKVM reports whether the firmware may have KVM and consent: from AMT 6.0, or
// unknown. Standard Manageability lacks both in any version.
func hasKVM(d Device) bool { return d.Version.IsZero() || d.Version.AtLeast(6, 0) }

// kvm is CIM_KVMRedirectionSAP. Firmware without it is Unsupported if the profile
// wants KVM on, and Same if it wants it off.
func kvm(p *profile.Profile, d Device) Setting {
	want := p.Features.KVM
	k := &part[*wsman.KVM]{
		name: "kvm",
		read: func(ctx context.Context, c *wsman.Client) (*wsman.KVM, error) {
			k, err := c.KVM(ctx)
			return optional(&k, err, want, "this firmware has no KVM")
		},
		diff: func(k *wsman.KVM) ([]Difference, string) {
			var diff []Difference
			if k != nil {
				compareField(&diff, "KVM", onOff(want), onOff(k.On()))
			}
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, _ *wsman.KVM, _ []Difference) error {
			return c.RequestKVM(ctx, want)
		},
	}
	if !hasKVM(d) {
		k.read = absent[*wsman.KVM](want, "KVM needs AMT 6.0")
	}
	return k
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// optional turns the error of firmware that lacks a class into nil, or into
// unsupported if the profile wants the class.
func optional[T any](v *T, err error, wanted bool, note string) (*T, error) {
	switch {
	case err == nil:
		return v, nil
	case !wsman.IsAbsent(err):
		return nil, err
	case wanted:
		return nil, unsupported(note)
	}
	return nil, nil
}

// absent reads nothing from firmware that is known to lack a class.
func absent[S any](wanted bool, note string) func(context.Context, *wsman.Client) (S, error) {
	return func(context.Context, *wsman.Client) (S, error) {
		var none S
		if wanted {
			return none, unsupported(note)
		}
		return none, nil
	}
}
