package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/setupbin"
	"github.com/amtscs/amtscs/wsman"
)

// bare is the baseline of fleet: a program that sends each device the requests
// that scsd sends, over the same TLS-PSK and WS-Man, as soon as it can, and keeps
// nothing. It knows the pairs from the setup.bin and certifies with one key.
type bare struct {
	pairs   map[amt.PID]setupbin.SetupRecord
	profile *profile.Profile
	port    uint16
	count   int
	out     io.Writer

	key  *rsa.PrivateKey
	root *x509.Certificate
	pool *x509.CertPool

	devices sync.WaitGroup

	mu     sync.Mutex // guards what follows
	seen   map[amt.PID]bool
	result bareResult
	all    chan struct{} // closed when count devices came to their end
}

// bareResult is what the program prints at its end, as one line of JSON.
type bareResult struct {
	Devices  int         `json:"devices"` // that became Operational
	Last     time.Time   `json:"last"`    // when the last did
	Traffic  wsman.Stats `json:"traffic"` // of all
	Failures []string    `json:"failures,omitempty"`
}

// runBare is the process. Its first line is the address for hellos, its last the
// result.
func runBare(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	pairs := flags.String("pairs", "", "setup.bin as the devices have it")
	doc := flags.String("profile", "", "profile document")
	port := flags.Uint("port", 0, "port of the devices")
	count := flags.Int("n", 0, "number of devices")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bare{port: uint16(*port), count: *count, out: stdout, seen: map[amt.PID]bool{}, all: make(chan struct{})}
	if err := errors.Join(b.readPairs(*pairs), b.readProfile(*doc), b.makeRoot()); err != nil {
		return err
	}
	return b.serve(ctx)
}

func (b *bare) readPairs(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := setupbin.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b.pairs = map[amt.PID]setupbin.SetupRecord{}
	for _, r := range f.Records {
		s, err := setupbin.ParseSetup(r)
		if err != nil {
			return fmt.Errorf("%s: record %d: %w", path, r.Number, err)
		}
		b.pairs[s.Pair.PID] = s
	}
	return nil
}

func (b *bare) readProfile(path string) error {
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b.profile, err = profile.Parse(path, doc)
	return err
}

// makeRoot makes the key and the certificate that certify.
func (b *bare) makeRoot() (err error) {
	if b.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, b.key.Public(), b.key)
	if err != nil {
		return err
	}
	b.root, err = x509.ParseCertificate(der)
	b.pool = x509.NewCertPool()
	b.pool.AddCert(b.root)
	return err
}

// serve takes hellos until all devices came to their end.
func (b *bare) serve(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(b.out, ln.Addr())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	listener := hello.Listener{Handle: func(_ context.Context, peer netip.AddrPort, m *hello.Message) error {
		b.take(ctx, peer, m)
		return nil
	}}
	go func() { served <- listener.Serve(ctx, ln) }()
	select {
	case <-b.all:
	case <-ctx.Done():
	}
	stop()
	err = errors.Join(context.Cause(ctx), <-served)
	b.devices.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(err, json.NewEncoder(b.out).Encode(b.result))
}

// take begins a device's set-up at its first hello.
func (b *bare) take(ctx context.Context, peer netip.AddrPort, m *hello.Message) {
	rec, ok := b.pairs[m.PID]
	b.mu.Lock()
	again := b.seen[m.PID]
	b.seen[m.PID] = true
	b.mu.Unlock()
	if !ok || again {
		return
	}
	b.devices.Go(func() {
		d := &bareDevice{b: b, addr: netip.AddrPortFrom(peer.Addr(), b.port), rec: rec, uuid: m.UUID}
		err := d.setUp(ctx)
		b.ended(d, err)
	})
}

// ended counts a device.
func (b *bare) ended(d *bareDevice, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.result
	for _, s := range d.traffic {
		r.Traffic.Requests += s.Requests
		r.Traffic.Challenges += s.Challenges
		r.Traffic.Connections += s.Connections
		r.Traffic.BytesIn += s.BytesIn
		r.Traffic.BytesOut += s.BytesOut
	}
	if err != nil {
		r.Failures = append(r.Failures, fmt.Sprintf("%v: %v", d.addr, err))
	} else {
		r.Devices++
		r.Last = time.Now()
	}
	if r.Devices+len(r.Failures) == b.count {
		close(b.all)
	}
}
