package provisioning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/settings"
	"github.com/amtscs/amtscs/wsman"
)

// applySettings is step 10: each part of the profile is read, compared, written
// and read again. The users' passwords are stored before the first is sent.
func (r *run) applySettings(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil {
		return nil, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	passwords, err := r.userPasswords(ctx, p)
	if err != nil {
		return nil, err
	}
	version, _ := amt.ParseVersion(r.dev.GetVersion()) // written by step 2
	dev := settings.Device{FQDN: r.wf.GetFqdn(), Version: version, Passwords: passwords, Prune: true}
	for _, s := range settings.For(p, dev) {
		res, err := s.Apply(ctx, c, journal{r})
		switch {
		case errors.Is(err, settings.ErrNotTaken):
			return nil, because(SettingNotKept, err)
		case errors.Is(err, errHeld), errors.Is(err, ErrFenced):
			return nil, err
		case err != nil:
			return nil, refused(SettingRefused, err)
		}
		r.log.Debug("setting applied", "step", "settings", "setting", res.Name, "outcome", res.Outcome.String(), "note", res.Note)
	}
	return func(ed *edit) error {
		for _, in := range ed.w.GetIntentions() {
			if in.GetStep() == uint32(r.number()) && in.GetState() == intentionPending {
				in.State, in.Outcome = intentionResolved, "read back"
			}
		}
		dropForeignUsers(ed.d, passwords)
		for name := range passwords {
			if password(ed.d, userAccount(name), pending) != nil {
				promote(ed.d, userAccount(name))
				ed.tell(PasswordSet, "of user %s", name)
			}
		}
		return nil
	}, nil
}

// dropForeignUsers forgets the passwords of users that the profile no longer
// names: the settings removed them from the device.
func dropForeignUsers(d *pb.Device, keep map[string]amt.Secret) {
	d.Passwords = slices.DeleteFunc(d.Passwords, func(p *pb.Password) bool {
		name, user := strings.CutPrefix(p.GetAccount(), userPrefix)
		_, kept := keep[name]
		return user && !kept
	})
}

// userPasswords are the digest users' passwords: those that this workflow has
// stored already, else drawn, and stored before they are sent.
func (r *run) userPasswords(ctx context.Context, p *profile.Profile) (map[string]amt.Secret, error) {
	all, fresh := map[string]amt.Secret{}, map[string]amt.Secret{}
	for _, u := range p.Users {
		s, err := r.ownPassword(userAccount(u.Name))
		if err != nil {
			return nil, err
		}
		if s.IsZero() || u.Password.Policy == profile.FixedPassword && !s.Equal(u.Password.Fixed) {
			if s, err = u.Password.Draw(r.e.cfg.Rand); err != nil {
				return nil, because(InternalFault, fmt.Errorf("drawing the password of %s: %w", u.Name, err))
			}
			fresh[u.Name] = s
		}
		all[u.Name] = s
	}
	if len(fresh) == 0 {
		return all, nil
	}
	err := r.update(ctx, true, func(ed *edit) error {
		for _, u := range p.Users {
			s, ok := fresh[u.Name]
			if !ok {
				continue
			}
			if err := r.e.storePassword(ed.d, userAccount(u.Name), pending, s, ed.now); err != nil {
				return err
			}
			ed.tell(PasswordStored, "of user %s", u.Name)
		}
		return nil
	})
	return all, err
}

// ownPassword is the pending or current password of an account if this workflow
// stored it, else empty.
func (r *run) ownPassword(account string) (amt.Secret, error) {
	for _, role := range []pb.PasswordRole{pending, current} {
		p := password(r.dev, account, role)
		if p != nil && p.GetWorkflow() == r.wf.GetNumber() {
			return r.e.openPassword(r.dev, p)
		}
	}
	return amt.Secret{}, nil
}

// setMEBxPassword is step 11. The device's own policy may keep the old one.
func (r *run) setMEBxPassword(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil || p.MEBx.Policy == profile.KeepPassword {
		return unchanged, err
	}
	stored, secret, err := r.storedPassword(r.wf.GetMebxPassword())
	if err != nil || stored.GetRole() == current || r.wf.GetMebxPassword() != 0 && stored == nil {
		return unchanged, err // done before, or kept by the device's policy
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	var prepare func(*edit) error
	if stored == nil {
		if secret, err = p.MEBx.Draw(r.e.cfg.Rand); err != nil {
			return nil, because(InternalFault, fmt.Errorf("drawing the MEBx password: %w", err))
		}
		prepare = func(ed *edit) error {
			if err := r.e.storePassword(ed.d, accountMEBx, pending, secret, ed.now); err != nil {
				return err
			}
			ed.w.MebxPassword = ed.d.GetLastPassword()
			ed.tell(PasswordStored, "of MEBx")
			return nil
		}
	}
	unseen := r.doubtful(callSetMEBx) || stored.GetDoubtful()
	err = r.call(ctx, callSetMEBx, prepare, func() error { return c.SetMEBxPassword(ctx, secret) })
	switch s, ok := wsman.StatusOf(err); {
	case err == nil:
		return func(ed *edit) error {
			promote(ed.d, accountMEBx)
			settle(ed.w, uint32(r.number()), callSetMEBx, intentionResolved, "set")
			ed.tell(PasswordSet, "of MEBx")
			return nil
		}, nil
	case ok && s == 16, wsman.IsAbsent(err):
		return r.mebxKept(unseen), nil
	case isRefusal(err) && !isBusy(err) && !unseen:
		err = errors.Join(err, r.forget(ctx, accountMEBx))
	}
	return nil, refused(MEBxPasswordRefused, fmt.Errorf("setting the MEBx password: %w", err))
}

// mebxKept drops the pending password that the device's policy refused, unless
// an earlier call with the same value may have taken effect unseen: then one of
// the two is in use.
func (r *run) mebxKept(unseen bool) func(*edit) error {
	return func(ed *edit) error {
		if unseen {
			doubt(ed.d, accountMEBx)
			ed.tell(MEBxPasswordKept, "the device refuses a second change; the answer to the first was lost: one of two passwords is in use")
			return nil
		}
		dropPassword(ed.d, accountMEBx, pending)
		ed.tell(MEBxPasswordKept, "the device's policy keeps the present one")
		return nil
	}
}
