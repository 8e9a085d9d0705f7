package tlspsk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// fuzzTargets are the targets of this file; each must have a corpus.
var fuzzTargets = []string{"FuzzMessages", "FuzzClient", "FuzzServer", "FuzzProtected", "FuzzRecords", "FuzzOpen"}

// TestCorpus holds the committed seeds to what they are for: every target has
// some, in the form that go test reads.
func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, name := range fuzzTargets {
		files, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d seeds, %v", name, len(files), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil || !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// FuzzMessages parses handshake messages and wants them back to the byte.
func FuzzMessages(f *testing.F) {
	for _, m := range messages {
		f.Add(unhex(f, m.hex), isRSA(m.value))
	}
	f.Fuzz(func(t *testing.T, b []byte, rsa bool) {
		if len(b) < 4 || len(b) > 4+maxMessage {
			return
		}
		m, err := parseAny(b, rsa)
		if err != nil {
			return
		}
		got := appendAny(m)
		if got[0] != b[0] || !bytes.Equal(got[4:], b[4:]) {
			t.Errorf("%x parses and is written as %x", b, got)
		}
	})
}

// seedRecordings adds what recorded peers said to ours, with the index of the
// recording, whose version and suite ours then has.
func seedRecordings(f *testing.F, client bool) []*recording {
	f.Helper()
	var list []*recording
	for _, r := range recordings() {
		if r.client == client {
			r.load(f)
			f.Add(r.said, uint8(len(list)))
			list = append(list, r)
		}
	}
	return list
}

// FuzzClient lets a client hear anything. Whatever it takes for a good handshake
// must be a recorded one: nothing else can hold the Finished of this key.
func FuzzClient(f *testing.F) {
	list := seedRecordings(f, true)
	f.Fuzz(func(t *testing.T, said []byte, which uint8) {
		r := list[int(which)%len(list)]
		client, _ := steadyConfigs(t, r.version, r.suite)
		conn := newReplay(said)
		fuzzEnd(t, list, said, Client(conn, client))
	})
}

// FuzzServer is the same for a server.
func FuzzServer(f *testing.F) {
	list := seedRecordings(f, false)
	f.Fuzz(func(t *testing.T, said []byte, which uint8) {
		r := list[int(which)%len(list)]
		_, server := steadyConfigs(t, r.version, r.suite)
		conn := newReplay(said)
		fuzzEnd(t, list, said, Server(conn, server))
	})
}

// fuzzEnd runs one end to the end of what is said.
func fuzzEnd(t *testing.T, list []*recording, said []byte, c *Conn) {
	t.Helper()
	err := c.Handshake()
	if err != nil {
		if c.in.hand != nil || c.in.records.buf != nil {
			t.Error("buffers are held after a failed handshake")
		}
		return
	}
	if !slices.ContainsFunc(list, func(r *recording) bool {
		return bytes.Equal(plainHandshake(said), plainHandshake(r.said))
	}) {
		t.Errorf("a handshake out of nowhere: %x", said)
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Contains(got, bodies["small"]) {
		t.Errorf("read %q to a good end", got)
	}
}

// plainHandshake is the handshake content before ChangeCipherSpec. Alerts may
// stand between its records, which may be cut in any way.
func plainHandshake(b []byte) (out []byte) {
	start := 0
	for _, end := range recordEnds(b) {
		switch {
		case end > len(b) || b[start] == recordChangeCipherSpec:
			return out
		case b[start] == recordHandshake:
			out = append(out, b[start+headerLen:end]...)
		}
		start = end
	}
	return out
}

// FuzzProtected lets a peer that knows the key say anything once the handshake is
// done: each input is cut into records of any type. What is read must be what the
// application records before the first fault hold.
func FuzzProtected(f *testing.F) {
	f.Add([]byte("\x17\x04data\x15\x02\x01\x00"))
	f.Add([]byte("\x17\x00\x17\x01x\x16\x04\x00\x00\x00\x00\x17\x01y"))
	f.Add([]byte("\x14\x01\x01"))
	f.Add([]byte("\x16\x04\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, isClient := range []bool{true, false} {
			fuzzProtected(t, script, isClient)
		}
	})
}

func fuzzProtected(t *testing.T, script []byte, isClient bool) {
	t.Helper()
	s := suiteByID(SuiteAES128)
	seal, open := bothEnds(t, tls.VersionTLS10, s)
	var stream, data []byte
	over := false // something ended the connection
	for len(script) >= 2 {
		typ, n := script[0], min(int(script[1]), len(script)-2)
		content := script[2 : 2+n]
		script = script[2+n:]
		var err error
		if stream, err = appendRecord(stream, seal, typ, tls.VersionTLS10, content, nil); err != nil {
			t.Fatal(err)
		}
		switch {
		case typ == recordApplication && !over:
			data = append(data, content...)
		case typ == recordAlert && (string(content) == "\x01\x5a" || string(content) == "\x01\x64" || string(content) == "\x01\x70"):
		case typ == recordHandshake && isClient && string(content) == "\x00\x00\x00\x00":
		default:
			over = over || typ != recordApplication
		}
	}
	c := newConn(newReplay(stream), &Config{Rand: steady(1)}, isClient)
	c.done.Store(true)
	c.version = tls.VersionTLS10
	c.in.protection = open
	c.out.protection, _ = newProtection(tls.VersionTLS10, s, make([]byte, 20), make([]byte, 16), make([]byte, 16), true)
	got, err := io.ReadAll(c)
	if err == nil && !over {
		t.Error("a stream without close_notify is taken for whole")
	}
	if !bytes.HasPrefix(data, got) || len(got) < len(data) && !errors.Is(err, ErrProtocol) {
		t.Errorf("read %q, %v, want %q", got, err, data)
	}
}

// FuzzRecords cuts any stream into records twice, whole and in pieces: both must
// agree, and the records joined are the stream.
func FuzzRecords(f *testing.F) {
	r := recordings()[0]
	r.load(f)
	f.Add(r.said, uint8(1))
	f.Add(r.ours, uint8(7))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		whole, a := cutRecords(t, stream, 1<<20)
		pieces, b := cutRecords(t, stream, int(piece)+1)
		if !bytes.Equal(whole, pieces) || !errors.Is(b, a) {
			t.Errorf("whole: %x, %v; in pieces: %x, %v", whole, a, pieces, b)
		}
		if !bytes.HasPrefix(stream, whole) {
			t.Errorf("%x is cut into %x", stream, whole)
		}
	})
}

// errTooLong ends cutRecords at a record that checkHeader would refuse.
var errTooLong = errors.New("too long")

func cutRecords(t *testing.T, stream []byte, piece int) (out []byte, err error) {
	t.Helper()
	conn := newReplay(stream)
	conn.piece = func(int) int { return piece }
	rr := recordReader{conn: conn}
	defer rr.drop()
	for {
		typ, version, length, err := rr.header()
		if err != nil {
			return out, err
		}
		if length > maxProtected {
			return out, errTooLong
		}
		body, err := rr.body(length)
		if err != nil {
			return out, err
		}
		if len(body) != length {
			t.Fatalf("a body of %d bytes, want %d", len(body), length)
		}
		out = append(out, typ, byte(version>>8), byte(version), byte(length>>8), byte(length))
		out = append(out, body...)
	}
}

// FuzzOpen opens any body under every suite and version: ErrRecord, or what seal
// makes of the same payload is the same body. (For CBC one payload has several
// paddings, so there the payload must come back.)
func FuzzOpen(f *testing.F) {
	for i := range suites {
		seal, _ := bothEnds(f, tls.VersionTLS10, &suites[i])
		sealed, err := seal.seal(nil, recordApplication, []byte("payload"), steady(1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range versions {
			for i := range suites {
				seal, open := bothEnds(t, v, &suites[i])
				payload, err := open.open(recordApplication, slices.Clone(body))
				if err != nil {
					if err != ErrRecord {
						t.Errorf("got %v", err)
					}
					continue
				}
				again, err := seal.seal(nil, recordApplication, payload, steady(1))
				if err != nil {
					t.Fatal(err)
				}
				_, check := bothEnds(t, v, &suites[i])
				got, err := check.open(recordApplication, again)
				if err != nil || !bytes.Equal(got, payload) || len(again) > len(body)+maxPadding {
					t.Errorf("%x opens to %x, which seals to %x, %v", body, payload, again, err)
				}
			}
		}
	})
}

// TestIdentityReachesGetKey: any identity that a client may have reaches GetKey
// as it is, and no other.
func TestIdentityReachesGetKey(t *testing.T) {
	t.Parallel()
	for _, identity := range [][]byte{{0}, []byte("0000037M"), []byte("a\x00b"), {0xFF, 0xFE}, bytes.Repeat([]byte{'i'}, MaxIdentity)} {
		client, server := configs(t)
		client.Identity = identity
		var seen []byte
		server.GetKey = func(got []byte) (amt.Secret, error) {
			seen = bytes.Clone(got)
			return client.Key, nil
		}
		c, v := connPair(t, client, server)
		mustShake(t, c, v)
		if !bytes.Equal(seen, identity) || !bytes.Equal(v.ConnectionState().Identity, identity) {
			t.Errorf("sent %x, seen %x", identity, seen)
		}
	}
}
