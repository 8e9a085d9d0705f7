package hello

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Handler takes one message. peer is the address the message came from, which is
// where the device is dialled back: unmapped, its zone kept. An error that wraps
// ErrBusy counts as RefusedBusy, any other as Refused. ctx ends after
// Listener.HandleTimeout, or when a stop takes longer than Listener.StopTimeout.
type Handler func(ctx context.Context, peer netip.AddrPort, m *Message) error

// ErrBusy is returned by a Handler whose queue is full. The device will say
// hello again by itself.
var ErrBusy = errors.New("too busy for another hello")

// ErrStop is returned by Serve when handlers took longer than StopTimeout.
var ErrStop = errors.New("hello handlers did not finish in time")

// Outcomes, one for each connection. They are the label of a metric: do not
// rename them.
const (
	Accepted           = "accepted"             // the handler took the message
	Refused            = "refused"              // the handler returned an error
	RefusedBusy        = "refused_busy"         // the handler's queue is full
	TooManyConnections = "too_many_connections" // the slowest sender, closed to let another in
	PerSource          = "per_source"           // its address has enough connections
	Timeout            = "timeout"              // part of a message within the read deadline
	Silent             = "silent"               // nothing came: a port check
	Oversize           = "oversize"             // more than MaxLen bytes
	Malformed          = "malformed"            // not a hello message
	UnknownVersion     = "unknown_version"      // neither version 2 nor 3
	Panicked           = "panicked"             // the handler panicked
)

// Outcomes lists every outcome, so that metrics can begin at zero.
func Outcomes() []string {
	return []string{
		Accepted, Refused, RefusedBusy, TooManyConnections, PerSource, Timeout, Silent, Oversize, Malformed,
		UnknownVersion, Panicked,
	}
}

// Listener takes hello messages from TCP connections, each bounded in size and
// time, all bounded in number. Zero limits stand for the defaults. A Listener
// must not be changed once it serves.
//
// Memory: a connection costs a goroutine and 64 bytes until it sends more, so
// the worst case is MaxConns times MaxLen, 17 MiB by default.
type Listener struct {
	// Handle is required. It runs once for each well-formed message, at most
	// MaxConns at a time, after the connection was closed.
	Handle Handler
	// Strange, if not nil, is called for each message of an unknown version with
	// its header, in place of Handle.
	Strange func(peer netip.AddrPort, h Header)
	// Log takes what was refused, at most LogRate lines a second. Nil: nothing.
	Log *slog.Logger
	// Observe is called once for each connection with its outcome, from many
	// goroutines. It may be nil.
	Observe func(outcome string)

	// MaxConns bounds open connections and running handlers together. When it is
	// reached, the oldest connection that had its FairTime makes room.
	// Default 1024.
	MaxConns int
	// MaxPerSource bounds open connections of one IPv4 address or one IPv6 /64.
	// Default a quarter of MaxConns.
	MaxPerSource int
	// FairTime is how long a connection is safe from making room for another.
	// Default 250 ms.
	FairTime time.Duration
	// ReadTimeout bounds the time from accepting a connection to its last byte.
	// Default 5 s. A device that keeps its connection open is answered then.
	ReadTimeout time.Duration
	// HandleTimeout bounds the handler's context. Default 10 s.
	HandleTimeout time.Duration
	// StopTimeout bounds how long Serve waits for handlers once ctx is done.
	// Default 5 s.
	StopTimeout time.Duration
	// LogRate is the number of log lines a second. Default 5.
	LogRate float64
}

// stopRead is how long a connection may still send once Serve is stopping.
const stopRead = 250 * time.Millisecond

// stopCut is how long handlers may take to notice that their context ended.
const stopCut = time.Second

// Back-off between failing Accepts, as when the process is out of descriptors.
const (
	acceptWaitMin = 5 * time.Millisecond
	acceptWaitMax = time.Second
)

// logBurst is the number of log lines that may come at once.
const logBurst = 20

// server is one run of a Listener.
type server struct {
	Listener
	gate  *gate
	quiet *rate.Limiter
	work  sync.WaitGroup // connections
	// handling is the parent of every handler's context.
	handling context.Context

	mu      sync.Mutex // guards dropped
	dropped int        // log lines left out since the last one
}

// withDefaults fills in the zero limits.
func (l Listener) withDefaults() Listener {
	whole := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	span := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	whole(&l.MaxConns, 1024)
	whole(&l.MaxPerSource, max(l.MaxConns/4, 1))
	span(&l.FairTime, 250*time.Millisecond)
	span(&l.ReadTimeout, 5*time.Second)
	span(&l.HandleTimeout, 10*time.Second)
	span(&l.StopTimeout, 5*time.Second)
	if l.LogRate <= 0 {
		l.LogRate = 5
	}
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	if l.Observe == nil {
		l.Observe = func(string) {}
	}
	return l
}

// Serve takes connections from ln, which it closes, until ctx is done; then nil,
// or ErrStop when handlers did not finish within StopTimeout. An error of ln
// that cannot pass ends Serve too; one that can, such as a lack of descriptors,
// is waited out.
//
// The order of stopping: ln is closed; open connections get a last 250 ms to
// send; handlers finish; after StopTimeout their context ends, and Serve returns as
// soon as they do, or a second later without them.
func (l *Listener) Serve(ctx context.Context, ln net.Listener) error {
	if l.Handle == nil {
		panic("hello: Listener.Handle is nil")
	}
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &server{Listener: l.withDefaults(), handling: handling}
	s.gate = newGate(&s.Listener)
	s.quiet = rate.NewLimiter(rate.Limit(s.LogRate), logBurst)

	closed := context.AfterFunc(ctx, func() { _ = ln.Close() })
	err := s.accept(ctx, ln)
	closed()
	_ = ln.Close()
	s.gate.hurry(time.Now().Add(stopRead))
	return errors.Join(err, s.wait(cancel))
}

// wait waits for the connections, at most StopTimeout, and then, their handlers'
// context ended by cancel, a little longer.
func (s *server) wait(cancel func()) error {
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	if within(done, s.StopTimeout) {
		return nil
	}
	cancel()
	if within(done, stopCut) {
		return fmt.Errorf("%w: cut off after %v", ErrStop, s.StopTimeout)
	}
	return fmt.Errorf("%w: left behind after %v", ErrStop, s.StopTimeout+stopCut)
}

func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// accept takes connections until ctx is done (nil) or ln is of no more use.
func (s *server) accept(ctx context.Context, ln net.Listener) error {
	wait := acceptWaitMin
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			wait = acceptWaitMin
			s.admit(ctx, conn)
		case ctx.Err() != nil:
			return nil
		case !passes(err):
			return fmt.Errorf("accepting hello connections: %w", err)
		default:
			s.log(slog.LevelError, "hello: accepting a connection", slog.Any("err", err), slog.Duration("wait", wait))
			sleep(ctx, wait)
			wait = min(2*wait, acceptWaitMax)
		}
	}
}

// admit starts a connection once the gate lets it in.
func (s *server) admit(ctx context.Context, conn net.Conn) {
	v := newVisit(conn)
	if why := s.gate.enter(ctx, v); why != "" {
		_ = conn.Close()
		s.Observe(why)
		s.log(slog.LevelWarn, "hello: connection refused", slog.Any("peer", v.peer), slog.String("outcome", why))
		return
	}
	s.work.Go(func() { s.serve(v) })
}

// passes reports whether an error of Accept is worth waiting out.
func passes(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno != syscall.EBADF && errno != syscall.EINVAL && errno != syscall.ENOTSOCK
	}
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// log writes one line, unless there were too many of late; the next line that is
// written tells how many were left out.
func (s *server) log(level slog.Level, msg string, attrs ...slog.Attr) {
	if !s.Log.Enabled(s.handling, level) {
		return
	}
	s.mu.Lock()
	if !s.quiet.Allow() {
		s.dropped++
		s.mu.Unlock()
		return
	}
	dropped := s.dropped
	s.dropped = 0
	s.mu.Unlock()
	if dropped > 0 {
		attrs = append(attrs, slog.Int("lines_left_out", dropped))
	}
	s.Log.LogAttrs(s.handling, level, msg, attrs...)
}
