package tlspsk

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// stall is a replay that, at the end of what was said, calls reached and then
// waits until the connection is closed.
func stall(said []byte, reached func()) *replay {
	r := newReplay(said)
	r.end = func() error {
		reached()
		<-r.closed
		return errReplayClosed
	}
	return r
}

// bothSides gives both directions of a session with the end that hears each.
func bothSides(s *session) []struct {
	name string
	said []byte
	end  func(net.Conn) *Conn
} {
	return []struct {
		name string
		said []byte
		end  func(net.Conn) *Conn
	}{
		{"client", s.toClient, func(conn net.Conn) *Conn { c, _ := s.fresh(); return Client(conn, c) }},
		{"server", s.toServer, func(conn net.Conn) *Conn { _, c := s.fresh(); return Server(conn, c) }},
	}
}

// TestCancelEverywhere lets the peer fall silent before each byte of its part of
// the handshake and then cancels.
func TestCancelEverywhere(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		s := record(t, v, SuiteAES128, 100)
		for _, side := range bothSides(s) {
			for n := range handshakeLen(t, side.said, side.end) {
				ctx, cancel := context.WithCancel(t.Context())
				conn := stall(side.said[:n], cancel)
				end := side.end(conn)
				err := end.HandshakeContext(ctx)
				if !errors.Is(err, context.Canceled) || errors.Is(err, ErrRefused) {
					t.Errorf("%s, %s, silent after %d bytes: %v", VersionName(v), side.name, n, err)
				}
				if again := end.Handshake(); again != err {
					t.Errorf("%s, %s: a second handshake says %v", VersionName(v), side.name, again)
				}
				cancel()
			}
		}
	}
}

// handshakeLen is how many bytes an end must hear to be done with the handshake.
func handshakeLen(t *testing.T, said []byte, end func(net.Conn) *Conn) int {
	t.Helper()
	conn := newReplay(said)
	conn.piece = func(int) int { return 1 }
	if err := end(conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	return len(said) - len(conn.in)
}

// TestDeadlineEverywhere lets the deadline pass before each byte; the error must
// be that of the deadline, and never speak of a wrong key.
func TestDeadlineEverywhere(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		s := record(t, v, SuiteAES128, 100)
		for _, side := range bothSides(s) {
			for n := range handshakeLen(t, side.said, side.end) {
				conn := newReplay(side.said[:n])
				conn.end = func() error { return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded} }
				err := side.end(conn).Handshake()
				if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrRefused) || errors.Is(err, ErrKeyMismatch) {
					t.Errorf("%s, %s, after %d bytes: %v", VersionName(v), side.name, n, err)
				}
			}
		}
	}
}

// TestCancelWhileWriting blocks each write of a handshake and cancels.
func TestCancelWhileWriting(t *testing.T) {
	t.Parallel()
	s := record(t, tls.VersionTLS10, SuiteAES128, 100)
	for _, side := range bothSides(s) {
		for n := 1; n <= 2; n++ {
			ctx, cancel := context.WithCancel(t.Context())
			conn := newReplay(side.said)
			conn.writes = func(i int, _ []byte) error {
				if i < n {
					return nil
				}
				cancel()
				<-conn.closed
				return errReplayClosed
			}
			if err := side.end(conn).HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, write %d: %v", side.name, n, err)
			}
			cancel()
		}
	}
}

// TestCancelBefore begins with a context that has ended.
func TestCancelBefore(t *testing.T) {
	t.Parallel()
	s := record(t, tls.VersionTLS10, SuiteAES128, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, side := range bothSides(s) {
		conn := newReplay(side.said)
		if err := side.end(conn).HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", side.name, err)
		}
	}
}

// TestCancelAfter ends the context after the handshake: the connection stays.
func TestCancelAfter(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Handshake() }()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	cancel()
	exchange(t, c, v, 1000)
	if err := c.HandshakeContext(ctx); err != nil {
		t.Errorf("HandshakeContext again: %v", err)
	}
}

// TestRealDeadlines uses the deadlines of sockets: a silent peer in the
// handshake, in Read, and a full socket in Write.
func TestRealDeadlines(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	soon := func() time.Time { return time.Now().Add(30 * time.Millisecond) }
	a, b := tcpPair(t)
	for _, end := range []*Conn{Client(a, client), Server(b, server)} {
		_ = end.SetDeadline(soon())
		if err := end.Handshake(); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("handshake: %v", err)
		}
		_ = end.Close()
	}
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	_ = c.SetReadDeadline(soon())
	_, err := c.Read(make([]byte, 1))
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() { // net/http asserts in this way
		t.Errorf("Read: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	exchange(t, c, v, 1000)

	_ = c.SetWriteDeadline(soon())
	n, err := 0, error(nil)
	for err == nil {
		n, err = c.Write(make([]byte, 1<<20))
	}
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() || n%maxPlaintext != 0 {
		t.Errorf("Write: %d, %v", n, err)
	}
	_ = c.SetWriteDeadline(time.Time{})
	if _, again := c.Write([]byte("x")); again != err {
		t.Errorf("Write after a time-out: %v", again)
	}
}

// TestClose closes in every state, twice.
func TestClose(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	for _, state := range []string{"fresh", "done", "half closed", "broken"} {
		c, v := connPair(t, client, server)
		if state != "fresh" {
			mustShake(t, c, v)
		}
		if state == "half closed" {
			if err := errors.Join(c.CloseWrite(), c.CloseWrite()); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, ErrCloseWrite) {
				t.Errorf("Write after CloseWrite: %v", err)
			}
		}
		if state == "broken" {
			_ = v.NetConn().Close()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Read of a broken connection: %v", err)
			}
		}
		for range 3 {
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", state, err)
			}
		}
		if state == "fresh" {
			continue
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Read after Close: %v", state, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Write after Close: %v", state, err)
		}
		if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: CloseWrite after Close: %v", state, err)
		}
	}
}

// TestCloseEndsWaiting closes while a Read, a Write and a handshake wait.
func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
	})
	started := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write: %v", err)
				}
				return
			}
			if i == 0 {
				close(started)
			}
		}
	})
	go func() { _, _ = io.CopyN(io.Discard, v, 1<<20) }()
	<-started
	time.Sleep(20 * time.Millisecond) // lets the socket fill; any state is legal
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()

	waiting, _ := connPair(t, client, server)
	wg.Go(func() {
		if err := waiting.Handshake(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Handshake: %v", err)
		}
	})
	time.Sleep(10 * time.Millisecond)
	_ = waiting.Close()
	wg.Wait()
}

// TestBadRecordWhileWriteWaits: a Read that must send an alert is not held up by
// a Write whose peer does not read.
func TestBadRecordWhileWriteWaits(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	time.Sleep(20 * time.Millisecond) // as above
	if _, err := v.NetConn().Write([]byte("\x17\x03\x03\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrRecord) {
		t.Errorf("Read: %v", err)
	}
	wg.Wait()
}

// TestConcurrentHandshakes lets many callers meet on one connection.
func TestConcurrentHandshakes(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	var wg sync.WaitGroup
	for range 8 {
		for _, end := range []*Conn{c, v} {
			wg.Go(func() {
				if err := end.HandshakeContext(t.Context()); err != nil {
					t.Error(err)
				}
				if !end.ConnectionState().Complete {
					t.Error("not complete")
				}
			})
		}
	}
	wg.Wait()
	exchange(t, c, v, 50_000)
}
