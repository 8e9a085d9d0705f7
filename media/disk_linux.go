package media

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// errNoMedium is what a card reader without a card says.
const errNoMedium = syscall.ENOMEDIUM

// deviceNumber tells which block device a device file is.
func deviceNumber(fi os.FileInfo) (major, minor uint32, err error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || fi.Mode().Type() != os.ModeDevice {
		return 0, 0, fmt.Errorf("%w: it is no disk: for a file use --out", ErrDisk)
	}
	dev := st.Rdev
	return uint32(dev>>8&0xfff | dev>>32&^0xfff), uint32(dev&0xff | dev>>12&^0xff), nil
}

// Requests of ioctl (linux/fs.h).
const (
	blkRereadPartitions = 0x125f
	blkFlushBuffers     = 0x1261
	blkGetSequence      = 0x80081280 // since Linux 5.15
)

// sequence is the sequence number of the disk that f is, whatever its path names
// now; 0 when the system does not tell.
func sequence(f *os.File) (n uint64) {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blkGetSequence, uintptr(unsafe.Pointer(&n))); e != 0 {
		return 0
	}
	return n
}

// forget lets go of what the system remembers of f, so that it is read from the
// medium; where that fails, comparing says less.
func forget(f *os.File) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blkFlushBuffers, 0)
}

// reread asks the system to look at the new partition table. A file has none.
func reread(f *os.File) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), blkRereadPartitions, 0)
}
