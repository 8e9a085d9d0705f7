package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// Probe finds out what would keep Create from making a file at path: ErrExists,
// or a folder that takes no files. It leaves nothing there.
func Probe(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	name := f.Name()
	err = f.Close()
	if e := os.Remove(name); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
