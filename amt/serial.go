package amt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// SerialLen is the size of the serial numbers that package ca draws.
const SerialLen = 16

// Serial is the serial number of a certificate of our own CA: 16 bytes,
// big-endian, positive as a signed number (RFC 5280 section 4.1.2.2 allows 20).
type Serial [SerialLen]byte

// ErrSerial is returned for a number or text that cannot be one of our serials.
var ErrSerial = errors.New("not a serial number of this CA")

// SerialOf converts the serial of a parsed certificate. Numbers that our CA
// cannot have drawn (zero, negative, above 127 bits, nil) are ErrSerial: to the
// caller such a certificate is unknown.
func SerialOf(n *big.Int) (Serial, error) {
	var s Serial
	if n == nil || n.Sign() <= 0 || n.BitLen() > 8*SerialLen-1 {
		return s, ErrSerial
	}
	n.FillBytes(s[:])
	return s, nil
}

// ParseSerial reads hexadecimal digits in either case, with or without the
// colons that openssl prints, and without leading zeros if need be.
func ParseSerial(text string) (Serial, error) {
	h := strings.ReplaceAll(strings.TrimSpace(text), ":", "")
	if h == "" || len(h) > 2*SerialLen {
		return Serial{}, fmt.Errorf("serial %q: %w: want up to %d hexadecimal digits", text, ErrSerial, 2*SerialLen)
	}
	var s Serial
	h = strings.Repeat("0", 2*SerialLen-len(h)) + h
	if _, err := hex.Decode(s[:], []byte(h)); err != nil {
		return Serial{}, fmt.Errorf("serial %q: %w: want hexadecimal digits", text, ErrSerial)
	}
	if _, err := SerialOf(s.Big()); err != nil {
		return Serial{}, fmt.Errorf("serial %q: %w", text, err)
	}
	return s, nil
}

// Big is the number for crypto/x509.
func (s Serial) Big() *big.Int { return new(big.Int).SetBytes(s[:]) }

// IsZero reports whether s is no serial.
func (s Serial) IsZero() bool { return s == Serial{} }

// String is 32 lower-case hexadecimal digits.
func (s Serial) String() string { return hex.EncodeToString(s[:]) }
