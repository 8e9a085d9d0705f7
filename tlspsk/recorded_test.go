package tlspsk

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rerecordPeers makes testdata/recorded anew:
//
//	go test ./tlspsk -run TestRecorded -record
var rerecordPeers = flag.Bool("record", false, "record conversations with foreign peers into testdata/recorded")

// recording is one conversation with a foreign peer in which our end had the
// clock and the randomness of steadyConfigs: what the peer said and what we said.
type recording struct {
	peer    string // openssl or gnutls
	client  bool   // ours is the client
	version uint16
	suite   uint16
	said    []byte // by the peer
	ours    []byte
}

func recordings() []*recording {
	var list []*recording
	for _, peer := range []string{"openssl", "gnutls"} {
		for _, client := range []bool{true, false} {
			for i, v := range versions {
				list = append(list, &recording{peer: peer, client: client, version: v, suite: bothSuites[i%2]})
			}
		}
	}
	return list
}

func (r *recording) name() string {
	role := "server"
	if !r.client {
		role = "client"
	}
	return fmt.Sprintf("%s-%s-%s", r.peer, role, strings.ReplaceAll(VersionName(r.version), "TLS 1.", "tls1"))
}

func (r *recording) file() string {
	return filepath.Join("testdata", "recorded", r.name()+".txt")
}

// run is our end over conn; it fetches or serves the small body.
func (r *recording) run(t *testing.T, conn net.Conn) error {
	t.Helper()
	client, server := steadyConfigs(t, r.version, r.suite)
	if !r.client {
		return answer(Server(conn, server))
	}
	c := Client(conn, client)
	if _, err := io.WriteString(c, "GET /small HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.HasSuffix(got, bodies["small"]) {
		return fmt.Errorf("read %q", got)
	}
	return err
}

// bothWays keeps what is read and written.
type bothWays struct {
	tap
	in bytes.Buffer
}

func (b *bothWays) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.in.Write(p[:n])
	return n, err
}

// make records the conversation with the peer itself.
func (r *recording) make(t *testing.T) {
	t.Helper()
	if r.client {
		address := ""
		if r.peer == "openssl" {
			address = opensslServer(t, "-nocert", "-psk", pskHex(t), "-psk_hint", "0000037M", "-cipher", opensslCiphers(bothSuites...))
		} else {
			address = gnutlsServer(t, "small", "--pskhint", "0000037M", "--priority", gnutlsPriority(versions, bothSuites...))
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		r.keep(t, conn)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := ln.Accept(); err == nil {
			r.keep(t, conn)
		}
	}()
	if r.peer == "openssl" {
		_, err = opensslClient(t, ln.Addr().String(), "small", "-psk", pskHex(t), "-psk_identity", "0000037M",
			opensslVersions[r.version], "-cipher", opensslCiphers(r.suite))
	} else {
		_, err = gnutlsClient(t, ln.Addr().String(), "small", "--pskkey", pskHex(t), "--pskusername", "0000037M",
			"--priority", gnutlsPriority([]uint16{r.version}, r.suite))
	}
	<-done
	if err != nil {
		t.Error(err)
	}
}

// keep runs our end and writes the file.
func (r *recording) keep(t *testing.T, conn net.Conn) {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	b := &bothWays{tap: tap{Conn: conn}}
	if err := r.run(t, b); err != nil {
		t.Error(err)
		return
	}
	var sb strings.Builder
	fmt.Fprintf(&sb, "# %s, %s, %s: what the peer said and what we said,\n", r.name(), VersionName(r.version), SuiteName(r.suite))
	fmt.Fprintf(&sb, "# made by go test ./tlspsk -run TestRecorded -record\n")
	for _, part := range [][]byte{b.in.Bytes(), b.out.Bytes()} {
		fmt.Fprintf(&sb, "\n")
		for chunk := range slices.Chunk(part, 40) {
			fmt.Fprintf(&sb, "%x\n", chunk)
		}
	}
	writeFile(t, r.file(), []byte(sb.String()))
}

// load reads the file.
func (r *recording) load(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile(r.file())
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "\n\n")
	if len(parts) != 3 {
		t.Fatalf("%s: %d parts", r.file(), len(parts))
	}
	r.said, r.ours = unhex(t, parts[1]), unhex(t, parts[2])
}

// TestRecorded replays conversations with OpenSSL and GnuTLS: our end must
// understand the peer and say, to the byte, what it said then. It needs no peer.
func TestRecorded(t *testing.T) {
	if *rerecordPeers {
		for _, r := range recordings() {
			r.make(t)
		}
	}
	t.Parallel()
	for _, r := range recordings() {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			r.load(t)
			conn := newReplay(r.said)
			if err := r.run(t, conn); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(conn.out.Bytes(), r.ours) {
				t.Errorf("said\n%x\nwant\n%x", conn.out.Bytes(), r.ours)
			}
		})
	}
}

// TestTranscript has the randoms of the published key block, so that everything up
// to ChangeCipherSpec can be written out and both Finished be opened by the keys
// in it, with the standard library alone.
func TestTranscript(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	only(tls.VersionTLS10, SuiteAES128, client, server)
	server.IdentityHint = nil
	counted := func(c *Config, start byte) {
		r := counting(start)
		c.Rand = bytes.NewReader(r[4:])
		c.Now = func() time.Time {
			return time.Unix(int64(r[0])<<24|int64(r[1])<<16|int64(r[2])<<8|int64(r[3]), 0)
		}
	}
	counted(client, 0)
	counted(server, 0x20)
	a, b := tcpPair(t)
	ca, cb := &tap{Conn: a}, &tap{Conn: b}
	mustShake(t, Client(ca, client), Server(cb, server))

	first := "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	second := "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	block := unhex(t, keyBlockHex)
	for _, side := range []struct {
		name         string
		out          []byte
		plain        string
		mac, key, iv []byte
		label        string
	}{
		{"client", ca.out.Bytes(), "160301002f 0100002b 0301" + first + "00 0004 008c 00ff 01 00" +
			"160301000e 1000000a 0008 " + pidHex + "1403010001 01", block[:20], block[40:56], block[72:88], labelClientFinished},
		{"server", cb.out.Bytes(), "1603010031 0200002d 0301" + second + "00 008c 00 0005 ff01 0001 00" +
			"1603010004 0e000000 1403010001 01", block[20:40], block[56:72], block[88:104], labelServerFinished},
	} {
		plain := unhex(t, side.plain)
		if !bytes.HasPrefix(side.out, plain) {
			t.Fatalf("%s: said\n%x\nwant\n%x", side.name, side.out, plain)
		}
		sealed := side.out[len(plain):]
		if !bytes.HasPrefix(sealed, []byte{22, 3, 1, 0, 48}) || len(sealed) != 53 {
			t.Fatalf("%s: Finished is %x", side.name, sealed)
		}
		checkFinished(t, side.name, sealed[5:], side.mac, side.key, side.iv)
	}
}

// checkFinished opens a first record of 48 bytes: 16 of message, 20 of MAC, 12 of
// padding.
func checkFinished(t *testing.T, name string, sealed, macKey, key, iv []byte) {
	t.Helper()
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Clone(sealed)
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(body, body)
	mac := hmac.New(sha1.New, macKey)
	mac.Write(make([]byte, 8))
	mac.Write([]byte{22, 3, 1, 0, 16})
	mac.Write(body[:16])
	if !bytes.Equal(body[16:36], mac.Sum(nil)) {
		t.Errorf("%s: the MAC does not match: %x", name, body)
	}
	if got := hex.EncodeToString(body[:4]); got != "1400000c" {
		t.Errorf("%s: the message begins with %s", name, got)
	}
	if want := bytes.Repeat([]byte{11}, 12); !bytes.Equal(body[36:], want) {
		t.Errorf("%s: the padding is %x", name, body[36:])
	}
}
