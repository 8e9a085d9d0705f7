package hello

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Sizes of a message, in bytes.
const (
	// HeaderLen is the part that both versions share.
	HeaderLen = 24
	// PSKLen is a whole message of version 2.
	PSKLen = HeaderLen + amt.PIDLen
	// MaxLen bounds what Parse and the listener take: 255 hashes of 64 bytes
	// make 16,855, the most that known algorithms give.
	MaxLen = 17 << 10
	// MaxTrailing is the padding taken behind the last hash of version 3.
	MaxTrailing = 3

	maxHashes = 255
	maxSum    = 255
)

// Version is the interface version of a message.
type Version uint16

// The versions that are read.
const (
	PSK Version = 2 // set-up by PID and PPS, AMT 2.x to 10.x
	PKI Version = 3 // set-up by certificate, AMT 2.2 and later
)

// String names the version.
func (v Version) String() string {
	switch v {
	case PSK:
		return "2 (PSK)"
	case PKI:
		return "3 (PKI)"
	}
	return fmt.Sprintf("unknown version (%d)", uint16(v))
}

// Hash is one root certificate that a device trusts for PKI set-up: the digest
// over the certificate's whole DER. Entries of an unknown algorithm or length
// are kept as they came.
type Hash struct {
	Algorithm uint8
	Sum       []byte // up to 255 bytes
}

// String is the algorithm and the sum in hex.
func (h Hash) String() string { return h.Name() + ":" + hex.EncodeToString(h.Sum) }

// Name is the algorithm, told by number and length together because number 3 is
// SHA-384 or, in older lists, SHA-512 (LMS, CFG_GetCertificateHashEntry).
func (h Hash) Name() string {
	switch [2]int{int(h.Algorithm), len(h.Sum)} {
	case [2]int{0, 16}:
		return "MD5"
	case [2]int{1, 20}:
		return "SHA-1"
	case [2]int{2, 32}:
		return "SHA-256"
	case [2]int{3, 48}:
		return "SHA-384"
	case [2]int{3, 64}:
		return "SHA-512"
	}
	return fmt.Sprintf("unknown algorithm (%d, %d bytes)", h.Algorithm, len(h.Sum))
}

// Header is what every version begins with, as far as anyone can tell.
type Header struct {
	Credentials uint16 // as it came: 0 or 1 in a good message
	Version     Version
	Retry       uint32
	UUID        amt.UUID
}

// Message is one hello.
type Message struct {
	// CredentialsSet is the first field. Its meaning is unverified: presumably
	// that the network administrator is no longer the factory's admin/admin.
	CredentialsSet bool
	Version        Version
	Retry          uint32   // 0 in the first message since the firmware started
	UUID           amt.UUID // may be absent: see amt.UUID.Present
	PID            amt.PID  // version 2 only; any eight bytes
	Hashes         []Hash   // version 3 only
	Trailing       []byte   // version 3 only: up to MaxTrailing bytes
}

// Errors of messages, in the order in which they are looked for.
var (
	// ErrTooLong is returned for more than MaxLen bytes.
	ErrTooLong = errors.New("longer than any hello message")
	// ErrShort is returned for a message that ends before its last field.
	ErrShort = errors.New("the message is cut off")
	// ErrCredentials is returned when the first field is neither 0 nor 1: the
	// bytes are something else than a hello.
	ErrCredentials = errors.New("the credentials flag is neither 0 nor 1")
	// ErrVersion is returned for a version other than 2 and 3.
	ErrVersion = errors.New("unknown hello version")
	// ErrTrailing is returned for bytes behind the message.
	ErrTrailing = errors.New("bytes behind the end of the message")
	// ErrField is returned by AppendBinary for a field that the version cannot
	// hold.
	ErrField = errors.New("the version cannot hold this field")
)

// ParseError says why bytes are not a hello message, and keeps what could be
// read of them for the log.
type ParseError struct {
	Len    int     // bytes that came
	Header *Header // nil when fewer than HeaderLen bytes came
	Err    error   // wraps one of the sentinels
}

// Error names the rule that is broken; it shows no bytes of the message.
func (e *ParseError) Error() string {
	return fmt.Sprintf("hello message of %d bytes: %v", e.Len, e.Err)
}

// Unwrap gives the sentinel.
func (e *ParseError) Unwrap() error { return e.Err }

// Parse reads one whole message: for version 2 exactly 32 bytes, for version 3
// the header, its hashes and at most MaxTrailing bytes. Every error is a
// *ParseError. The Message shares no memory with b.
func Parse(b []byte) (*Message, error) {
	h := parseHeader(b)
	fail := func(err error) (*Message, error) { return nil, &ParseError{Len: len(b), Header: h, Err: err} }
	switch {
	case len(b) > MaxLen:
		return fail(ErrTooLong)
	case h == nil:
		return fail(fmt.Errorf("%w: the header has %d bytes", ErrShort, HeaderLen))
	case h.Credentials > 1:
		return fail(fmt.Errorf("%w: %d", ErrCredentials, h.Credentials))
	case h.Version != PSK && h.Version != PKI:
		return fail(fmt.Errorf("%w %d: 2 (PSK) and 3 (PKI) are known", ErrVersion, uint16(h.Version)))
	}
	m := &Message{CredentialsSet: h.Credentials == 1, Version: h.Version, Retry: h.Retry, UUID: h.UUID}
	parse := m.parsePSK
	if h.Version == PKI {
		parse = m.parsePKI
	}
	if err := parse(b[HeaderLen:]); err != nil {
		return fail(err)
	}
	return m, nil
}

func parseHeader(b []byte) *Header {
	if len(b) < HeaderLen {
		return nil
	}
	return &Header{
		Credentials: binary.LittleEndian.Uint16(b),
		Version:     Version(binary.LittleEndian.Uint16(b[2:])),
		Retry:       binary.LittleEndian.Uint32(b[4:]),
		UUID:        amt.UUIDFromSMBIOS([16]byte(b[8:24])),
	}
}

func (m *Message) parsePSK(b []byte) error {
	if len(b) < amt.PIDLen {
		return fmt.Errorf("%w: version 2 has %d bytes", ErrShort, PSKLen)
	}
	if len(b) > amt.PIDLen {
		return fmt.Errorf("%w: version 2 has %d", ErrTrailing, PSKLen)
	}
	m.PID = amt.PID(b)
	return nil
}

func (m *Message) parsePKI(b []byte) error {
	if len(b) < 1 {
		return fmt.Errorf("%w: no number of hashes", ErrShort)
	}
	n, b := int(b[0]), b[1:]
	for i := range n {
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return fmt.Errorf("%w: in hash %d of %d", ErrShort, i+1, n)
		}
		end := 2 + int(b[1])
		m.Hashes = append(m.Hashes, Hash{Algorithm: b[0], Sum: append([]byte{}, b[2:end]...)})
		b = b[end:]
	}
	if len(b) > MaxTrailing {
		return fmt.Errorf("%w: %d behind the last hash", ErrTrailing, len(b))
	}
	m.Trailing = append(m.Trailing, b...)
	return nil
}

// AppendBinary appends the message as a device sends it. ErrVersion, ErrField or
// ErrTooLong say why a message has no such form.
func (m *Message) AppendBinary(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, fmt.Errorf("writing a hello message: %w", err)
	}
	start := len(b)
	var flag uint16
	if m.CredentialsSet {
		flag = 1
	}
	b = binary.LittleEndian.AppendUint16(b, flag)
	b = binary.LittleEndian.AppendUint16(b, uint16(m.Version))
	b = binary.LittleEndian.AppendUint32(b, m.Retry)
	uuid := m.UUID.SMBIOS()
	b = append(b, uuid[:]...)
	if m.Version == PSK {
		return append(b, m.PID[:]...), nil
	}
	b = append(b, byte(len(m.Hashes)))
	for _, h := range m.Hashes {
		b = append(b, h.Algorithm, byte(len(h.Sum)))
		b = append(b, h.Sum...)
	}
	b = append(b, m.Trailing...)
	if len(b)-start > MaxLen {
		return b[:start], fmt.Errorf("writing a hello message: %w: %d bytes", ErrTooLong, len(b)-start)
	}
	return b, nil
}

func (m *Message) check() error {
	switch m.Version {
	case PSK:
		if len(m.Hashes) > 0 || len(m.Trailing) > 0 {
			return fmt.Errorf("%w: version 2 has a PID and nothing more", ErrField)
		}
		return nil
	case PKI:
	default:
		return fmt.Errorf("%w %d", ErrVersion, uint16(m.Version))
	}
	switch {
	case m.PID != amt.PID{}:
		return fmt.Errorf("%w: version 3 has no PID", ErrField)
	case len(m.Hashes) > maxHashes:
		return fmt.Errorf("%w: %d hashes, at most %d", ErrField, len(m.Hashes), maxHashes)
	case len(m.Trailing) > MaxTrailing:
		return fmt.Errorf("%w: %d trailing bytes, at most %d", ErrField, len(m.Trailing), MaxTrailing)
	}
	for i, h := range m.Hashes {
		if len(h.Sum) > maxSum {
			return fmt.Errorf("%w: hash %d has %d bytes, at most %d", ErrField, i+1, len(h.Sum), maxSum)
		}
	}
	return nil
}

// String is one line for people and logs; foreign bytes are quoted.
func (m *Message) String() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "hello %v uuid %v", m.Version, m.UUID)
	if m.Version == PSK {
		fmt.Fprintf(&sb, " pid %v", m.PID)
	} else {
		fmt.Fprintf(&sb, " %d hashes", len(m.Hashes))
	}
	fmt.Fprintf(&sb, " retry %d", m.Retry)
	if m.CredentialsSet {
		sb.WriteString(" credentials set")
	}
	return sb.String()
}
