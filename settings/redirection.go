package settings

import (
	"context"
	"strconv"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// redirection is SOL and IDE-R: AMT_RedirectionService. RequestStateChange sets
// the state, then a Put of the whole object the listener, which KVM needs too.
func redirection(p *profile.Profile, d Device) Setting {
	f := p.Features
	state := wsman.RedirectionOff
	if f.IDER {
		state |= 1
	}
	if f.SOL {
		state |= 2
	}
	listen := f.IDER || f.SOL || f.KVM && hasKVM(d)
	return &part[wsman.RedirectionService]{
		name: "redirection",
		read: func(ctx context.Context, c *wsman.Client) (wsman.RedirectionService, error) {
			return c.RedirectionService(ctx)
		},
		diff: func(r wsman.RedirectionService) ([]Difference, string) {
			var diff []Difference
			compareField(&diff, "EnabledState", redirectionState(state), redirectionState(r.State()))
			compareField(&diff, "ListenerEnabled", strconv.FormatBool(listen), strconv.FormatBool(r.Listening()))
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, r wsman.RedirectionService, _ []Difference) error {
			if r.State() != state {
				if err := c.RequestRedirection(ctx, state); err != nil {
					return err
				}
			}
			r.SetUint("EnabledState", state)
			r.SetBool("ListenerEnabled", listen)
			_, err := c.PutRedirectionService(ctx, r)
			return err
		},
	}
}

// redirectionState names a state for people.
func redirectionState(state uint32) string {
	switch state {
	case wsman.RedirectionOff:
		return "off"
	case wsman.RedirectionIDER:
		return "IDER"
	case wsman.RedirectionSOL:
		return "SOL"
	case wsman.RedirectionBoth:
		return "SOL and IDER"
	}
	return "unknown (" + strconv.FormatUint(uint64(state), 10) + ")"
}
