package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/amtscs/amtscs/kv"
)

// Run runs the contract of kv.Store on stores that open makes, each empty and
// closed by the test that asked for it: once as they are and once with each
// closure run twice.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	for _, mode := range []struct {
		name string
		wrap func(kv.Store) kv.Store
	}{
		{"once", func(s kv.Store) kv.Store { return s }},
		{"twice", Twice},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range contract {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					s := mode.wrap(open(t))
					t.Cleanup(func() { noError(t, s.Close()) })
					c.run(t, s)
				})
			}
		})
	}
}

// contract is the parts of the suite, by their names.
var contract = []struct {
	name string
	run  func(t *testing.T, s kv.Store)
}{
	{"values", testValues},
	{"refused keys", testRefusedKeys},
	{"tables", testTables},
	{"copies", testCopies},
	{"ranges", testRanges},
	{"prefixes", testPrefixes},
	{"scan ends", testScanEnds},
	{"scan within a transaction", testScanOwnWrites},
	{"scan over deleted stretches", testScanDeleted},
	{"isolation", testIsolation},
	{"failing closure", testFailing},
	{"failing among others", testFailingGroup},
	{"panic and Goexit", testPanic},
	{"concurrent increments", testIncrements},
	{"no write skew", testWriteSkew},
	{"views and updates do not wait", testNoWaiting},
	{"cancelled", testCancelled},
	{"cancelled at random", testCancelledRandomly},
	{"changed", testChanged},
	{"changed by cancel and close", testChangedEnds},
	{"closed", testClosed},
	{"close waits", testCloseWaits},
	{"large transaction", testLarge},
	{"bulk transaction", testBulk},
	{"model", testModel},
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put stores pairs in one transaction.
func put(t testing.TB, s kv.Store, table kv.Table, pairs ...string) {
	t.Helper()
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(table, []byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}))
}

// get returns a value, "(none)" when there is none.
func get(t testing.TB, s kv.Store, table kv.Table, key string) string {
	t.Helper()
	var got string
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		v, err := r.Get(table, []byte(key))
		got = string(v)
		if errors.Is(err, kv.ErrNotFound) {
			got, err = "(none)", nil
		}
		return err
	}))
	return got
}

// keys lists the keys of a range.
func keys(r kv.Reader, table kv.Table, rg kv.Range) ([]string, error) {
	var got []string
	err := r.Scan(table, rg, func(k, _ []byte) error {
		got = append(got, string(k))
		return nil
	})
	return got, err
}

func wantKeys(t testing.TB, s kv.Store, table kv.Table, rg kv.Range, want ...string) {
	t.Helper()
	var got []string
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		var err error
		got, err = keys(r, table, rg)
		return err
	}))
	if !slices.Equal(got, want) {
		t.Errorf("range %+v: got keys %q, want %q", rg, got, want)
	}
}

func testValues(t *testing.T, s kv.Store) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	values := map[string][]byte{
		"empty": {}, "nil": nil, "zero": {0}, "text": []byte("value"), "big": big,
		"\x00": []byte("a zero key"), "\xff\xff": {0xff}, string(bytes.Repeat([]byte("k"), 1000)): []byte("long key"),
	}
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		for k, v := range values {
			if err := tx.Put("t", []byte(k), v); err != nil {
				return err
			}
			if got, err := tx.Get("t", []byte(k)); err != nil || !bytes.Equal(got, v) {
				return fmt.Errorf("key %.10q reads as %.10q, %w in its transaction", k, got, err)
			}
		}
		return nil
	}))
	for k, v := range values {
		if got := get(t, s, "t", k); got != string(v) {
			t.Errorf("key %.10q: got %.10q, want %.10q", k, got, v)
		}
	}
	put(t, s, "t", "text", "replaced")
	if got := get(t, s, "t", "text"); got != "replaced" {
		t.Errorf("got %q after a second Put", got)
	}
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		for _, k := range []string{"text", "empty", "never"} {
			if err := tx.Delete("t", []byte(k)); err != nil {
				return err
			}
			if _, err := tx.Get("t", []byte(k)); !errors.Is(err, kv.ErrNotFound) {
				return fmt.Errorf("a deleted key reads with error %w", err)
			}
		}
		return nil
	}))
	for _, k := range []string{"text", "empty", "never"} {
		if got := get(t, s, "t", k); got != "(none)" {
			t.Errorf("deleted key %q: got %q", k, got)
		}
	}
}

func testRefusedKeys(t *testing.T, s kv.Store) {
	for _, k := range [][]byte{nil, {}} {
		err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put("t", k, []byte("v")) })
		if err == nil {
			t.Errorf("Put of key %v: no error", k)
		}
		if got := get(t, s, "t", string(k)); got != "(none)" {
			t.Errorf("Get of key %v: got %q", k, got)
		}
	}
	err := s.Update(t.Context(), func(tx kv.Tx) error { return tx.Put("", []byte("k"), []byte("v")) })
	if err == nil {
		t.Error("Put into a table without a name: no error")
	}
}

func testTables(t *testing.T, s kv.Store) {
	wantKeys(t, s, "missing", kv.Range{})
	if got := get(t, s, "missing", "k"); got != "(none)" {
		t.Errorf("got %q from a table that is not there", got)
	}
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error { return tx.Delete("missing", []byte("k")) }))
	put(t, s, "a", "k", "in a")
	put(t, s, "ab", "k", "in ab")
	if got := get(t, s, "a", "k") + ", " + get(t, s, "ab", "k"); got != "in a, in ab" {
		t.Errorf("got %q: tables are mixed up", got)
	}
	wantKeys(t, s, "a", kv.Range{}, "k")
}

func testCopies(t *testing.T, s kv.Store) {
	var kept [][]byte
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		k, v := []byte("key"), []byte("value")
		if err := tx.Put("t", k, v); err != nil {
			return err
		}
		copy(k, "XXX")
		copy(v, "XXXXX")
		got, err := tx.Get("t", []byte("key"))
		if err != nil {
			return err
		}
		copy(got, "YYYYY")
		return tx.Scan("t", kv.Range{}, func(k, v []byte) error {
			copy(k, "ZZZ")
			copy(v, "ZZZZZ")
			return nil
		})
	}))
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		kept = nil
		v, err := r.Get("t", []byte("key"))
		if err != nil {
			return err
		}
		kept = append(kept, v)
		return r.Scan("t", kv.Range{}, func(k, v []byte) error {
			kept = append(kept, k, v)
			return nil
		})
	}))
	put(t, s, "t", "key", "other")
	if got := fmt.Sprintf("%s", kept); got != "[value key value]" {
		t.Errorf("got %s from slices of an earlier transaction", got)
	}
}
