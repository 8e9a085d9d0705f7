package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := atomicfile.Probe(path); err != nil {
		t.Errorf("a folder that takes files: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Probe(path); !errors.Is(err, atomicfile.ErrExists) {
		t.Errorf("a file that is there: got %v", err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Probe(filepath.Join(dir, "link")); !errors.Is(err, atomicfile.ErrExists) {
		t.Errorf("a link that leads nowhere: got %v", err)
	}
	if err := atomicfile.Probe(filepath.Join(dir, "no", "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: got %v", err)
	}
}
