//go:build !linux

package media

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func deviceNumber(os.FileInfo) (major, minor uint32, err error) {
	return 0, 0, fmt.Errorf("%w: disks can be written to on Linux alone, not on %s: write an image with --out, and it to the key by other means", ErrDisk, runtime.GOOS)
}

// errNoMedium comes from nowhere.
var errNoMedium = errors.New("no medium")

func sequence(*os.File) uint64 { return 0 }

func forget(*os.File) {}

func reread(*os.File) {}
