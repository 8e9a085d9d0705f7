package hello

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// moody is a net.Listener whose Accept fails some times first.
type moody struct {
	net.Listener
	errs  []error
	calls atomic.Int32
}

func (m *moody) Accept() (net.Conn, error) {
	if i := int(m.calls.Add(1)) - 1; i < len(m.errs) {
		return nil, m.errs[i]
	}
	return m.Listener.Accept()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestServeSurvivesAcceptErrors(t *testing.T) {
	t.Parallel()
	opErr := func(errno syscall.Errno) error {
		return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", errno)}
	}
	r := &recorder{}
	ln := &moody{Listener: listen(t), errs: []error{opErr(syscall.EMFILE), opErr(syscall.ECONNABORTED), opErr(syscall.ENFILE)}}
	addr := serveOn(t, ln, &Listener{}, r)
	send(t, addr, 0, unhex(t, hexPSK))
	r.await(t, Accepted, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.log.String(); strings.Count(s, "accepting a connection") != 3 {
		t.Errorf("log: %s", s)
	}
}

func TestServeEndsWithItsListener(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, want := range []error{net.ErrClosed, broken, syscall.EBADF} {
		l := &Listener{Handle: (&recorder{}).handle}
		if err := l.Serve(t.Context(), &moody{Listener: listen(t), errs: []error{want}}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestServeStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	handling, release := make(chan struct{}), make(chan struct{})
	l := &Listener{Handle: func(ctx context.Context, _ netip.AddrPort, _ *Message) error {
		close(handling)
		<-release
		return ctx.Err() // must not have ended with the listener's
	}}
	r := &recorder{}
	l.Observe = r.observe
	ln := listen(t)
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, ln) }()

	send(t, ln.Addr().String(), 0, unhex(t, hexPSK))
	<-handling
	slow := dial(t, ln.Addr().String()) // its message arrives while stopping
	if _, err := slow.Write(unhex(t, hexPSK)[:20]); err != nil {
		t.Fatal(err)
	}
	idle := dial(t, ln.Addr().String())
	time.Sleep(50 * time.Millisecond) // let both be taken, or else they are reset
	cancel()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an idle connection was not closed: %v", err)
	}
	if _, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second); err == nil {
		t.Error("the port is still open")
	}
	select {
	case err := <-done:
		t.Errorf("Serve returned %v while a handler ran", err)
	default:
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if r.count(Accepted) != 1 || r.total() > 3 {
		t.Errorf("outcomes: %v", r.outcomes)
	}
}

func TestServeStopIsBounded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	handling := make(chan struct{})
	l := &Listener{StopTimeout: 30 * time.Millisecond, HandleTimeout: time.Hour, Handle: func(ctx context.Context, _ netip.AddrPort, _ *Message) error {
		close(handling)
		<-ctx.Done()
		return ctx.Err()
	}}
	ln := listen(t)
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, ln) }()
	send(t, ln.Addr().String(), 0, unhex(t, hexPSK))
	<-handling
	cancel()
	if err := <-done; !errors.Is(err, ErrStop) {
		t.Errorf("Serve: got %v, want %v", err, ErrStop)
	}
}

func TestServeNeedsHandler(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Serve without a handler did not panic")
		}
	}()
	_ = (&Listener{}).Serve(t.Context(), listen(t))
}

func TestServeTwice(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	l := &Listener{Handle: r.handle, Observe: r.observe}
	for i := 1; i <= 2; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		ln := listen(t)
		done := make(chan error, 1)
		go func() { done <- l.Serve(ctx, ln) }()
		send(t, ln.Addr().String(), 0, unhex(t, hexPSK))
		r.await(t, Accepted, i)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkIntake is a hello from connect to handler, beside a bare loop that
// accepts, reads and closes.
func BenchmarkIntake(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		benchIntake(b, func(ln net.Listener, got chan<- struct{}) func() {
			go func() {
				buf := make([]byte, 64)
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(buf)
					_ = c.Close()
					got <- struct{}{}
				}
			}()
			return func() { _ = ln.Close() }
		})
	})
	b.Run("listener", func(b *testing.B) {
		benchIntake(b, func(ln net.Listener, got chan<- struct{}) func() {
			ctx, cancel := context.WithCancel(context.Background())
			l := &Listener{Handle: func(context.Context, netip.AddrPort, *Message) error {
				got <- struct{}{}
				return nil
			}, Observe: func(outcome string) {
				if outcome != Accepted {
					b.Errorf("a hello was lost: %s", outcome)
					got <- struct{}{}
				}
			}}
			done := make(chan error, 1)
			go func() { done <- l.Serve(ctx, ln) }()
			return func() {
				cancel()
				<-done
			}
		})
	})
}

func benchIntake(b *testing.B, start func(net.Listener, chan<- struct{}) func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	got := make(chan struct{}, 1024)
	stop := start(ln, got)
	defer stop()
	msg := unhex(b, hexPSK)
	go func() {
		for range b.N {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = c.Write(msg)
			_ = c.Close()
		}
	}()
	for range b.N {
		<-got
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hellos/s")
}
