//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package setupbin

import (
	"errors"
	"os"
	"syscall"
)

// Lock waits for the only lock on f; closing f gives it back. Where the system has
// no file locks it does nothing (Windows, Solaris, AIX).
func Lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
