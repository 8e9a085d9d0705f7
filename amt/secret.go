package amt

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Secret holds a PPS, a password or a private key. It prints as "(secret)" in
// every verb, log and encoding; Reveal is its only exit, so that the places
// where a secret leaves can be searched for. The zero Secret is empty.
//
// The bytes lie behind a closure because fmt reaches into unexported fields
// without calling their Format method.
type Secret struct {
	reveal func() []byte
}

// secretText is what every printing of a Secret shows.
const secretText = "(secret)"

// ErrSecretEncoding is returned when something tries to marshal a Secret.
var ErrSecretEncoding = errors.New("a secret does not marshal: seal it, or reveal it on purpose")

// NewSecret keeps a copy of b.
func NewSecret(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	c := make([]byte, len(b))
	copy(c, b)
	return Secret{reveal: func() []byte { return c }}
}

// NewSecretString keeps s.
func NewSecretString(s string) Secret { return NewSecret([]byte(s)) }

// Reveal returns a copy of the bytes, nil for an empty Secret.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	b := s.reveal()
	c := make([]byte, len(b))
	copy(c, b)
	return c
}

// IsZero reports whether s is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Len is the number of bytes of s.
func (s Secret) Len() int {
	if s.reveal == nil {
		return 0
	}
	return len(s.reveal())
}

// Equal compares in constant time for equal lengths.
func (s Secret) Equal(o Secret) bool {
	if s.reveal == nil || o.reveal == nil {
		return s.reveal == nil && o.reveal == nil
	}
	return subtle.ConstantTimeCompare(s.reveal(), o.reveal()) == 1
}

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretText) }

// String implements fmt.Stringer.
func (s Secret) String() string { return secretText }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return secretText }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(secretText) }

// MarshalText refuses, and with it encoding/json, YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return nil, ErrSecretEncoding }

// MarshalBinary refuses, and with it encoding/gob.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, ErrSecretEncoding }
