//go:build !linux

package media

import (
	"fmt"
	"os"
	"runtime"
)

func deviceNumber(path string) (major, minor uint32, err error) {
	return 0, 0, fmt.Errorf("%s: %w: disks can be written to on Linux alone, not on %s: write an image with --out, and it to the key by other means", path, ErrDisk, runtime.GOOS)
}

func forget(*os.File) {}

func reread(*os.File) {}
