package keystore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// benchStore is a store that syncs.
func benchStore(b *testing.B) fixture {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return fixture{keystore.New(sealtest.New(b)), db}
}

// row is what a store holds at a key.
type row struct {
	table      string
	key, value []byte
}

// rowsOf reads the tables that pairs fill, in order.
func (f fixture) rowsOf(b *testing.B) [][]row {
	b.Helper()
	var tables [][]row
	for _, table := range []kv.Table{"keys", "keys_by_state", "keys_by_batch"} {
		var rows []row
		f.view(b, func(r kv.Reader) error {
			return r.Scan(table, kv.Range{}, func(k, v []byte) error {
				rows = append(rows, row{string(table), k, v})
				return nil
			})
		})
		tables = append(tables, rows)
	}
	return tables
}

// putRaw writes the rows with bare bbolt, sorted, 2,000 pairs in a transaction.
func putRaw(b *testing.B, path string, tables [][]row) time.Duration {
	b.Helper()
	raw, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	began := time.Now()
	for at := 0; at < len(tables[0]); at += 2000 {
		err := raw.Update(func(tx *bbolt.Tx) error {
			for _, rows := range tables {
				bucket, err := tx.CreateBucketIfNotExists([]byte(rows[0].table))
				if err != nil {
					return err
				}
				for _, r := range rows[at:min(at+2000, len(rows))] {
					if err := bucket.Put(r.key, r.value); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// BenchmarkImport imports 20,000 pairs, sealed, indexed and counted, beside the
// same rows put by bare bbolt. BenchmarkGenerate draws them too.
func BenchmarkImport(b *testing.B) {
	benchAdd(b, func(f fixture, n int, recs []keystore.Record) error {
		_, err := f.Import(b.Context(), f.db, into("B1"), seq(recs...))
		return err
	})
}

func BenchmarkGenerate(b *testing.B) {
	password := func(f fixture) func() (amt.Secret, error) {
		return func() (amt.Secret, error) { return amt.DrawPassword(f.Rand, 16) }
	}
	benchAdd(b, func(f fixture, n int, _ []keystore.Record) error {
		_, err := f.Generate(b.Context(), f.db, into("B1"), n, password(f))
		return err
	})
}

func benchAdd(b *testing.B, add func(f fixture, n int, recs []keystore.Record) error) {
	const n = 20_000
	var ours, theirs time.Duration
	for i := range b.N {
		f := benchStore(b)
		recs, err := f.Draw(n, func() (amt.Secret, error) { return amt.NewSecretString("P@ssw0rd-of-16ch"), nil })
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := add(f, n, recs); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		theirs += putRaw(b, filepath.Join(b.TempDir(), fmt.Sprint("raw", i)), f.rowsOf(b))
	}
	total := float64(b.N) * n
	b.ReportMetric(float64(ours.Nanoseconds())/total, "ns/pair")
	b.ReportMetric(float64(theirs.Nanoseconds())/total, "raw-ns/pair")
	b.ReportMetric(float64(theirs)/float64(ours), "x-raw")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkDraw(b *testing.B) {
	f := fixture{Store: keystore.New(sealtest.New(b))}
	for b.Loop() {
		if _, err := f.Draw(1000, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/pair")
}

// BenchmarkLookup gets pairs of a batch of 20,000, and their secrets, beside
// bare gets of the same values.
func BenchmarkLookup(b *testing.B) {
	f := benchStore(b)
	recs, err := f.Draw(20_000, func() (amt.Secret, error) { return amt.NewSecretString("P@ssw0rd-of-16ch"), nil })
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.Import(b.Context(), f.db, into("B1"), seq(recs...)); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "raw")
	putRaw(b, path, f.rowsOf(b))
	raw, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	ctx := context.Background()
	for name, get := range map[string]func(r kv.Reader, pid amt.PID) error{
		"Get":     func(r kv.Reader, pid amt.PID) error { _, err := f.Get(r, pid); return err },
		"Secrets": func(r kv.Reader, pid amt.PID) error { _, err := f.Secrets(r, pid); return err },
	} {
		b.Run(name, func(b *testing.B) {
			var theirs time.Duration
			for i := 0; b.Loop(); i++ {
				pid := recs[i*7919%len(recs)].Pair.PID
				if err := f.db.View(ctx, func(r kv.Reader) error { return get(r, pid) }); err != nil {
					b.Fatal(err)
				}
			}
			ours := b.Elapsed()
			began := time.Now()
			for i := range b.N {
				pid := recs[i*7919%len(recs)].Pair.PID
				_ = raw.View(func(tx *bbolt.Tx) error {
					_ = append([]byte(nil), tx.Bucket([]byte("keys")).Get(pid[:])...)
					return nil
				})
			}
			theirs = time.Since(began)
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "raw-ns/op")
			b.ReportMetric(float64(theirs)/float64(ours), "x-raw")
		})
	}
}
