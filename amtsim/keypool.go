package amtsim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
)

// KeyBits is the size of the keys that devices make.
const KeyBits = 2048

// pemType is the block type of a key file, PKCS#1.
const pemType = "RSA PRIVATE KEY"

// ErrKeyFile is returned for a key file that does not hold what WriteKeys writes.
var ErrKeyFile = errors.New("not a file of device keys")

// KeyPool gives devices their RSA keys: pre-made ones first, then new ones, as
// many at a time as there are processors. It is safe for concurrent use. Each key
// is given once.
type KeyPool struct {
	rand io.Reader
	busy chan struct{} // one place for each key being made

	mu   sync.Mutex // guards made
	made [][]byte   // PKCS#1
}

// NewKeyPool makes a pool that draws from random, or from crypto/rand if it is
// nil.
func NewKeyPool(random io.Reader) *KeyPool {
	if random == nil {
		random = rand.Reader
	}
	return &KeyPool{rand: random, busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))}
}

// Load adds the keys of a file that WriteKeys wrote.
func (p *KeyPool) Load(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading device keys: %w", err)
	}
	var keys [][]byte
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		if block.Type != pemType {
			return fmt.Errorf("%s: key %d: %w: a block %q", path, len(keys)+1, ErrKeyFile, block.Type)
		}
		keys = append(keys, block.Bytes)
		b = rest
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s: %w", path, ErrKeyFile)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = append(p.made, keys...)
	return nil
}

// Len is the number of keys that are ready.
func (p *KeyPool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.made)
}

// Take gives a key, making one if none is ready.
func (p *KeyPool) Take(ctx context.Context) (*rsa.PrivateKey, error) {
	p.mu.Lock()
	var der []byte
	if n := len(p.made); n > 0 {
		der, p.made = p.made[0], p.made[1:]
	}
	p.mu.Unlock()
	if der != nil {
		key, err := x509.ParsePKCS1PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("device key: %w", err)
		}
		return key, nil
	}
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	key, err := rsa.GenerateKey(p.rand, KeyBits)
	if err != nil {
		return nil, fmt.Errorf("making a device key: %w", err)
	}
	return key, nil
}

// WriteKeys makes n keys and writes them to w for Load, one PEM block each. The
// file holds private keys in clear.
func WriteKeys(ctx context.Context, w io.Writer, random io.Reader, n int) error {
	p := NewKeyPool(random)
	type made struct {
		key *rsa.PrivateKey
		err error
	}
	out := make(chan made, n)
	for range n {
		go func() {
			key, err := p.Take(ctx)
			out <- made{key, err}
		}()
	}
	var first error
	for range n {
		m := <-out
		if m.err == nil && first == nil {
			m.err = pem.Encode(w, &pem.Block{Type: pemType, Bytes: x509.MarshalPKCS1PrivateKey(m.key)})
		}
		if first == nil {
			first = m.err
		}
	}
	return first
}
