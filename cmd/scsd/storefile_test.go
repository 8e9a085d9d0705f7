package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amtscs/amtscs/kv/bolt"
)

// TestStoreOfSomebodyElse wants owner and mode, not the advice to make a store.
func TestStoreOfSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, storeName)
	if err := os.WriteFile(path, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		path:                                    path + " belongs to user ",
		filepath.Join(dir, "closed", storeName): dir + " belongs to user ",
	} {
		err := storeFault(at, &fs.PathError{Op: "open", Path: at, Err: syscall.EACCES})
		var h *hinted
		if !errors.As(err, &h) || !strings.Contains(h.hint, "chown -R ") || strings.Contains(h.hint, "scsd init") {
			t.Errorf("%s: the hint is %+v", at, h)
		}
		if got := err.Error(); !strings.Contains(got, want) || !strings.Contains(got, "and this is user ") {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
	if got := storeFault(path, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}).Error(); !strings.Contains(got, ", mode 0640,") {
		t.Errorf("got %s", got)
	}
}

// TestEmptyStoreIsLeftAlone wants an empty file refused, not made a new store.
func TestEmptyStoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, storeName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openStore(t.Context(), dir, "kek", bolt.Options{}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("got %v", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() != 0 {
		t.Errorf("got %v, %v: it was written to", fi, err)
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/var/lib/a-1": "/var/lib/a-1", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "": "''"} {
		if got := quoted(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}

// TestFoldersGoAgain wants nothing left of an init that fails behind its folders,
// and nothing of another's taken away.
func TestFoldersGoAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "a", "b", "data"), filepath.Join(dir, "c", "kek")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek, "--admin-name", "No Good"); code == 0 {
		t.Error(errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	before, err := os.ReadFile(kek)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "a", "b", "e", "data")
	if code, _, errs := scsd(t, "init", "--data", other, "--kek", kek, "--admin-name", "No Good"); code == 0 {
		t.Error(errs)
	}
	after, err := os.ReadFile(kek)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the other's key is another now, or gone: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "a", "b")); err != nil || len(left) != 2 {
		t.Errorf("got %v, %v, want data and admin.yaml", left, err)
	}
}
