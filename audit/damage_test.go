package audit

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// errUndo takes a damage back.
var errUndo = errors.New("undo")

type pair struct {
	table      kv.Table
	key, value []byte
}

// pairs reads everything that the log keeps.
func pairs(t testing.TB, store kv.Store) []pair {
	t.Helper()
	return view(t, store, func(r kv.Reader) (list []pair, err error) {
		for _, table := range []kv.Table{tableEntries, indexWho, indexObject, tableHead} {
			err := r.Scan(table, kv.Range{}, func(k, v []byte) error {
				list = append(list, pair{table, k, v})
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		return list, nil
	})
}

// TestAnyDamage flips a bit, cuts, removes or exchanges whatever is stored: the
// log never passes as whole and as saying something else.
func TestAnyDamage(t *testing.T) {
	t.Parallel()
	l, store := New(sealtest.New(t)), bolttest.New(t)
	fill(t, l, store, 12)
	all := pairs(t, store)
	before := pages(t, l, store, Filter{}, false)
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(all).Draw(rt, "pair")
		other := rapid.SampledFrom(all).Draw(rt, "other")
		value := bytes.Clone(p.value)
		at := rapid.IntRange(0, len(value)-1).Draw(rt, "at")
		kind := rapid.SampledFrom([]string{"flip", "cut", "remove", "exchange"}).Draw(rt, "kind")
		switch kind {
		case "flip":
			value[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "cut":
			value = value[:at]
		case "exchange":
			value = other.value
		}
		err := store.Update(context.Background(), func(tx kv.Tx) error {
			if kind == "remove" {
				if err := tx.Delete(p.table, p.key); err != nil {
					return err
				}
			} else if err := tx.Put(p.table, p.key, value); err != nil {
				return err
			}
			if err := l.CheckInvariants(tx); err != nil {
				return err
			}
			// It passed: then it says what it said.
			list, _, err := l.List(tx, Filter{}, Page{Limit: MaxPage})
			if err != nil || len(list) != len(before) {
				rt.Errorf("%s of %s %x passed, and the log has %d entries, %v", kind, p.table, p.key, len(list), err)
				return errUndo
			}
			for i := range list {
				if list[i] != before[i] {
					rt.Errorf("%s of %s %x passed, and entry %d is %+v", kind, p.table, p.key, i+1, list[i])
				}
			}
			return errUndo
		})
		if err == nil {
			rt.Fatal("the damage was committed")
		}
	})
	if got := pages(t, l, store, Filter{}, false); len(got) != len(before) {
		t.Errorf("the damage was not undone: %d entries", len(got))
	}
}
