package bolt_test

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
)

const benchRecords = 100_000

var benchValue = make([]byte, 300)

// benchKey spreads numbers over the key space.
func benchKey(i int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15)
}

// beside times n operations of the store and of raw bbolt in turns, and reports
// how fast the store is: 1 means as fast, above 1 faster.
func beside(b *testing.B, store, raw func(n int)) {
	b.Helper()
	var ours, theirs time.Duration
	for left := b.N; left > 0; {
		n := min(left, max(1, b.N/10))
		left -= n
		began := time.Now()
		store(n)
		middle := time.Now()
		raw(n)
		ours += middle.Sub(began)
		theirs += time.Since(middle)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "raw-ns/op")
	b.ReportMetric(float64(theirs)/float64(ours), "x-raw")
}

func rawStore(b *testing.B) *bbolt.DB {
	b.Helper()
	raw, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30, NoStatistics: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = raw.Close() })
	err = raw.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("t"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// filled fills both with the same records, some thousand in a transaction.
func filled(b *testing.B, db *bolt.DB, raw *bbolt.DB) {
	b.Helper()
	for at := 0; at < benchRecords; at += 5000 {
		err := db.Update(b.Context(), func(tx kv.Tx) error {
			for i := at; i < at+5000; i++ {
				if err := tx.Put("t", benchKey(i), benchValue); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		err = raw.Update(func(tx *bbolt.Tx) error {
			for i := at; i < at+5000; i++ {
				if err := tx.Bucket([]byte("t")).Put(benchKey(i), benchValue); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	db, raw := temp(b, bolt.Options{}), rawStore(b)
	filled(b, db, raw)
	b.ResetTimer()
	ctx, at := context.Background(), 0
	beside(b, func(n int) {
		for range n {
			at++
			if err := db.View(ctx, func(r kv.Reader) error { _, err := r.Get("t", benchKey(at%benchRecords)); return err }); err != nil {
				b.Fatal(err)
			}
		}
	}, func(n int) {
		for range n {
			at++
			err := raw.View(func(tx *bbolt.Tx) error {
				_ = append([]byte(nil), tx.Bucket([]byte("t")).Get(benchKey(at%benchRecords))...)
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUpdate commits one put after the other.
func BenchmarkUpdate(b *testing.B) {
	db, raw := temp(b, bolt.Options{}), rawStore(b)
	ctx, at := context.Background(), 0
	beside(b, func(n int) {
		for range n {
			at++
			if err := db.Update(ctx, func(tx kv.Tx) error { return tx.Put("t", benchKey(at), benchValue) }); err != nil {
				b.Fatal(err)
			}
		}
	}, func(n int) {
		for range n {
			at++
			if err := raw.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("t")).Put(benchKey(at), benchValue) }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// spread runs fn n times from 64 goroutines.
func spread(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < n; i += 64 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// BenchmarkUpdateFrom64 commits one put each from 64 goroutines, beside bbolt's
// Update and its Batch.
func BenchmarkUpdateFrom64(b *testing.B) {
	for _, c := range []struct {
		name string
		do   func(raw *bbolt.DB, fn func(tx *bbolt.Tx) error) error
	}{
		{"beside Update", func(raw *bbolt.DB, fn func(tx *bbolt.Tx) error) error { return raw.Update(fn) }},
		{"beside Batch", func(raw *bbolt.DB, fn func(tx *bbolt.Tx) error) error { return raw.Batch(fn) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			db, raw := temp(b, bolt.Options{}), rawStore(b)
			ctx, base := context.Background(), 0
			beside(b, func(n int) {
				base += n
				spread(n, func(i int) {
					if err := db.Update(ctx, func(tx kv.Tx) error { return tx.Put("t", benchKey(base+i), benchValue) }); err != nil {
						b.Error(err)
					}
				})
			}, func(n int) {
				base += n
				spread(n, func(i int) {
					if err := c.do(raw, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("t")).Put(benchKey(base+i), benchValue) }); err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}
