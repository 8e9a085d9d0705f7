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
)

// findOperational looks for the device where it is most likely, one address after
// the other, then where hellos came from, all at once: any number of them may be
// forged. With setup, peers without certificate TLS are asked whether they are
// still in set-up.
func (r *run) findOperational(ctx context.Context, setup bool) (*session, error) {
	p, err := r.givenProfile(ctx)
	if err != nil {
		return nil, err
	}
	plain := p.TLS.Mode == profile.NoTLS
	enter := func(ctx context.Context, addr netip.AddrPort) (*session, error) {
		s, err := r.enterOperational(ctx, p, addr)
		inSetup := errors.Is(err, errNoCertificateTLS) || plain && err != nil
		if inSetup && setup {
			return nil, r.askSetup(ctx, addr, err)
		}
		return s, err
	}
	last := silence(errors.New("no address of the device is known"))
	var tried []netip.Addr
	for addr := range r.likelyAddresses(ctx, p) {
		tried = append(tried, addr.Addr())
		s, err := enter(ctx, addr)
		if err == nil {
			return s, nil
		}
		if ownAnswer(err) {
			return nil, r.unproven(ctx, err)
		}
		if classify(last).reason != LoginFailed { // in clear the peer may be another
			last = err
		}
	}
	if plain { // whoever said hello proves nothing in clear: no password for them
		enter = func(ctx context.Context, addr netip.AddrPort) (*session, error) {
			return nil, r.askSetup(ctx, addr, silence(fmt.Errorf("%v is not in set-up", addr)))
		}
	}
	var others []netip.AddrPort
	for _, h := range r.e.soft.hints(r.uuid, r.pids()...) {
		if ap := netip.AddrPortFrom(h.peer, r.e.cfg.DevicePort); !slices.Contains(tried, h.peer) && !slices.Contains(others, ap) {
			others = append(others, ap)
		}
	}
	if len(others) > 0 && ctx.Err() == nil && (setup || !plain) {
		s, err := r.race(ctx, others, last, enter)
		if err == nil {
			return s, nil
		}
		if classify(last).reason != LoginFailed || ownAnswer(err) {
			last = err
		}
	}
	return nil, r.unproven(ctx, last)
}

// unproven turns the error of the last look into what the workflow does next.
func (r *run) unproven(ctx context.Context, last error) error {
	if in, ok := errors.AsType[*stillSetup](last); ok {
		return r.back(ctx, in)
	}
	f := classify(last)
	switch {
	case f.reason == NoAnswer || f.reason == DialFailed || f.reason == CommitUnproven || pskReasons[f.reason]:
		return &failure{reason: CommitUnproven, retry: true, silent: true, err: last}
	case f.reason == DeviceCertificateWrong || f.reason == UUIDMismatch:
		return &failure{reason: DeviceCertificateWrong, retry: true, silent: true, err: last}
	}
	return last
}

// likelyAddresses are tried in order: the profile's static address, the last that
// answered, what DNS says of the FQDN. DNS is asked only when the others were of
// no use: an answer may take seconds.
func (r *run) likelyAddresses(ctx context.Context, p *profile.Profile) iter.Seq[netip.AddrPort] {
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

// enterOperational logs in at one address over certificate TLS, or in clear for a
// profile without TLS.
func (r *run) enterOperational(ctx context.Context, p *profile.Profile, addr netip.AddrPort) (*session, error) {
	if p.TLS.Mode == profile.NoTLS {
		return r.enterPlain(ctx, addr)
	}
	version, _ := amt.ParseVersion(r.dev.GetVersion()) // written by step 2
	dial, err := r.e.tlsDialer(addr, r.wf.GetFqdn(), version, p.TLS.Mode == profile.MutualTLS)
	if err != nil {
		return nil, err
	}
	list, err := r.e.candidates(r.dev, keystore.Secrets{}, false, true)
	if err != nil {
		return nil, because(StoreFailed, err)
	}
	s, err := r.e.enter(ctx, visit{
		addr: addr, dial: dial, candidates: list, uuid: r.uuid, turn: int(r.wf.GetRefusedLogins()), proven: true, logins: r.logins,
	})
	if err != nil {
		return nil, err
	}
	return inPhase(s, "over certificate TLS")
}

// enterPlain logs in in clear, where anybody may answer: only a peer that asks in
// the device's own digest realm gets an answer, and none made of a password that
// was in use before.
func (r *run) enterPlain(ctx context.Context, addr netip.AddrPort) (*session, error) {
	list, err := r.e.candidates(r.dev, keystore.Secrets{}, false, true)
	if err != nil {
		return nil, because(StoreFailed, err)
	}
	list = slices.DeleteFunc(list, func(c candidate) bool { return c.account != accountAdmin || c.role == previous })
	s, err := r.e.enter(ctx, visit{
		addr: addr, uuid: r.uuid, candidates: list, realm: r.dev.GetRealm(), turn: int(r.wf.GetRefusedLogins()),
		dial: func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, r.e.cfg.Timing.Dial)
			defer cancel()
			return r.e.dialTCP(ctx, addr)
		},
	})
	stranger := func(err error) error { return &failure{reason: CommitUnproven, retry: true, silent: true, err: err} }
	switch {
	case err != nil && classify(err).reason == LoginFailed:
		return nil, err
	case err != nil:
		return nil, stranger(err)
	case s.client.Realm() == "":
		s.close()
		return nil, stranger(fmt.Errorf("%v asks for no login", addr))
	}
	return inPhase(s, "in clear")
}

// inPhase wants the device of a session to be Operational.
func inPhase(s *session, how string) (*session, error) {
	if s.setup.State == amt.Operational {
		return s, nil
	}
	s.close()
	return nil, &failure{
		reason: CommitUnproven, retry: true, silent: true,
		err: fmt.Errorf("%v is in phase %v %s", s.addr, s.setup.State, how),
	}
}

// stillSetup is the answer of a device that is in set-up yet.
type stillSetup struct {
	s     *session // closed
	cause error    // why it was asked
}

func (e *stillSetup) Error() string { return e.cause.Error() }

func (e *stillSetup) Unwrap() error { return e.cause }

// askSetup asks a peer without certificate TLS over TLS-PSK whether it is still
// in set-up: the error is *stillSetup then, else cause.
func (r *run) askSetup(ctx context.Context, addr netip.AddrPort, cause error) error {
	s, err := r.enterPSK(ctx, netip.AddrPortFrom(addr.Addr(), r.e.cfg.DevicePort))
	switch {
	case loginRefused(err):
		return err
	case err != nil:
		return cause
	}
	s.close()
	return &stillSetup{s, cause}
}

// back is what to do about a device that is in set-up yet: it did not commit,
// unless it was asked to a moment ago, so the workflow goes back and reads its
// state.
func (r *run) back(ctx context.Context, in *stillSetup) error {
	if r.mayCommitYet(r.e.cfg.Now()) {
		return &failure{reason: CommitUnproven, retry: true, silent: true, err: in.cause}
	}
	if err := r.met(ctx, in.s); err != nil {
		return err
	}
	return &rewind{to: stepCertificate, why: "the device is still in set-up: its commit had no effect"}
}
