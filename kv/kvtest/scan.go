package kvtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/amtscs/amtscs/kv"
)

func testRanges(t *testing.T, s kv.Store) {
	put(t, s, "t", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5")
	b := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		rg   kv.Range
		want string
	}{
		{kv.Range{}, "abcde"},
		{kv.Range{From: b("b")}, "bcde"},
		{kv.Range{To: b("d")}, "abc"},
		{kv.Range{From: b("b"), To: b("d")}, "bc"},
		{kv.Range{From: b("bb"), To: b("dd")}, "cd"},
		{kv.Range{From: b("b"), To: b("b")}, ""},
		{kv.Range{From: b("d"), To: b("b")}, ""},
		{kv.Range{From: b("f")}, ""},
		{kv.Range{To: b("a")}, ""},
		{kv.Range{From: []byte{}}, "abcde"},
		{kv.Range{To: []byte{}}, ""},
		{kv.Range{Limit: 2}, "ab"},
		{kv.Range{Limit: 9}, "abcde"},
		{kv.Range{From: b("c"), Limit: 1}, "c"},
		{kv.Range{Reverse: true}, "edcba"},
		{kv.Range{Reverse: true, From: b("b")}, "edcb"},
		{kv.Range{Reverse: true, To: b("d")}, "cba"},
		{kv.Range{Reverse: true, To: b("dd")}, "dcba"},
		{kv.Range{Reverse: true, To: b("z")}, "edcba"},
		{kv.Range{Reverse: true, From: b("b"), To: b("d")}, "cb"},
		{kv.Range{Reverse: true, From: b("bb"), To: b("bc")}, ""},
		{kv.Range{Reverse: true, To: b("a")}, ""},
		{kv.Range{Reverse: true, From: b("f")}, ""},
		{kv.Range{Reverse: true, To: []byte{}}, ""},
		{kv.Range{Reverse: true, Limit: 2}, "ed"},
		{kv.Range{Reverse: true, To: b("d"), Limit: 1}, "c"},
	} {
		var want []string
		for _, r := range c.want {
			want = append(want, string(r))
		}
		wantKeys(t, s, "t", c.rg, want...)
		noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
			got, err := keys(tx, "t", c.rg)
			if !slices.Equal(got, want) {
				return fmt.Errorf("range %+v within a transaction: got %q, want %q", c.rg, got, want)
			}
			return err
		}))
	}
}

func testPrefixes(t *testing.T, s kv.Store) {
	put(t, s, "t", "a", "", "a\x00", "", "ab", "", "a\xff", "", "a\xff\xff", "", "b", "", "\xff", "", "\xff\xff", "", "\xff\xff\x00", "")
	wantKeys(t, s, "t", kv.Prefix([]byte("a")), "a", "a\x00", "ab", "a\xff", "a\xff\xff")
	wantKeys(t, s, "t", kv.Prefix([]byte("a\xff")), "a\xff", "a\xff\xff")
	wantKeys(t, s, "t", kv.Prefix([]byte("\xff")), "\xff", "\xff\xff", "\xff\xff\x00")
	wantKeys(t, s, "t", kv.Prefix([]byte("\xff\xff")), "\xff\xff", "\xff\xff\x00")
	wantKeys(t, s, "t", kv.Prefix([]byte("c")))
	all := kv.Prefix(nil)
	all.Reverse, all.Limit = true, 2
	wantKeys(t, s, "t", all, "\xff\xff\x00", "\xff\xff")
}

func testScanEnds(t *testing.T, s kv.Store) {
	put(t, s, "t", "a", "1", "b", "2", "c", "3")
	errOwn := errors.New("own error")
	for _, c := range []struct{ give, want error }{{kv.ErrStop, nil}, {fmt.Errorf("wrapped: %w", kv.ErrStop), nil}, {errOwn, errOwn}} {
		seen := 0
		err := s.View(t.Context(), func(r kv.Reader) error {
			seen = 0
			return r.Scan("t", kv.Range{}, func(_, _ []byte) error {
				if seen++; seen == 2 {
					return c.give
				}
				return nil
			})
		})
		if !errors.Is(err, c.want) || seen != 2 {
			t.Errorf("fn returned %v after 2 pairs: Scan returned %v after %d", c.give, err, seen)
		}
	}
	// Scans nest, and read other tables and write to them.
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		return tx.Scan("t", kv.Range{}, func(k, _ []byte) error {
			return tx.Scan("t", kv.Range{Reverse: true}, func(k2, _ []byte) error {
				return tx.Put("u", append(k, k2...), nil)
			})
		})
	}))
	wantKeys(t, s, "u", kv.Range{}, "aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc")
}

func testScanOwnWrites(t *testing.T, s kv.Store) {
	put(t, s, "t", "a", "old", "b", "old", "c", "old")
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		for _, k := range []string{"bb", "d", "0"} {
			if err := tx.Put("t", []byte(k), []byte("new")); err != nil {
				return err
			}
		}
		if err := tx.Delete("t", []byte("b")); err != nil {
			return err
		}
		for _, reverse := range []bool{false, true} {
			got, err := keys(tx, "t", kv.Range{Reverse: reverse})
			want := []string{"0", "a", "bb", "c", "d"}
			if reverse {
				slices.Reverse(want)
			}
			if err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("got %q, %w, want %q", got, err, want)
			}
		}
		return nil
	}))
	wantKeys(t, s, "t", kv.Range{}, "0", "a", "bb", "c", "d")
}

// testScanDeleted deletes long stretches, whole pages of a B-tree, and scans
// within the same transaction.
func testScanDeleted(t *testing.T, s kv.Store) {
	const n = 400
	key := func(i int) []byte { return fmt.Appendf(nil, "%04d", i) }
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		for i := range n {
			if err := tx.Put("t", key(i), make([]byte, 200)); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, c := range [][2]int{{0, n}, {100, 300}, {0, 200}, {200, n}, {1, n - 1}, {50, 51}, {0, n - 1}, {1, n}} {
		var want []string
		for i := range n {
			if i < c[0] || i >= c[1] {
				want = append(want, string(key(i)))
			}
		}
		back := slices.Clone(want)
		slices.Reverse(back)
		err := s.Update(t.Context(), func(tx kv.Tx) error {
			for i := c[0]; i < c[1]; i++ {
				if err := tx.Delete("t", key(i)); err != nil {
					return err
				}
			}
			got, err := keys(tx, "t", kv.Range{})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("without %v: got %d keys, %v, want %d", c, len(got), err, len(want))
			}
			got, err = keys(tx, "t", kv.Range{Reverse: true})
			if err != nil || !slices.Equal(got, back) {
				t.Errorf("in reverse without %v: got %d keys, %v, want %d", c, len(got), err, len(want))
			}
			got, err = keys(tx, "t", kv.Range{Reverse: true, To: key(c[1]), Limit: 1})
			if err != nil || len(got) != min(1, c[0]) || c[0] > 0 && got[0] != string(key(c[0]-1)) {
				t.Errorf("the last before %d without %v: got %q, %v", c[1], c, got, err)
			}
			return errDiscard
		})
		if !errors.Is(err, errDiscard) {
			t.Fatal(err)
		}
	}
	wantKeys(t, s, "t", kv.Range{Reverse: true, Limit: 1}, string(key(n-1)))
}
