package provisioning

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
	"github.com/amtscs/amtscs/wsman"
)

// lab is an engine on real parts: a bolt store, the CA, a hello listener, and
// simulated devices on loopback addresses of its own.
type lab struct {
	t      *testing.T
	path   string
	port   uint16
	base   [4]byte // 127.a.b.0
	sealer *seal.Keyset
	keys   *keystore.Store
	tune   func(*Config)
	seen   *recorder

	engine *Engine
	auth   *ca.Authority
	store  *fuse
	hellos netip.AddrPort
	stop   context.CancelFunc
	done   chan struct{}
	next   int // of the next device's address
	pool   *amtsim.KeyPool
	boots  []func() // switch the devices off, in the order of boot
}

// fuse is a store, and a network, that stop working at once as in a power loss.
type fuse struct {
	kv.Store
	blown atomic.Bool
	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

func (f *fuse) View(ctx context.Context, fn func(kv.Reader) error) error {
	if f.blown.Load() {
		return kv.ErrClosed
	}
	return f.Store.View(ctx, fn)
}

func (f *fuse) Update(ctx context.Context, fn func(kv.Tx) error) error {
	if f.blown.Load() {
		return kv.ErrClosed
	}
	return f.Store.Update(ctx, fn)
}

func (f *fuse) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blown.Load() {
		_ = conn.Close()
		return nil, errors.New("blown")
	}
	f.conns = append(f.conns, conn)
	return conn, nil
}

func (f *fuse) blow() {
	f.blown.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

// recorder counts what an engine observes.
type recorder struct {
	mu       sync.Mutex
	hellos   map[string]int // guarded by mu, as is all below
	attempts map[string]int
	failed   map[Reason]int
	traffic  wsman.Stats
}

func newRecorder() *recorder {
	return &recorder{hellos: map[string]int{}, attempts: map[string]int{}, failed: map[Reason]int{}}
}

func (r *recorder) Hello(outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hellos[outcome]++
}

func (r *recorder) Attempt(outcome string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[outcome]++
}

func (r *recorder) Step(string, string, time.Duration) {}

func (r *recorder) Failed(_ string, reason Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[reason]++
}

func (r *recorder) Traffic(s wsman.Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.traffic.Requests += s.Requests
	r.traffic.Challenges += s.Challenges
	r.traffic.Connections += s.Connections
}

func (r *recorder) attemptCount(outcome string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[outcome]
}

// testKeys are RSA keys that all tests share, because making one is slow.
var testKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 4)
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, keyBits)
	}
	return keys
})

// simKeys is a file of device keys that every lab begins with: two labs have two
// authorities, so they may share keys.
var simKeys = sync.OnceValue(func() string {
	f, err := os.CreateTemp("", "keys")
	if err == nil {
		err = amtsim.WriteKeys(context.Background(), f, rand.Reader, 6)
	}
	if err != nil {
		panic(err)
	}
	_ = f.Close()
	return f.Name()
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.Remove(simKeys())
	os.Exit(code)
}

// issuer adapts the CA as scsd does.
type issuer struct{ *ca.Authority }

func (i issuer) IssueDevice(ctx context.Context, req CertificateRequest) (*x509.Certificate, error) {
	cert, err := i.Authority.IssueDevice(ctx, ca.DeviceRequest{UUID: req.UUID, FQDN: req.FQDN, PublicKey: req.PublicKey, Lifetime: req.Lifetime})
	for _, refusal := range []error{ca.ErrName, ca.ErrNameReserved, ca.ErrKey, ca.ErrKeyInUse, ca.ErrKeyCompromised, ca.ErrLifetime, ca.ErrRequest} {
		if errors.Is(err, refusal) {
			return nil, fmt.Errorf("%w: %w", ErrNotIssued, err)
		}
	}
	return cert, err
}

// Supersede implements Issuer.
func (i issuer) Supersede(tx kv.Tx, uuid amt.UUID, keep *x509.Certificate, why string) (int, error) {
	return i.Authority.Supersede(tx, uuid, keep, ca.Revocation{Who: serverName, Why: why})
}

// newLab starts an engine; tune, which may be nil, changes its configuration.
func newLab(t *testing.T, tune func(*Config)) *lab {
	t.Helper()
	l := makeLab(t, tune)
	l.open(true)
	l.apply("default", basicProfile)
	return l
}

// makeLab is newLab without the start.
func makeLab(t *testing.T, tune func(*Config)) *lab {
	t.Helper()
	l := &lab{
		t: t, path: filepath.Join(t.TempDir(), "scs.db"), tune: tune, sealer: sealtest.New(t), seen: newRecorder(),
		base: [4]byte{127, byte(1 + mathrand.IntN(250)), byte(mathrand.IntN(250)), 0},
	}
	l.keys, l.pool = keystore.New(l.sealer), amtsim.NewKeyPool(rand.Reader)
	if err := l.pool.Load(simKeys()); err != nil {
		t.Fatal(err)
	}
	l.port = freePort(t, l.address(250))
	return l
}

// basicProfile is what devices get unless a test says otherwise.
const basicProfile = `
version: 1
name: default
host_name: {pattern: "pc-{hash12}"}
domain: example.com
`

func (l *lab) address(n int) netip.Addr {
	a := l.base
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

// freePort finds a port that is free, and that the system
// gives to no connection, so that it stays free while nobody listens.
func freePort(t *testing.T, a netip.Addr) uint16 {
	t.Helper()
	for range 50 {
		port := uint16(20000 + mathrand.IntN(12000))
		ln, err := net.Listen("tcp", netip.AddrPortFrom(a, port).String())
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}

// open opens the store and starts an engine on it.
func (l *lab) open(first bool) {
	l.t.Helper()
	ctx := context.Background()
	l.store = &fuse{Store: bolttest.Open(l.t, l.path, func(r kv.Reader) error { return CheckInvariants(r, l.keys) })}
	i := -1
	opts := ca.Options{NewKey: func(int) (*rsa.PrivateKey, error) {
		i++
		return testKeys()[i%len(testKeys())], nil
	}}
	var err error
	if first {
		l.auth, err = ca.Init(ctx, l.store, l.sealer, opts)
	} else {
		l.auth, err = ca.Open(ctx, l.store, l.sealer, opts)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	c := Config{
		DeviceKeys: func(context.Context) (*rsa.PrivateKey, error) { return testKeys()[3], nil },
		Store:      l.store, Sealer: l.sealer, Keys: l.keys, Issuer: issuer{l.auth}, Observe: l.seen,
		DevicePort: l.port, AllowLoopback: true, Dial: l.store.dial, Resolver: noNames{},
		Timing: Timing{
			RetryMin: 50 * time.Millisecond, RetryMax: 400 * time.Millisecond, Busy: 20 * time.Millisecond,
			CommitPoll: 20 * time.Millisecond, CommitGrace: 300 * time.Millisecond, Dial: 3 * time.Second,
			Call: 5 * time.Second, Stop: 3 * time.Second, HelloWakeEvery: 20 * time.Millisecond, NameRetry: time.Hour,
		},
	}
	if os.Getenv("LAB_LOG") != "" {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if l.tune != nil {
		l.tune(&c)
	}
	if l.engine, err = New(c); err != nil {
		l.t.Fatal(err)
	}
	l.start()
}

// start runs engine and listener until stop or crash.
func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	if !l.hellos.IsValid() {
		l.hellos = netip.AddrPortFrom(l.address(251), freePort(l.t, l.address(251)))
	}
	at := l.hellos // the same after a crash
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		l.t.Fatal(err)
	}
	l.hellos = ln.Addr().(*net.TCPAddr).AddrPort()
	done, engine := make(chan struct{}), l.engine
	var wg sync.WaitGroup
	wg.Go(func() { _ = (&hello.Listener{Handle: engine.Hello, Strange: engine.StrangeHello}).Serve(ctx, ln) })
	wg.Go(func() {
		if err := engine.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	go func() { wg.Wait(); close(done) }()
	l.stop, l.done = cancel, done
	l.t.Cleanup(func() { cancel(); <-done })
}

// crash stops the engine as a SIGKILL would, and starts another on its store.
func (l *lab) crash() {
	l.t.Helper()
	l.store.blow()
	l.stop()
	<-l.done
	if err := l.store.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open(false)
}

// batch generates n pairs and returns them.
func (l *lab) batch(n int, b keystore.Batch) []keystore.Secrets {
	l.t.Helper()
	if b.Name == "" {
		b.Name = "lab"
	}
	b.Model = amt.USBKey
	im := keystore.Import{Batch: b, Move: keystore.Move{Who: "lab"}}
	ctx := l.t.Context()
	_, err := l.keys.Generate(ctx, l.store, im, n, func() (amt.Secret, error) { return amt.DrawPassword(rand.Reader, 12) })
	if err != nil {
		l.t.Fatal(err)
	}
	return nil
}

// pairs generates n pairs and returns them with their secrets.
func (l *lab) pairs(n int) []pairOf {
	l.t.Helper()
	b := keystore.Batch{Name: fmt.Sprintf("lab-%d", mathrand.Uint64())}
	l.batch(n, b)
	return l.batchPairs(b.Name)
}

type pairOf struct {
	pid     amt.PID
	secrets keystore.Secrets
}

func (l *lab) batchPairs(name string) []pairOf {
	l.t.Helper()
	var list []pairOf
	err := l.store.View(l.t.Context(), func(r kv.Reader) error {
		list = nil
		found, _, err := l.keys.List(r, keystore.Filter{Batch: name}, keystore.Page{Size: 1000})
		for _, k := range found {
			s, serr := l.keys.Secrets(r, k.PID)
			if serr != nil {
				return serr
			}
			list = append(list, pairOf{k.PID, s})
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return list
}

// device makes a simulated device with a pair; tune may change it.
func (l *lab) device(p pairOf, gen *amtsim.Generation, tune func(*amtsim.Options)) *amtsim.Device {
	l.t.Helper()
	l.next++
	o := amtsim.Options{
		Generation: gen, Addr: l.address(l.next), Port: l.port, Server: l.hellos.String(), ClockFactor: 600, Keys: l.pool,
		Setup: amtsim.Setup{Pair: amt.Pair{PID: p.pid, PPS: p.secrets.PPS}, NewPassword: p.secrets.NewPassword},
	}
	if tune != nil {
		tune(&o)
	}
	d, err := amtsim.New(o)
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

// boot switches a device on until the end of the test or the returned call.
func (l *lab) boot(d *amtsim.Device) (off func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			l.t.Errorf("device %v: %v", d.UUID(), err)
		}
	}()
	off = func() { cancel(); <-done }
	l.boots = append(l.boots, off)
	l.t.Cleanup(off)
	return off
}

// await waits until the device's record satisfies ok.
func (l *lab) await(uuid amt.UUID, what string, ok func(Device) bool) Device {
	l.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var dev Device
	var err error
	for time.Now().Before(deadline) {
		changed := l.engine.Changed(l.t.Context())
		if dev, err = l.engine.Device(l.t.Context(), uuid); err == nil && ok(dev) {
			return dev
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
	l.t.Fatalf("device %v is not %s: %v %v at %s, %s: %s (%v); attempts %v", uuid, what, dev.State, dev.Status, dev.Step, dev.Reason, dev.Detail, err, l.seen.attempts)
	return dev
}

func (l *lab) apply(name, doc string) {
	l.t.Helper()
	_, _, err := l.engine.ApplyProfile(l.t.Context(), Act{Who: "lab"}, ProfileDocument{Source: name, YAML: []byte(doc)})
	if err != nil {
		l.t.Fatal(err)
	}
}

// noNames is a resolver that knows nothing.
type noNames struct{}

func (noNames) LookupAddr(context.Context, string) ([]string, error) {
	return nil, errors.New("no such name")
}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

// crashAt makes a StepHook that blows the lab's fuse at a point, once, and ends
// the goroutine that came there. The channel is closed then.
func (l *lab) crashAt(point string) (hook func(string), crashed chan struct{}) {
	crashed = make(chan struct{})
	var fired atomic.Bool
	return func(at string) {
		if at == point && fired.CompareAndSwap(false, true) {
			l.store.blow()
			close(crashed)
			runtime.Goexit()
		}
	}, crashed
}

// record reads a device's record.
func (l *lab) record(d *amtsim.Device) Device {
	l.t.Helper()
	dev, err := l.engine.Device(l.t.Context(), d.UUID())
	if err != nil {
		l.t.Fatal(err)
	}
	return dev
}
