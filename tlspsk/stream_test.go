package tlspsk

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// cells are the protections that the stream tests go through: each version, each
// kind of cipher.
var cells = []struct{ version, suite uint16 }{
	{tls.VersionTLS10, SuiteAES128},
	{tls.VersionTLS11, SuiteAES256},
	{tls.VersionTLS12, SuiteAES128},
	{tls.VersionTLS10, SuiteRC4},
	{tls.VersionTLS10, Suite3DES},
}

// everyStream runs f for a session of each cell and both directions: conn gives
// what the peer said to the end that run plays.
func everyStream(t *testing.T, size int, f func(t *testing.T, said []byte, run func(net.Conn) error)) {
	t.Helper()
	for _, cell := range cells {
		name := fmt.Sprintf("%s/%s", VersionName(cell.version), SuiteName(cell.suite))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := record(t, cell.version, cell.suite, size)
			t.Run("client", func(t *testing.T) { f(t, s.toClient, s.replayClient) })
			t.Run("server", func(t *testing.T) { f(t, s.toServer, s.replayServer) })
		})
	}
}

// TestReplay: with the same randomness an end that hears the same says the same.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, cell := range cells {
		s := record(t, cell.version, cell.suite, 500)
		c, v := newReplay(s.toClient), newReplay(s.toServer)
		if err := s.replayClient(c); err != nil || !bytes.Equal(c.out.Bytes(), s.toServer) {
			t.Errorf("%s: client: %v", VersionName(cell.version), err)
		}
		if err := s.replayServer(v); err != nil || !bytes.Equal(v.out.Bytes(), s.toClient) {
			t.Errorf("%s: server: %v", VersionName(cell.version), err)
		}
	}
}

// TestFlip changes every byte of a conversation, in three ways. The only byte
// that may be changed is the minor version of the first record, which nothing
// protects and no one needs.
func TestFlip(t *testing.T) {
	t.Parallel()
	everyStream(t, 100, func(t *testing.T, said []byte, run func(net.Conn) error) {
		for i := range said {
			for _, mask := range []byte{0x01, 0x80, 0xFF} {
				changed := slices.Clone(said)
				changed[i] ^= mask
				err := run(newReplay(changed))
				if err == nil && i != 2 || errors.Is(err, errWrongData) {
					t.Errorf("byte %d of %d, mask %#02x: %v", i, len(said), mask, err)
				}
			}
		}
	})
}

// TestTruncation ends a conversation before each of its bytes: what is read then
// is never taken for the whole.
func TestTruncation(t *testing.T) {
	t.Parallel()
	everyStream(t, 100, func(t *testing.T, said []byte, run func(net.Conn) error) {
		for n := range said {
			err := run(newReplay(said[:n]))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after %d of %d bytes: %v", n, len(said), err)
			}
		}
	})
}

// TestTruncationAtKey: a server that closes instead of its Finished makes
// ErrRefused, since that is how firmware may show a wrong key; before, it does not.
func TestTruncationAtKey(t *testing.T) {
	t.Parallel()
	s := record(t, tls.VersionTLS10, SuiteAES128, 100)
	ends := recordEnds(s.toClient)
	// ServerHello, ServerKeyExchange, ServerHelloDone, ChangeCipherSpec, Finished
	for n := range ends[4] {
		config, _ := s.fresh()
		err := Client(newReplay(s.toClient[:n]), config).Handshake()
		if got, want := errors.Is(err, ErrRefused), n >= ends[2]; got != want {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// recordEnds are the offsets behind each record of a stream.
func recordEnds(b []byte) []int {
	var ends []int
	for at := 0; at+headerLen <= len(b); {
		at += headerLen + int(binary.BigEndian.Uint16(b[at+3:]))
		ends = append(ends, at)
	}
	return ends
}

// TestPieces delivers a conversation in pieces of every size.
func TestPieces(t *testing.T) {
	t.Parallel()
	everyStream(t, 3000, func(t *testing.T, said []byte, run func(net.Conn) error) {
		for _, size := range []int{1, 2, 3, 4, 5, 6, 7, 31, 64, 1000, len(said)} {
			conn := newReplay(said)
			conn.piece = func(int) int { return size }
			if err := run(conn); err != nil {
				t.Errorf("pieces of %d: %v", size, err)
			}
		}
	})
}

// TestSplitAnywhere delivers a conversation in two pieces, split at each byte.
func TestSplitAnywhere(t *testing.T) {
	t.Parallel()
	everyStream(t, 100, func(t *testing.T, said []byte, run func(net.Conn) error) {
		for at := 1; at < len(said); at++ {
			conn := newReplay(said)
			conn.piece = func(left int) int {
				if left > len(said)-at {
					return left - (len(said) - at)
				}
				return left
			}
			if err := run(conn); err != nil {
				t.Errorf("split at %d: %v", at, err)
			}
		}
	})
}

// rerecord cuts or joins the handshake content that stands before the first
// ChangeCipherSpec into records of size bytes.
func rerecord(t *testing.T, said []byte, size int) []byte {
	t.Helper()
	var out, content []byte
	version := said[1:3]
	start := 0
	for _, end := range recordEnds(said) {
		if said[start] != recordHandshake {
			break
		}
		content = append(content, said[start+headerLen:end]...)
		start = end
	}
	for len(content) > 0 {
		n := min(size, len(content))
		out = append(out, recordHandshake, version[0], version[1], byte(n>>8), byte(n))
		out = append(out, content[:n]...)
		content = content[n:]
	}
	return append(out, said[start:]...)
}

// TestFragments delivers the server's flight in records of every size, from one
// byte each to all messages in one. (A client's hello and key are apart.)
func TestFragments(t *testing.T) {
	t.Parallel()
	for _, cell := range cells {
		s := record(t, cell.version, cell.suite, 100)
		for _, size := range []int{1, 2, 3, 4, 5, 40, 1000} {
			if err := s.replayClient(newReplay(rerecord(t, s.toClient, size))); err != nil {
				t.Errorf("%s, records of %d: %v", VersionName(cell.version), size, err)
			}
		}
	}
}

// timeout is what a deadline gives.
type timeout struct{}

func (timeout) Error() string   { return "time-out" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// TestTimeoutLosesNothing lets every other read of single bytes time out, once
// the handshake is done: Read must go on where it was.
func TestTimeoutLosesNothing(t *testing.T) {
	t.Parallel()
	for _, cell := range cells {
		s := record(t, cell.version, cell.suite, 3000)
		config, _ := s.fresh()
		conn := newReplay(s.toClient)
		conn.piece = func(int) int { return 1 }
		c := Client(conn, config)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn.gap = func(n int) error {
			if n%2 == 0 {
				return timeout{}
			}
			return nil
		}
		var got []byte
		b := make([]byte, 700)
		for {
			n, err := c.Read(b)
			got = append(got, b[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil && err != error(timeout{}) {
				t.Fatalf("%s: after %d bytes: %v", VersionName(cell.version), len(got), err)
			}
		}
		if !bytes.Equal(got, s.reply) {
			t.Errorf("%s: got %d bytes, want %d", VersionName(cell.version), len(got), len(s.reply))
		}
	}
}

// TestEmptyReads meets a stream that returns neither bytes nor errors.
func TestEmptyReads(t *testing.T) {
	t.Parallel()
	client, _ := configs(t)
	conn := newReplay([]byte("x"))
	conn.piece = func(int) int { return 0 }
	if err := Client(conn, client).Handshake(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

// TestNoBufferWhenIdle checks what 5000 held connections rest on: one that waits
// holds no buffer, even with a piece of the next header there.
func TestNoBufferWhenIdle(t *testing.T) {
	t.Parallel()
	s := record(t, tls.VersionTLS10, SuiteAES128, 3000)
	ends := recordEnds(s.toClient)
	for extra := range headerLen + 1 {
		conn := newReplay(s.toClient[:ends[6]+extra])
		conn.end = func() error { return timeout{} }
		config, _ := s.fresh()
		c := Client(conn, config)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		n, err := io.ReadFull(c, make([]byte, len(s.reply)))
		if n != len(s.reply) || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if c.in.records.buf != nil || c.in.plain != nil || c.in.hand != nil {
			t.Errorf("%d bytes of a header: a buffer is held", extra)
		}
		if _, err := c.Read(make([]byte, 1)); err != error(timeout{}) {
			t.Errorf("%d bytes of a header: %v", extra, err)
		}
		if c.in.records.buf != nil && extra < headerLen {
			t.Errorf("%d bytes of a header: a buffer is held while waiting", extra)
		}
	}
}

// TestRecordSplitting looks at the records of one Write.
func TestRecordSplitting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, suite uint16
		off            bool
		size           int
		records        []int // lengths of the bodies
	}{
		{tls.VersionTLS10, SuiteAES128, false, 100, []int{32, 128}},
		{tls.VersionTLS10, SuiteAES128, false, 1, []int{32}},
		{tls.VersionTLS10, SuiteAES128, false, maxPlaintext, []int{32, 16416}},
		{tls.VersionTLS10, SuiteAES128, true, 100, []int{128}},
		{tls.VersionTLS10, SuiteRC4, false, 100, []int{120}},
		{tls.VersionTLS11, SuiteAES128, false, 100, []int{144}},
		{tls.VersionTLS12, SuiteAES128, false, 100, []int{144}},
	} {
		s := record(t, c.version, c.suite, 100)
		config, _ := s.fresh()
		config.NoRecordSplitting = c.off
		conn := newReplay(s.toClient)
		end := Client(conn, config)
		if err := end.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn.out.Reset()
		writes := conn.nwrite
		if _, err := end.Write(make([]byte, c.size)); err != nil {
			t.Fatal(err)
		}
		var got []int
		start := 0
		for _, e := range recordEnds(conn.out.Bytes()) {
			got = append(got, e-start-headerLen)
			start = e
		}
		if !slices.Equal(got, c.records) || conn.nwrite != writes+1 {
			t.Errorf("%s, %s, %d bytes, off %v: records %v in %d writes, want %v in one", VersionName(c.version),
				SuiteName(c.suite), c.size, c.off, got, conn.nwrite-writes, c.records)
		}
	}
}

// TestRandomFails lets the source of randomness run dry: nothing half-made leaves.
func TestRandomFails(t *testing.T) {
	t.Parallel()
	s := record(t, tls.VersionTLS12, SuiteAES128, 100)
	for n := range 28 + 16 {
		config, _ := s.fresh()
		config.Rand = io.LimitReader(steady(1), int64(n))
		conn := newReplay(s.toClient)
		if err := Client(conn, config).Handshake(); !errors.Is(err, errRandom) || errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if n < 28 && conn.out.Len() != 0 {
			t.Errorf("%d bytes: a ClientHello left", n)
		}
	}
}

// TestClock checks where Now goes: the first four bytes of the randoms.
func TestClock(t *testing.T) {
	t.Parallel()
	client, _ := steadyConfigs(t, tls.VersionTLS10, SuiteAES128)
	client.Now = func() time.Time { return time.Unix(0x0A0B0C0D, 0) }
	conn := newReplay(nil)
	_ = Client(conn, client).Handshake()
	if got := conn.out.Bytes()[headerLen+4+2:][:4]; !bytes.Equal(got, []byte{0x0A, 0x0B, 0x0C, 0x0D}) {
		t.Errorf("got % x", got)
	}
}
