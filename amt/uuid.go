package amt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// UUID is the identity of a PC's mainboard in the order of its text form
// (RFC 4122, big-endian). On the wire AMT uses the SMBIOS order, whose first
// three fields are little-endian: see SMBIOS and UUIDFromSMBIOS.
type UUID [16]byte

// ErrUUID is returned for text that is not a UUID.
var ErrUUID = errors.New("not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")

// ParseUUID reads the 36-character form in either case, or 32 hex digits.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	h := s
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return u, fmt.Errorf("uuid %q: %w", s, ErrUUID)
		}
		h = strings.ReplaceAll(s, "-", "")
	}
	if len(h) != 32 {
		return u, fmt.Errorf("uuid %q: %w", s, ErrUUID)
	}
	if _, err := hex.Decode(u[:], []byte(h)); err != nil {
		return UUID{}, fmt.Errorf("uuid %q: %w", s, ErrUUID)
	}
	return u, nil
}

// UUIDFromSMBIOS converts the 16 bytes of a hello message or of GetUuid.
func UUIDFromSMBIOS(b [16]byte) UUID {
	return UUID{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// SMBIOS returns the 16 bytes as they stand in a hello message.
func (u UUID) SMBIOS() [16]byte { return [16]byte(UUIDFromSMBIOS([16]byte(u))) }

// Present reports whether u names a board: all zeros and all ones mean that the
// PC has none (LMS, GetUuid).
func (u UUID) Present() bool {
	zero, ones := true, true
	for _, b := range u {
		zero = zero && b == 0
		ones = ones && b == 0xff
	}
	return !zero && !ones
}

// String returns the 36-character lower-case form.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
