// Package seal keeps the secrets at rest: a tink AES-256-GCM keyset seals each
// secret for the identity of its record and field, so that a ciphertext moved to
// another place does not open; the keyset lies in the store, wrapped by a
// key-encryption key that lies outside of it.
//
// It does not decide who may open what, does not hide that a secret exists or
// how long it is, and cannot tell a removed secret from one that never was.
package seal

import (
	"context"
	"errors"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// Errors of sealing. None carries a secret.
var (
	// ErrSealed is returned when a sealed value does not open: it was moved from
	// another record or field, altered, or sealed with another keyset.
	ErrSealed = errors.New("a sealed value does not open")
	// ErrWrongKEK is returned when the keyset was wrapped by another
	// key-encryption key.
	ErrWrongKEK = errors.New("this is not the key-encryption key of the store")
	// ErrKEKFile is returned for a key-encryption key file that must not be used.
	ErrKEKFile = errors.New("the key-encryption key file cannot be used")
	// ErrExists is returned by Init on a store that has a keyset.
	ErrExists = errors.New("the store has a keyset already")
	// ErrNoKeyset is returned by Load on a store without a keyset.
	ErrNoKeyset = errors.New("the store has no keyset: was it initialised?")
	// ErrChanged is returned when another process changed the keyset meanwhile.
	ErrChanged = errors.New("the keyset was changed by somebody else: load it again")
)

// KEK is a key-encryption key: a file's, a systemd credential's, or a KMS's
// (tink's KMS clients give AEADs).
type KEK interface {
	// ID names the key in messages and beside what it wrapped. It tells nothing
	// of the key and differs for different keys.
	ID() string
	// Encrypt and Decrypt are tink.AEAD.
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// Keyset seals and opens. It is safe for concurrent use.
type Keyset struct{}

// FileKEK reads the key at path: 32 random bytes as one line of base64.
func FileKEK(path string) (KEK, error) { panic("not yet") }

// CreateFileKEK makes the file at path, mode 0600, or takes the one that is there.
func CreateFileKEK(path string) (KEK, error) { panic("not yet") }

// NewKEK makes a KEK from a key of 32 bytes, for keys that come from elsewhere.
func NewKEK(key amt.Secret) (KEK, error) { panic("not yet") }

// Create draws a keyset and returns it with its wrapped form.
func Create(kek KEK) (*Keyset, []byte, error) { panic("not yet") }

// Open unwraps what Create, Rotate or Rewrap returned.
func Open(kek KEK, wrapped []byte) (*Keyset, error) { panic("not yet") }

// Init draws a keyset and keeps it in the store, which must have none.
func Init(ctx context.Context, store kv.Store, kek KEK) (*Keyset, error) { panic("not yet") }

// Load reads the keyset of the store.
func Load(ctx context.Context, store kv.Store, kek KEK) (*Keyset, error) { panic("not yet") }

// Seal encrypts s for the identity id of its record and field, such as
// "keys/0000037M/pps". An empty secret is nil.
func (k *Keyset) Seal(s amt.Secret, id string) ([]byte, error) { panic("not yet") }

// Open decrypts what Seal returned for the same id; nil is the empty secret. The
// error is ErrSealed.
func (k *Keyset) Open(sealed []byte, id string) (amt.Secret, error) { panic("not yet") }

// Reseal returns sealed under the newest key, and whether that is a change.
func (k *Keyset) Reseal(sealed []byte, id string) ([]byte, bool, error) { panic("not yet") }

// Rotate adds a key, keeps the keyset in the store and seals with the new key
// from then on. What older keys sealed still opens.
func (k *Keyset) Rotate(ctx context.Context, store kv.Store, kek KEK) error { panic("not yet") }

// Rewrap keeps the keyset in the store under another key-encryption key.
func (k *Keyset) Rewrap(ctx context.Context, store kv.Store, old, next KEK) error { panic("not yet") }
