package kvtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/kv"
)

// model is what a table should hold.
type model map[string]string

// scan is kv.Reader.Scan over the model.
func (m model) scan(rg kv.Range) []string {
	var got []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if (rg.From == nil || k >= string(rg.From)) && (rg.To == nil || k < string(rg.To)) {
			got = append(got, k+"="+m[k])
		}
	}
	if rg.Reverse {
		slices.Reverse(got)
	}
	if rg.Limit > 0 && len(got) > rg.Limit {
		got = got[:rg.Limit]
	}
	return got
}

// op is one step of a random transaction.
type op struct {
	Kind  string // put, fill, delete, wipe, get, scan
	Key   string
	Value string
	Range kv.Range
}

// Keys are few; a fill takes many pages of a B-tree and a wipe empties some.
var (
	modelKey   = rapid.StringMatching(`[a-d\x00\xff][a-d]{0,2}`)
	modelValue = rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.StringMatching(`[x-z]`).Draw(t, "letter"), rapid.SampledFrom([]int{0, 1, 30, 1500, 3000}).Draw(t, "size"))
	})
	modelRange = rapid.Custom(func(t *rapid.T) kv.Range {
		var rg kv.Range
		if rapid.Bool().Draw(t, "from?") {
			rg.From = []byte(modelKey.Draw(t, "from"))
		}
		if rapid.Bool().Draw(t, "to?") {
			rg.To = []byte(modelKey.Draw(t, "to"))
		}
		rg.Reverse = rapid.Bool().Draw(t, "reverse")
		rg.Limit = rapid.IntRange(0, 4).Draw(t, "limit")
		return rg
	})
	modelOp = rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind: rapid.SampledFrom([]string{"put", "put", "fill", "delete", "wipe", "get", "scan", "scan"}).Draw(t, "kind"),
			Key:  modelKey.Draw(t, "key"), Value: modelValue.Draw(t, "value"), Range: modelRange.Draw(t, "range"),
		}
	})
)

var errModel = errors.New("the store and the model differ")

// do applies the step to the transaction and to the model, and compares.
func (o op) do(tx kv.Tx, table kv.Table, m model) error {
	switch o.Kind {
	case "put":
		m[o.Key] = o.Value
		return tx.Put(table, []byte(o.Key), []byte(o.Value))
	case "fill":
		for i := range 40 {
			k := fmt.Sprintf("%s%02d", o.Key[:1], i)
			m[k] = strings.Repeat("f", 1500)
			if err := tx.Put(table, []byte(k), []byte(m[k])); err != nil {
				return err
			}
		}
		return nil
	case "delete":
		delete(m, o.Key)
		return tx.Delete(table, []byte(o.Key))
	case "wipe":
		o.Range.Limit = 0
		for _, pair := range m.scan(o.Range) {
			k, _, _ := strings.Cut(pair, "=")
			delete(m, k)
			if err := tx.Delete(table, []byte(k)); err != nil {
				return err
			}
		}
		return nil
	case "get":
		got, err := tx.Get(table, []byte(o.Key))
		want, there := m[o.Key]
		if errors.Is(err, kv.ErrNotFound) != !there || there && string(got) != want {
			return fmt.Errorf("%w: key %q is %.20q, %w, want %.20q, %v", errModel, o.Key, got, err, want, there)
		}
		return nil
	}
	return compare(tx, table, m, o.Range)
}

func compare(r kv.Reader, table kv.Table, m model, rg kv.Range) error {
	var got []string
	err := r.Scan(table, rg, func(k, v []byte) error {
		got = append(got, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		return err
	}
	if want := m.scan(rg); !slices.Equal(got, want) {
		return fmt.Errorf("%w: range %+v has %.300q, want %.300q", errModel, rg, got, want)
	}
	return nil
}

var errUndo = errors.New("this transaction fails on purpose")

// testModel runs random transactions, some of which fail, beside a map.
func testModel(t *testing.T, s kv.Store) {
	var round atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		table := kv.Table(fmt.Sprintf("model%d", round.Add(1)))
		m := model{}
		for range rapid.IntRange(1, 4).Draw(rt, "transactions") {
			ops := rapid.SliceOfN(modelOp, 1, 60).Draw(rt, "ops")
			fail := rapid.IntRange(0, 3).Draw(rt, "fail") == 0
			var next model
			err := s.Update(t.Context(), func(tx kv.Tx) error {
				next = maps.Clone(m)
				for _, o := range ops {
					if err := o.do(tx, table, next); err != nil {
						return err
					}
				}
				if fail {
					return errUndo
				}
				return nil
			})
			switch {
			case err == nil && !fail:
				m = next
			case !errors.Is(err, errUndo):
				rt.Fatal(err)
			}
			all := kv.Range{Reverse: rapid.Bool().Draw(rt, "reverse")}
			if err := s.View(t.Context(), func(r kv.Reader) error { return compare(r, table, m, all) }); err != nil {
				rt.Fatal(err)
			}
		}
	})
}
