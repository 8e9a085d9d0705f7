// Package atomicfile writes files that are either there whole and durable, or
// not there at all: a temporary file in the same folder, fsync, rename, fsync of
// the folder.
//
// It does not lock: of two writers of one file the later wins, whole.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Errors of Write and Create.
var (
	// ErrExists is returned by Create when the file is there already.
	ErrExists = errors.New("the file exists already")
	// ErrKind is returned by Write for a folder, a device, a pipe or a socket.
	ErrKind = errors.New("it is not a file, and is not replaced")
)

// Write puts data at path with the given mode, replacing what was there: a file,
// or a symbolic link, which is not followed. Anything else is ErrKind.
func Write(path string, data []byte, mode fs.FileMode) error {
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() && fi.Mode().Type() != fs.ModeSymlink {
		return fmt.Errorf("%s: %w", path, ErrKind)
	}
	tmp, err := stage(path, bytesOf(data), mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("putting %s in its place: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// Create is Write for a file that must not be there: ErrExists otherwise, and
// what is there stays as it is, even when it comes to be meanwhile.
func Create(path string, data []byte, mode fs.FileMode) error {
	return CreateFrom(path, bytesOf(data), mode)
}

// CreateFrom is Create for what write writes; an error of write leaves nothing
// behind.
func CreateFrom(path string, write func(io.Writer) error, mode fs.FileMode) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	tmp, err := stage(path, write, mode)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()
	return place(tmp, path)
}

// place gives a durable temporary file its name, which nothing else may have.
func place(tmp, path string) error {
	// A link refuses to replace, where a rename would not. File systems that
	// know no hard links, such as FAT on a USB key, get the rename.
	err := os.Link(tmp, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", path, ErrExists)
	case err != nil:
		if err := os.Rename(tmp, path); err != nil {
			return fmt.Errorf("putting %s in its place: %w", path, err)
		}
	}
	return syncDir(filepath.Dir(path))
}

// bytesOf writes data.
func bytesOf(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// stage fills a new temporary file beside path and syncs it.
func stage(path string, write func(io.Writer) error, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	// A temporary file has 0600 already; FAT knows no modes and refuses to set any.
	if mode != 0o600 {
		if err := f.Chmod(mode); err != nil {
			return "", fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := write(f); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Name(), nil
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
