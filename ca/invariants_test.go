package ca

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// TestCheckInvariants damages a store in one way each.
func TestCheckInvariants(t *testing.T) {
	t.Parallel()
	change := func(fn func(m *record)) func(kv.Tx, []byte) error {
		return func(tx kv.Tx, serial []byte) error {
			m, err := records.Get(tx, serial)
			if err != nil {
				return err
			}
			m = proto.Clone(m).(*record)
			fn(m)
			return records.Put(tx, serial, m)
		}
	}
	changeList := func(fn func(l *scsstorev1.CaRevocationList)) func(kv.Tx, []byte) error {
		return func(tx kv.Tx, _ []byte) error {
			l, err := lists.Get(tx, issuerKey(Devices))
			if err != nil {
				return err
			}
			fn(l)
			return lists.Put(tx, issuerKey(Devices), l)
		}
	}
	for name, damage := range map[string]func(tx kv.Tx, serial []byte) error{
		"":                 func(kv.Tx, []byte) error { return nil },
		"a record is gone": func(tx kv.Tx, serial []byte) error { return records.Delete(tx, serial) },
		"index row gone":   func(tx kv.Tx, serial []byte) error { return tx.Delete(tableRecords, serial) },
		"count": func(tx kv.Tx, _ []byte) error {
			return counts.Put(tx, purposeKey(Device), &scsstorev1.CaCount{Issued: 7})
		},
		"serial":            change(func(m *record) { m.Serial = append([]byte{1}, m.Serial[1:]...) }),
		"signature":         change(func(m *record) { m.Certificate[len(m.Certificate)-1] ^= 1 }),
		"not a certificate": change(func(m *record) { m.Certificate = []byte("x") }),
		"public key":        change(func(m *record) { m.PublicKey = []byte("x") }),
		"name":              change(func(m *record) { m.CommonName = "evil" }),
		"issuer":            change(func(m *record) { m.Issuer = scsstorev1.CaIssuer_CA_ISSUER_API }),
		"unfinished":        change(func(m *record) { m.Certificate = nil }),
		"reason":            change(func(m *record) { m.Revocation.Reason = 5 }),
		"list bent":         changeList(func(l *scsstorev1.CaRevocationList) { l.Der[len(l.Der)-1] ^= 1 }),
		"list cut":          changeList(func(l *scsstorev1.CaRevocationList) { l.Der = l.Der[:9] }),
		"list number":       changeList(func(l *scsstorev1.CaRevocationList) { l.Number++ }),
		"list of to-morrow": changeList(func(l *scsstorev1.CaRevocationList) { l.BuiltRevision = 9 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureOn(t, bolttest.New(t), Options{})
			serial := serialOf(t, f.device(1, "pc.example.com", key(0)))
			f.revoke(serial, Superseded)
			f.crl(f.Authority, Devices)
			if err := f.update(func(tx kv.Tx) error { return damage(tx, serial[:]) }); err != nil {
				t.Fatal(err)
			}
			err := f.store.View(t.Context(), CheckInvariants)
			if name == "" && err != nil || name != "" && !errors.Is(err, ErrDamaged) && !errors.Is(err, kv.ErrIndex) {
				t.Errorf("got %v", err)
			}
		})
	}
}
