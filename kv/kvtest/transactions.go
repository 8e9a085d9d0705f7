package kvtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/amtscs/amtscs/kv"
)

// number reads a decimal number, 0 when there is none.
func number(r kv.Reader, key string) (int, error) {
	v, err := r.Get("n", []byte(key))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

func setNumber(tx kv.Tx, key string, n int) error {
	return tx.Put("n", []byte(key), []byte(strconv.Itoa(n)))
}

func testIsolation(t *testing.T, s kv.Store) {
	put(t, s, "t", "k", "old")
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		put(t, s, "t", "k", "new", "l", "new")
		v, err := r.Get("t", []byte("k"))
		if err != nil || string(v) != "old" {
			return fmt.Errorf("an open view reads %q, %w after a commit", v, err)
		}
		if got, err := keys(r, "t", kv.Range{}); err != nil || len(got) != 1 {
			return fmt.Errorf("an open view scans %q, %w after a commit", got, err)
		}
		return nil
	}))
	noError(t, s.Update(t.Context(), func(tx kv.Tx) error {
		if err := tx.Put("t", []byte("k"), []byte("uncommitted")); err != nil {
			return err
		}
		if got := get(t, s, "t", "k"); got != "new" {
			return fmt.Errorf("a view reads %q while a transaction is open", got)
		}
		return nil
	}))
	if got := get(t, s, "t", "k"); got != "uncommitted" {
		t.Errorf("got %q after the commit", got)
	}
}

func testFailing(t *testing.T, s kv.Store) {
	put(t, s, "t", "a", "1", "b", "2")
	errOwn := errors.New("own error")
	for range 2 {
		err := s.Update(t.Context(), func(tx kv.Tx) error {
			for _, k := range []string{"a", "c"} {
				if err := tx.Put("t", []byte(k), []byte("failed")); err != nil {
					return err
				}
			}
			if err := tx.Delete("t", []byte("b")); err != nil {
				return err
			}
			if err := tx.Put("new table", []byte("k"), nil); err != nil {
				return err
			}
			return fmt.Errorf("wrapped: %w", errOwn)
		})
		if !errors.Is(err, errOwn) {
			t.Errorf("got error %v, want the closure's", err)
		}
	}
	if got := get(t, s, "t", "a") + get(t, s, "t", "b") + get(t, s, "t", "c"); got != "12(none)" {
		t.Errorf("got %q after a failed transaction", got)
	}
	wantKeys(t, s, "new table", kv.Range{})
}

// testFailingGroup has many updates at once, every third of which fails after
// it wrote to keys that the others use too.
func testFailingGroup(t *testing.T, s kv.Store) {
	errOwn := errors.New("own error")
	const workers, rounds = 24, 6
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				err := s.Update(t.Context(), func(tx kv.Tx) error {
					n, err := number(tx, "shared")
					if err != nil {
						return err
					}
					if err := errors.Join(setNumber(tx, "shared", n+1), setNumber(tx, fmt.Sprint("own", w, n), n)); err != nil {
						return err
					}
					if w%3 != 0 {
						return nil
					}
					err = tx.Delete("n", []byte("shared"))
					return errors.Join(err, setNumber(tx, "bad"+strconv.Itoa(w), w), errOwn)
				})
				if failed := errors.Is(err, errOwn); failed != (w%3 == 0) || !failed && err != nil {
					t.Errorf("worker %d: got error %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	const good = workers * 2 / 3 * rounds
	if got := get(t, s, "n", "shared"); got != strconv.Itoa(good) {
		t.Errorf("counted %s successful updates, want %d", got, good)
	}
	wantKeys(t, s, "n", kv.Prefix([]byte("bad")))
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		own, err := keys(r, "n", kv.Prefix([]byte("own")))
		if len(own) != good {
			t.Errorf("got %d keys of successful updates, want %d", len(own), good)
		}
		return err
	}))
}

func testPanic(t *testing.T, s kv.Store) {
	put(t, s, "t", "k", "before")
	for _, end := range []func(){func() { panic("a closure's panic") }, runtime.Goexit} {
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_ = s.Update(t.Context(), func(tx kv.Tx) error {
				if err := tx.Put("t", []byte("k"), []byte("panicked")); err != nil {
					return err
				}
				end()
				return nil
			})
			t.Error("Update returned from a closure that did not")
		})
		for i := range 8 {
			wg.Go(func() { put(t, s, "t", strconv.Itoa(i), "beside") })
		}
		wg.Wait()
		if got := get(t, s, "t", "k"); got != "before" {
			t.Errorf("got %q after a panic", got)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.View(t.Context(), func(kv.Reader) error { panic("a reader's panic") })
	}()
	put(t, s, "t", "k", "after")
	if got := get(t, s, "t", "k"); got != "after" {
		t.Errorf("got %q from the store after a panic", got)
	}
}

func testIncrements(t *testing.T, s kv.Store) {
	const workers, rounds = 32, 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				var seen int
				err := s.Update(t.Context(), func(tx kv.Tx) error {
					n, err := number(tx, "count")
					if err != nil {
						return err
					}
					seen = n + 1
					return errors.Join(setNumber(tx, "count", n+1), setNumber(tx, "seen"+strconv.Itoa(n+1), w))
				})
				if err != nil {
					t.Error(err)
					return
				}
				if got := get(t, s, "n", "seen"+strconv.Itoa(seen)); got != strconv.Itoa(w) {
					t.Errorf("worker %d counted to %d, where %s stands", w, seen, got)
				}
			}
		})
	}
	wg.Wait()
	if got := get(t, s, "n", "count"); got != strconv.Itoa(workers*rounds) {
		t.Errorf("counted %s, want %d", got, workers*rounds)
	}
}

// testWriteSkew has pairs of updates that each read two values and write one:
// only one after the other may they keep the sum at 1 or below.
func testWriteSkew(t *testing.T, s kv.Store) {
	for round := range 10 {
		a, b := fmt.Sprint("a", round), fmt.Sprint("b", round)
		take := func(own string) error {
			return s.Update(t.Context(), func(tx kv.Tx) error {
				na, err := number(tx, a)
				if err != nil {
					return err
				}
				nb, err := number(tx, b)
				if err != nil || na+nb > 0 {
					return err
				}
				return setNumber(tx, own, 1)
			})
		}
		var wg sync.WaitGroup
		for _, own := range []string{a, b} {
			wg.Go(func() {
				if err := take(own); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ga, gb := get(t, s, "n", a), get(t, s, "n", b); ga == gb {
			t.Errorf("round %d: both read %q", round, ga)
		}
	}
}

func testNoWaiting(t *testing.T, s kv.Store) {
	// A view that is open while updates grow the store a good deal.
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		for i := range 4 {
			put(t, s, "t", strconv.Itoa(i), string(make([]byte, 1<<19)))
		}
		// And views that begin while an update is open.
		return s.Update(t.Context(), func(tx kv.Tx) error {
			for i := range 4 {
				if got := get(t, s, "t", strconv.Itoa(i)); len(got) != 1<<19 {
					return fmt.Errorf("value %d has %d bytes", i, len(got))
				}
			}
			return tx.Delete("t", []byte("0"))
		})
	}))
}

func testLarge(t *testing.T, s kv.Store) { large(t.Context(), t, s, 7919) }

// testBulk writes the same in order, in two parts of which the second begins
// before the first.
func testBulk(t *testing.T, s kv.Store) {
	ctx := kv.Bulk(t.Context())
	if !kv.IsBulk(ctx) || kv.IsBulk(t.Context()) {
		t.Error("Bulk does not mark the context")
	}
	noError(t, s.Update(ctx, func(tx kv.Tx) error {
		key := make([]byte, 0, 10)
		for i := 2500; i < 5000; i++ {
			key = fmt.Appendf(key[:0], "%06d", i) // keys may be changed
			if err := tx.Put("t", key, nil); err != nil {
				return err
			}
		}
		return nil
	}))
	errUndo := errors.New("undo")
	err := s.Update(ctx, func(tx kv.Tx) error {
		if err := tx.Put("t", []byte("000000"), []byte("wrong")); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		t.Errorf("got error %v", err)
	}
	large(ctx, t, s, 1)
}

// large puts 5000 pairs in steps of step.
func large(ctx context.Context, t *testing.T, s kv.Store, step int) {
	const n = 5000
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i*step%n) }
	noError(t, s.Update(ctx, func(tx kv.Tx) error {
		for i := range n {
			if err := tx.Put("t", key(i), key(i)); err != nil {
				return err
			}
		}
		return nil
	}))
	noError(t, s.View(t.Context(), func(r kv.Reader) error {
		i := 0
		err := r.Scan("t", kv.Range{}, func(k, v []byte) error {
			if want := fmt.Sprintf("%06d", i); string(k) != want || string(v) != want {
				return fmt.Errorf("pair %d is %q, %q", i, k, v)
			}
			i++
			return nil
		})
		if i != n {
			t.Errorf("scanned %d pairs, want %d", i, n)
		}
		return err
	}))
}
