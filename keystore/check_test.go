package keystore_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// TestInvariantsFound breaks the tables in each way that CheckInvariants must see.
func TestInvariantsFound(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(f fixture, tx kv.Tx, pid amt.PID) error{
		"count": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return tx.Put("key_counts", append([]byte("a"), byte(keystore.Available), 99), []byte{0, 0, 0, 0, 0, 0, 0, 1})
		},
		"count of a batch": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return tx.Put("key_counts", append([]byte("bB1\x00"), byte(keystore.Revoked), 0), []byte{0, 0, 0, 0, 0, 0, 0, 1})
		},
		"damaged count": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return tx.Put("key_counts", append([]byte("a"), byte(keystore.Available), 0), []byte{1})
		},
		"index": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return tx.Delete("keys_by_state", append([]byte{byte(keystore.Available), 0}, pid[:]...))
		},
		"batch gone": func(f fixture, tx kv.Tx, pid amt.PID) error { return tx.Delete("batches", []byte("B1")) },
		"moved record": func(f fixture, tx kv.Tx, pid amt.PID) error {
			v, err := tx.Get("keys", pid[:])
			return errors.Join(err, tx.Put("keys", []byte("0000037M"), v))
		},
		"secret that does not open": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.Pps[20] ^= 1 })
		},
		"previous password that does not open": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.PreviousPassword = k.GetPps() })
		},
		"another model than its batch": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.Model = scsstorev1.KeyModel_KEY_MODEL_OEM })
		},
		"export that has ended and has not": func(f fixture, tx kv.Tx, pid amt.PID) error {
			_, err := f.BeginExport(tx, "B1", false, by("anna", ""))
			return errors.Join(err, putEnd(tx, &scsstorev1.KeyExportEnd{Id: 1}))
		},
		"end of another export": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return putEnd(tx, &scsstorev1.KeyExportEnd{Id: 2})
		},
		"discarded export with marked pairs": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return putEnd(tx, &scsstorev1.KeyExportEnd{Id: 1, Pairs: 3, Marked: 1})
		},
		"no secret": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.Pps = nil })
		},
		"holder of an Available pair": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.Uuid = board1[:] })
		},
		"no holder of a Claimed pair": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.State = scsstorev1.KeyState_KEY_STATE_CLAIMED })
		},
		"odd holder": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.Uuid = []byte{1} })
		},
		"odd state": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.State = 9 })
		},
		"no story": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.History = nil })
		},
		"story that ends elsewhere": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.State = scsstorev1.KeyState_KEY_STATE_RETIRED })
		},
		"move that is not in the table": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) { k.History[0].Act = "steal" })
		},
		"story with a gap": func(f fixture, tx kv.Tx, pid amt.PID) error {
			return edit(tx, pid, func(k *scsstorev1.Key) {
				k.State = scsstorev1.KeyState_KEY_STATE_REVOKED
				k.History = append(k.History, &scsstorev1.KeyMove{Act: "revoke", From: scsstorev1.KeyState_KEY_STATE_RETIRED, To: k.State})
			})
		},
		"hidden pair that no import lists": func(f fixture, tx kv.Tx, pid amt.PID) error {
			job, err := proto.Marshal(&scsstorev1.KeyJob{Id: 77, Kind: scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT})
			err = errors.Join(err, tx.Put("key_jobs", []byte{0, 0, 0, 0, 0, 0, 0, 77}, job))
			return errors.Join(err, edit(tx, pid, func(k *scsstorev1.Key) { k.ImportId = 77 }))
		},
	} {
		f := fixture{keystore.New(sealtest.New(t)), bolttest.New(t)}
		f.batch(t, "B1", amt.USBKey)
		pid := f.add(t, "B1", 3)[1]
		f.view(t, f.CheckInvariants)
		f.update(t, func(tx kv.Tx) error { return harm(f, tx, pid) })
		f.view(t, func(r kv.Reader) error {
			err := f.CheckInvariants(r)
			want := keystore.ErrInvariant
			switch name {
			case "index", "moved record":
				want = kv.ErrIndex
			case "damaged count":
				want = kv.ErrDamaged
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: got error %v, want %v", name, err, want)
			}
			return nil
		})
	}
}

// putEnd stores e as the end of export 1.
func putEnd(tx kv.Tx, e *scsstorev1.KeyExportEnd) error {
	v, err := proto.Marshal(e)
	return errors.Join(err, tx.Put("key_export_ends", []byte{0, 0, 0, 0, 0, 0, 0, 1}, v))
}

// edit changes a record behind the package's back, but keeps the indexes that
// the change leaves right.
func edit(tx kv.Tx, pid amt.PID, fn func(k *scsstorev1.Key)) error {
	table := kv.Collection[*scsstorev1.Key]{Table: "keys"}
	k, err := table.Get(tx, pid[:])
	if err != nil {
		return err
	}
	before := k.GetState()
	fn(k)
	if k.GetState() != before {
		row := append([]byte{byte(before), 0}, pid[:]...)
		err = errors.Join(tx.Delete("keys_by_state", row))
		row[0] = byte(k.GetState())
		err = errors.Join(err, tx.Put("keys_by_state", row, pid[:]))
		batch := append([]byte("B1\x01?\x01\x00"), pid[:]...)
		batch[3] = byte(before)
		err = errors.Join(err, tx.Delete("keys_by_batch", batch))
		batch[3] = byte(k.GetState())
		err = errors.Join(err, tx.Put("keys_by_batch", batch, pid[:]))
	}
	if uuid := k.GetUuid(); len(uuid) > 0 {
		err = errors.Join(err, tx.Put("keys_by_uuid", append(append(bytes.Clone(uuid), 0), pid[:]...), pid[:]))
	}
	return errors.Join(err, table.Put(tx, pid[:], k))
}
