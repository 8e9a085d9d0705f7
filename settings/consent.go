package settings

import (
	"context"
	"fmt"
	"strconv"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// consent is for what a person at the device must agree: IPS_OptInService. It
// came with KVM; firmware without it asks nobody, so a profile that wants consent
// there is Unsupported.
func consent(p *profile.Profile, d Device) Setting {
	want := uint32(p.Features.Consent)
	wanted := want != wsman.ConsentNone
	s := &part[*wsman.OptIn]{
		name: "consent",
		read: func(ctx context.Context, c *wsman.Client) (*wsman.OptIn, error) {
			o, err := c.OptIn(ctx)
			return optional(&o, err, wanted, "this firmware asks for no consent")
		},
		diff: func(o *wsman.OptIn) ([]Difference, string) {
			var diff []Difference
			if o != nil {
				compareField(&diff, "OptInRequired", consentName(want), consentName(o.Required()))
			}
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, o *wsman.OptIn, _ []Difference) error {
			if o.Value("CanModifyOptInPolicy") == "0" {
				return fmt.Errorf("%w: it does not let its consent policy be changed (CanModifyOptInPolicy is 0)", ErrNotTaken)
			}
			o.SetUint("OptInRequired", want)
			_, err := c.PutOptIn(ctx, *o)
			return err
		},
	}
	if !hasKVM(d) {
		s.read = absent[*wsman.OptIn](wanted, "consent needs AMT 6.0")
	}
	return s
}

// consentName names OptInRequired for people.
func consentName(n uint32) string {
	switch n {
	case wsman.ConsentNone:
		return "none"
	case wsman.ConsentKVM:
		return "kvm"
	case wsman.ConsentAll:
		return "all"
	}
	return "unknown (" + strconv.FormatUint(uint64(n), 10) + ")"
}
