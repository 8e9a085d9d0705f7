package hello

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amtscs/amtscs/amt"
)

const (
	hexUUID   = "3ec2ffd2d19d2d41860a54b2039b72ff" // as on the wire
	hexPSK    = "0100020000000000" + hexUUID + "303030303033374d"
	hexSHA1   = "05fd43e81420ca191eb85cec916527b7f1192bef"                         // of "example root"
	hexSHA256 = "b567c0cbb2e85c295e6ade930e5bb349a4b9bee9489caa7d6b679dd46e82a711" // of the same
	hexPKI    = "0100030002000000" + hexUUID + "02" + "0114" + hexSHA1 + "0220" + hexSHA256
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func uuid(t testing.TB) amt.UUID {
	t.Helper()
	u, err := amt.ParseUUID("d2ffc23e-9dd1-412d-860a-54b2039b72ff")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestMessages holds the layout of Intel's table for version 2, and that of
// captures for version 3; the bytes were put together by hand.
func TestMessages(t *testing.T) {
	t.Parallel()
	u := uuid(t)
	pid := amt.PID([]byte("0000037M"))
	tests := []struct {
		name string
		msg  Message
		hex  string
		text string
	}{
		{
			"version 2",
			Message{CredentialsSet: true, Version: PSK, UUID: u, PID: pid},
			hexPSK,
			"hello 2 (PSK) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff pid 0000-037M retry 0 credentials set",
		},
		{
			"version 2, retry 14, credentials not set",
			Message{Version: PSK, Retry: 14, UUID: u, PID: pid},
			"000002000e000000" + hexUUID + "303030303033374d",
			"hello 2 (PSK) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff pid 0000-037M retry 14",
		},
		{
			"any PID",
			Message{Version: PSK, Retry: 0xfffffffe, UUID: u, PID: amt.PID([]byte("a\n\x00\xff    "))},
			"00000200feffffff" + hexUUID + "610a00ff20202020",
			`hello 2 (PSK) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff pid "a\n\x00\xff    " retry 4294967294`,
		},
		{
			"version 3",
			Message{CredentialsSet: true, Version: PKI, Retry: 2, UUID: u, Hashes: []Hash{
				{Algorithm: 1, Sum: unhex(t, hexSHA1)}, {Algorithm: 2, Sum: unhex(t, hexSHA256)},
			}},
			hexPKI,
			"hello 3 (PKI) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff 2 hashes retry 2 credentials set",
		},
		{
			"version 3 without hashes",
			Message{Version: PKI, UUID: u},
			"0000030000000000" + hexUUID + "00",
			"hello 3 (PKI) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff 0 hashes retry 0",
		},
		{
			"version 3 with unknown hashes and trailing bytes",
			Message{Version: PKI, UUID: u, Hashes: []Hash{
				{Algorithm: 200, Sum: []byte{1, 2}}, {Algorithm: 1, Sum: []byte{}},
			}, Trailing: []byte{0, 0, 7}},
			"0000030000000000" + hexUUID + "02" + "c8020102" + "0100" + "000007",
			"hello 3 (PKI) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff 2 hashes retry 0",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, err := tt.msg.AppendBinary([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(bytes.TrimPrefix(b, []byte("before"))); got != tt.hex {
				t.Errorf("AppendBinary: got  %s\nwant %s", got, tt.hex)
			}
			in := unhex(t, tt.hex)
			m, err := Parse(in)
			if err != nil {
				t.Fatal(err)
			}
			clear(in) // the message must not share memory with its bytes
			if diff := cmp.Diff(&tt.msg, m, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Parse: %s", diff)
			}
			if got := m.String(); got != tt.text {
				t.Errorf("String: got %s", got)
			}
		})
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	psk, pki := unhex(t, hexPSK), unhex(t, hexPKI)
	with := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte{}, b...)
		copy(b[at:], v)
		return b
	}
	tests := []struct {
		name   string
		b      []byte
		want   error
		text   string
		header bool // comes with the error
	}{
		{"nothing", nil, ErrShort, "hello message of 0 bytes: the message is cut off: the header has 24 bytes", false},
		{"half a header", psk[:12], ErrShort, "12 bytes", false},
		{"GET /", []byte("GET / HTTP/1.1\r\nHost: scs.example:9971\r\n\r\n"), ErrCredentials, "17735", true},
		{"flag 2", with(psk, 0, 2), ErrCredentials, "neither 0 nor 1: 2", true},
		{"version 0", with(psk, 2, 0), ErrVersion, "unknown hello version 0", true},
		{"version 1", with(psk, 2, 1), ErrVersion, "unknown hello version 1: 2 (PSK) and 3 (PKI) are known", true},
		{"version 4", with(psk, 2, 4), ErrVersion, "version 4", true},
		{"version 513", with(psk, 2, 1, 2), ErrVersion, "version 513", true},
		{"version 2 cut off", psk[:31], ErrShort, "version 2 has 32 bytes", true},
		{"version 2 with a byte more", append(with(psk, 0), 0), ErrTrailing, "version 2 has 32", true},
		{"version 3 without a count", pki[:24], ErrShort, "no number of hashes", true},
		{"version 3 cut in a sum", pki[:len(pki)-1], ErrShort, "in hash 2 of 2", true},
		{"version 3 cut in an entry's head", pki[:26], ErrShort, "in hash 1 of 2", true},
		{"count without entries", append(with(pki[:24], 0), 23), ErrShort, "in hash 1 of 23", true},
		{"version 3 with 4 bytes more", append(with(pki, 0), 0, 0, 0, 0), ErrTrailing, "4 behind the last hash", true},
		{"too long", make([]byte, MaxLen+1), ErrTooLong, "longer than any", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse(tt.b)
			var pe *ParseError
			if m != nil || !errors.Is(err, tt.want) || !errors.As(err, &pe) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, %v; want %q", m, err, tt.text)
			}
			if pe.Len != len(tt.b) || (pe.Header != nil) != tt.header {
				t.Errorf("got %d bytes, header %v", pe.Len, pe.Header)
			}
		})
	}
	var pe *ParseError
	if _, err := Parse(with(psk, 2, 9)); !errors.As(err, &pe) || pe.Header.UUID != uuid(t) || pe.Header.Version != 9 {
		t.Errorf("the header of an unknown version is lost: %+v", pe)
	}
}

func TestAppendFaults(t *testing.T) {
	t.Parallel()
	many := make([]Hash, 256)
	long := make([]Hash, 255)
	for i := range long {
		long[i].Sum = make([]byte, 255)
	}
	tests := []struct {
		name string
		msg  Message
		want error
	}{
		{"no version", Message{}, ErrVersion},
		{"version 4", Message{Version: 4}, ErrVersion},
		{"version 2 with hashes", Message{Version: PSK, Hashes: many[:1]}, ErrField},
		{"version 2 with trailing bytes", Message{Version: PSK, Trailing: []byte{0}}, ErrField},
		{"version 3 with a PID", Message{Version: PKI, PID: amt.PID{1}}, ErrField},
		{"256 hashes", Message{Version: PKI, Hashes: many}, ErrField},
		{"256 bytes of sum", Message{Version: PKI, Hashes: []Hash{{Sum: make([]byte, 256)}}}, ErrField},
		{"4 trailing bytes", Message{Version: PKI, Trailing: make([]byte, 4)}, ErrField},
		{"too long", Message{Version: PKI, Hashes: long}, ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if b, err := tt.msg.AppendBinary([]byte("x")); !errors.Is(err, tt.want) || string(b) != "x" {
				t.Errorf("got %d bytes, %v; want %v", len(b), err, tt.want)
			}
		})
	}
}

func TestHashNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		alg  uint8
		size int
		want string
	}{
		{0, 16, "MD5"},
		{1, 20, "SHA-1"},
		{2, 32, "SHA-256"},
		{3, 48, "SHA-384"},
		{3, 64, "SHA-512"},
		{2, 20, "unknown algorithm (2, 20 bytes)"},
		{9, 0, "unknown algorithm (9, 0 bytes)"},
	}
	for _, tt := range tests {
		if got := (Hash{Algorithm: tt.alg, Sum: make([]byte, tt.size)}).Name(); got != tt.want {
			t.Errorf("(%d, %d): got %s, want %s", tt.alg, tt.size, got, tt.want)
		}
	}
	if got := (Hash{Algorithm: 9, Sum: []byte{0xab}}).String(); got != "unknown algorithm (9, 1 bytes):ab" {
		t.Errorf("String: got %s", got)
	}
	if got := Version(7).String(); got != "unknown version (7)" {
		t.Errorf("Version: got %s", got)
	}
}

// FuzzParse: whatever parses is written as the same bytes.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, hexPSK))
	f.Add(unhex(f, hexPKI))
	f.Add(append(unhex(f, hexPKI), 0, 0, 0))
	f.Add(unhex(f, "0000030000000000"+hexUUID+"00"))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || m != nil {
				t.Fatalf("got %v, %v", m, err)
			}
			return
		}
		out, err := m.AppendBinary(nil)
		if err != nil || !bytes.Equal(out, b) {
			t.Fatalf("%x became %x, %v", b, out, err)
		}
		if hopeless(b) {
			t.Fatalf("%x parses and is hopeless", b)
		}
		_ = m.String()
	})
}

// FuzzAppend: whatever is written parses as the same message.
func FuzzAppend(f *testing.F) {
	f.Add(true, uint16(2), uint32(0), unhex(f, hexUUID), []byte("0000037M"), []byte{})
	f.Add(false, uint16(3), uint32(14), unhex(f, hexUUID), []byte{1, 20}, []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, set bool, version uint16, retry uint32, id, tail, trailing []byte) {
		m := &Message{CredentialsSet: set, Version: Version(version), Retry: retry, Trailing: trailing}
		copy(m.UUID[:], id)
		if m.Version == PSK {
			copy(m.PID[:], tail)
		} else {
			for i, c := range tail {
				m.Hashes = append(m.Hashes, Hash{Algorithm: c, Sum: tail[:i]})
			}
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			return
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		for i := range b {
			if hopeless(b[:i]) {
				t.Fatalf("the first %d bytes of a message are hopeless", i)
			}
		}
	})
}
