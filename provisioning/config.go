package provisioning

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

// Issuer is the certificate authority as the engine needs it.
type Issuer interface {
	// IssueDevice returns a certificate for exactly this request: a new one, or
	// the one of an earlier call with the same request. An error that wraps
	// ErrNotIssued says that asking again is of no use.
	IssueDevice(ctx context.Context, req CertificateRequest) (*x509.Certificate, error)
	// Bundle is the root and what else verifies a device's leaf, the root first.
	Bundle() []*x509.Certificate
	// Supersede revokes, in tx, what was issued for a device other than keep, nil
	// for a device without a certificate, and says how many. The device no longer
	// serves it.
	Supersede(tx kv.Tx, uuid amt.UUID, keep *x509.Certificate, why string) (int, error)
}

// CertificateRequest asks for a device's TLS server certificate.
type CertificateRequest struct {
	UUID      amt.UUID
	FQDN      string
	PublicKey crypto.PublicKey
	Lifetime  time.Duration // 0: as the authority likes
}

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Observer is told what happens, for metrics. Its methods are called from many
// goroutines and must not block.
type Observer interface {
	// Hello is called for each hello with what became of it: "attempt", "known"
	// (its set-up is under way), "queue_full", or the Reason of an inbox row.
	Hello(outcome string)
	// Attempt is called at the end of each dial-back: "authenticated" or a Reason.
	Attempt(outcome string, took time.Duration)
	// Step is called at the end of each step: "done" or a Reason.
	Step(step, outcome string, took time.Duration)
	// Failed is called when a workflow fails.
	Failed(step string, reason Reason)
	// Traffic is called at the end of each session with a device with what it
	// took: requests, challenges, connections, bytes.
	Traffic(s wsman.Stats)
}

// Config is what an Engine is made of. Store, Sealer, Keys and Issuer are
// required; zero values of the rest are the documented defaults.
type Config struct {
	Store  kv.Store
	Sealer *seal.Keyset
	Keys   *keystore.Store
	Issuer Issuer

	// Log takes each device's story; nil: nothing.
	Log *slog.Logger
	// Observe may be nil.
	Observe Observer
	// Now is the clock, Rand the randomness; nil: the real ones.
	Now  func() time.Time
	Rand io.Reader

	// DevicePort is where devices are dialled; 0 means amt.PortTLS. Its
	// neighbour below is the port in clear of a profile without TLS.
	DevicePort uint16
	// Dial connects; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialAllow lists the networks that are dialled; none means every address
	// that is not unspecified, multicast, loopback or the server's own.
	DialAllow []netip.Prefix
	// AllowLoopback lets loopback addresses be dialled.
	AllowLoopback bool
	// OwnAddresses lists the server's own; nil asks the system.
	OwnAddresses func() ([]netip.Addr, error)
	// NoDial keeps hellos from being followed: for measuring their intake.
	NoDial bool
	// Resolver looks host names up; nil: the system's.
	Resolver Resolver

	// ClientCertificate is what the server shows to devices with mutual TLS; nil
	// makes such profiles fail with ClientCertificateAbsent.
	ClientCertificate func() (*tls.Certificate, error)
	// DeviceTLS are the lowest version and the suites spoken with Operational
	// devices. Zero: TLS 1.0 for firmware below 12 and 1.2 else; RSA-key-exchange
	// AES suites behind those with forward secrecy.
	DeviceTLS DeviceTLS
	// PSK are the versions and suites of set-up; see tlspsk.Config. PairForm is
	// unverified; see tlspsk.PairForm.
	PSK      tlspsk.Config
	PairForm tlspsk.PairForm
	// PSKForm is how SetTLSPSK writes a pair; unverified, see wsman.PSKForm.
	PSKForm wsman.PSKForm
	// DeviceKeys gives the RSA keys for firmware that makes none; nil: a pool of
	// the engine's own, of DeviceKeyPool ready keys.
	DeviceKeys    func(ctx context.Context) (*rsa.PrivateKey, error)
	DeviceKeyPool int // 0 means 4

	Limits Limits
	Timing Timing

	// StepHook, if set, is called around each numbered step with names such as
	// "9-before", "9-intended", "9-called", "9-after": crash tests stop there.
	StepHook func(step string)
}

// DeviceTLS is how Operational devices are spoken to.
type DeviceTLS struct {
	MinVersion   uint16
	CipherSuites []uint16
}

// Limits bound what the outside can make the engine hold. Zero means the default.
type Limits struct {
	HelloQueue        int    // hellos not yet committed: 16384
	Attempts          int    // in all: 65536
	AttemptsPerPID    int    // 16
	AttemptsPerSource int    // of one IPv4 address or IPv6 /64: 2048
	AttemptWorkers    int    // dials of unauthenticated devices at once: 512
	DialsPerSource    int    // of them to one IPv4 address or IPv6 /64: 64
	Inbox             int    // rows in all: 10000
	InboxPerSource    int    // of one IPv4 address or IPv6 /64: 100
	Workers           int    // workflows at once: 512
	Events            uint64 // kept: 1000000
	Logins            int    // failed logins per hello: 3
	Rewinds           int    // of one workflow: 8
}

// Timing holds the engine's intervals. Zero means the default.
type Timing struct {
	Dial           time.Duration // TCP and handshake with a device: 15 s
	Attempt        time.Duration // a whole attempt: 2 min
	AttemptLife    time.Duration // an attempt without a new hello: 6 h
	Admission      time.Duration // a new pair that an operator lets in: 6 h
	Call           time.Duration // one try of one WS-Man call: 90 s
	Handover       time.Duration // a session between attempt and worker: 20 s
	RetryMin       time.Duration // first wait after something worth repeating: 5 s
	RetryMax       time.Duration // and the longest: 15 min
	Busy           time.Duration // between tries of a busy firmware: 10 s
	BusyTries      int           // 20
	CommitPoll     time.Duration // first wait for an Operational device: 250 ms
	CommitGrace    time.Duration // In-Setup this long after a confirmed commit is believed: 30 s
	NameRetry      time.Duration // DNS is asked again for a missing name: 5 min
	EventLife      time.Duration // 90 days
	Prune          time.Duration // between prunings: 10 min
	Stop           time.Duration // running steps may take this long at a stop: 20 s
	Tries          int           // of a step that fails in a way worth repeating, other than silence: 30
	HelloWakeEvery time.Duration // a waiting workflow is woken by hellos at most so often: 5 s
}

func (c *Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("provisioning: Config.Store is missing")
	case c.Sealer == nil:
		return errors.New("provisioning: Config.Sealer is missing")
	case c.Keys == nil:
		return errors.New("provisioning: Config.Keys is missing")
	case c.Issuer == nil:
		return errors.New("provisioning: Config.Issuer is missing")
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = noObserver{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.OwnAddresses == nil {
		c.OwnAddresses = systemAddresses
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	orDefault(&c.DevicePort, amt.PortTLS)
	orDefault(&c.DeviceKeyPool, 4)
	c.Limits.setDefaults()
	c.Timing.setDefaults()
}

func (l *Limits) setDefaults() {
	orDefault(&l.HelloQueue, 16384)
	orDefault(&l.Attempts, 65536)
	orDefault(&l.AttemptsPerPID, 16)
	orDefault(&l.AttemptsPerSource, 2048)
	orDefault(&l.AttemptWorkers, 512)
	orDefault(&l.DialsPerSource, 64)
	orDefault(&l.Inbox, 10000)
	orDefault(&l.InboxPerSource, 100)
	orDefault(&l.Workers, 512)
	orDefault(&l.Events, 1000000)
	orDefault(&l.Logins, 3)
	orDefault(&l.Rewinds, 8)
}

func (t *Timing) setDefaults() {
	orDefault(&t.Dial, 15*time.Second)
	orDefault(&t.Attempt, 2*time.Minute)
	orDefault(&t.AttemptLife, 6*time.Hour)
	orDefault(&t.Admission, 6*time.Hour)
	orDefault(&t.Call, 90*time.Second)
	orDefault(&t.Handover, 20*time.Second)
	orDefault(&t.RetryMin, 5*time.Second)
	orDefault(&t.RetryMax, 15*time.Minute)
	orDefault(&t.Busy, 10*time.Second)
	orDefault(&t.BusyTries, 20)
	orDefault(&t.CommitPoll, 250*time.Millisecond)
	orDefault(&t.CommitGrace, 30*time.Second)
	orDefault(&t.NameRetry, 5*time.Minute)
	orDefault(&t.EventLife, 90*24*time.Hour)
	orDefault(&t.Prune, 10*time.Minute)
	orDefault(&t.Stop, 20*time.Second)
	orDefault(&t.Tries, 30)
	orDefault(&t.HelloWakeEvery, 5*time.Second)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// noObserver is the Observer of those who want none.
type noObserver struct{}

func (noObserver) Hello(string)                       {}
func (noObserver) Attempt(string, time.Duration)      {}
func (noObserver) Step(string, string, time.Duration) {}
func (noObserver) Failed(string, Reason)              {}
func (noObserver) Traffic(wsman.Stats)                {}
