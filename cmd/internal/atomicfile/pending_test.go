package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

func begin(t *testing.T, path, text string) *atomicfile.Pending {
	t.Helper()
	p, err := atomicfile.Begin(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}

// alone fails when the folder holds anything but names.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != len(names) {
		t.Fatalf("got %v, %v, want %v", list, err, names)
	}
	for i, e := range list {
		if e.Name() != names[i] {
			t.Errorf("got %s, want %s", e.Name(), names[i])
		}
	}
}

func TestPending(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	p := begin(t, path, "one ")
	if _, err := os.Stat(path); err == nil {
		t.Error("the file has its name before it is whole")
	}
	if _, err := p.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := p.Place(); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "one two", 0o600)
	p.Discard() // too late
	alone(t, dir, "f")
	if err := p.Place(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a second Place: got %v", err)
	}
	if _, err := p.Write(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("writing behind the end: got %v", err)
	}
	if _, err := atomicfile.Begin(path); !errors.Is(err, atomicfile.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	expect(t, path, "one two", 0o600)
}

func TestPendingLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	begin(t, path, "one").Discard()
	alone(t, dir)
	late := begin(t, path, "one")
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := late.Place(); !errors.Is(err, atomicfile.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	expect(t, path, "another's", 0o600)
	alone(t, dir, "f")
	if _, err := atomicfile.Begin(filepath.Join(dir, "no", "f")); err == nil {
		t.Error("a folder that is not there was no error")
	}
}
