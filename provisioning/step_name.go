package provisioning

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// chooseProfile is step 2: which firmware, which profile, which name. The
// profile is the one assigned to the UUID, else that of the batch assigned to it,
// else that of its pair's batch, else the default.
func (r *run) chooseProfile(ctx context.Context) (func(*edit) error, error) {
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	version, err := c.AMTVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the firmware's version: %w", err)
	}
	var p *profile.Profile
	var number uint64
	err = r.e.cfg.Store.View(ctx, func(rd kv.Reader) error {
		name, err := r.profileName(rd)
		if err != nil {
			return err
		}
		p, number, err = r.e.openProfile(rd, name, 0)
		if errors.Is(err, ErrNoProfile) {
			return r.waitFor(ProfileMissing, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := fits(p, version); err != nil {
		return nil, err
	}
	fqdn, err := r.chooseName(ctx, p)
	if err != nil {
		return nil, err
	}
	r.profile = p
	pid := pidOf(r.wf.GetPid())
	r.e.soft.ask(func(soft *softState, ch *changes) { soft.dropInbox(ch, rowKey{r.uuid, pid}) })
	return func(ed *edit) error {
		if err := nameFree(ed.tx, r.uuid, fqdn); err != nil {
			return r.waitFor(NameTaken, err)
		}
		if ed.w.GetFqdn() != fqdn {
			ed.w.Certificate, ed.w.CertificateHandle = nil, ""
		}
		if ed.w.GetProfile() != p.Name || ed.w.GetProfileVersion() != number {
			if err := r.e.outdate(ed, p); err != nil {
				return err
			}
		}
		ed.w.Profile, ed.w.ProfileVersion, ed.w.Fqdn = p.Name, number, fqdn
		ed.d.Profile, ed.d.ProfileVersion, ed.d.Fqdn = p.Name, number, fqdn
		ed.d.Version = version.String()
		return nil
	}, nil
}

// waitFor is a failure that a person ends; it is looked at again now and then.
func (r *run) waitFor(reason Reason, err error) error {
	return &failure{reason: reason, retry: true, after: r.e.cfg.Timing.NameRetry, err: err}
}

// profileName says which profile the device is to get. A pair for a next set-up
// carries the batch of the pair before it.
func (r *run) profileName(rd kv.Reader) (string, error) {
	if name := r.dev.GetAssignedProfile(); name != "" {
		return name, nil
	}
	if batch := r.dev.GetAssignedBatch(); batch != "" {
		b, err := r.e.cfg.Keys.Batch(rd, batch)
		if err != nil {
			return "", fmt.Errorf("reading the device's batch: %w", err)
		}
		if b.Profile != "" {
			return b.Profile, nil
		}
	}
	k, err := r.e.cfg.Keys.Get(rd, pidOf(r.wf.GetPid()))
	if err != nil {
		return "", fmt.Errorf("reading the device's pair: %w", err)
	}
	if k.Profile != "" {
		return k.Profile, nil
	}
	return profile.DefaultName, nil
}

// fits reports why firmware of this version cannot have the profile.
func fits(p *profile.Profile, v amt.Version) error {
	unfit := func(format string, args ...any) error {
		return because(ProfileUnfit, fmt.Errorf("profile %s %s; the device has AMT %v", p.Name, fmt.Sprintf(format, args...), v))
	}
	switch {
	case !p.MinAMT.IsZero() && older(v, p.MinAMT):
		return unfit("asks for AMT %v or later", p.MinAMT)
	case p.TLS.Mode == profile.MutualTLS && !v.AtLeast(6, 0):
		return unfit("asks for mutual TLS, which needs AMT 6.0 or later")
	}
	return nil
}

// chooseName is the FQDN: the assigned one, the profile's pattern, the name that
// DNS gives for the address if it leads back to it.
func (r *run) chooseName(ctx context.Context, p *profile.Profile) (string, error) {
	if name := r.dev.GetAssignedFqdn(); name != "" {
		return name, nil
	}
	addr, _ := netip.ParseAddrPort(r.dev.GetAddress()) // an unknown one has no name
	if p.HostName.Pattern != "" {
		name, err := p.FQDNFor(profile.Facts{UUID: r.uuid, Address: addr.Addr()})
		if err != nil {
			return "", because(ProfileUnfit, fmt.Errorf("making a name by profile %s: %w", p.Name, err))
		}
		return name, nil
	}
	if p.HostName.ReverseDNS {
		if name := r.e.reverseName(ctx, addr.Addr()); name != "" {
			return name, nil
		}
	}
	return "", r.waitFor(NameNeeded, fmt.Errorf("no name is assigned to %v, and profile %s gives none", r.uuid, p.Name))
}

// lookupTimeout bounds one DNS question.
const lookupTimeout = 5 * time.Second

// reverseName is the first name of the address that leads back to it, empty when
// there is none.
func (e *Engine) reverseName(ctx context.Context, addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names, err := e.cfg.Resolver.LookupAddr(ctx, addr.WithZone("").String())
	if err != nil {
		return ""
	}
	for _, name := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if profile.CheckFQDN(name) != nil {
			continue
		}
		back, err := e.cfg.Resolver.LookupNetIP(ctx, "ip", name)
		if err == nil && slices.ContainsFunc(back, func(a netip.Addr) bool { return a.Unmap() == addr.Unmap() }) {
			return name
		}
	}
	return ""
}

// nameFree reports ErrNameTaken when another device has or is to get the name.
func nameFree(rd kv.Reader, uuid amt.UUID, fqdn string) error {
	err := devices.ScanIndex(rd, tableDevicesByFQDN, kv.IndexKey([]byte(strings.ToLower(fqdn))), func(_, _ []byte, d *pb.Device) error {
		if other := uuidOf(d.GetUuid()); other != uuid {
			return fmt.Errorf("%s belongs to %v: %w", fqdn, other, ErrNameTaken)
		}
		return nil
	})
	return err
}

// givenProfile is the profile that step 2 chose, as it was then.
func (r *run) givenProfile(ctx context.Context) (*profile.Profile, error) {
	if r.profile != nil {
		return r.profile, nil
	}
	err := r.e.cfg.Store.View(ctx, func(rd kv.Reader) error {
		var err error
		r.profile, err = r.e.exactProfile(rd, r.wf.GetProfile(), r.wf.GetProfileVersion())
		return err
	})
	return r.profile, err
}

// exactProfile reads the profile that a record names by its version, where 0 is
// not the one in force but the built-in default.
func (e *Engine) exactProfile(r kv.Reader, name string, version uint64) (*profile.Profile, error) {
	switch {
	case version != 0:
		p, _, err := e.openProfile(r, name, version)
		return p, err
	case name == profile.DefaultName:
		return profile.Default(), nil
	}
	return nil, fmt.Errorf("profile %s without a version: %w", name, ErrNoProfile)
}

// older reports whether v comes before least.
func older(v, least amt.Version) bool {
	if v.Major == least.Major && v.Minor == least.Minor {
		return v.Micro < least.Micro
	}
	return !v.AtLeast(least.Major, least.Minor)
}
