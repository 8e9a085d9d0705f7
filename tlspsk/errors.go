package tlspsk

import (
	"crypto/fips140"
	"crypto/sha1"
	"errors"
	"fmt"
)

// Errors before a connection is made.
var (
	// ErrFIPSOnly is returned when the program runs in FIPS 140-only mode, which
	// forbids the MD5 and SHA-1 that TLS 1.0 and 1.1 are built on.
	ErrFIPSOnly = errors.New("TLS-PSK with AMT needs MD5 and SHA-1, which FIPS 140-only mode forbids: run without GODEBUG=fips140=only")
	// ErrConstantTime is returned when this build's SHA-1 has no constant-time end,
	// as in builds over BoringCrypto: CBC would be open to Lucky 13.
	ErrConstantTime = errors.New("this build's SHA-1 does not work in constant time: build without GOEXPERIMENT=boringcrypto")
)

// Errors of a handshake. Until it succeeds nothing is authenticated, so that whoever
// stands between the ends can bring about each of them: they are reasons to try
// again or to ask a person, never to give a pair up. Each is wrapped with the act that met it and, where an
// alert told of it, with the AlertError.
var (
	// ErrKeyMismatch is returned, on either end, when identity and suite are agreed
	// but the keys differ. Servers that hide which identities they know, GnuTLS
	// among them, answer an unknown one in this way too.
	ErrKeyMismatch = errors.New("the PPS does not match")
	// ErrUnknownIdentity is returned, on either end, when the server has no key for
	// the identity. GetKey returns it too.
	ErrUnknownIdentity = errors.New("the PID is unknown")
	// ErrRefused is returned to a client when the server gives up at the moment it
	// checks identity and key, by closing or by an alert that does not say why: PID
	// or PPS may be wrong, or the device went away.
	ErrRefused = errors.New("the peer gave up where it checks PID and PPS: either may be wrong")
	// ErrNoSharedSuite is returned when the two ends have no cipher suite in common;
	// a client cannot tell it from a server without any pre-shared key.
	ErrNoSharedSuite = errors.New("no cipher suite in common, or the peer has no pre-shared key")
	// ErrNoSharedVersion is returned when the two ends have no TLS version in common.
	ErrNoSharedVersion = errors.New("no TLS version in common")
	// ErrNoPSK is returned for a peer that speaks TLS without pre-shared keys.
	ErrNoPSK = errors.New("the peer speaks TLS without a pre-shared key")
	// ErrNotTLS is returned for a peer whose first bytes are not TLS.
	ErrNotTLS = errors.New("the peer does not speak TLS")
	// ErrCertificate is returned when VerifyCertificate, or the parser, refuses the
	// server's certificate of an RSA_PSK suite.
	ErrCertificate = errors.New("the peer's certificate is refused")
	// ErrProtocol is returned for a message or record that breaks the protocol.
	ErrProtocol = errors.New("the peer breaks the protocol")
)

// Errors of an established connection; a peer that ends without close_notify is
// io.ErrUnexpectedEOF, a use after Close is net.ErrClosed.
var (
	// ErrRecord is returned for a record that was changed on its way: bad padding,
	// MAC or length, never told apart.
	ErrRecord = errors.New("a record does not authenticate")
	// ErrRenegotiation is returned when a client asks for a second handshake.
	ErrRenegotiation = errors.New("the peer asked for renegotiation, which is refused")
	// ErrCloseWrite is returned by Write after CloseWrite.
	ErrCloseWrite = errors.New("write after CloseWrite")
)

// Alert is the description of a TLS alert (RFC 5246 section 7.2, RFC 4279).
type Alert uint8

// The alerts that this package sends or explains.
const (
	AlertCloseNotify           Alert = 0
	AlertUnexpectedMessage     Alert = 10
	AlertBadRecordMAC          Alert = 20
	AlertDecryptionFailed      Alert = 21 // TLS 1.0 stacks only
	AlertRecordOverflow        Alert = 22
	AlertHandshakeFailure      Alert = 40
	AlertBadCertificate        Alert = 42
	AlertIllegalParameter      Alert = 47
	AlertDecodeError           Alert = 50
	AlertDecryptError          Alert = 51
	AlertProtocolVersion       Alert = 70
	AlertInsufficientSecurity  Alert = 71
	AlertInternalError         Alert = 80
	AlertInappropriateFallback Alert = 86 // RFC 7507
	AlertUserCanceled          Alert = 90
	AlertNoRenegotiation       Alert = 100
	AlertUnsupportedExtension  Alert = 110
	AlertUnrecognizedName      Alert = 112
	AlertUnknownPSKIdentity    Alert = 115 // RFC 4279
)

var alertNames = map[Alert]string{
	AlertCloseNotify: "close_notify", AlertUnexpectedMessage: "unexpected_message", AlertBadRecordMAC: "bad_record_mac",
	AlertDecryptionFailed: "decryption_failed", AlertRecordOverflow: "record_overflow",
	AlertHandshakeFailure: "handshake_failure", AlertBadCertificate: "bad_certificate",
	AlertIllegalParameter: "illegal_parameter", AlertDecodeError: "decode_error", AlertDecryptError: "decrypt_error",
	AlertProtocolVersion: "protocol_version", AlertInsufficientSecurity: "insufficient_security",
	AlertInternalError: "internal_error", AlertInappropriateFallback: "inappropriate_fallback",
	AlertUserCanceled: "user_canceled", AlertNoRenegotiation: "no_renegotiation",
	AlertUnsupportedExtension: "unsupported_extension", AlertUnrecognizedName: "unrecognized_name",
	AlertUnknownPSKIdentity: "unknown_psk_identity",
}

// String is the name the RFCs give a.
func (a Alert) String() string {
	if s, ok := alertNames[a]; ok {
		return s
	}
	return fmt.Sprintf("unknown (%d)", uint8(a))
}

// AlertError is an alert that ended a connection.
type AlertError struct {
	Alert Alert
	// FromPeer is true for an alert received, false for one sent.
	FromPeer bool
	// Err is what this end found wrong before it sent the alert; nil if FromPeer.
	Err error
}

// Error names the alert and its direction.
func (e *AlertError) Error() string {
	if e.FromPeer {
		return fmt.Sprintf("the peer sent alert %d (%v)", uint8(e.Alert), e.Alert)
	}
	return fmt.Sprintf("%v (alert %d, %v)", e.Err, uint8(e.Alert), e.Alert)
}

// Unwrap is Err.
func (e *AlertError) Unwrap() error { return e.Err }

// fail is a fault found by this end, to be told to the peer by alert a.
func fail(a Alert, err error) error { return &AlertError{Alert: a, Err: err} }

// failf is fail with ErrProtocol and what was found.
func failf(a Alert, format string, args ...any) error {
	return fail(a, fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...)))
}

// Usable reports whether this package can work in this process: ErrFIPSOnly in
// FIPS 140-only mode, ErrConstantTime in a build without the means, else nil.
// Handshakes ask it themselves; a daemon asks at
// its start, so that the sentence is read there.
func Usable() error {
	if fips140.Enforced() {
		return ErrFIPSOnly
	}
	if _, ok := sha1.New().(constantTimeHash); !ok {
		return ErrConstantTime
	}
	return nil
}
