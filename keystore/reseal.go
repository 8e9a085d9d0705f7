package keystore

import (
	"context"
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Reseal brings the secrets of all pairs and batches under the newest key of the keyset,
// some hundred in each of its transactions, and returns how many pairs it
// changed. It may be called again after an error, and leaves no trace in the
// pairs' stories.
func (s *Store) Reseal(ctx context.Context, db kv.Store) (int, error) {
	if err := s.resealBatches(ctx, db); err != nil {
		return 0, fmt.Errorf("sealing batches anew: %w", err)
	}
	total := 0
	var after []byte // the PIDs up to here are done
	for more := true; more; {
		n, last := 0, after
		err := db.Update(ctx, func(tx kv.Tx) error {
			n = 0
			recs, err := s.source(tx, Filter{})(after, pieceLen)
			if err != nil {
				return err
			}
			for _, k := range recs {
				changed, err := s.resealKey(k)
				if err != nil {
					return err
				}
				if changed {
					n++
					if err := keysTable.Put(tx, k.GetPid(), k); err != nil {
						return err
					}
				}
				last = k.GetPid()
			}
			more = len(recs) == pieceLen
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("sealing pairs anew: %w", err)
		}
		total += n
		after = last
	}
	return total, nil
}

func (s *Store) resealKey(k *scsstorev1.Key) (changed bool, err error) {
	for _, f := range []struct {
		field  string
		sealed *[]byte
	}{{ppsField, &k.Pps}, {currentField, &k.CurrentPassword}, {newField, &k.NewPassword}, {previousField, &k.PreviousPassword}} {
		again, one, err := s.sealer.Reseal(*f.sealed, identity(pidOf(k), f.field))
		if err != nil {
			return false, err
		}
		*f.sealed, changed = again, changed || one
	}
	return changed, nil
}
