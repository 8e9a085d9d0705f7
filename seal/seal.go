// Package seal keeps the secrets at rest: a tink AES-256-GCM keyset seals each
// secret for the identity of its record and field, so that a ciphertext moved to
// another place does not open; the keyset lies in the store, wrapped by a
// key-encryption key (KEK) that lies outside of it.
//
// A sealed value is tink's ciphertext: 0x01, the key's id in 4 bytes big-endian,
// a nonce of 12 bytes, the ciphertext, a tag of 16 bytes. The associated data is
// the identity, in UTF-8.
//
// It does not decide who may open what, does not hide that a secret exists or
// how long it is, and cannot tell a removed secret from one that never was, nor
// an older sealed value of the same record and field from the present one.
package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/amtscs/amtscs/amt"
)

// Errors of sealing. None carries a secret.
var (
	// ErrSealed is returned when a sealed value does not open: it was moved from
	// another record or field, altered, or sealed with another keyset.
	ErrSealed = errors.New("a sealed value does not open")
	// ErrWrongKEK is returned when the keyset was wrapped by another
	// key-encryption key.
	ErrWrongKEK = errors.New("this is not the key-encryption key of the store")
	// ErrWrapped is returned when the wrapped keyset itself is damaged.
	ErrWrapped = errors.New("the wrapped keyset is damaged")
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
// (the AEADs of tink's KMS clients, with an ID).
type KEK interface {
	// ID names the key in messages and beside what it wrapped. It tells nothing
	// of the key and differs for different keys.
	ID() string
	// Encrypt and Decrypt are those of tink.AEAD.
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// Keyset seals and opens. It is safe for concurrent use.
type Keyset struct {
	now atomic.Pointer[keys]
}

// keys is one version of a keyset. It does not change.
type keys struct {
	handle     *keyset.Handle
	aead       tink.AEAD
	primary    uint32 // id of the key that seals
	generation uint64 // of the wrapped keyset in the store
}

func newKeys(h *keyset.Handle, generation uint64) (*keys, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, err
	}
	p, err := h.Primary()
	if err != nil {
		return nil, err
	}
	return &keys{handle: h, aead: a, primary: p.KeyID(), generation: generation}, nil
}

// String says how many keys the keyset has.
func (k *Keyset) String() string { return fmt.Sprintf("keyset of %d keys", k.now.Load().handle.Len()) }

// Seal encrypts s for the identity id of its record and field, such as
// "keys/0000037M/pps". An empty secret is nil.
func (k *Keyset) Seal(s amt.Secret, id string) ([]byte, error) {
	return k.SealBytes(s.Reveal(), id)
}

// SealBytes is Seal for a secret that lies in memory in clear already.
func (k *Keyset) SealBytes(secret []byte, id string) ([]byte, error) {
	if len(secret) == 0 {
		return nil, nil
	}
	sealed, err := k.now.Load().aead.Encrypt(secret, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", id, err)
	}
	return sealed, nil
}

// Open decrypts what Seal returned for the same id; nil is the empty secret. The
// error is ErrSealed and names id.
func (k *Keyset) Open(sealed []byte, id string) (amt.Secret, error) {
	if len(sealed) == 0 {
		return amt.Secret{}, nil
	}
	b, err := k.now.Load().aead.Decrypt(sealed, []byte(id))
	if err != nil {
		return amt.Secret{}, fmt.Errorf("%s: %w: %w", id, ErrSealed, err)
	}
	return amt.NewSecret(b), nil
}

// Reseal returns sealed under the newest key, and whether that is a change.
func (k *Keyset) Reseal(sealed []byte, id string) ([]byte, bool, error) {
	if len(sealed) == 0 || isUnder(sealed, k.now.Load().primary) {
		return sealed, false, nil
	}
	s, err := k.Open(sealed, id)
	if err != nil {
		return nil, false, err
	}
	again, err := k.Seal(s, id)
	return again, err == nil, err
}

// isUnder reads the head of a tink ciphertext.
func isUnder(sealed []byte, key uint32) bool {
	return len(sealed) >= 5 && sealed[0] == 1 && binary.BigEndian.Uint32(sealed[1:]) == key
}
