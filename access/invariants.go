package access

import (
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// CheckInvariants reports, as ErrDamaged, what cannot be: indexes that do not
// match, certificates of nobody or of a generation to come, impossible roles.
func CheckInvariants(r kv.Reader) error {
	if err := users.Check(r); err != nil {
		return err
	}
	if err := certificates.Check(r); err != nil {
		return err
	}
	err := users.Scan(r, kv.Range{}, func(key []byte, m *scsstorev1.AccessUser) error {
		if string(key) != m.Name || CheckName(m.Name) != nil || !Role(m.Role).Valid() || m.Generation == 0 {
			return fmt.Errorf("user %q: %w", key, ErrDamaged)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return certificates.Scan(r, kv.Range{}, func(key []byte, m *scsstorev1.AccessCertificate) error {
		u, err := getUser(r, m.User)
		if err != nil || string(key) != string(m.Serial) || m.Generation == 0 || m.Generation > u.Generation {
			return fmt.Errorf("certificate %x: %w", key, ErrDamaged)
		}
		return nil
	})
}
