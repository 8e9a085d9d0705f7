package tlspsk

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Limits of what a Config may hold; RFC 4279 section 5.3 asks for identities of
// 128 and keys of 64 octets at least.
const (
	// MaxIdentity is the most bytes of an identity and of a hint.
	MaxIdentity = 1024
	// MaxKey is the most bytes of a key.
	MaxKey = 256
)

// Config is what one end needs. A client needs Identity and Key, a server
// GetKey; every other field has a useful zero value. A Config may be shared by
// many connections and must not change while they use it.
type Config struct {
	// MinVersion and MaxVersion bound what is negotiated: tls.VersionTLS10,
	// tls.VersionTLS11 or tls.VersionTLS12. Zero means the lowest, the highest.
	MinVersion, MaxVersion uint16
	// CipherSuites are the suites offered or accepted, the dearest first. Nil
	// means SuiteAES128 and SuiteAES256; the others are used only if named here.
	CipherSuites []uint16

	// Identity is what a client presents: 1 to MaxIdentity bytes.
	Identity []byte
	// Key is the pre-shared key of a client: 1 to MaxKey bytes.
	Key amt.Secret

	// GetKey gives a server the key of an identity. The identity is whatever the
	// peer sent, up to MaxIdentity bytes: GetKey is the only place where it is
	// checked. An error that wraps ErrUnknownIdentity, and an empty key, are told
	// to the peer as unknown_psk_identity; any other error as internal_error.
	// GetKey must not keep the slice.
	GetKey func(identity []byte) (amt.Secret, error)
	// IdentityHint is what a server sends in its ServerKeyExchange; empty means
	// that the message is left out.
	IdentityHint []byte

	// VerifyCertificate judges a server's chain, leaf first, when SuiteRSAAES128 is
	// used. A client that names that suite without it is refused.
	VerifyCertificate func(chain []*x509.Certificate) error
	// Certificate is a server's RSA certificate, whose key must be a
	// crypto.Decrypter, when SuiteRSAAES128 is named.
	Certificate *tls.Certificate

	// NoRecordSplitting turns 1/n-1 splitting off, for firmware that cannot read
	// it. TLS 1.0 with CBC is then open to BEAST; nothing else is affected.
	NoRecordSplitting bool

	// Rand gives randoms and IVs; nil means crypto/rand. It must be safe for
	// concurrent use if the Config is shared.
	Rand io.Reader
	// Now gives the first four bytes of the randoms (RFC 5246 section 7.4.1.2);
	// nil means time.Now. Deadlines are the operating system's and do not use it.
	Now func() time.Time
}

// ErrConfig is returned for a Config that cannot work; the error says why.
var ErrConfig = errors.New("configuration refused")

// defaultSuites are those of every supported peer.
var defaultSuites = []uint16{SuiteAES128, SuiteAES256}

func (c *Config) suites() []uint16 {
	if len(c.CipherSuites) == 0 {
		return defaultSuites
	}
	return c.CipherSuites
}

func (c *Config) minVersion() uint16 {
	if c.MinVersion == 0 {
		return tls.VersionTLS10
	}
	return c.MinVersion
}

func (c *Config) maxVersion() uint16 {
	if c.MaxVersion == 0 {
		return tls.VersionTLS12
	}
	return c.MaxVersion
}

func (c *Config) rand() io.Reader {
	if c.Rand == nil {
		return rand.Reader
	}
	return c.Rand
}

func (c *Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// check says what is wrong with c for the given end.
func (c *Config) check(isClient bool) error {
	if c == nil {
		return fmt.Errorf("%w: there is none", ErrConfig)
	}
	lo, hi := c.minVersion(), c.maxVersion()
	if lo < tls.VersionTLS10 || hi > tls.VersionTLS12 || lo > hi {
		return fmt.Errorf("%w: versions %#04x to %#04x: want TLS 1.0 to 1.2", ErrConfig, lo, hi)
	}
	for _, id := range c.suites() {
		if suiteByID(id) == nil {
			return fmt.Errorf("%w: no such cipher suite %#04x", ErrConfig, id)
		}
	}
	if isClient {
		return c.checkClient()
	}
	return c.checkServer()
}

func (c *Config) checkClient() error {
	switch {
	case len(c.Identity) == 0 || len(c.Identity) > MaxIdentity:
		return fmt.Errorf("%w: an identity of %d bytes: want 1 to %d", ErrConfig, len(c.Identity), MaxIdentity)
	case c.Key.Len() == 0 || c.Key.Len() > MaxKey:
		return fmt.Errorf("%w: a key of %d bytes: want 1 to %d", ErrConfig, c.Key.Len(), MaxKey)
	case slices.Contains(c.suites(), SuiteRSAAES128) && c.VerifyCertificate == nil:
		return fmt.Errorf("%w: %s without VerifyCertificate", ErrConfig, SuiteName(SuiteRSAAES128))
	}
	return nil
}

func (c *Config) checkServer() error {
	switch {
	case c.GetKey == nil:
		return fmt.Errorf("%w: a server without GetKey", ErrConfig)
	case len(c.IdentityHint) > MaxIdentity:
		return fmt.Errorf("%w: a hint of %d bytes: want at most %d", ErrConfig, len(c.IdentityHint), MaxIdentity)
	case slices.Contains(c.suites(), SuiteRSAAES128):
		_, err := c.decrypter()
		return err
	}
	return nil
}
