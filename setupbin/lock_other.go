//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package setupbin

import "os"

// Lock does nothing where there are no file locks.
func Lock(*os.File) error { return nil }
