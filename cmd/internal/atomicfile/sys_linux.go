package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// unnamed opens a file of mode 0600 that has no name and is gone when it is
// closed (open(2), O_TMPFILE). FAT and many network file systems have none.
func unnamed(path string) (*os.File, error) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a file without a name: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if _, err := os.Lstat(descriptor(f)); err != nil { // without /proc it would never get a name
		_ = f.Close()
		return nil, err
	}
	lock(f)
	return f, nil
}

func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// linkUnnamed gives a file without a name one that nothing has.
func linkUnnamed(f *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, descriptor(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

// renameNoReplace is a rename to a name that nothing has (rename(2)).
func renameNoReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// lock locks a file until it is closed.
func lock(f *os.File) lockState {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return locked
	case errors.Is(err, unix.EWOULDBLOCK):
		return lockedElsewhere
	}
	return lockUnknown
}
