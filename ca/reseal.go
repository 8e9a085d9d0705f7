package ca

import (
	"crypto/x509"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Resealer seals under its newest key; *seal.Keyset is the one in use.
type Resealer interface {
	// Reseal returns sealed, which belongs to id, under the newest key, and
	// whether that is a change.
	Reseal(sealed []byte, id string) ([]byte, bool, error)
}

// Reseal seals the authorities' keys anew after the keyset was rotated, and says
// how many it changed.
func Reseal(tx kv.Tx, keyset Resealer) (int, error) {
	root, err := authorities.Get(tx, issuerKey(Root))
	if err != nil {
		return 0, fmt.Errorf("%v: %w: %w", Root, ErrMissing, err)
	}
	if _, err := x509.ParseCertificate(root.Certificate); err != nil {
		return 0, fmt.Errorf("%v: %w: %w", Root, ErrDamaged, err)
	}
	var todo []*scsstorev1.CaAuthority
	err = authorities.Scan(tx, kv.Range{}, func(_ []byte, m *scsstorev1.CaAuthority) error {
		i := Issuer(m.Issuer)
		sealed, changed, err := keyset.Reseal(m.SealedKey, keyIdentity(i, root.Certificate, m.Certificate))
		if err != nil {
			return fmt.Errorf("sealing the key of %v anew: %w", i, err)
		}
		if changed {
			m.SealedKey = sealed
			todo = append(todo, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, m := range todo {
		if err := authorities.Put(tx, issuerKey(Issuer(m.Issuer)), m); err != nil {
			return 0, err
		}
	}
	return len(todo), nil
}
