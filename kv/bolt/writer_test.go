package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func temp(t testing.TB, opts bolt.Options) *bolt.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"), opts)
}

func patient(t testing.TB, opts bolt.Options) *bolt.DB {
	t.Helper()
	db, err := bolt.Patient(filepath.Join(t.TempDir(), "test.db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

// TestGroupCommit holds the writer up until many updates are queued, and counts
// the commits that they then need.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	db := patient(t, bolt.Options{NoSync: true})
	const n = 50
	var wg sync.WaitGroup
	var ran atomic.Int64
	var commits int
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		for i := range n {
			wg.Go(func() {
				_ = db.Update(context.Background(), func(tx kv.Tx) error {
					ran.Add(1)
					if i%5 == 0 {
						return errors.New("one of five fails")
					}
					return tx.Put("t", fmt.Append(nil, i), nil)
				})
			})
		}
		bolt.AwaitQueue(db, n)
		commits = bolt.Commits(db)
		return tx.Put("t", []byte("first"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := bolt.Commits(db) - commits; got != 1 {
		t.Errorf("%d updates at once made %d commits", n, got)
	}
	if got := ran.Load(); got != n {
		t.Errorf("%d closures ran, want %d", got, n)
	}
	count := 0
	err = db.View(t.Context(), func(r kv.Reader) error {
		count = 0
		return r.Scan("t", kv.Range{}, func(_, _ []byte) error { count++; return nil })
	})
	if err != nil || count != 1+n*4/5 {
		t.Errorf("%d keys, %v, want %d", count, err, 1+n*4/5)
	}
}

// TestBulkWaits: a bulk update that is queued lets those behind it go first, and
// has a commit of its own; none of them is lost.
func TestBulkWaits(t *testing.T) {
	t.Parallel()
	db := patient(t, bolt.Options{NoSync: true})
	const n = 30
	var wg sync.WaitGroup
	var small atomic.Int64
	before := map[int]int64{} // by the number of a bulk update: how many small ones ran first
	var commits int
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		for i := range n {
			ctx := context.Background()
			if i%10 == 0 {
				ctx = kv.Bulk(ctx)
			}
			wg.Go(func() {
				_ = db.Update(ctx, func(tx kv.Tx) error {
					if i%10 == 0 {
						before[i] = small.Load() // one closure runs at a time
					} else {
						small.Add(1)
					}
					return tx.Put("t", fmt.Append(nil, i), nil)
				})
			})
			bolt.AwaitQueue(db, i+1) // in this order
		}
		commits = bolt.Commits(db)
		return tx.Put("t", []byte("first"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for i, n := range before {
		if n != 27 {
			t.Errorf("bulk update %d ran behind %d small ones, want all 27", i, n)
		}
	}
	if got := bolt.Commits(db) - commits; len(before) != 3 || got != 4 {
		t.Errorf("%d bulk updates, %d commits, want 3 and 4", len(before), got)
	}
	count := 0
	err = db.View(t.Context(), func(r kv.Reader) error {
		return r.Scan("t", kv.Range{}, func(_, _ []byte) error { count++; return nil })
	})
	if err != nil || count != n+1 {
		t.Errorf("%d keys, %v, want %d", count, err, n+1)
	}
}

// TestNothingWritten: an update that changes nothing, or fails alone, makes no
// commit.
func TestNothingWritten(t *testing.T) {
	t.Parallel()
	db := temp(t, bolt.Options{NoSync: true})
	put(t, db, "k", "v")
	changed := db.Changed(t.Context())
	errOwn := errors.New("own error")
	for _, fn := range []func(tx kv.Tx) error{
		func(tx kv.Tx) error { return nil },
		func(tx kv.Tx) error { _, err := tx.Get("t", []byte("k")); return err },
		func(tx kv.Tx) error { return tx.Delete("t", []byte("never")) },
		func(tx kv.Tx) error { return errors.Join(tx.Put("t", []byte("k"), nil), errOwn) },
	} {
		if err := db.Update(t.Context(), fn); err != nil && !errors.Is(err, errOwn) {
			t.Error(err)
		}
	}
	select {
	case <-changed:
		t.Error("there was a commit")
	default:
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	db := temp(t, bolt.Options{NoSync: true})
	put(t, db, "k", "v")
	var escaped kv.Tx
	var reader kv.Reader
	for name, c := range map[string]struct {
		fn   func(tx kv.Tx) error
		want string
	}{
		"table that is scanned": {func(tx kv.Tx) error {
			return tx.Scan("t", kv.Range{}, func(k, _ []byte) error { return tx.Put("t", k, nil) })
		}, "cannot be written while it is scanned"},
		"delete from a table that is scanned": {func(tx kv.Tx) error {
			return tx.Scan("t", kv.Range{}, func(k, _ []byte) error { return tx.Delete("t", k) })
		}, "cannot be written while it is scanned"},
		"reserved table":         {func(tx kv.Tx) error { return tx.Put("\x00format", []byte("version"), []byte("9")) }, "must not be empty or begin with a zero byte"},
		"reserved table, delete": {func(tx kv.Tx) error { return tx.Delete("\x00format", []byte("version")) }, "must not be empty or begin with a zero byte"},
		"empty key":              {func(tx kv.Tx) error { return tx.Put("t", nil, nil) }, "empty keys"},
		"long key":               {func(tx kv.Tx) error { return tx.Put("t", make([]byte, 40000), nil) }, "table t: key too large"},
	} {
		if err := db.Update(t.Context(), c.fn); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", name, err, c.want)
		}
	}
	err := errors.Join(
		db.Update(t.Context(), func(tx kv.Tx) error { escaped = tx; return nil }),
		db.View(t.Context(), func(r kv.Reader) error { reader = r; return nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := escaped.Get("t", []byte("k"))
	_, e2 := reader.Get("t", []byte("k"))
	none := func(_, _ []byte) error { return nil }
	for i, err := range []error{e1, e2, escaped.Put("t", []byte("k"), nil), escaped.Delete("t", []byte("k")), escaped.Scan("t", kv.Range{}, none), reader.Scan("t", kv.Range{}, none)} {
		if err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("call %d after the end: got error %v", i, err)
		}
	}
	if got := get(db, "k"); got != "v" {
		t.Errorf("got %q after all that", got)
	}
}

// TestFullDisk: what does not fit changes nothing, and the store goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := temp(t, bolt.Options{NoSync: true, MaxSize: 1 << 20})
	put(t, db, "k", "v")
	big := make([]byte, 2<<20)
	err := db.Update(t.Context(), func(tx kv.Tx) error { return tx.Put("t", []byte("big"), big) })
	if err == nil || errors.Is(err, bolt.ErrFailed) {
		t.Errorf("got error %v", err)
	}
	put(t, db, "l", "v")
	if got := get(db, "k") + get(db, "l") + get(db, "big"); got != "vvnot found" {
		t.Errorf("got %q", got)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBrokenDisk: when a write fails otherwise, what is on disk is unknown, and
// the store takes no more updates.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	db, brk, err := bolt.OpenBreakable(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, "k", "v")
	if err := brk(); err != nil {
		t.Fatal(err)
	}
	fn := func(tx kv.Tx) error { return tx.Put("t", []byte("k"), []byte("lost")) }
	if err := db.Update(t.Context(), fn); err == nil || errors.Is(err, bolt.ErrFailed) {
		t.Errorf("first: got error %v", err)
	}
	for range 2 {
		ran := false
		err := db.Update(t.Context(), func(tx kv.Tx) error { ran = true; return fn(tx) })
		if !errors.Is(err, bolt.ErrFailed) || ran {
			t.Errorf("later: got error %v, the closure ran: %v", err, ran)
		}
	}
	if got := get(db, "k"); got != "v" {
		t.Errorf("got %q", got)
	}
	_ = db.Close() // its file is closed
}

// TestFailedCommitReachesAll: those of a group share the outcome, also one whose
// closure failed on what the group had written.
func TestFailedCommitReachesAll(t *testing.T) {
	t.Parallel()
	db := patient(t, bolt.Options{NoSync: true, MaxSize: 1 << 20})
	errs := make(chan error, 2)
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		for _, fn := range []func(tx kv.Tx) error{
			func(tx kv.Tx) error { return tx.Put("t", []byte("small"), nil) },
			func(tx kv.Tx) error {
				if _, err := tx.Get("t", []byte("big")); err == nil {
					return errors.New("big is there")
				}
				return nil
			},
		} {
			go func() { errs <- db.Update(context.Background(), fn) }()
		}
		bolt.AwaitQueue(db, 2)
		return tx.Put("t", []byte("big"), make([]byte, 2<<20))
	})
	if err == nil {
		t.Fatal("the commit went through")
	}
	for range 2 {
		if got := <-errs; got == nil || !strings.Contains(got.Error(), "maximum size") {
			t.Errorf("got error %v, want that of the commit", got)
		}
	}
	if got := get(db, "small") + get(db, "big"); got != "not foundnot found" {
		t.Errorf("got %q", got)
	}
}

// TestScanCancelled: a long scan ends with its context.
func TestScanCancelled(t *testing.T) {
	t.Parallel()
	db := temp(t, bolt.Options{NoSync: true})
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		for i := range 1000 {
			if err := tx.Put("t", fmt.Append(nil, i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err = db.View(ctx, func(r kv.Reader) error {
		return r.Scan("t", kv.Range{}, func(_, _ []byte) error {
			seen++
			cancel()
			return nil
		})
	})
	if !errors.Is(err, context.Canceled) || seen > 200 {
		t.Errorf("got error %v after %d pairs", err, seen)
	}
}

// TestChangedKeepsNothing asks again and again on a quiet store, with contexts
// that end and that do not: no goroutine and little memory may remain.
func TestChangedKeepsNothing(t *testing.T) {
	// Not parallel: it counts goroutines.
	db := temp(t, bolt.Options{NoSync: true})
	goroutines := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	long, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 5_000 {
		db.Changed(long)
		db.Changed(context.Background())
		short, cancel := context.WithCancel(long)
		ch := db.Changed(short)
		cancel()
		<-ch
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}
