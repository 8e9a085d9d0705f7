package hello

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a handler and an observer that remember.
type recorder struct {
	mu       sync.Mutex // guards the rest
	messages []*Message
	peers    []netip.AddrPort
	outcomes map[string]int
	err      error
	log      bytes.Buffer
}

func (r *recorder) handle(_ context.Context, peer netip.AddrPort, m *Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages, r.peers = append(r.messages, m), append(r.peers, peer)
	return r.err
}

func (r *recorder) observe(outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes == nil {
		r.outcomes = map[string]int{}
	}
	r.outcomes[outcome]++
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *recorder) count(outcome string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[outcome]
}

func (r *recorder) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.outcomes {
		n += c
	}
	return n
}

func (r *recorder) await(t *testing.T, outcome string, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); r.count(outcome) < n; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("waited for %d times %s: have %v\n%s", n, outcome, r.outcomes, r.log.String())
		}
	}
}

// serve starts l on a free port of host and stops it with the test.
func serve(t *testing.T, host string, l *Listener, r *recorder) string {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no %s here: %v", host, err)
	}
	return serveOn(t, ln, l, r)
}

func serveOn(t *testing.T, ln net.Listener, l *Listener, r *recorder) string {
	t.Helper()
	if l.Handle == nil {
		l.Handle = r.handle
	}
	l.Observe = r.observe
	l.Log = slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// send writes parts with a pause between them and closes.
func send(t *testing.T, addr string, pause time.Duration, parts ...[]byte) {
	t.Helper()
	c := dial(t, addr)
	for i, p := range parts {
		if i > 0 {
			time.Sleep(pause)
		}
		if _, err := c.Write(p); err != nil {
			t.Log(err) // the listener may have had enough
			return
		}
	}
	_ = c.Close()
}

func TestListenerOutcomes(t *testing.T) {
	t.Parallel()
	psk, pki := unhex(t, hexPSK), unhex(t, hexPKI)
	v4 := append([]byte{}, psk...)
	v4[2] = 4
	big := append(append([]byte{}, pki[:24]...), bytes.Repeat([]byte{255}, MaxLen)...)
	tests := []struct {
		name  string
		parts [][]byte
		want  string
	}{
		{"version 2", [][]byte{psk}, Accepted},
		{"version 3", [][]byte{pki}, Accepted},
		{"version 3 with trailing bytes", [][]byte{pki, {0, 0, 0}}, Accepted},
		{"two segments", [][]byte{psk[:7], psk[7:]}, Accepted},
		{"three segments", [][]byte{pki[:1], pki[1:30], pki[30:]}, Accepted},
		{"one byte at a time", bytes.Split(psk, nil), Accepted},
		{"nothing", nil, Silent},
		{"half", [][]byte{psk[:20]}, Malformed},
		{"a byte more", [][]byte{append(append([]byte{}, psk...), 0)}, Malformed},
		{"a version 2 and then another", [][]byte{psk, psk}, Malformed},
		{"GET", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, Malformed},
		{"TLS", [][]byte{unhex(t, "160301020001000001fc0303")}, Malformed},
		{"garbage", [][]byte{bytes.Repeat([]byte{0xff}, 100_000)}, Malformed},
		{"version 4", [][]byte{v4}, UnknownVersion},
		{"oversize", [][]byte{big}, Oversize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			addr := serve(t, "127.0.0.1", &Listener{}, r)
			send(t, addr, 2*time.Millisecond, tt.parts...)
			r.await(t, tt.want, 1)
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := len(r.messages); got != r.outcomes[Accepted] || len(r.outcomes) != 1 {
				t.Errorf("%d messages, outcomes %v", got, r.outcomes)
			}
		})
	}
}

func TestListenerDeadline(t *testing.T) {
	t.Parallel()
	psk := unhex(t, hexPSK)
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{ReadTimeout: 300 * time.Millisecond}, r)

	whole := dial(t, addr) // never closes
	if _, err := whole.Write(psk); err != nil {
		t.Fatal(err)
	}
	r.await(t, Accepted, 1)
	if _, err := whole.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection is still open: %v", err)
	}

	half := dial(t, addr)
	if _, err := half.Write(psk[:20]); err != nil {
		t.Fatal(err)
	}
	dial(t, addr) // says nothing
	r.await(t, Timeout, 1)
	r.await(t, Silent, 1)

	start := time.Now()
	slow := dial(t, addr) // each byte within the time, all together not
	for _, c := range psk {
		if _, err := slow.Write([]byte{c}); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.await(t, Timeout, 2)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("a slow sender held on for %v", d)
	}
}

// TestListenerStopsReadingGarbage checks that what cannot become a message does
// not hold its connection until the deadline.
func TestListenerStopsReadingGarbage(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{ReadTimeout: time.Hour}, r)
	if _, err := dial(t, addr).Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	r.await(t, Malformed, 1)
	if _, err := dial(t, addr).Write(append(unhex(t, hexPSK), 1)); err != nil {
		t.Fatal(err)
	}
	r.await(t, Malformed, 2)
}

func TestListenerPeers(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1", "::"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			addr := serve(t, host, &Listener{}, r)
			_, port, _ := net.SplitHostPort(addr)
			from := host
			if host == "::" {
				from = "127.0.0.1" // arrives as ::ffff:127.0.0.1
			}
			send(t, net.JoinHostPort(from, port), 0, unhex(t, hexPSK))
			r.await(t, Accepted, 1)
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := r.peers[0]; got.Addr() != netip.MustParseAddr(from) || got.Port() == 0 {
				t.Errorf("peer: got %v, want %s", got, from)
			}
		})
	}
}

type addrConn struct {
	net.Conn
	remote net.Addr
}

func (c addrConn) RemoteAddr() net.Addr { return c.remote }

func TestSources(t *testing.T) {
	t.Parallel()
	tests := []struct {
		remote       net.Addr
		peer, source string
	}{
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 5}, "192.0.2.7:5", "192.0.2.7"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 5}, "192.0.2.7:5", "192.0.2.7"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3:4:5:6"), Port: 5}, "[2001:db8:1:2:3:4:5:6]:5", "2001:db8:1:2::"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1:2"), Zone: "eth7", Port: 5}, "[fe80::1:2%eth7]:5", "fe80::%eth7"},
		{&net.UnixAddr{Name: "x"}, "invalid AddrPort", "invalid IP"},
	}
	for _, tt := range tests {
		v := newVisit(addrConn{remote: tt.remote})
		if v.peer.String() != tt.peer || v.source.String() != tt.source {
			t.Errorf("%v: got peer %v, source %v", tt.remote, v.peer, v.source)
		}
	}
}

func TestListenerHandlerErrors(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		Refused:     errors.New("the store is read-only"),
		RefusedBusy: fmt.Errorf("queue of 100: %w", ErrBusy),
	} {
		r := &recorder{err: err}
		addr := serve(t, "127.0.0.1", &Listener{}, r)
		send(t, addr, 0, unhex(t, hexPSK))
		r.await(t, want, 1)
		send(t, addr, 0, unhex(t, hexPSK))
		r.await(t, want, 2)
	}
}

func TestListenerHandlerPanics(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	calls := 0
	addr := serve(t, "127.0.0.1", &Listener{MaxConns: 1, Handle: func(context.Context, netip.AddrPort, *Message) error {
		if calls++; calls == 1 {
			panic("a fault of ours")
		}
		return nil
	}}, r)
	send(t, addr, 0, unhex(t, hexPSK))
	r.await(t, Panicked, 1)
	send(t, addr, 0, unhex(t, hexPSK))
	r.await(t, Accepted, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.log.String(); !strings.Contains(s, "a fault of ours") || !strings.Contains(s, "level=ERROR") {
		t.Errorf("log: %s", s)
	}
}

func TestListenerHandleTimeout(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{HandleTimeout: 20 * time.Millisecond, Handle: func(ctx context.Context, _ netip.AddrPort, _ *Message) error {
		<-ctx.Done()
		return ctx.Err()
	}}, r)
	send(t, addr, 0, unhex(t, hexPSK))
	r.await(t, Refused, 1)
}

func TestListenerPerSource(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{MaxPerSource: 3, FairTime: time.Hour, ReadTimeout: time.Hour}, r)
	var held []net.Conn
	for range 3 {
		held = append(held, dial(t, addr))
	}
	for i := 1; i <= 5; i++ {
		dial(t, addr)
		r.await(t, PerSource, i)
	}
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	other, err := from.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Write(unhex(t, hexPSK)); err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	r.await(t, Accepted, 1)
	_ = held[0].Close()
	r.await(t, Silent, 1)
	send(t, addr, 0, unhex(t, hexPSK))
	r.await(t, Accepted, 2)
}

// TestListenerPerSourceMakesRoom: a source that holds connections open loses the
// oldest to a new one of its own.
func TestListenerPerSourceMakesRoom(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{MaxPerSource: 2, FairTime: time.Millisecond, ReadTimeout: time.Hour}, r)
	dial(t, addr)
	whole := dial(t, addr)
	if _, err := whole.Write(unhex(t, hexPSK)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	dial(t, addr)
	r.await(t, PerSource, 1) // the silent one
	time.Sleep(20 * time.Millisecond)
	dial(t, addr)
	r.await(t, Accepted, 1) // the one whose message was whole
}

func TestOutcomesAreListed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range Outcomes() {
		if seen[o] || o != strings.ToLower(o) || strings.ContainsAny(o, " -") {
			t.Errorf("outcome %q", o)
		}
		seen[o] = true
	}
	if len(seen) != 11 {
		t.Errorf("%d outcomes", len(seen))
	}
}

// TestListenerFlood holds the listener's bounds while thousands of connections
// that say nothing come from many addresses, and gets a real hello through.
func TestListenerFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of connections")
	}
	const flood, limit = 3000, 100
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{MaxConns: limit, FairTime: 5 * time.Millisecond, ReadTimeout: time.Minute}, r)
	before := runtime.NumGoroutine()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	heap := mem.HeapAlloc
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	peak := 0
	for i := range flood {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Skipf("connection %d: %v", i, err)
		}
		held = append(held, c)
		peak = max(peak, runtime.NumGoroutine()-before)
		if i%1000 == 500 {
			send(t, addr, 0, unhex(t, hexPSK))
		}
	}
	r.await(t, Accepted, flood/1000)
	r.await(t, TooManyConnections, flood-limit)
	if peak > limit+10 {
		t.Errorf("%d goroutines, want at most %d", peak, limit+10)
	}
	runtime.ReadMemStats(&mem)
	if grown := int64(mem.HeapAlloc) - int64(heap); grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if lines := strings.Count(r.log.String(), "\n"); lines > 200 {
		t.Errorf("%d log lines for %d connections", lines, flood)
	}
}

// TestListenerBigFlood holds memory bounded while every connection sends up to
// the cap.
func TestListenerBigFlood(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{MaxConns: 20, MaxPerSource: 1000}, r)
	long := append(unhex(t, hexPKI)[:24], bytes.Repeat([]byte{255, 255}, MaxLen)...)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write(long)
			_ = c.Close()
		})
	}
	wg.Wait()
	r.await(t, Oversize, 200)
}

func TestMessageSurvivesManyAtOnce(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	addr := serve(t, "127.0.0.1", &Listener{}, r)
	const n = 500
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			m := Message{Version: PSK, UUID: amt.UUID{byte(i >> 8), byte(i)}}
			b, err := m.AppendBinary(nil)
			if err != nil {
				t.Error(err)
			}
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write(b)
			_ = c.Close()
		})
	}
	wg.Wait()
	r.await(t, Accepted, n)
	seen := map[amt.UUID]bool{}
	for _, m := range r.messages {
		seen[m.UUID] = true
	}
	if len(seen) != n || r.total() != n {
		t.Errorf("%d different devices, %d connections, want %d", len(seen), r.total(), n)
	}
}
