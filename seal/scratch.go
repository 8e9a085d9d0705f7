package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrScratch is returned for a block of a temporary file that is not as it was
// written.
var ErrScratch = errors.New("a block of a temporary file is damaged")

// Scratch seals the blocks of a temporary file by AES-256-GCM under a key that
// exists in this process only: what is left of the file after the process can
// be opened by nobody. A block is the ciphertext and a tag of 16 bytes; its
// nonce is its number, so that blocks cannot be exchanged. It is not safe for
// concurrent use.
type Scratch struct {
	// The AEAD lies behind a closure because it holds the key in a field that
	// fmt would print.
	aead func() cipher.AEAD
	next uint64 // number of the next block
}

// NewScratch draws a key.
func NewScratch() (*Scratch, error) {
	key := make([]byte, KEKLen)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	clear(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Scratch{aead: func() cipher.AEAD { return gcm }}, nil
}

// Seal appends the sealed form of plain to dst, and returns the number of the
// block, from 0, each used once.
func (s *Scratch) Seal(dst, plain []byte) (sealed []byte, number uint64) {
	number = s.next
	s.next++
	return s.aead().Seal(dst, nonce(number), plain, nil), number
}

// Open appends the block of that number to dst. The error is ErrScratch.
func (s *Scratch) Open(dst, sealed []byte, number uint64) ([]byte, error) {
	plain, err := s.aead().Open(dst, nonce(number), sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", number, ErrScratch)
	}
	return plain, nil
}

func nonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number)
}
