package provisioning

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/wsman"
)

// commitChanges is step 15. From its intention on only step 16 can tell what
// became of it: a lost answer is no failure.
func (r *run) commitChanges(ctx context.Context) (func(*edit) error, error) {
	if r.doubtful(callCommit) {
		return unchanged, nil
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	tried := func(ed *edit) error {
		ed.w.CommitTried = true // for good: see orCommitted
		return nil
	}
	err = r.call(ctx, callCommit, tried, func() error { return c.CommitChanges(ctx) })
	switch s, _ := wsman.StatusOf(err); {
	case err == nil:
		return func(ed *edit) error {
			ed.w.CommittedAt = stamp(ed.now)
			return nil
		}, nil
	case errors.Is(err, wsman.ErrUnauthorized):
		return nil, err
	case s == 2057:
		return nil, because(CommitDataMissing, fmt.Errorf("committing: %w", err))
	case isRefusal(err):
		return nil, refused(CommitRefused, fmt.Errorf("committing: %w", err))
	}
	r.log.Info("the answer to CommitChanges was lost", "err", err)
	return unchanged, nil
}

const (
	// commitPolls is how often step 16 looks for the device before the workflow
	// waits in the queue.
	commitPolls = 10
	// pollFactor lengthens the wait between two looks, in percent.
	pollFactor = 180
)

// verify is step 16: the device is Operational when it says so over certificate
// TLS, logged in with its new password.
func (r *run) verify(ctx context.Context) (func(*edit) error, error) {
	r.sess.close() // the device left that transport
	r.sess = nil
	r.relogin = true // what follows opens its own sessions
	pause := r.e.cfg.Timing.CommitPoll
	for poll := 1; ; poll++ {
		if err := r.pause(ctx, pause); err != nil {
			return nil, err
		}
		s, err := r.findOperational(ctx, true)
		if err == nil {
			defer s.close()
			r.log.Info("operational", "fqdn", r.wf.GetFqdn(), "addr", s.addr)
			r.e.soft.ask(func(soft *softState, ch *changes) { soft.dropDevice(ch, r.uuid) })
			return r.operational(s), nil
		}
		if _, back := errors.AsType[*rewind](err); back || !classify(err).retry {
			return nil, err
		}
		if poll >= commitPolls || ctx.Err() != nil {
			return nil, err
		}
		r.log.Debug("not Operational yet", "step", "verify", "poll", poll, "err", err)
		pause = pause * pollFactor / 100
	}
}

// operational is what is true once the device has answered: the pair of this
// set-up is spent, and every password that it proved is the current one.
func (r *run) operational(s *session) func(*edit) error {
	return func(ed *edit) error {
		d, w := ed.d, ed.w
		if err := r.e.learn(d, s.login, ed.now); err != nil {
			return err
		}
		d.Address, d.Realm = s.addr.String(), s.realm
		d.Operational, d.OperationalAt = true, stamp(ed.now)
		d.Certificate = w.GetCertificate()
		settle(w, stepCommit, callCommit, intentionResolved, "the device is Operational")
		if err := r.supersede(ed); err != nil {
			return err
		}
		return r.spendPairs(ed)
	}
}

// supersede revokes the certificates of earlier set-ups and tries.
func (r *run) supersede(ed *edit) error {
	var keep *x509.Certificate
	if der := ed.w.GetCertificate(); len(der) > 0 {
		var err error
		if keep, err = x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("reading the device's certificate: %w", err)
		}
	}
	n, err := r.e.cfg.Issuer.Supersede(ed.tx, r.uuid, keep, "another set-up took its place")
	if err != nil {
		return fmt.Errorf("revoking earlier certificates: %w", err)
	}
	if n > 0 {
		ed.tell(CertificatesSuperseded, "%d of earlier set-ups", n)
	}
	return nil
}

// spendPairs ends the use of the pair of this set-up and of older ones.
func (r *run) spendPairs(ed *edit) error {
	keys, d := r.e.cfg.Keys, ed.d
	move := keystore.Move{Who: serverName, Why: "the device is Operational", At: ed.now}
	for _, b := range append([][]byte{d.GetCurrentPid()}, d.GetOlderPids()...) {
		pid := pidOf(b)
		k, err := keys.Get(ed.tx, pid)
		if err != nil {
			return err
		}
		switch k.State {
		case keystore.Claimed:
			if err := keys.Spend(ed.tx, pid, move); err != nil {
				return err
			}
			ed.tellPair(PairSpent, pid, "")
		case keystore.Reserved:
			// The device may hold it, but it was set up anew with another pair.
			if err := keys.Revoke(ed.tx, pid, keystore.Move{Who: serverName, Why: "the device was set up with another pair", At: ed.now}); err != nil {
				return err
			}
		}
	}
	d.OlderPids = nil
	return nil
}
