package settings

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// troubled are the calls that random troubles strike.
var troubled = []string{
	"*", "Put", "Get", "AMT_GeneralSettings.Put", "RequestStateChange", "AddUserAclEntryEx", "UpdateUserAclEntryEx", "RemoveUserAclEntry",
	"EnumerateUserAclEntries", "GetUserAclEntryEx", "Pull", "SetPowerScheme",
}

// TestConvergence applies random profiles under random troubles, again and again
// as the engine does, until it succeeds: the device is then as the profile says,
// and no user exists twice.
func TestConvergence(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90, operational)
	rapid.Check(t, func(rt *rapid.T) {
		p := drawProfile(rt)
		d := testDevice(amtsim.AMT90)
		d.Prune = rapid.Bool().Draw(rt, "prune")
		var trouble amtsim.Trouble
		for range rapid.IntRange(0, 3).Draw(rt, "troubles") {
			c := amtsim.CallTrouble{Call: rapid.SampledFrom(troubled).Draw(rt, "call"), Times: rapid.IntRange(1, 3).Draw(rt, "times")}
			if rapid.Bool().Draw(rt, "after") {
				trouble.DropAfter = append(trouble.DropAfter, c)
			} else {
				trouble.DropBefore = append(trouble.DropBefore, c)
			}
		}
		trouble.NonceReset = rapid.SampledFrom([]int{0, 0, 2, 5}).Draw(rt, "nonce reset")
		l.dev.SetTrouble(trouble)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for tries := 0; ; tries++ {
			err := applyAll(ctx, l.client, p, d)
			if err == nil {
				break
			}
			if tries > 12 || !errors.Is(err, wsman.ErrLost) && !wsman.IsTemporary(err) {
				rt.Fatalf("try %d: %v", tries, err)
			}
		}
		l.dev.SetTrouble(amtsim.Trouble{})
		for _, s := range For(p, d) {
			r, err := s.Compare(ctx, l.client)
			if err != nil || r.Outcome == Differs {
				rt.Errorf("%s: %+v, %v", s.Name(), r, err)
			}
		}
		list, err := readUsers(ctx, l.client)
		seen := map[string]bool{}
		for _, e := range list {
			if seen[e.user.Name] {
				rt.Errorf("user %s twice", e.user.Name)
			}
			seen[e.user.Name] = true
		}
		if err != nil || d.Prune && len(list) != len(p.Users) {
			rt.Errorf("%d users, want %d (%v)", len(list), len(p.Users), err)
		}
	})
}

func applyAll(ctx context.Context, c *wsman.Client, p *profile.Profile, d Device) error {
	for _, s := range For(p, d) {
		if s.Name() == "tls" { // an operational device would move its port
			continue
		}
		if _, err := s.Apply(ctx, c, nil); err != nil {
			return err
		}
	}
	return nil
}

// drawProfile varies what can be varied without moving the device away.
func drawProfile(rt *rapid.T) *profile.Profile {
	flag := rapid.Bool()
	p := testProfile()
	p.TLS.Mode = profile.NoTLS
	p.Network.Ping, p.Network.RMCPPing, p.HostName.Shared = flag.Draw(rt, "ping"), flag.Draw(rt, "rmcp"), flag.Draw(rt, "shared")
	p.Features = profile.Features{
		SOL: flag.Draw(rt, "sol"), IDER: flag.Draw(rt, "ider"), KVM: flag.Draw(rt, "kvm"),
		Consent: rapid.SampledFrom([]profile.Consent{profile.ConsentNone, profile.ConsentKVM, profile.ConsentAll}).Draw(rt, "consent"),
	}
	realms := rapid.SliceOfNDistinct(rapid.SampledFrom([]amt.Realm{2, 3, 4, 5, 13, 19, 21}), 1, 4, rapid.ID)
	p.Users = p.Users[:rapid.IntRange(0, 2).Draw(rt, "users")]
	for i := range p.Users {
		p.Users[i].Realms = realms.Draw(rt, "realms")
		p.Users[i].Access = rapid.SampledFrom([]profile.Access{profile.LocalAccess, profile.NetworkAccess, profile.AnyAccess}).Draw(rt, "access")
	}
	return p
}
