package ca

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Lifetimes.
const (
	RootLifetime         = 20 * year
	IntermediateLifetime = 10 * year
	// DeviceLifetime is that of a device's certificate unless asked otherwise.
	DeviceLifetime = 2 * year
	// UserLifetime is that of the other certificates unless asked otherwise.
	UserLifetime = year
	MinLifetime  = time.Hour
	MaxLifetime  = IntermediateLifetime

	year = 365 * 24 * time.Hour
)

// Backdate is how long before its issue a certificate becomes valid: device
// clocks are set by us a moment earlier and may lag.
const Backdate = 10 * time.Minute

// authorityBackdate is that of the authorities themselves.
const authorityBackdate = 24 * time.Hour

// Sealer seals the authorities' private keys; *seal.Keyset is the one in use.
type Sealer interface {
	// Seal encrypts s, bound to id.
	Seal(s amt.Secret, id string) ([]byte, error)
	// Open decrypts what Seal made with the same id and fails on any other.
	Open(sealed []byte, id string) (amt.Secret, error)
}

// Options are the clock, the randomness and, for Init, the names. The zero
// value is good.
type Options struct {
	// Now is the clock of every time this package sets; nil is time.Now.
	Now func() time.Time
	// Rand is where serials are drawn from, by several goroutines at once; nil is
	// crypto/rand.
	Rand io.Reader
	// NewKey makes the authorities' RSA keys; nil is rsa.GenerateKey. Tests
	// share keys by it, because making one takes tens of milliseconds.
	NewKey func(bits int) (*rsa.PrivateKey, error)

	// Name stands at the head of the authorities' common names; "" is amtscs.
	// Only Init reads it, and what follows.
	Name string
	// Organization is the authorities' O, if any.
	Organization string
	// DeviceDomains confine the device intermediate by a name constraint to
	// these domains and what lies below them; none means no constraint.
	DeviceDomains []string
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.NewKey == nil {
		o.NewKey = func(bits int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	if o.Name == "" {
		o.Name = "amtscs"
	}
	return o
}

// Authority issues, lists and revokes. It is safe for concurrent use.
type Authority struct {
	store   kv.Store
	now     func() time.Time
	rand    io.Reader
	root    *x509.Certificate
	devices *signer
	api     *signer
	// carrier is a request whose only use is its valid signature: see sign.
	carrier *x509.CertificateRequest
}

// Init makes the root and the intermediates and stores them with their sealed
// keys in one transaction. A store that has them answers ErrExists and is left
// as it is.
func Init(ctx context.Context, store kv.Store, sealer Sealer, opts Options) (*Authority, error) {
	opts = opts.withDefaults()
	if err := store.View(ctx, absent); err != nil {
		return nil, err
	}
	made, err := makeHierarchy(opts, sealer)
	if err != nil {
		return nil, fmt.Errorf("making the certificate authority: %w", err)
	}
	err = store.Update(ctx, func(tx kv.Tx) error {
		if err := absent(tx); err != nil {
			return err
		}
		for _, m := range made {
			if err := authorities.Put(tx, issuerKey(Issuer(m.Issuer)), m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return Open(ctx, store, sealer, opts)
}

func absent(r kv.Reader) error {
	_, err := r.Get(tableAuthorities, issuerKey(Root))
	switch {
	case err == nil:
		return ErrExists
	case errors.Is(err, kv.ErrNotFound):
		return nil
	}
	return err
}

// Open loads the authorities of a store and checks that certificates and keys
// belong together. The root's key stays sealed.
func Open(ctx context.Context, store kv.Store, sealer Sealer, opts Options) (*Authority, error) {
	opts = opts.withDefaults()
	stored := map[Issuer]*scsstorev1.CaAuthority{}
	err := store.View(ctx, func(r kv.Reader) error {
		for _, i := range []Issuer{Root, Devices, API} {
			m, err := authorities.Get(r, issuerKey(i))
			if errors.Is(err, kv.ErrNotFound) {
				return fmt.Errorf("%v: %w", i, ErrMissing)
			}
			if err != nil {
				return err
			}
			stored[i] = m
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := &Authority{store: store, now: opts.Now, rand: opts.Rand}
	if err := a.load(stored, sealer); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Authority) load(stored map[Issuer]*scsstorev1.CaAuthority, sealer Sealer) error {
	var err error
	if a.root, err = x509.ParseCertificate(stored[Root].Certificate); err != nil {
		return fmt.Errorf("root: %w: %w", ErrDamaged, err)
	}
	if a.carrier, err = newCarrier(); err != nil {
		return err
	}
	if a.devices, err = newSigner(stored[Devices], a.root, sealer, a.store); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	if a.api, err = newSigner(stored[API], a.root, sealer, a.store); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	return nil
}

// Root is the self-signed root.
func (a *Authority) Root() *x509.Certificate { return a.root }

// DeviceIntermediate signs the devices' certificates.
func (a *Authority) DeviceIntermediate() *x509.Certificate { return a.devices.cert }

// APIIntermediate signs users, the API's server and the console certificate. A
// user's context file holds it as the only certificate to trust.
func (a *Authority) APIIntermediate() *x509.Certificate { return a.api.cert }

// Bundle is what verifies a device: the root and the device intermediate, which
// firmware below 11.8 cannot store and present.
func (a *Authority) Bundle() []*x509.Certificate {
	return []*x509.Certificate{a.root, a.devices.cert}
}

// APIPool is what both ends of the API trust: the API intermediate alone.
func (a *Authority) APIPool() *x509.CertPool { return pool(a.api.cert) }

// ClientPool is APIPool under the name a listener looks for (tls.Config.ClientCAs).
func (a *Authority) ClientPool() *x509.CertPool { return a.APIPool() }

// DevicePool is what this server trusts when it talks to a device: the device
// intermediate alone, so that no certificate of the API can pose as a device.
func (a *Authority) DevicePool() *x509.CertPool { return pool(a.devices.cert) }

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// signerOf is the intermediate behind i; the root signs nothing after Init.
func (a *Authority) signerOf(i Issuer) (*signer, error) {
	switch i {
	case Devices:
		return a.devices, nil
	case API:
		return a.api, nil
	}
	return nil, fmt.Errorf("%v signs nothing: %w", i, ErrUnknown)
}

// seconds is the clock in the precision of X.509.
func (a *Authority) seconds() time.Time { return a.now().UTC().Truncate(time.Second) }
