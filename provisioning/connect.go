package provisioning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

// client is the session with the device in set-up; it is opened, and the
// device's state read back, when the run has none.
func (r *run) client(ctx context.Context) (*wsman.Client, error) {
	if r.sess != nil {
		return r.sess.client, nil
	}
	s, err := r.enterSetup(ctx)
	if err != nil {
		return nil, r.orCommitted(ctx, err)
	}
	r.sess, r.resumed, r.seen = s, true, nil
	if err := r.met(ctx, s); err != nil {
		return nil, err
	}
	if err := r.readBack(ctx, s); err != nil {
		return nil, err
	}
	return s.client, nil
}

// enterSetup looks for the device over TLS-PSK: at its known address, then at
// those of its hellos all at once, so that forged ones do not hold it up.
func (r *run) enterSetup(ctx context.Context) (*session, error) {
	known, others := r.setupAddresses()
	var err error = silence(errors.New("no address of the device is known"))
	if known.IsValid() {
		var s *session
		if s, err = r.enterPSK(ctx, known); err == nil {
			return s, nil
		}
	}
	if len(others) == 0 || ctx.Err() != nil || loginRefused(err) {
		return nil, err
	}
	return r.race(ctx, others, err, r.enterPSK)
}

// entrance opens a session at one address. It may run beside others: it changes
// nothing of the run.
type entrance func(ctx context.Context, addr netip.AddrPort) (*session, error)

// race tries many addresses at once and returns the first session; the others
// end, as they do when one gives the device's own answer. before is the error of
// what was tried already.
func (r *run) race(ctx context.Context, addrs []netip.AddrPort, before error, enter entrance) (*session, error) {
	ctx, cancel := context.WithCancel(ctx)
	type outcome struct {
		s   *session
		err error
	}
	outcomes := make(chan outcome)
	for _, addr := range addrs {
		go func() {
			s, err := r.enterGuarded(ctx, addr, enter)
			outcomes <- outcome{s, err}
		}()
	}
	var won *session
	var answer error
	last := before
	for range addrs {
		o := <-outcomes
		switch {
		case ownAnswer(o.err):
			answer = o.err
			cancel()
		case o.err != nil:
			if classify(o.err).reason != InternalFault { // that tells nothing of the device
				last = o.err
			}
		case won != nil:
			o.s.close()
		default:
			won = o.s
			cancel() // the handshakes under way; a session that is open keeps its own
		}
	}
	cancel()
	switch {
	case won != nil:
		return won, nil
	case answer != nil:
		return nil, answer
	}
	return nil, last
}

// ownAnswer reports whether err is the answer of the device itself, so that it
// need not be looked for elsewhere.
func ownAnswer(err error) bool {
	_, setup := errors.AsType[*stillSetup](err)
	return setup || loginRefused(err)
}

// enterGuarded is enter in a goroutine of its own, whose panic fails it alone.
func (r *run) enterGuarded(ctx context.Context, addr netip.AddrPort, enter entrance) (s *session, err error) {
	defer func() {
		if v := recover(); v != nil {
			s, err = nil, r.e.panicked(r.uuid, v)
		}
	}()
	return enter(ctx, addr)
}

// enterPSK tries the device's pairs at one address.
func (r *run) enterPSK(ctx context.Context, addr netip.AddrPort) (*session, error) {
	var last error
	for _, pid := range r.pids() {
		var secrets keystore.Secrets
		err := r.e.cfg.Store.View(ctx, func(rd kv.Reader) error {
			var err error
			secrets, err = r.e.cfg.Keys.Secrets(rd, pid)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading pair %v: %w", pid, err)
		}
		list, err := r.e.candidates(r.dev, secrets, false, r.wf.GetCredentialsSet())
		if err != nil {
			return nil, because(StoreFailed, err)
		}
		s, err := r.e.enter(ctx, visit{
			addr: addr, dial: r.e.pskDialer(addr, amt.Pair{PID: pid, PPS: secrets.PPS}),
			pid: pid, candidates: list, uuid: r.uuid, proven: true, turn: int(r.wf.GetRefusedLogins()), logins: r.logins,
		})
		if err == nil && s.setup.State != amt.InSetup {
			s.close()
			return nil, because(NotInSetup, fmt.Errorf("%v is in phase %v", addr, s.setup.State))
		}
		if err == nil {
			return s, nil
		}
		last = err
		if f := classify(err); f.reason != KeyMismatch && f.reason != PIDUnknownToDevice {
			break
		}
	}
	return nil, last
}

// setupAddresses are where the device may be: the address that answered last, and
// its hellos' peers.
func (r *run) setupAddresses() (known netip.AddrPort, others []netip.AddrPort) {
	if a, err := netip.ParseAddrPort(r.dev.GetAddress()); err == nil {
		known = netip.AddrPortFrom(a.Addr(), r.e.cfg.DevicePort)
	}
	for _, h := range r.e.soft.hints(r.uuid, r.pids()...) {
		p := netip.AddrPortFrom(h.peer, r.e.cfg.DevicePort)
		if p != known && !slices.Contains(others, p) {
			others = append(others, p)
		}
	}
	return known, others
}

// pids are the pairs that the device may hold: that of its latest hello, the
// present one, the next one.
func (r *run) pids() []amt.PID {
	var own []amt.PID
	for _, p := range [][]byte{r.dev.GetCurrentPid(), r.dev.GetNextPid()} {
		if len(p) > 0 {
			own = append(own, pidOf(p))
		}
	}
	hints := r.e.soft.hints(r.uuid, own...)
	if len(hints) == 0 || len(own) < 2 || hints[0].pid == own[0] {
		return own
	}
	slices.Reverse(own)
	return own
}

// met stores what a new session has shown: the address, the password that logged
// in, and, by the pair it was opened with, that SetTLSPSK took effect.
func (r *run) met(ctx context.Context, s *session) error {
	return r.update(ctx, true, func(ed *edit) error {
		d := ed.d
		d.Address, d.Realm = s.addr.String(), s.realm
		if s.pid != (amt.PID{}) && s.pid == pidOf(d.GetNextPid()) {
			d.NextPidDoubtful = false
			settle(ed.w, stepPair, callSetTLSPSK, intentionResolved, "the device holds the next pair")
		}
		return r.e.learn(d, s.login, ed.now)
	})
}

// readBack compares what is recorded with what the device has, when the session
// was opened anew: somebody may have reset it. Its certificate tells, before it
// has one its key, whatever step the workflow is at: a retry begins early with
// all that is recorded. Without TLS only the administrator's password tells;
// before the device has that, the settings are gone through again.
func (r *run) readBack(ctx context.Context, s *session) error {
	lost := &rewind{to: 1, anew: true, why: "the device lost what it was given: it was reset"}
	switch {
	case r.wf.GetCertificateHandle() != "":
		certs, err := s.client.Certificates(ctx)
		if err != nil {
			return fmt.Errorf("reading certificates back: %w", err)
		}
		kept := slices.ContainsFunc(certs, func(c wsman.Certificate) bool {
			return string(c.Handle) == r.wf.GetCertificateHandle() && bytes.Equal(c.Raw, r.wf.GetCertificate())
		})
		if !kept {
			return lost
		}
	case r.wf.GetKeyHandle() != "":
		k, err := r.keptKey(ctx, s.client)
		if err != nil {
			return err
		}
		if k == nil {
			return lost
		}
	case r.at > stepCertificate+1:
		if known, err := r.knownByPassword(ctx, s); err != nil || known {
			return err
		}
		if r.reopened { // it goes on so: not without a wait
			return silence(errors.New("the session was opened again, and there is no certificate to know the device by"))
		}
		r.reopened = true
		return &rewind{to: 1, anew: true, free: true, why: "the session was opened again, and there is no certificate to know the device by"}
	}
	return nil
}

// knownByPassword reports whether the device was logged in to with the
// administrator's password that this workflow drew: one that was reset has
// another. A fixed one may have been there before.
func (r *run) knownByPassword(ctx context.Context, s *session) (bool, error) {
	p, err := r.givenProfile(ctx)
	if err != nil || p.Admin.Policy != profile.RandomPassword {
		return false, err
	}
	_, drawn, err := r.storedPassword(r.wf.GetAdminPassword())
	if err != nil {
		return false, because(StoreFailed, err)
	}
	return !drawn.IsZero() && drawn.Equal(s.login.secret), nil
}

// storedPassword opens the password with a number, empty when the record has it
// no longer.
func (r *run) storedPassword(n uint64) (*pb.Password, amt.Secret, error) {
	for _, p := range r.dev.GetPasswords() {
		if n != 0 && p.GetNumber() == n {
			s, err := r.e.openPassword(r.dev, p)
			return p, s, err
		}
	}
	return nil, amt.Secret{}, nil
}
