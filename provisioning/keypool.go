package provisioning

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// keyPool keeps RSA keys ready for firmware that makes none: making one takes
// tens of milliseconds of a processor. It begins with the first that is asked
// for, since most fleets need none.
type keyPool struct {
	ready  chan *rsa.PrivateKey
	from   func(ctx context.Context) (*rsa.PrivateKey, error)
	wanted chan struct{} // closed by the first get
	once   sync.Once
}

func (p *keyPool) init(n int, from func(ctx context.Context) (*rsa.PrivateKey, error)) {
	p.ready, p.from, p.wanted = make(chan *rsa.PrivateKey, n), from, make(chan struct{})
}

// fill keeps the pool full, once it was needed, until ctx is done.
func (p *keyPool) fill(ctx context.Context) {
	if p.from != nil {
		return
	}
	select {
	case <-p.wanted:
	case <-ctx.Done():
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
	p.once.Do(func() { close(p.wanted) })
	select {
	case key := <-p.ready:
		return key, nil
	default:
		return rsa.GenerateKey(rand.Reader, keyBits)
	}
}
