package media

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRecognise puts each format's signature on an empty disk, at its place and
// one byte off.
func TestRecognise(t *testing.T) {
	t.Parallel()
	const size = 3<<20 + 512
	type trial struct {
		name  string
		at    int64
		magic string
	}
	var trials []trial
	for _, s := range signatures {
		at := s.at
		if at < 0 {
			at += size
		}
		trials = append(trials, trial{s.name, at, s.magic})
	}
	trials = append(
		trials,
		trial{"ZFS", 128 << 10, "\x0c\xb1\xba\x00\x00\x00\x00\x00"}, // little-endian, first label
		trial{"ZFS", 384<<10 + 5120, "\x00\x00\x00\x00\x00\xba\xb1\x0c"},
		trial{"ZFS", 3<<20 - 128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00"}, // last label
		trial{"Linux RAID", 3<<20 - 64<<10, "\xfc\x4e\x2b\xa9"},           // 0.90
		trial{"Linux RAID", 3<<20 - 64<<10, "\xa9\x2b\x4e\xfc"},
		trial{"Linux RAID", (size/512 - 16) / 8 * 8 * 512, "\xfc\x4e\x2b\xa9"}, // 1.0
	)
	for _, x := range trials {
		b := make([]byte, size)
		copy(b[x.at:], x.magic)
		if got, err := recognise(bytes.NewReader(b), size); err != nil || !slices.Equal(got, []string{x.name}) {
			t.Errorf("%s at %d: got %q, %v", x.name, x.at, got, err)
		}
		b = make([]byte, size)
		copy(b[x.at+1:], x.magic)
		if got, err := recognise(bytes.NewReader(b), size); err != nil || len(got) != 0 {
			t.Errorf("%s at %d: got %q, %v", x.name, x.at+1, got, err)
		}
	}
	for _, short := range []int64{0, 1, 511, 4096} {
		if got, err := recognise(bytes.NewReader(make([]byte, short)), short); err != nil || len(got) != 0 {
			t.Errorf("%d bytes: got %q, %v", short, got, err)
		}
	}
	b := image(t, Options{NoMBR: true}, content(t, 1))
	if got, err := recognise(bytes.NewReader(b), int64(len(b))); err != nil || !slices.Equal(got, []string{"FAT"}) {
		t.Errorf("a key: got %q, %v", got, err)
	}
	if _, err := recognise(faulty{}, size); !errors.Is(err, syscall.EIO) {
		t.Errorf("a disk that cannot be read: got %v", err)
	}
}

// faulty is a disk that cannot be read.
type faulty struct{}

func (faulty) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// TestPools wants members of mounted pools to be refused with force, whatever
// mountinfo names.
func TestPools(t *testing.T) {
	t.Parallel()
	s := machine(t)
	mounted(t, s, "22 1 0:30 / / rw,relatime shared:1 - btrfs /dev/sda1 rw\n")
	member := filepath.Join(s.Sys, "fs/btrfs/0b1c/devices/sdc")
	if err := os.MkdirAll(member, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := s.Inspect(device(s, "sdc"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Allow(1<<20, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "sdc is a part of the btrfs 0b1c") {
		t.Errorf("btrfs: got %v", err)
	}
	if err := os.Remove(member); err != nil {
		t.Fatal(err)
	}
	// ZFS is not to be seen but by opening the disk.
	s.open = func(string, int, os.FileMode) (*os.File, error) {
		return nil, &os.PathError{Op: "open", Path: "sdc", Err: syscall.EBUSY}
	}
	mounted(t, s, "22 1 0:30 / / rw,relatime shared:1 - zfs rpool/ROOT/debian rw\n")
	if d, err = s.Inspect(device(s, "sdc")); err != nil {
		t.Fatal(err)
	}
	if err := d.Allow(1<<20, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "the kernel says that it is taken") {
		t.Errorf("ZFS: got %v", err)
	}
	for _, point := range []string{"/", "/home", "/srv", "/srv/www", "/opt", "/usr/local", "/var/lib/x"} {
		mounted(t, s, "30 22 8:17 / "+point+" rw - ext4 /dev/sdb1 rw\n")
		if d, err = s.Inspect(device(s, "sdb")); err != nil {
			t.Fatal(err)
		}
		if err := d.Allow(1<<20, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "it holds "+point) {
			t.Errorf("%s: got %v", point, err)
		}
	}
	if isNeeded("/homely") || isNeeded("/media/home") {
		t.Error("a mount point is taken for another")
	}
}
