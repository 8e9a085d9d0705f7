package media

import (
	"fmt"
	"os"
	"syscall"
)

// deviceNumber tells which block device a path names.
func deviceNumber(path string) (major, minor uint32, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || fi.Mode().Type() != os.ModeDevice {
		return 0, 0, fmt.Errorf("%s: %w: it is no disk: for a file use --out", path, ErrDisk)
	}
	dev := st.Rdev
	return uint32(dev>>8&0xfff | dev>>32&^0xfff), uint32(dev&0xff | dev>>12&^0xff), nil
}

// Requests of ioctl (linux/fs.h).
const (
	blkRereadPartitions = 0x125f
	blkFlushBuffers     = 0x1261
)

// forget lets go of what the system remembers of f, so that it is read from the
// medium; where that fails, comparing says less.
func forget(f *os.File) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blkFlushBuffers, 0)
}

// reread asks the system to look at the new partition table. A file has none.
func reread(f *os.File) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blkRereadPartitions, 0)
}
