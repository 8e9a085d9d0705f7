// Package atomicfile writes files that are either there whole and durable, or
// not there at all: a file without a name in the same folder, fsync, the name,
// fsync of the folder. Where a file system knows no files without a name, such as
// FAT on a USB key, a hidden file of the pattern that Leftovers tells takes its
// place; what a killed program left of it, the next writer of the same file
// removes.
//
// It does not lock what it writes: of two writers of one file the later wins,
// whole.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Errors of Write, Create and Pending.
var (
	// ErrExists is returned by Create when the file is there already.
	ErrExists = errors.New("the file exists already")
	// ErrKind is returned by Write for a folder, a device, a pipe or a socket.
	ErrKind = errors.New("it is not a file, and is not replaced")
	// ErrPlaced is returned when writing went wrong and what was written may lie
	// in its place all the same, now or after a power failure. With any other
	// error it does not.
	ErrPlaced = errors.New("what was written may be there all the same")
)

// Write puts data at path with the given mode, replacing what was there: a file,
// or a symbolic link, which is not followed. Anything else is ErrKind.
func Write(path string, data []byte, mode fs.FileMode) error {
	return writeFrom(path, bytesOf(data), mode, true)
}

// Create is Write for a file that must not be there: ErrExists otherwise, and
// what is there stays as it is, even when it comes to be meanwhile.
func Create(path string, data []byte, mode fs.FileMode) error {
	return CreateFrom(path, bytesOf(data), mode)
}

// CreateFrom is Create for what write writes; an error of write leaves nothing
// behind.
func CreateFrom(path string, write func(io.Writer) error, mode fs.FileMode) error {
	return writeFrom(path, write, mode, false)
}

// bytesOf writes data.
func bytesOf(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func writeFrom(path string, write func(io.Writer) error, mode fs.FileMode, replace bool) error {
	p, err := begin(path, mode, replace)
	if err != nil {
		return err
	}
	defer p.Discard()
	if err := write(p.f); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return p.Place()
}
