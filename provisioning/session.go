package provisioning

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

// session is a login at a device over one transport.
type session struct {
	client *wsman.Client
	addr   netip.AddrPort
	pid    amt.PID   // of the pair that the transport was opened with; zero for none
	login  candidate // what logged in
	realm  string    // AMT_GeneralSettings DigestRealm
	setup  wsman.SetupService
	done   func() // called once by close
}

// close ends the session. It may be called twice.
func (s *session) close() {
	if s == nil {
		return
	}
	_ = s.client.Close() // nothing is left to lose
	s.done()
}

// dialer opens connections to one device, each with its transport done.
type dialer func(ctx context.Context) (net.Conn, error)

// dialTCP connects to a device as the dial policy allows.
func (e *Engine) dialTCP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	if err := e.policy.check(addr.Addr()); err != nil {
		return nil, err
	}
	conn, err := e.cfg.Dial(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &failure{reason: DialFailed, retry: true, silent: true, err: fmt.Errorf("dialling %v: %w", addr, err)}
	}
	return conn, nil
}

// pskDialer dials a device in set-up: TCP and TLS-PSK with the pair.
func (e *Engine) pskDialer(addr netip.AddrPort, pair amt.Pair) dialer {
	cfg := e.cfg.PSK
	form := e.cfg.PairForm.Config(pair)
	cfg.Identity, cfg.Key = form.Identity, form.Key
	cfg.Rand, cfg.Now = e.cfg.Rand, e.cfg.Now
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, e.cfg.Timing.Dial)
		defer cancel()
		raw, err := e.dialTCP(ctx, addr)
		if err != nil {
			return nil, err
		}
		conn := tlspsk.Client(raw, &cfg)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, handshakeFailure(addr, err)
		}
		return conn, nil
	}
}

// handshakeFailure sorts the error of a TLS-PSK handshake.
func handshakeFailure(addr netip.AddrPort, err error) error {
	err = fmt.Errorf("TLS-PSK with %v: %w", addr, err)
	if reason, ok := pskReason(err); ok {
		return because(reason, err)
	}
	return &failure{reason: DialFailed, retry: true, silent: true, err: err}
}

// errNoCertificateTLS marks a peer that answers but does not speak TLS with a
// certificate, as a device in set-up.
var errNoCertificateTLS = errors.New("the peer refuses TLS with a certificate")

// tlsDialer dials an Operational device: TCP and TLS against our bundle.
func (e *Engine) tlsDialer(addr netip.AddrPort, fqdn string, firmware amt.Version, mutual bool) (dialer, error) {
	cfg := &tls.Config{
		ServerName: fqdn, RootCAs: x509.NewCertPool(), Time: e.cfg.Now,
		MinVersion: e.cfg.DeviceTLS.MinVersion, CipherSuites: e.cfg.DeviceTLS.CipherSuites,
	}
	for _, cert := range e.cfg.Issuer.Bundle() {
		cfg.RootCAs.AddCert(cert)
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS10 // the only version of AMT before 12
		if firmware.AtLeast(12, 0) {
			cfg.MinVersion = tls.VersionTLS12
		}
	}
	if !firmware.AtLeast(16, 0) {
		// Firmware of that age is not known to speak 1.3, whose offer is a ClientHello of
		// more than one segment, with keys that cost more than the rest of it.
		cfg.MaxVersion = tls.VersionTLS12
	}
	if cfg.CipherSuites == nil {
		cfg.CipherSuites = deviceSuites
	}
	if mutual {
		cert, err := e.clientCertificate()
		if err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, e.cfg.Timing.Dial)
		defer cancel()
		raw, err := e.dialTCP(ctx, addr)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, cfg)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, tlsFailure(addr, err)
		}
		return conn, nil
	}, nil
}

// deviceSuites are what firmware of AMT 3 to 16 is known or supposed to have: the
// old ones exchange keys by RSA only.
var deviceSuites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}

// tlsFailure sorts the error of a TLS handshake with an Operational device.
func tlsFailure(addr netip.AddrPort, err error) error {
	text := fmt.Errorf("TLS with %v: %w", addr, err)
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &verify):
		return perhaps(DeviceCertificateWrong, text)
	case errors.As(err, &alert), errors.As(err, &header), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &failure{reason: CommitUnproven, retry: true, silent: true, err: fmt.Errorf("%w: %w", errNoCertificateTLS, text)}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return &failure{reason: CommitUnproven, retry: true, silent: true, err: fmt.Errorf("%w: %w", errNoCertificateTLS, text)}
	}
	return &failure{reason: NoAnswer, retry: true, silent: true, err: text}
}

func (e *Engine) clientCertificate() (*tls.Certificate, error) {
	if e.cfg.ClientCertificate == nil {
		return nil, because(ClientCertificateAbsent, errors.New("mutual TLS without a client certificate"))
	}
	cert, err := e.cfg.ClientCertificate()
	if err != nil {
		return nil, perhaps(ClientCertificateAbsent, fmt.Errorf("reading the client certificate: %w", err))
	}
	return cert, nil
}

// visit is a login to be tried.
type visit struct {
	addr       netip.AddrPort
	dial       dialer
	pid        amt.PID
	candidates []candidate
	uuid       amt.UUID
	// proven says that the transport proves the peer to be the device: by the pair
	// or by the certificate.
	proven bool
	// realm, if not empty, is the only digest realm that is answered.
	realm string
	// turn is how often the device refused all that was tried; see inTurn.
	turn int
	// logins is what may still be refused; nil: Limits.Logins.
	logins *logins
}

// enter dials, logs in with the first password that the device takes, and makes
// sure that it is the device with the UUID. The error has a reason.
func (e *Engine) enter(ctx context.Context, v visit) (*session, error) {
	conn, err := v.dial(ctx)
	if err != nil {
		return nil, err
	}
	first := conn
	if v.logins == nil {
		v.logins = newLogins(e.cfg.Limits.Logins)
	}
	tried := 0
	for _, c := range inTurn(v.candidates, v.turn, e.cfg.Limits.Logins) {
		if !v.logins.take() {
			break
		}
		tried++
		s, err := e.tryLogin(ctx, v, c, first)
		first = nil
		switch {
		case err == nil:
			v.logins.taken()
			return s, nil
		case !errors.Is(err, wsman.ErrUnauthorized):
			v.logins.giveBack()
			return nil, err
		}
		e.log.Info("login refused", "uuid", v.uuid.String(), "addr", v.addr, "candidate", c.name)
	}
	if first != nil {
		_ = first.Close()
	}
	return nil, &failure{reason: LoginFailed, proven: v.proven, err: fmt.Errorf("%v refuses %d of %d passwords that it may have",
		v.addr, tried, len(v.candidates))}
}

// tryLogin makes a client on first, if not nil, and asks what every set-up asks.
func (e *Engine) tryLogin(ctx context.Context, v visit, c candidate, first net.Conn) (*session, error) {
	s := &session{addr: v.addr, pid: v.pid, login: c}
	var mu sync.Mutex // guards first
	client, err := wsman.New(wsman.Config{
		Address: v.addr.String(), User: amt.AdminUser, Password: c.secret,
		Dial: func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			conn := first
			first = nil
			mu.Unlock()
			if conn != nil {
				return conn, nil
			}
			return v.dial(ctx)
		},
		Realm: v.realm, Timeout: e.cfg.Timing.Call, PSKForm: e.cfg.PSKForm, Log: e.log.With("uuid", v.uuid.String()), Rand: e.cfg.Rand, Now: e.cfg.Now,
	})
	if err != nil {
		if first != nil {
			_ = first.Close()
		}
		return nil, because(InternalFault, err)
	}
	s.client = client
	s.done = sync.OnceFunc(func() {
		e.cfg.Observe.Traffic(client.Stats())
		mu.Lock()
		defer mu.Unlock()
		if first != nil {
			_ = first.Close()
		}
	})
	if err := s.identify(ctx, v.uuid); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// identify makes the first calls of a session: realm, UUID, phase.
func (s *session) identify(ctx context.Context, want amt.UUID) error {
	general, err := s.client.GeneralSettings(ctx)
	if err != nil {
		return fmt.Errorf("reading AMT_GeneralSettings of %v: %w", s.addr, err)
	}
	s.realm = general.DigestRealm()
	got, err := s.client.UUID(ctx)
	if err != nil {
		return fmt.Errorf("reading the UUID of %v: %w", s.addr, err)
	}
	if got != want {
		return because(UUIDMismatch, fmt.Errorf("%v names the UUID %v instead of %v", s.addr, got, want))
	}
	s.setup, err = s.client.SetupService(ctx)
	if err != nil {
		return fmt.Errorf("reading the phase of %v: %w", s.addr, err)
	}
	return nil
}

// handovers keeps sessions between the attempt that opened them and the
// workflow's worker.
type handovers struct {
	mu       sync.Mutex
	sessions map[amt.UUID]*session // guarded by mu
}

// put keeps s for a while; what was kept for the same device is closed.
func (h *handovers) put(uuid amt.UUID, s *session, life time.Duration) {
	h.mu.Lock()
	old := h.sessions[uuid]
	h.sessions[uuid] = s
	h.mu.Unlock()
	old.close()
	time.AfterFunc(life, func() {
		h.mu.Lock()
		kept := h.sessions[uuid] == s
		if kept {
			delete(h.sessions, uuid)
		}
		h.mu.Unlock()
		if kept {
			s.close()
		}
	})
}

// take hands the session of a device over, nil when there is none.
func (h *handovers) take(uuid amt.UUID) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sessions[uuid]
	delete(h.sessions, uuid)
	return s
}

func (h *handovers) closeAll() {
	h.mu.Lock()
	all := h.sessions
	h.sessions = map[amt.UUID]*session{}
	h.mu.Unlock()
	for _, s := range all {
		s.close()
	}
}
