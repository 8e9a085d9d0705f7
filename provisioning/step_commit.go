package provisioning

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/profile"
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

// findOperational looks for the device at each address that it may have. With
// setup, peers without certificate TLS are asked whether they are still in set-up.
func (r *run) findOperational(ctx context.Context, setup bool) (*session, error) {
	p, err := r.givenProfile(ctx)
	if err != nil {
		return nil, err
	}
	last := silence(errors.New("no address of the device is known"))
	for addr := range r.operationalAddresses(ctx, p) {
		s, err := r.enterOperational(ctx, p, addr, setup)
		if err == nil {
			return s, nil
		}
		if _, back := errors.AsType[*rewind](err); back || loginRefused(err) {
			return nil, err
		}
		if classify(last).reason != LoginFailed { // in clear the peer may be another
			last = err
		}
	}
	f := classify(last)
	switch {
	case f.reason == NoAnswer || f.reason == DialFailed || f.reason == CommitUnproven || pskReasons[f.reason]:
		return nil, &failure{reason: CommitUnproven, retry: true, silent: true, err: last}
	case f.reason == DeviceCertificateWrong || f.reason == UUIDMismatch:
		return nil, &failure{reason: DeviceCertificateWrong, retry: true, silent: true, err: last}
	}
	return nil, last
}

// operationalAddresses are hints, tried in order: the profile's static address,
// the last that answered, those of hellos since, what DNS says of the FQDN. DNS
// is asked only when the others were of no use: an answer may take seconds.
func (r *run) operationalAddresses(ctx context.Context, p *profile.Profile) iter.Seq[netip.AddrPort] {
	port := r.e.cfg.DevicePort
	if p.TLS.Mode == profile.NoTLS {
		port--
	}
	var tried []netip.AddrPort
	return func(yield func(netip.AddrPort) bool) {
		try := func(addrs ...netip.Addr) bool {
			for _, a := range addrs {
				ap := netip.AddrPortFrom(a.Unmap(), port)
				if !a.IsValid() || slices.Contains(tried, ap) {
					continue
				}
				tried = append(tried, ap)
				if !yield(ap) {
					return false
				}
			}
			return true
		}
		var known []netip.Addr
		if p.Network.Static != nil {
			known = append(known, p.Network.Static.Address.Addr())
		}
		if last, err := netip.ParseAddrPort(r.dev.GetAddress()); err == nil {
			known = append(known, last.Addr())
		}
		for _, h := range r.e.soft.hints(r.uuid, r.pids()...) {
			known = append(known, h.peer)
		}
		if try(known...) {
			try(r.e.namedAddresses(ctx, r.wf.GetFqdn())...)
		}
	}
}

// namedAddresses is what DNS says of a name, none when it does not know it.
func (e *Engine) namedAddresses(ctx context.Context, fqdn string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := e.cfg.Resolver.LookupNetIP(ctx, "ip", fqdn)
	if err != nil {
		return nil
	}
	return found
}

// enterOperational logs in at one address over certificate TLS. A peer without
// it may still be in set-up, which TLS-PSK tells.
func (r *run) enterOperational(ctx context.Context, p *profile.Profile, addr netip.AddrPort, setup bool) (*session, error) {
	version, _ := amt.ParseVersion(r.dev.GetVersion()) // written by step 2
	var dial dialer
	var err error
	if p.TLS.Mode == profile.NoTLS {
		dial = func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, r.e.cfg.Timing.Dial)
			defer cancel()
			return r.e.dialTCP(ctx, addr)
		}
	} else if dial, err = r.e.tlsDialer(addr, r.wf.GetFqdn(), version, p.TLS.Mode == profile.MutualTLS); err != nil {
		return nil, err
	}
	list, err := r.e.candidates(r.dev, keystore.Secrets{}, false, true)
	if err != nil {
		return nil, because(StoreFailed, err)
	}
	v := visit{addr: addr, dial: dial, candidates: list, uuid: r.uuid, turn: int(r.wf.GetRefusedLogins())}
	if p.TLS.Mode != profile.NoTLS {
		v.proven, v.logins = true, r.logins
	}
	s, err := r.e.enter(ctx, v)
	inSetup := errors.Is(err, errNoCertificateTLS) || p.TLS.Mode == profile.NoTLS && err != nil
	if inSetup && setup {
		return nil, r.stillInSetup(ctx, netip.AddrPortFrom(addr.Addr(), r.e.cfg.DevicePort), err)
	}
	if err != nil {
		return nil, err
	}
	if s.setup.State != amt.Operational {
		s.close()
		return nil, &failure{reason: CommitUnproven, retry: true, silent: true,
			err: fmt.Errorf("%v is in phase %v over certificate TLS", addr, s.setup.State)}
	}
	return s, nil
}

// stillInSetup asks a peer without certificate TLS over TLS-PSK. A device that is
// in set-up there did not commit, unless it was asked to a moment ago: the
// workflow goes back and reads its state.
func (r *run) stillInSetup(ctx context.Context, addr netip.AddrPort, cause error) error {
	s, err := r.enterPSK(ctx, addr)
	if loginRefused(err) {
		return err
	}
	if err != nil {
		return cause
	}
	s.close()
	if r.mayCommitYet(r.e.cfg.Now()) {
		return &failure{reason: CommitUnproven, retry: true, silent: true, err: cause}
	}
	if err := r.met(ctx, s); err != nil {
		return err
	}
	return &rewind{to: stepCertificate, why: "the device is still in set-up: its commit had no effect"}
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
		return r.spendPairs(ed)
	}
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
