package tlspsk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
)

func TestMain(m *testing.M) {
	if os.Getenv(fipsChild) != "" {
		os.Exit(fipsMain())
	}
	goleak.VerifyTestMain(m)
}

var versions = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12}

// intelPair is the pair of Intel's pidppschecksum page.
func intelPair(t testing.TB) amt.Pair {
	t.Helper()
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		t.Fatal(err)
	}
	pps, err := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	if err != nil {
		t.Fatal(err)
	}
	return amt.Pair{PID: pid, PPS: pps}
}

// otherPair has the same PID as intelPair and another PPS.
func otherPair(t testing.TB) amt.Pair {
	t.Helper()
	pps, err := amt.ParsePPS("AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-NKLD-G5DC")
	if err != nil {
		t.Fatal(err)
	}
	return amt.Pair{PID: intelPair(t).PID, PPS: pps}
}

// configs are a matching client's and server's.
func configs(t testing.TB) (client, server *Config) {
	t.Helper()
	p := intelPair(t)
	return PairConfig(p), PairServerConfig(p)
}

// only restricts both ends to one version and one suite.
func only(version, suite uint16, list ...*Config) {
	for _, c := range list {
		c.MinVersion, c.MaxVersion = version, version
		c.CipherSuites = []uint16{suite}
	}
}

// tcpPair is a connection over loopback, closed at the end of the test.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

// connPair is both ends over loopback, with a deadline that no test should meet.
func connPair(t testing.TB, client, server *Config) (c, s *Conn) {
	t.Helper()
	a, b := tcpPair(t)
	for _, conn := range []net.Conn{a, b} {
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	}
	return Client(a, client), Server(b, server)
}

// shake runs both handshakes at once. An end that fails closes its connection,
// as a program would.
func shake(c, s *Conn) (clientErr, serverErr error) {
	var wg sync.WaitGroup
	run := func(c *Conn, err *error) {
		if *err = c.Handshake(); *err != nil {
			_ = c.Close()
		}
	}
	wg.Go(func() { run(s, &serverErr) })
	run(c, &clientErr)
	wg.Wait()
	return clientErr, serverErr
}

// mustShake is shake where both must succeed.
func mustShake(t testing.TB, c, s *Conn) {
	t.Helper()
	if ce, se := shake(c, s); ce != nil || se != nil {
		t.Fatalf("handshake: client %v, server %v", ce, se)
	}
}

// steady is randomness that repeats for a seed.
func steady(seed byte) io.Reader {
	return rand.NewChaCha8([32]byte{0: seed})
}

// steadyClock stands still.
func steadyClock() time.Time { return time.Unix(0x00010203, 0) }

// replay is a connection whose peer is a byte string: reads give it in pieces and
// then end as told, writes are kept.
type replay struct {
	mu     sync.Mutex // guards what follows
	in     []byte
	piece  func(left int) int          // size of the next read; nil: all
	end    func() error                // called at the end of in; nil: io.EOF
	gap    func(read int) error        // called before each read; nil: none
	writes func(n int, b []byte) error // called for each write; nil: none
	reads  int
	nwrite int
	out    bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func newReplay(in []byte) *replay { return &replay{in: in, closed: make(chan struct{})} }

var errReplayClosed = &net.OpError{Op: "read", Net: "replay", Err: net.ErrClosed}

func (r *replay) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.closed:
		return 0, errReplayClosed
	default:
	}
	r.reads++
	if r.gap != nil {
		if err := r.gap(r.reads); err != nil {
			return 0, err
		}
	}
	if len(r.in) == 0 {
		if r.end == nil {
			return 0, io.EOF
		}
		return 0, r.end()
	}
	n := min(len(b), len(r.in))
	if r.piece != nil {
		n = min(n, r.piece(len(r.in)))
	}
	copy(b, r.in[:n])
	r.in = r.in[n:]
	return n, nil
}

func (r *replay) Write(b []byte) (int, error) {
	r.nwrite++
	if r.writes != nil {
		if err := r.writes(r.nwrite, b); err != nil {
			return 0, err
		}
	}
	return r.out.Write(b)
}

func (r *replay) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *replay) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r *replay) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

// tap is a connection that keeps what is written to it.
type tap struct {
	net.Conn
	out bytes.Buffer
}

func (t *tap) Write(b []byte) (int, error) {
	t.out.Write(b)
	return t.Conn.Write(b)
}

// session is what both ends wrote in one conversation with fixed randomness:
// handshake, request, reply, close_notify from both.
type session struct {
	client, server *Config
	toServer       []byte
	toClient       []byte
	request, reply []byte
}

// steadyConfigs are configs whose ends always say the same.
func steadyConfigs(t testing.TB, version, suite uint16) (client, server *Config) {
	t.Helper()
	client, server = configs(t)
	only(version, suite, client, server)
	client.Rand, server.Rand = steady(1), steady(2)
	client.Now, server.Now = steadyClock, steadyClock
	return client, server
}

// fresh are the configs of s with the randomness from its start.
func (s *session) fresh() (client, server *Config) {
	c, v := *s.client, *s.server
	c.Rand, v.Rand = steady(1), steady(2)
	return &c, &v
}

// record makes a session.
func record(t testing.TB, version, suite uint16, size int) *session {
	t.Helper()
	s := &session{request: bytes.Repeat([]byte("ask "), size/4), reply: bytes.Repeat([]byte("tell "), size/5)}
	s.client, s.server = steadyConfigs(t, version, suite)
	a, b := tcpPair(t)
	ca, cb := &tap{Conn: a}, &tap{Conn: b}
	c, v := Client(ca, s.client), Server(cb, s.server)
	mustShake(t, c, v)
	if err := s.talk(c, v); err != nil {
		t.Fatal(err)
	}
	s.toServer, s.toClient = ca.out.Bytes(), cb.out.Bytes()
	return s
}

func (s *session) talk(c, v *Conn) error {
	done := make(chan error, 1)
	go func() { done <- s.serve(v) }()
	err := s.ask(c)
	return errors.Join(err, <-done)
}

// ask is the client's part of the conversation, checking the reply to its end.
func (s *session) ask(c *Conn) error {
	if _, err := c.Write(s.request); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return wantAll(c, s.reply)
}

// serve is the server's part.
func (s *session) serve(v *Conn) error {
	if err := wantAll(v, s.request); err != nil {
		return err
	}
	if _, err := v.Write(s.reply); err != nil {
		return err
	}
	return v.CloseWrite()
}

// errWrongData is returned when data came that was never sent.
var errWrongData = errors.New("the data read is not a prefix of the data written")

// wantAll reads to EOF.
func wantAll(r io.Reader, want []byte) error {
	got, err := io.ReadAll(r)
	if !bytes.HasPrefix(want, got) {
		return errWrongData
	}
	if err == nil && len(got) != len(want) {
		return errors.New("a short success")
	}
	return err
}

// replayClient runs the client of s against conn; replayServer the server.
func (s *session) replayClient(conn net.Conn) error {
	config, _ := s.fresh()
	return s.ask(Client(conn, config))
}

func (s *session) replayServer(conn net.Conn) error {
	_, config := s.fresh()
	return s.serve(Server(conn, config))
}
