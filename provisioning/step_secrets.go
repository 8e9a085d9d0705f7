package provisioning

import (
	"context"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

// setNextPair is step 12: the pair of the device's next set-up is reserved for it
// before it is sent, and sent again with the same value when the answer was lost.
func (r *run) setNextPair(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil || p.NextPair == profile.NextPairOff {
		return unchanged, err
	}
	if r.nextPairSettled(p) {
		return unchanged, nil
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	if r.nextPairSettled(p) { // a new session may have shown it
		return unchanged, nil
	}
	unseen := r.doubtful(callSetTLSPSK) || r.dev.GetNextPidDoubtful()
	pair, err := r.sendNextPair(ctx, c)
	switch {
	case err == nil:
		return func(ed *edit) error { return r.nextPairSet(ed, pair.PID) }, nil
	case isRefusal(err) && !isBusy(err):
		return r.nextPairRefused(ctx, p, pair.PID, unseen, err)
	case unknownEffect(err):
		uerr := r.update(ctx, false, func(ed *edit) error {
			ed.d.NextPidDoubtful = true
			return nil
		})
		return nil, errors.Join(err, uerr)
	}
	return nil, fmt.Errorf("setting the next pair: %w", err)
}

// errNextPairGone says that the next pair was withdrawn before it was sent.
var errNextPairGone = errors.New("the next pair was withdrawn meanwhile")

// sendNextPair makes the call, with another pair when the one that was reserved
// has been withdrawn.
func (r *run) sendNextPair(ctx context.Context, c *wsman.Client) (amt.Pair, error) {
	for {
		pair, prepare, err := r.nextPair(ctx)
		if err != nil {
			return amt.Pair{}, err
		}
		err = r.call(ctx, callSetTLSPSK, prepare, func() error { return c.SetTLSPSK(ctx, pair) })
		if !errors.Is(err, errNextPairGone) {
			return pair, err
		}
	}
}

// nextPairSet is what is true once the device has taken the pair. One that was
// withdrawn while it was sent is of no use to it.
func (r *run) nextPairSet(ed *edit, pid amt.PID) error {
	k, err := r.e.cfg.Keys.Get(ed.tx, pid)
	if err != nil {
		return err
	}
	settle(ed.w, stepPair, callSetTLSPSK, intentionResolved, "set")
	if k.State != keystore.Reserved {
		setNextAside(ed.d)
		ed.d.NeedsVisit = true
		ed.tellPair(NextPairRefused, pid, "it was %v while it was sent", k.State)
		return nil
	}
	ed.d.NextPidDoubtful, ed.d.NeedsVisit = false, false
	ed.tellPair(NextPairSet, pid, "")
	return nil
}

// setNextAside keeps the next pair of a device, which it may hold, until its
// set-up is done.
func setNextAside(d *pb.Device) {
	if len(d.GetNextPid()) > 0 {
		d.OlderPids = append(d.OlderPids, d.GetNextPid())
	}
	d.NextPid, d.NextPidDoubtful = nil, false
}

func isBusy(err error) bool {
	s, ok := wsman.StatusOf(err)
	return ok && wsman.Class(s) == wsman.Retry
}

// nextPairSettled reports whether the step was done before in this workflow: the
// device took the pair, or said that it takes none and may do without.
func (r *run) nextPairSettled(p *profile.Profile) bool {
	has := len(r.dev.GetNextPid()) > 0
	for _, in := range r.wf.GetIntentions() {
		if in.GetStep() != stepPair || in.GetCall() != callSetTLSPSK {
			continue
		}
		switch in.GetState() {
		case intentionDone, intentionResolved:
			if has {
				return true
			}
		case intentionRefused:
			if !has && r.dev.GetNeedsVisit() && p.NextPair != profile.NextPairRequired {
				return true
			}
		}
	}
	return false
}

// nextPair is the pair to send: the one that is reserved for the device, else a
// fresh one, which prepare reserves. prepare returns errNextPairGone for one that
// is reserved no more.
func (r *run) nextPair(ctx context.Context) (pair amt.Pair, prepare func(*edit) error, err error) {
	if len(r.dev.GetNextPid()) == 0 {
		return r.freshPair()
	}
	pid := pidOf(r.dev.GetNextPid())
	var key keystore.Key
	var secrets keystore.Secrets
	err = r.e.cfg.Store.View(ctx, func(rd kv.Reader) error {
		var err error
		if key, err = r.e.cfg.Keys.Get(rd, pid); err != nil {
			return err
		}
		secrets, err = r.e.cfg.Keys.Secrets(rd, pid)
		return err
	})
	if err != nil {
		return amt.Pair{}, nil, err
	}
	if key.State != keystore.Reserved {
		return r.freshPair()
	}
	return amt.Pair{PID: pid, PPS: secrets.PPS}, func(ed *edit) error {
		k, err := r.e.cfg.Keys.Get(ed.tx, pid)
		if err == nil && k.State != keystore.Reserved {
			return errNextPairGone
		}
		return err
	}, nil
}

// freshPair draws a pair, which prepare reserves in the place of the one before.
func (r *run) freshPair() (amt.Pair, func(*edit) error, error) {
	recs, err := r.e.cfg.Keys.Draw(1, nil)
	if err != nil {
		return amt.Pair{}, nil, perhaps(InternalFault, fmt.Errorf("drawing the next pair: %w", err))
	}
	recs[0].CurrentPassword = amt.Secret{} // MEBx keeps what it has then
	prepared, err := r.e.cfg.Keys.Prepare(recs)
	if err != nil {
		return amt.Pair{}, nil, perhaps(InternalFault, fmt.Errorf("sealing the next pair: %w", err))
	}
	pair := recs[0].Pair
	return pair, func(ed *edit) error {
		k, err := r.e.cfg.Keys.Get(ed.tx, pidOf(r.wf.GetPid()))
		if err != nil {
			return err
		}
		move := keystore.Move{Who: serverName, Why: "for its next set-up", At: ed.now}
		if err := r.e.cfg.Keys.Reserve(ed.tx, r.uuid, prepared[0], k.Batch, move); err != nil {
			return perhaps(InternalFault, fmt.Errorf("reserving the next pair: %w", err))
		}
		setNextAside(ed.d)
		ed.d.NextPid = pair.PID[:]
		ed.tellPair(NextPairStored, pair.PID, "")
		return nil
	}, nil
}

// nextPairRefused gives the pair up. One that may have arrived unseen is revoked,
// never used for another device; the device's next set-up then needs a visit.
func (r *run) nextPairRefused(ctx context.Context, p *profile.Profile, pid amt.PID, unseen bool, cause error) (func(*edit) error, error) {
	giveUp := func(ed *edit) error {
		ed.d.NeedsVisit = true
		if unseen {
			ed.tellPair(NextPairRefused, pid, "a second time; the answer to the first was lost, so the device may hold it")
			return nil
		}
		move := keystore.Move{Who: serverName, Why: "the device refused it", At: ed.now}
		err := r.e.cfg.Keys.Retire(ed.tx, pid, move)
		if err != nil && !errors.Is(err, keystore.ErrRevoked) && !errors.Is(err, keystore.ErrRetired) {
			return fmt.Errorf("retiring the next pair: %w", err)
		}
		ed.d.NextPid, ed.d.NextPidDoubtful = nil, false
		ed.tellPair(NextPairRefused, pid, "%v", cause)
		return nil
	}
	if p.NextPair != profile.NextPairRequired {
		return giveUp, nil
	}
	if err := r.update(ctx, false, giveUp); err != nil {
		return nil, err
	}
	return nil, because(NextPairNotTaken, fmt.Errorf("setting the next pair: %w", cause))
}

// setAdminPassword is step 13: the digest administrator's new password. From its
// answer on the device takes no other.
func (r *run) setAdminPassword(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil {
		return nil, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	stored, secret, err := r.storedPassword(r.wf.GetAdminPassword())
	if err != nil {
		return nil, because(StoreFailed, err)
	}
	if stored.GetRole() == current {
		return unchanged, nil // a login has proven it
	}
	var prepare func(*edit) error
	if stored.GetRole() != pending {
		if secret, err = p.Admin.Draw(r.e.cfg.Rand); err != nil {
			return nil, because(InternalFault, fmt.Errorf("drawing the administrator's password: %w", err))
		}
		prepare = func(ed *edit) error {
			if err := r.e.storePassword(ed.d, accountAdmin, pending, secret, ed.now); err != nil {
				return err
			}
			ed.w.AdminPassword = ed.d.GetLastPassword()
			ed.tell(PasswordStored, "of the administrator")
			return nil
		}
	}
	unseen := r.doubtful(callSetAdmin)
	err = r.call(ctx, callSetAdmin, prepare, func() error { return c.SetAdmin(ctx, amt.AdminUser, secret) })
	if isRefusal(err) && !isBusy(err) && !unseen {
		err = errors.Join(err, r.forget(ctx, accountAdmin))
	}
	if err != nil {
		return nil, refused(AdminPasswordRefused, fmt.Errorf("setting the administrator's password: %w", err))
	}
	c.SetCredentials(amt.AdminUser, secret)
	r.sess.login = candidate{name: "admin pending", secret: secret, account: accountAdmin, role: pending}
	return unchanged, nil
}

// forget drops the pending password of an account that the device refused, so
// that a retry draws what the profile says then.
func (r *run) forget(ctx context.Context, account string) error {
	return r.update(ctx, false, func(ed *edit) error {
		dropPassword(ed.d, account, pending)
		if account == accountAdmin {
			ed.w.AdminPassword = 0
		} else {
			ed.w.MebxPassword = 0
		}
		return nil
	})
}

// provePassword is step 14: a read with the new password proves it and renews the
// nonce, so that CommitChanges follows on a connection that is known to be good.
func (r *run) provePassword(ctx context.Context) (func(*edit) error, error) {
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	setup, err := c.SetupService(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the phase with the new password: %w", err)
	}
	r.sess.setup = setup
	proven := r.sess.login.account == accountAdmin && r.sess.login.role == pending
	stored, _, err := r.storedPassword(r.wf.GetAdminPassword())
	if err != nil {
		return nil, because(StoreFailed, err)
	}
	if !proven && stored.GetRole() != current {
		return nil, &rewind{to: stepPair, why: "the device does not have the new administrator's password"}
	}
	return func(ed *edit) error {
		settle(ed.w, stepPair+1, callSetAdmin, intentionResolved, "logged in with it")
		if password(ed.d, accountAdmin, pending) != nil {
			promote(ed.d, accountAdmin)
		}
		ed.tell(PasswordSet, "of the administrator, proven by a login")
		return nil
	}, nil
}
