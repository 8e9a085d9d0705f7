package bolt_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
)

func open(t testing.TB, path string, opts bolt.Options) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t testing.TB, db *bolt.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func put(t testing.TB, db kv.Store, key, value string) {
	t.Helper()
	err := db.Update(context.Background(), func(tx kv.Tx) error { return tx.Put("t", []byte(key), []byte(value)) })
	if err != nil {
		t.Fatal(err)
	}
}

// get returns a value, or the text of the error.
func get(db kv.Store, key string) string {
	var got string
	err := db.View(context.Background(), func(r kv.Reader) error {
		v, err := r.Get("t", []byte(key))
		got = string(v)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return got
}

// TestReopen keeps data with all its fsyncs on, and the file private.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := open(t, path, bolt.Options{})
	put(t, db, "k", "v")
	closeDB(t, db)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v, want 0600", info.Mode(), err)
	}
	db = open(t, path, bolt.Options{})
	if got := get(db, "k"); got != "v" {
		t.Errorf("got %q after opening again", got)
	}
}

func TestOpenLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := open(t, path, bolt.Options{NoSync: true})
	for _, readOnly := range []bool{false, true} {
		_, err := bolt.Open(path, bolt.Options{LockTimeout: 10 * time.Millisecond, ReadOnly: readOnly})
		if !errors.Is(err, bolt.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another scsd has this store open") {
			t.Errorf("read-only %v: got error %v", readOnly, err)
		}
	}
	put(t, db, "k", "v")
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	if _, err := bolt.Open(path, bolt.Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got error %v", err)
	}
	db := open(t, path, bolt.Options{NoSync: true})
	put(t, db, "k", "v")
	closeDB(t, db)
	before, _ := os.ReadFile(path)
	a, b := open(t, path, bolt.Options{ReadOnly: true}), open(t, path, bolt.Options{ReadOnly: true})
	if got := get(a, "k") + get(b, "k"); got != "vv" {
		t.Errorf("got %q", got)
	}
	if err := a.Update(t.Context(), func(kv.Tx) error { return nil }); !errors.Is(err, bolt.ErrReadOnly) {
		t.Errorf("Update: got error %v", err)
	}
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	closeDB(t, a)
	closeDB(t, b)
	if after, _ := os.ReadFile(path); string(before) != string(after) {
		t.Error("reading changed the file")
	}
}

func TestOpenOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := func(name string, fn func(tx *bbolt.Tx) error) {
		b, err := bbolt.Open(filepath.Join(dir, name), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		if err := b.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	format := func(version string) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("\x00format"))
			if err != nil {
				return err
			}
			return b.Put([]byte("version"), []byte(version))
		}
	}
	raw("foreign", func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("data")); return err })
	raw("later", format("2"))
	raw("odd", format("one"))
	raw("present", format("1"))
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(strings.Repeat("no store\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"foreign", "a bbolt file of another program"},
		{"later", "it has version 2 and this program knows versions up to 1: use a newer program"},
		{"odd", `its version is "one"`},
		{"text", "invalid database"},
	} {
		path := filepath.Join(dir, c.name)
		before, _ := os.ReadFile(path)
		_, err := bolt.Open(path, bolt.Options{})
		if !errors.Is(err, bolt.ErrFormat) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		if after, _ := os.ReadFile(path); string(before) != string(after) {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
	put(t, open(t, filepath.Join(dir, "present"), bolt.Options{NoSync: true}), "k", "v")
	if _, err := bolt.Open(filepath.Join(dir, "missing", "test.db"), bolt.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: got error %v", err)
	}
	if _, err := bolt.Open(dir, bolt.Options{}); err == nil {
		t.Error("a folder: no error")
	}
	// A file of no bytes is what a crash at the very first write leaves.
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, empty, bolt.Options{NoSync: true}), "k", "v")
}

func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "test.db"), bolt.Options{NoSync: true})
	put(t, db, "k", "before")
	copied := filepath.Join(dir, "copy.db")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	w := &meddler{File: f, meddle: func() { put(t, db, "k", "meanwhile") }}
	n, err := db.Backup(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != n {
		t.Errorf("Backup says %d bytes, the file has %d (%v)", n, info.Size(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	copy := open(t, copied, bolt.Options{NoSync: true})
	if got := get(copy, "k"); got != "before" {
		t.Errorf("the copy has %q, want the state at the beginning", got)
	}
	if got := get(db, "k"); got != "meanwhile" {
		t.Errorf("the store has %q", got)
	}
	if err := copy.Check(t.Context()); err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err = db.Backup(ctx, &meddler{File: f, meddle: cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
	_, err = db.Backup(t.Context(), f) // closed
	if !errors.Is(err, fs.ErrClosed) && (err == nil || !strings.Contains(err.Error(), "closed")) {
		t.Errorf("to a closed file: got error %v", err)
	}
}

// meddler does something once, in the middle of being written to.
type meddler struct {
	*os.File
	meddle func()
	done   bool
}

func (m *meddler) Write(p []byte) (int, error) {
	if !m.done {
		m.done = true
		m.meddle()
	}
	return m.File.Write(p)
}
