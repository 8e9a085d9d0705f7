package tlspsk

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// body parts that several tables use.
const (
	randomHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	pidHex    = "303030303033374d"
)

// message is a handshake message both as a value and as bytes.
type message struct {
	name  string
	value any
	hex   string
}

var messages = []message{
	{"our ClientHello", &clientHello{
		version: 0x0303, random: counting(0),
		suites: []uint16{SuiteAES128, SuiteAES256, scsvRenegotiation}, compression: []byte{0},
	}, "0100002d 0303 " + randomHex + " 00 0006 008c 008d 00ff 01 00"},
	{"ClientHello with a session and extensions", &clientHello{
		version: 0x0301, random: counting(0), sessionID: []byte{0xAA},
		suites: []uint16{SuiteAES128}, compression: []byte{1, 0},
		extensions: []extension{{extRenegotiationInfo, []byte{0}}, {23, nil}},
	}, "01000036 0301 " + randomHex + " 01aa 0002 008c 02 0100 0009 ff01 0001 00 0017 0000"},
	{"ClientHello with an empty extension block", &clientHello{
		version: 0x0301, random: counting(0),
		suites: []uint16{SuiteAES128}, compression: []byte{0}, extensions: []extension{},
	}, "0100002b 0301 " + randomHex + " 00 0002 008c 01 00 0000"},
	{"ServerHello", &serverHello{
		version: 0x0301, random: counting(0), suite: SuiteAES128,
	}, "02000026 0301 " + randomHex + " 00 008c 00"},
	{"ServerHello with renegotiation_info", &serverHello{
		version: 0x0302, random: counting(0), sessionID: []byte{1, 2}, suite: SuiteAES256,
		extensions: []extension{{extRenegotiationInfo, []byte{0}}},
	}, "0200002f 0302 " + randomHex + " 020102 008d 00 0005 ff01 0001 00"},
	{"ServerKeyExchange of work-alike firmware", []byte("0000037M"), "0c00000a 0008 " + pidHex},
	{"Certificate", [][]byte{{1, 2, 3}, {4}}, "0b00000d 00000a 000003 010203 000001 04"},
	{"ClientKeyExchange", &clientKeyExchange{identity: []byte("0000037M")}, "1000000a 0008 " + pidHex},
	{"ClientKeyExchange of RSA_PSK", &clientKeyExchange{identity: []byte("0000037M"), encrypted: []byte{9, 8}}, "1000000e 0008 " + pidHex + " 0002 0908"},
}

// appendAny appends a message of any type of the table.
func appendAny(value any) []byte {
	switch m := value.(type) {
	case *clientHello:
		return m.append(nil)
	case *serverHello:
		return m.append(nil)
	case *clientKeyExchange:
		return m.append(nil)
	case [][]byte:
		return appendCertificate(nil, m)
	case []byte:
		return appendServerKeyExchange(nil, m)
	}
	panic("unknown message")
}

// parseAny is its inverse; rsa says how a ClientKeyExchange is read.
func parseAny(b []byte, rsa bool) (any, error) {
	switch b[0] {
	case typeClientHello:
		return parseClientHello(b[4:])
	case typeServerHello:
		return parseServerHello(b[4:])
	case typeCertificate:
		return parseCertificate(b[4:])
	case typeServerKeyExchange:
		return parseServerKeyExchange(b[4:])
	case typeClientKeyExchange:
		return parseClientKeyExchange(b[4:], rsa)
	}
	return nil, errors.New("a message without parser")
}

// isRSA reports whether m is a ClientKeyExchange of RSA_PSK.
func isRSA(value any) bool {
	m, ok := value.(*clientKeyExchange)
	return ok && m.encrypted != nil
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, m := range messages {
		want := unhex(t, m.hex)
		if got := appendAny(m.value); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", m.name, got, want)
		}
		got, err := parseAny(want, isRSA(m.value))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if again := appendAny(got); !bytes.Equal(again, want) {
			t.Errorf("%s: parsed and written again: %x, want %x", m.name, again, want)
		}
		if h, ok := got.(*clientHello); ok {
			if want := m.value.(*clientHello); !reflect.DeepEqual(h.suites, want.suites) || len(h.extensions) != len(want.extensions) {
				t.Errorf("%s: got %+v, want %+v", m.name, h, want)
			}
		}
	}
}

// TestMessagesCut cuts each message everywhere and lengthens it: none may parse,
// but for a hello that ends where its optional extensions begin.
func TestMessagesCut(t *testing.T) {
	t.Parallel()
	for _, m := range messages {
		whole := unhex(t, m.hex)
		for n := 4; n < len(whole); n++ {
			got, err := parseAny(whole[:n], isRSA(m.value))
			if err == nil && !bytes.Equal(appendAny(got)[4:], whole[4:n]) {
				t.Errorf("%s cut to %d parses as something else: %+v", m.name, n, got)
			}
			if err != nil && !errors.Is(err, ErrProtocol) {
				t.Errorf("%s cut to %d: got %v", m.name, n, err)
			}
		}
		if _, err := parseAny(append(whole, 0), isRSA(m.value)); err == nil {
			t.Errorf("%s with a byte more parses", m.name)
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ name, hex string }{
		{"ClientHello, nothing", "01000000"},
		{"ClientHello, no suites", "01000000 0301 " + randomHex + " 00 0000 01 00"},
		{"ClientHello, odd suites", "01000000 0301 " + randomHex + " 00 0003 008c00 01 00"},
		{"ClientHello, no compression", "01000000 0301 " + randomHex + " 00 0002 008c 00"},
		{"ClientHello, session of 33", "01000000 0301 " + randomHex + " 21 " + randomHex + "00 0002 008c 01 00"},
		{"ClientHello, extension past its block", "01000000 0301 " + randomHex + " 00 0002 008c 01 00 0004 ff01 0001"},
		{"ClientHello, half an extension", "01000000 0301 " + randomHex + " 00 0002 008c 01 00 0003 ff01 00"},
		{"ServerHello, session of 33", "02000000 0301 " + randomHex + " 21 " + randomHex + "00 008c 00"},
		{"ServerKeyExchange, nothing", "0c000000"},
		{"ServerKeyExchange, length past the end", "0c000000 0009 " + pidHex},
		{"Certificate, entry past its list", "0b000000 000004 000002 01"},
		{"Certificate, list past the end", "0b000000 0000ff 000001 01"},
		{"ClientKeyExchange, nothing", "10000000"},
		{"ClientKeyExchange, secret where none belongs", "10000000 0008 " + pidHex + " 0000"},
	} {
		got, err := parseAny(unhex(t, m.hex), false)
		var alert *AlertError
		if !errors.Is(err, ErrProtocol) || !errors.As(err, &alert) || alert.Alert != AlertDecodeError {
			t.Errorf("%s: got %+v, %v", m.name, got, err)
		}
	}
	long := appendServerKeyExchange(nil, make([]byte, MaxIdentity+1))
	if _, err := parseServerKeyExchange(long[4:]); err == nil {
		t.Error("an overlong hint parses")
	}
	cke := clientKeyExchange{identity: make([]byte, MaxIdentity+1)}
	if _, err := parseClientKeyExchange(cke.append(nil)[4:], false); err == nil {
		t.Error("an overlong identity parses")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{AlertUnknownPSKIdentity.String(), "unknown_psk_identity"},
		{Alert(200).String(), "unknown (200)"},
		{SuiteName(SuiteAES128), "TLS_PSK_WITH_AES_128_CBC_SHA"},
		{SuiteName(0x1234), "unknown (0x1234)"},
		{VersionName(0x0301), "TLS 1.0"},
		{Undashed.String(), "undashed"},
		{Dashed.String(), "dashed"},
		{PairForm(7).String(), "unknown (7)"},
		{messageName(99), "handshake message of unknown type"},
		{(&AlertError{Alert: AlertDecryptError, FromPeer: true}).Error(), "the peer sent alert 51 (decrypt_error)"},
		{(&AlertError{Alert: AlertBadRecordMAC, Err: ErrRecord}).Error(), "a record does not authenticate (alert 20, bad_record_mac)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
