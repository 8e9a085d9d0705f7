package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
)

const (
	byTag  kv.Table = "notes_by_tag"
	bySize kv.Table = "notes_by_size"
)

// notes are lists of tags: by each tag, and by their number.
var notes = kv.Collection[*structpb.ListValue]{
	Table: "notes",
	Indexes: []kv.Index[*structpb.ListValue]{
		{Table: byTag, Keys: func(m *structpb.ListValue) [][]byte {
			var keys [][]byte
			for _, v := range m.GetValues() {
				keys = append(keys, []byte(v.GetStringValue()))
			}
			return keys
		}},
		{Table: bySize, Keys: func(m *structpb.ListValue) [][]byte { return [][]byte{{0, byte(len(m.GetValues()))}} }},
	},
}

func note(tags ...string) *structpb.ListValue {
	m := &structpb.ListValue{}
	for _, tag := range tags {
		m.Values = append(m.Values, structpb.NewStringValue(tag))
	}
	return m
}

func tags(m *structpb.ListValue) []string {
	var out []string
	for _, v := range m.GetValues() {
		out = append(out, v.GetStringValue())
	}
	return out
}

func update(t testing.TB, s kv.Store, fn func(tx kv.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s kv.Store, fn func(r kv.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// tagged lists the primary keys that the tag index gives.
func tagged(r kv.Reader, tag string) ([]string, error) {
	var got []string
	err := notes.ScanIndex(r, byTag, kv.IndexKey([]byte(tag)), func(_, key []byte, m *structpb.ListValue) error {
		if !slices.Contains(tags(m), tag) {
			return fmt.Errorf("%q has no tag %q", key, tag)
		}
		got = append(got, string(key))
		return nil
	})
	return got, err
}

func TestCollection(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	update(t, s, func(tx kv.Tx) error {
		for key, m := range map[string]*structpb.ListValue{
			"1": note("red", "green"), "2": note("red"), "3": note(), "4": note("redder", "red", "red"),
		} {
			if err := notes.Put(tx, []byte(key), m); err != nil {
				return err
			}
		}
		return nil
	})
	want := func(tag string, keys ...string) {
		t.Helper()
		view(t, s, func(r kv.Reader) error {
			got, err := tagged(r, tag)
			if !slices.Equal(got, keys) {
				t.Errorf("tag %q: got %q, want %q", tag, got, keys)
			}
			return err
		})
	}
	want("red", "1", "2", "4")
	want("redder", "4")
	want("re")
	update(t, s, func(tx kv.Tx) error {
		return errors.Join(notes.Put(tx, []byte("1"), note("green", "blue")), notes.Delete(tx, []byte("4")), notes.Delete(tx, []byte("5")))
	})
	want("red", "2")
	want("green", "1")
	want("blue", "1")
	want("redder")
	view(t, s, func(r kv.Reader) error {
		m, err := notes.Get(r, []byte("1"))
		if got := tags(m); !slices.Equal(got, []string{"green", "blue"}) {
			t.Errorf("got %q", got)
		}
		if _, err := notes.Get(r, []byte("4")); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("a deleted record: got error %v", err)
		}
		return err
	})
}

func TestCollectionCreate(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	update(t, s, func(tx kv.Tx) error { return notes.Create(tx, []byte("1"), note("red", "green")) })
	view(t, s, func(r kv.Reader) error {
		got, err := tagged(r, "green")
		if !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q", got)
		}
		return err
	})
}

// TestCollectionCreateAll: what it stores is what Create would.
func TestCollectionCreateAll(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	m := note("red", "green")
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(kv.Bulk(t.Context()), func(tx kv.Tx) error {
		return notes.CreateAll(tx, notes.Place(m), [][]byte{[]byte("1"), []byte("22")}, [][]byte{value, value})
	})
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx kv.Tx) error { return notes.CreateAll(tx, notes.Place(m), nil, nil) })
	update(t, s, func(tx kv.Tx) error { return notes.Delete(tx, []byte("22")) })
	update(t, s, func(tx kv.Tx) error { return notes.Create(tx, []byte("3"), m) })
	view(t, s, func(r kv.Reader) error {
		for _, tag := range []string{"red", "green"} {
			got, err := tagged(r, tag)
			if err != nil || !slices.Equal(got, []string{"1", "3"}) {
				t.Errorf("%s: got %q, %v", tag, got, err)
			}
		}
		got, err := notes.Get(r, []byte("1"))
		if err != nil || !proto.Equal(got, m) {
			t.Errorf("got %v, %v", got, err)
		}
		return nil
	})
}

// TestCollectionPages goes through an index page by page, as a List does.
func TestCollectionPages(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	update(t, s, func(tx kv.Tx) error {
		for i := range 10 {
			if err := notes.Put(tx, fmt.Appendf(nil, "%d", i), note("x")); err != nil {
				return err
			}
		}
		return nil
	})
	var got []string
	rg := kv.IndexKey([]byte("x"))
	rg.Limit = 3
	for pages := 0; pages < 5; pages++ {
		view(t, s, func(r kv.Reader) error {
			return notes.ScanIndex(r, byTag, rg, func(row, key []byte, _ *structpb.ListValue) error {
				got = append(got, string(key))
				rg.From = append(row, 0)
				return nil
			})
		})
	}
	if fmt.Sprint(got) != "[0 1 2 3 4 5 6 7 8 9]" {
		t.Errorf("got %v", got)
	}
}

// recorder counts what a Put writes.
type recorder struct {
	kv.Tx
	puts, deletes []string
}

func (r *recorder) Put(t kv.Table, key, value []byte) error {
	r.puts = append(r.puts, string(t))
	return r.Tx.Put(t, key, value)
}

func (r *recorder) Delete(t kv.Table, key []byte) error {
	r.deletes = append(r.deletes, string(t))
	return r.Tx.Delete(t, key)
}

// TestCollectionWritesLittle: rows that stay are not written again.
func TestCollectionWritesLittle(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	for _, c := range []struct {
		m             *structpb.ListValue
		puts, deletes string
	}{
		{note("a", "b"), "[notes_by_tag notes_by_tag notes_by_size notes]", "[]"},
		{note("b", "a"), "[notes]", "[]"},
		{note("b", "c"), "[notes_by_tag notes]", "[notes_by_tag]"},
		{note("b"), "[notes_by_size notes]", "[notes_by_tag notes_by_size]"},
	} {
		update(t, s, func(tx kv.Tx) error {
			r := &recorder{Tx: tx}
			err := notes.Put(r, []byte("k"), c.m)
			if got := fmt.Sprint(r.puts); got != c.puts {
				t.Errorf("%v: put %s, want %s", tags(c.m), got, c.puts)
			}
			if got := fmt.Sprint(r.deletes); got != c.deletes {
				t.Errorf("%v: deleted %s, want %s", tags(c.m), got, c.deletes)
			}
			return err
		})
	}
}

// TestCollectionDamage breaks tables in each way that Check must see and, but
// for a damaged record, Rebuild must mend.
func TestCollectionDamage(t *testing.T) {
	t.Parallel()
	key := []byte("1")
	row := []byte("red\x001")
	for _, c := range []struct {
		name string
		harm func(tx kv.Tx) error
	}{
		{"missing row", func(tx kv.Tx) error { return tx.Delete(byTag, row) }},
		{"extra row", func(tx kv.Tx) error { return tx.Put(byTag, []byte("blue\x001"), key) }},
		{"row of nothing", func(tx kv.Tx) error { return tx.Put(byTag, []byte("red\x009"), []byte("9")) }},
		{"row that points elsewhere", func(tx kv.Tx) error { return tx.Put(byTag, row, []byte("2")) }},
		{"missing and extra", func(tx kv.Tx) error {
			return errors.Join(tx.Delete(byTag, row), tx.Put(byTag, []byte("a\x001"), key))
		}},
		{"record gone", func(tx kv.Tx) error { return tx.Delete("notes", key) }},
		{"all rows gone", func(tx kv.Tx) error {
			return errors.Join(tx.Delete(byTag, row), tx.Delete(byTag, []byte("red\x002")), tx.Delete(bySize, []byte{0, 1, 0, '1'}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := bolttest.New(t, notes.Check)
			update(t, s, func(tx kv.Tx) error {
				return errors.Join(notes.Put(tx, key, note("red")), notes.Put(tx, []byte("2"), note("red")))
			})
			update(t, s, c.harm)
			view(t, s, func(r kv.Reader) error {
				if err := notes.Check(r); !errors.Is(err, kv.ErrIndex) {
					t.Errorf("Check: got error %v", err)
				}
				return nil
			})
			update(t, s, notes.Rebuild)
		})
	}
}

func TestCollectionDanglingRow(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t)
	update(t, s, func(tx kv.Tx) error { return tx.Put(byTag, []byte("red\x009"), []byte("9")) })
	view(t, s, func(r kv.Reader) error {
		_, err := tagged(r, "red")
		if !errors.Is(err, kv.ErrIndex) || errors.Is(err, kv.ErrNotFound) {
			t.Errorf("got error %v, want ErrIndex and not ErrNotFound", err)
		}
		return nil
	})
}

func TestCollectionDamagedRecord(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t, notes.Check)
	key := []byte("1")
	update(t, s, func(tx kv.Tx) error {
		return errors.Join(notes.Put(tx, key, note("red")), tx.Put("notes", key, []byte("\xff\xff\xff")))
	})
	calls := map[string]func(tx kv.Tx) error{
		"Get":     func(tx kv.Tx) error { _, err := notes.Get(tx, key); return err },
		"Put":     func(tx kv.Tx) error { return notes.Put(tx, key, note("blue")) },
		"Delete":  func(tx kv.Tx) error { return notes.Delete(tx, key) },
		"Check":   func(tx kv.Tx) error { return notes.Check(tx) },
		"Rebuild": notes.Rebuild,
		"Scan": func(tx kv.Tx) error {
			return notes.Scan(tx, kv.Range{}, func([]byte, *structpb.ListValue) error { return nil })
		},
		"ScanIndex": func(tx kv.Tx) error { _, err := tagged(tx, "red"); return err },
	}
	for name, call := range calls {
		err := s.Update(t.Context(), call)
		if !errors.Is(err, kv.ErrDamaged) || !bytes.Contains([]byte(err.Error()), []byte("table notes, key 31")) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	// The way out.
	update(t, s, func(tx kv.Tx) error {
		if err := tx.Delete("notes", key); err != nil {
			return err
		}
		return notes.Rebuild(tx)
	})
}

// TestCollectionModel does random puts and deletes and compares table and
// indexes with a map.
func TestCollectionModel(t *testing.T) {
	t.Parallel()
	s := bolttest.New(t)
	tag := rapid.SampledFrom([]string{"", "a", "aa", "ab", "b", "\xc3\xbf"})
	rapid.Check(t, func(rt *rapid.T) {
		model := map[string][]string{}
		update(t, s, func(tx kv.Tx) error {
			for _, k := range []string{"1", "2", "3", "11"} {
				if err := notes.Delete(tx, []byte(k)); err != nil {
					return err
				}
			}
			return nil
		})
		for range rapid.IntRange(1, 6).Draw(rt, "transactions") {
			type op struct {
				key    string
				tags   []string
				remove bool
			}
			ops := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) op {
				return op{
					rapid.SampledFrom([]string{"1", "2", "3", "11"}).Draw(rt, "key"),
					rapid.SliceOfN(tag, 0, 3).Draw(rt, "tags"), rapid.IntRange(0, 3).Draw(rt, "remove") == 0,
				}
			}), 1, 5).Draw(rt, "ops")
			update(t, s, func(tx kv.Tx) error {
				for _, o := range ops {
					err := notes.Put(tx, []byte(o.key), note(o.tags...))
					if o.remove {
						err = notes.Delete(tx, []byte(o.key))
					}
					if err != nil {
						return err
					}
				}
				return notes.Check(tx)
			})
			for _, o := range ops {
				if model[o.key] = o.tags; o.remove {
					delete(model, o.key)
				}
			}
			view(t, s, func(r kv.Reader) error { return sameAs(r, model) })
		}
	})
}

// sameAs compares the tag index with a model of the table.
func sameAs(r kv.Reader, model map[string][]string) error {
	for _, tag := range []string{"", "a", "aa", "ab", "b", "\xc3\xbf", "none"} {
		var want []string
		for _, key := range slices.Sorted(maps.Keys(model)) {
			if slices.Contains(model[key], tag) {
				want = append(want, key)
			}
		}
		if got, err := tagged(r, tag); err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("tag %q: got %q, %w, want %q", tag, got, err, want)
		}
	}
	return notes.Check(r)
}

func TestPrefixEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"ab", "ac"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\xff", "none"}, {"\xff\xff", "none"}, {"", "none"}, {"\x00", "\x01"},
	} {
		p := []byte(c.prefix)
		got := "none"
		if end := kv.PrefixEnd(p); end != nil {
			got = string(end)
		}
		if got != c.want || string(p) != c.prefix {
			t.Errorf("PrefixEnd(%q): got %q, want %q; the prefix is now %q", c.prefix, got, c.want, p)
		}
	}
}
