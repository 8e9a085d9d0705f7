package media

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is a system of files: sda, a fixed disk with the system, and sdb, a USB
// key with one partition.
func machine(t *testing.T) System {
	t.Helper()
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for dir, attrs := range map[string]map[string]string{
		"pci/ata1/block/sda":      {"dev": "8:0", "size": "1000000", "removable": "0", "ro": "0", "device/model": "Big SSD"},
		"pci/ata1/block/sda/sda1": {"dev": "8:1", "partition": "1", "size": "999"},
		"pci/ata1/block/sda/sda2": {"dev": "8:2", "partition": "2", "size": "999"},
		"pci/usb1/block/sdb":      {"dev": "8:16", "size": "131072", "removable": "1", "ro": "0", "device/vendor": "ACME ", "device/model": "Stick 64 "},
		"pci/usb1/block/sdb/sdb1": {"dev": "8:17", "partition": "1", "size": "999"},
		"pci/ata2/block/sdc":      {"dev": "8:32", "size": "131072", "removable": "0", "ro": "0"},
	} {
		for name, text := range attrs {
			write(filepath.Join("sys/devices", dir, name), text)
		}
		link := filepath.Join(root, "sys/dev/block", attrs["dev"])
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("../../devices", dir), link); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 22 0:21 / /proc rw - proc proc rw")
	write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 999 0 -2")
	numbers := map[string]uint32{"sda": 0, "sda1": 1, "sdb": 16, "sdb1": 17, "sdc": 32, "sdz": 99}
	for name := range numbers {
		write("dev/"+name, "")
	}
	for name, size := range map[string]int64{"sda": 512000000, "sdb": 64 << 20, "sdc": 64 << 20} {
		if err := os.Truncate(filepath.Join(root, "dev", name), size); err != nil {
			t.Fatal(err)
		}
	}
	return System{Sys: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Number: func(fi os.FileInfo) (uint32, uint32, error) {
		n, ok := numbers[fi.Name()]
		if !ok {
			return 0, 0, fmt.Errorf("%w: it is no disk", ErrDisk)
		}
		return 8, n, nil
	}}
}

// device is the path of a machine's device file.
func device(s System, name string) string { return filepath.Join(filepath.Dir(s.Sys), "dev", name) }

// mounted adds lines to the machine's mountinfo.
func mounted(t *testing.T, s System, lines string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Proc, "self/mountinfo"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	s := machine(t)
	d, err := s.Inspect(device(s, "sdb"))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.String(); got != d.Path+": ACME Stick 64, 0.1 GB, removable, USB" || d.Size != 64<<20 || len(d.Mounts)+len(d.InUse) != 0 {
		t.Errorf("got %s, %+v", got, d)
	}
	if err := d.Allow(DefaultSize, false); err != nil {
		t.Error(err)
	}
	if err := d.Allow(128<<20, true); !errors.Is(err, ErrDisk) {
		t.Errorf("too small: got %v", err)
	}
	if _, err := s.Inspect(device(s, "sdb1")); !errors.Is(err, ErrDisk) || !strings.Contains(err.Error(), "name its disk, "+device(s, "sdb")) {
		t.Errorf("partition: got %v", err)
	}
	if _, err := s.Inspect(device(s, "sdz")); !errors.Is(err, ErrDisk) {
		t.Errorf("unknown: got %v", err)
	}
	if _, err := s.Inspect(device(s, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not there: got %v", err)
	}
	if _, err := (System{}).Inspect(put(t, nil)); !errors.Is(err, ErrDisk) || !strings.Contains(err.Error(), "--out") {
		t.Errorf("a file: got %v", err)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	s := machine(t)
	inspect := func(path string) *Disk {
		t.Helper()
		d, err := s.Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	sda := inspect(device(s, "sda"))
	if err := sda.Allow(DefaultSize, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "it holds /") || !strings.Contains(err.Error(), "swaps to /dev/sda2") {
		t.Errorf("system disk: got %v", err)
	}
	sdc := inspect(device(s, "sdc"))
	if err := sdc.Allow(DefaultSize, false); !errors.Is(err, ErrForce) || !strings.Contains(err.Error(), "not removable") || sdc.Allow(DefaultSize, true) != nil {
		t.Errorf("fixed disk: got %v", err)
	}
	mounted(t, s, "30 22 8:17 / /media/my\\040key rw - vfat /dev/sdb1 rw\n31 22 0:40 / /data rw - btrfs /dev/sdc rw")
	sdb := inspect(device(s, "sdb"))
	if err := sdb.Allow(DefaultSize, false); !errors.Is(err, ErrMounted) || !strings.Contains(err.Error(), "mounted on /media/my key") || !errors.Is(sdb.Allow(DefaultSize, true), ErrMounted) {
		t.Errorf("mounted: got %v", err)
	}
	if d := inspect(device(s, "sdc")); !slices.Equal(d.Mounts, []string{"/data"}) {
		t.Errorf("btrfs: got %q", d.Mounts)
	}
	holder := filepath.Join(s.Sys, "devices/pci/usb1/block/sdb/sdb1/holders/dm-0")
	if err := os.MkdirAll(holder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := inspect(device(s, "sdb")).Allow(DefaultSize, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "sdb1 is a part of dm-0") {
		t.Errorf("held: got %v", err)
	}
	for _, d := range []Disk{{}, {Size: 1 << 30, ReadOnly: true, Removable: true}} {
		if err := d.Allow(DefaultSize, true); !errors.Is(err, ErrDisk) {
			t.Errorf("%+v: got %v", d, err)
		}
	}
}

// TestBurn writes to a file in the disk's place, over what was there.
func TestBurn(t *testing.T) {
	t.Parallel()
	s := machine(t)
	name := device(s, "sdb")
	old := bytes.Repeat([]byte{0xa5}, 64<<20)
	if err := os.WriteFile(name, old, 0o600); err != nil {
		t.Fatal(err)
	}
	file := content(t, 5)
	i, err := New(Options{Size: MinSize}, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Inspect(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Burn(i, bytes.NewReader(file), false); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || len(got) != len(old) || !bytes.Equal(got[:MinSize], image(t, Options{Size: MinSize}, file)) {
		t.Errorf("%d bytes, %v: not the image", len(got), err)
	}
	if end := got[len(got)-34*512:]; !bytes.Equal(end, make([]byte, 34*512)) || got[len(got)-34*512-1] != 0xa5 {
		t.Error("the end is not zeroed, or more than the end is")
	}
	if err := (&Disk{Path: filepath.Join(t.TempDir(), "none")}).Burn(i, bytes.NewReader(file), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no disk: got %v", err)
	}
}

func TestComparer(t *testing.T) {
	t.Parallel()
	c := &comparer{r: bytes.NewReader(make([]byte, 10))}
	if _, err := c.Write(make([]byte, 5)); err != nil {
		t.Error(err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), "offset 5") {
		t.Errorf("other bytes: got %v", err)
	}
	if _, err := c.Write(make([]byte, 9)); err == nil {
		t.Error("the end of the disk was taken")
	}
}
