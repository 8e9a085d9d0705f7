// Package bolttest opens stores for tests.
//
// It is not for programs: its stores do not sync.
package bolttest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/kv/kvtest"
)

// New opens a store in a temporary folder that runs every Update's closure
// twice and does not sync. At the end of the test it runs the checks, checks
// the structure of the file, and closes the store.
func New(t testing.TB, checks ...func(kv.Reader) error) kv.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "test.db"), checks...)
}

// Open is New for a file that the test chose, to be opened again after Close.
// Of a store that the test has closed nothing is checked.
func Open(t testing.TB, path string, checks ...func(kv.Reader) error) kv.Store {
	t.Helper()
	db, err := bolt.Open(path, bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, db, checks) })
	return kvtest.Twice(db)
}

func finish(t testing.TB, db *bolt.DB, checks []func(kv.Reader) error) {
	ctx := context.Background() // the test's is done when cleanups run
	for _, check := range checks {
		if err := db.View(ctx, check); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("at the end of the test: %v", err)
		}
	}
	if err := db.Check(ctx); err != nil && !errors.Is(err, kv.ErrClosed) {
		t.Errorf("at the end of the test: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
