package tlspsk

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex reads hex with spaces and line ends anywhere.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Vectors over Intel's pair, made by an implementation of its own and checked
// against a live OpenSSL 3.0 by its key log.
const (
	pmsHex = `0020 0000000000000000000000000000000000000000000000000000000000000000
		0020 4e4b4c444735444352524e514539595a5a494a4c374c464c564a45443639584a`
	// client_random 00..1f, server_random 20..3f, TLS 1.0
	masterHex = `65b8194e808a2cea3cb23b14e4f898518cb1e1cb8f83e74ff0148e9dfa37ec8c
		d9f82286bad962242efc187695c3633e`
	keyBlockHex = `291d7c33f5a8a42373eae98c351d53244abdc76b144c58df87eed1e059d452f1
		0c2082c8c9a0e99465fa1c0851822a0962950e1df387bb6578fb63748b91b8c8
		90339ef2eb5f3b770cafc3132eac47209300f971930b40fe6535cf526f17d6a8
		1c3e1c67bf99bf20`
	// a live handshake: openssl s_server and s_client 3.0, -tls1, PSK-AES128-CBC-SHA
	liveClientHex = `9db01ad75cdcd5311a014b9875f3cce5bcaa6d1e53216d2630fc610c32327b40`
	liveServerHex = `81b0ea2d2d0fb8d05b2aa041cef1a9bc768a09e3a6dde1c07e80b02bf7a3a802`
	liveMasterHex = `5982aa0f895fd3fd2aa5742eb4408a2ced98ca0cbca33c8c3949dc8ea0fb9e23
		40c070fdcb44c1f3c287abb9746a9db5`
)

// counting is 32 bytes that count from start.
func counting(start byte) (r [randomLen]byte) {
	for i := range r {
		r[i] = start + byte(i)
	}
	return r
}

func TestPremaster(t *testing.T) {
	t.Parallel()
	got := premaster(nil, intelPair(t).PPS.Reveal())
	if want := unhex(t, pmsHex); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	got = premaster([]byte{1, 2}, []byte{3})
	if want := []byte{0, 2, 1, 2, 0, 1, 3}; !bytes.Equal(got, want) {
		t.Errorf("RSA_PSK: got %x, want %x", got, want)
	}
}

func TestMasterSecret(t *testing.T) {
	t.Parallel()
	got := masterSecret(tls.VersionTLS10, unhex(t, pmsHex), counting(0), counting(0x20))
	if want := unhex(t, masterHex); !bytes.Equal(got, want) {
		t.Errorf("fixed randoms: got %x, want %x", got, want)
	}
	live := masterSecret(tls.VersionTLS11, unhex(t, pmsHex),
		[randomLen]byte(unhex(t, liveClientHex)), [randomLen]byte(unhex(t, liveServerHex)))
	if want := unhex(t, liveMasterHex); !bytes.Equal(live, want) {
		t.Errorf("live OpenSSL: got %x, want %x", live, want)
	}
	dashed := premaster(nil, Dashed.Key(intelPair(t).PPS).Reveal())
	other := masterSecret(tls.VersionTLS10, dashed, counting(0), counting(0x20))
	if bytes.Equal(other, got) {
		t.Error("the dashed key gives the same master secret")
	}
}

func TestKeyBlock(t *testing.T) {
	t.Parallel()
	k := deriveKeys(tls.VersionTLS10, suiteByID(SuiteAES128), unhex(t, masterHex), counting(0), counting(0x20))
	want := unhex(t, keyBlockHex)
	for _, part := range []struct {
		name string
		got  []byte
		n    int
	}{
		{"client MAC", k.clientMAC, 20},
		{"server MAC", k.serverMAC, 20},
		{"client key", k.clientKey, 16},
		{"server key", k.serverKey, 16},
		{"client IV", k.clientIV, 16},
		{"server IV", k.serverIV, 16},
	} {
		if !bytes.Equal(part.got, want[:part.n]) {
			t.Errorf("%s: got %x, want %x", part.name, part.got, want[:part.n])
		}
		want = want[part.n:]
	}
	if len(want) != 0 {
		t.Errorf("%d bytes of the key block are not used", len(want))
	}
}

// TestPRF12 is the P_SHA256 vector of the IETF TLS mailing list (2009, "Test
// vectors for TLS 1.2 PRF").
func TestPRF12(t *testing.T) {
	t.Parallel()
	got := prf(tls.VersionTLS12, unhex(t, "9bbe436ba940f017b17652849a71db35"), "test label",
		unhex(t, "a0ba9f936cda311827a6f796ffd5198c"), 100)
	want := unhex(t, `e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a
		6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab
		4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701
		87347b66`)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestPRFOddSecret checks that the two halves of an odd secret share a byte.
func TestPRFOddSecret(t *testing.T) {
	t.Parallel()
	odd := prf(tls.VersionTLS10, []byte("abc"), "l", nil, 20)
	even := prf(tls.VersionTLS10, []byte("abbc"), "l", nil, 20)
	if !bytes.Equal(odd, even) {
		t.Errorf("got %x, want %x", odd, even)
	}
}

func TestTranscriptWaits(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		var early, late transcript
		early.start(v)
		for _, tr := range []*transcript{&early, &late} {
			tr.write([]byte("one"))
			tr.write([]byte("two"))
		}
		late.start(v)
		a, b := early.finished([]byte("m"), labelClientFinished), late.finished([]byte("m"), labelClientFinished)
		if !bytes.Equal(a, b) || len(a) != finishedLen {
			t.Errorf("%s: %x and %x", VersionName(v), a, b)
		}
	}
}
