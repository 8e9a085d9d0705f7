package provisioning

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
)

// keyPool keeps RSA keys ready for firmware that makes none: making one takes
// tens of milliseconds of a processor.
type keyPool struct {
	ready chan *rsa.PrivateKey
	from  func(ctx context.Context) (*rsa.PrivateKey, error)
}

func (p *keyPool) init(n int, from func(ctx context.Context) (*rsa.PrivateKey, error)) {
	p.ready, p.from = make(chan *rsa.PrivateKey, n), from
}

// fill keeps the pool full until ctx is done.
func (p *keyPool) fill(ctx context.Context) {
	if p.from != nil {
		return
	}
	for ctx.Err() == nil {
		key, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return // get makes its own then, and tells of the error
		}
		select {
		case p.ready <- key:
		case <-ctx.Done():
		}
	}
}

// get returns a key that nobody else gets.
func (p *keyPool) get(ctx context.Context) (*rsa.PrivateKey, error) {
	if p.from != nil {
		return p.from(ctx)
	}
	select {
	case key := <-p.ready:
		return key, nil
	default:
		return rsa.GenerateKey(rand.Reader, keyBits)
	}
}
