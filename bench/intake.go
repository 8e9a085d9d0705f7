package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/seal"
)

// intakeClients is how many hellos are on their way at once, as after a power
// failure in a large building.
const intakeClients = 64

// intake measures hellos of known pairs, each from its own address, from the
// first connection until the last attempt is committed, beside a loop that
// accepts, reads to the end and closes. The clients are the same process.
func (b *bencher) intake(ctx context.Context) ([]row, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // as scsd does
	count, rounds := 20000, 5
	if b.quick {
		count, rounds = 1000, 1
	}
	dir, err := b.sub("intake")
	if err != nil {
		return nil, err
	}
	var raw, ours []float64
	for n := range rounds {
		t := &intakeRound{b: b, dir: filepath.Join(dir, strconv.Itoa(n)), count: count}
		if err := t.prepare(ctx); err != nil {
			return nil, err
		}
		bare, err := t.bare(ctx)
		if err != nil {
			return nil, fmt.Errorf("accept-read-close: %w", err)
		}
		full, err := t.engine(ctx)
		if err = errors.Join(err, t.db.Close()); err != nil {
			return nil, err
		}
		b.note("intake: round %d: %.0f hellos/s, accept-read-close %.0f/s", n+1, full, bare)
		raw, ours = append(raw, bare), append(ours, full)
	}
	note := fmt.Sprintf("%d hellos of known pairs: %.0f/s until committed, %.0f/s bare; medians of %d", count, median(ours...), median(raw...), rounds)
	return []row{{what: "hello intake, rate beside accept-read-close", figure: median(ours...) / median(raw...), unit: "x", aim: atLeast(0.5), note: note}}, nil
}

// intakeRound is a fresh store with its pairs.
type intakeRound struct {
	b     *bencher
	dir   string
	count int

	db     *bolt.DB
	sealer *seal.Keyset
	keys   *keystore.Store
	pids   string // file of PIDs for the clients
}

func (t *intakeRound) prepare(ctx context.Context) (err error) {
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return err
	}
	if t.db, err = bolt.Open(filepath.Join(t.dir, "scs.db"), bolt.Options{}); err != nil {
		return err
	}
	kek, err := seal.CreateFileKEK(filepath.Join(t.dir, "kek"))
	if err != nil {
		return err
	}
	if t.sealer, err = seal.Init(ctx, t.db, kek); err != nil {
		return err
	}
	t.keys = keystore.New(t.sealer)
	im := keystore.Import{Batch: keystore.Batch{Name: "bench", Model: amt.USBKey}, Move: keystore.Move{Who: "bench", Why: "measuring"}}
	recs, err := t.keys.Draw(t.count, nil)
	if err != nil {
		return err
	}
	pids := make([]byte, 0, t.count*amt.PIDLen)
	for _, r := range recs {
		pids = append(pids, r.Pair.PID[:]...)
	}
	t.pids = filepath.Join(t.dir, "pids")
	if err := os.WriteFile(t.pids, pids, 0o600); err != nil {
		return err
	}
	_, err = t.keys.Import(ctx, t.db, im, func(yield func(keystore.Record, error) bool) {
		for _, r := range recs {
			if !yield(r, nil) {
				return
			}
		}
	})
	return err
}

// clients runs the clients' process and returns when the first one begins.
func (t *intakeRound) clients(ctx context.Context, addr string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.b.self, "hellos", t.pids, addr)
	cmd.Stderr = t.b.notes
	return cmd
}

// bare is the rate of a loop that accepts, reads and closes.
func (t *intakeRound) bare(ctx context.Context) (float64, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	cmd := t.clients(ctx, ln.Addr().String())
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	began, err := acceptReadClose(ln, t.count)
	took := time.Since(began)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return 0, err
	}
	return float64(t.count) / took.Seconds(), nil
}

// acceptReadClose takes n connections and returns when the first one came.
func acceptReadClose(ln net.Listener, n int) (began time.Time, err error) {
	var buf [64]byte
	for range n {
		c, err := ln.Accept()
		if err != nil {
			return began, err
		}
		if began.IsZero() {
			began = time.Now()
		}
		for err == nil {
			_, err = c.Read(buf[:])
		}
		_ = c.Close()
		if !errors.Is(err, io.EOF) {
			return began, err
		}
	}
	return began, nil
}

// engine is the rate of the hello listener and the engine, without dialling.
func (t *intakeRound) engine(ctx context.Context) (rate float64, err error) {
	e, err := provisioning.New(provisioning.Config{
		Store: t.db, Sealer: t.sealer, Keys: t.keys, Issuer: noIssuer{}, AllowLoopback: true, NoDial: true,
	})
	if err != nil {
		return 0, err
	}
	lc := net.ListenConfig{KeepAlive: -1} // as scsd's
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	first := &firstAccept{Listener: ln, came: make(chan time.Time, 1)}
	var accepted, lost atomic.Int64
	all := make(chan struct{})
	listener := hello.Listener{Handle: e.Hello, Observe: func(outcome string) {
		n := &accepted
		if outcome != hello.Accepted {
			n = &lost
		}
		n.Add(1)
		if accepted.Load()+lost.Load() == int64(t.count) {
			close(all)
		}
	}}
	runCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- e.Run(runCtx) }()
	go func() { ended <- listener.Serve(runCtx, first) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, <-ended)
	}()
	cmd := t.clients(ctx, ln.Addr().String())
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), cmd.Wait())
	}
	if err := e.Flush(ctx); err != nil {
		return 0, err
	}
	took := time.Since(<-first.came)
	if err := cmd.Wait(); err != nil {
		return 0, err
	}
	if n := lost.Load(); n > 0 {
		return 0, fmt.Errorf("%d hellos were refused", n)
	}
	return float64(t.count) / took.Seconds(), t.check(ctx, e)
}

// check makes sure that each hello became an attempt in the store.
func (t *intakeRound) check(ctx context.Context, e *provisioning.Engine) error {
	stored := 0
	err := t.db.View(ctx, func(r kv.Reader) error {
		stored = 0
		return r.Scan("attempts", kv.Range{}, func(_, _ []byte) error {
			stored++
			return nil
		})
	})
	if err == nil && stored != t.count {
		err = fmt.Errorf("%d attempts are stored instead of %d", stored, t.count)
	}
	return err
}

// firstAccept notes when the first connection came.
type firstAccept struct {
	net.Listener
	came chan time.Time
	seen bool // used by the one goroutine that accepts
}

// Accept implements net.Listener.
func (f *firstAccept) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err == nil && !f.seen {
		f.seen = true
		f.came <- time.Now()
	}
	return c, err
}

// noIssuer is for an engine that never comes to certificates.
type noIssuer struct{}

// IssueDevice implements provisioning.Issuer.
func (noIssuer) IssueDevice(context.Context, provisioning.CertificateRequest) (*x509.Certificate, error) {
	return nil, provisioning.ErrNotIssued
}

// Bundle implements provisioning.Issuer.
func (noIssuer) Bundle() []*x509.Certificate { return nil }

// Supersede implements provisioning.Issuer.
func (noIssuer) Supersede(kv.Tx, amt.UUID, *x509.Certificate, string) (int, error) { return 0, nil }
