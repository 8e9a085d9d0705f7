package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/media"
)

// keyMachine is a machine whose disk sdb is a USB key of 64 MiB: a file, with a
// made-up system around it. more adds files to the system.
func keyMachine(t *testing.T, more map[string]string) (disks media.System, device string) {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"sys/devices/usb1/block/sdb/dev": "8:16", "sys/devices/usb1/block/sdb/size": "131072", "sys/devices/usb1/block/sdb/removable": "1",
		"sys/devices/usb1/block/sdb/ro": "0", "sys/devices/usb1/block/sdb/device/model": "Stick 64", "proc/self/mountinfo": "", "proc/swaps": "",
	}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sys/dev/block"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../devices/usb1/block/sdb", filepath.Join(root, "sys/dev/block/8:16")); err != nil {
		t.Fatal(err)
	}
	device = filepath.Join(root, "sdb")
	if err := os.WriteFile(device, bytes.Repeat([]byte{0xa5}, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return media.System{Sys: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Number: func(fi os.FileInfo) (uint32, uint32, error) {
		if fi.Name() != "sdb" {
			return 0, 0, fmt.Errorf("%w: not sdb", media.ErrDisk)
		}
		return 8, 16, nil
	}}, device
}

// scsctlWith runs scsctl in this process, on a machine's disks.
func scsctlWith(t *testing.T, disks media.System, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: os.Getenv, disks: disks}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

const twoRecords = "../../setupbin/testdata/v2.bin"

// TestDevice shows the key, asks, and writes what --out would.
func TestDevice(t *testing.T) {
	t.Parallel()
	disks, device := keyMachine(t, nil)
	stdout, stderr, err := scsctlWith(t, disks, "sdb\n", "usb", "image", twoRecords, "--device", device)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr, "Stick 64, 0.1 GB, removable, USB") || !strings.Contains(stderr, "type sdb to go on: ") {
		t.Errorf("it says %q", stderr)
	}
	if !strings.HasPrefix(stdout, "2 records written to "+device) {
		t.Errorf("it says %q", stdout)
	}
	want, err := os.ReadFile(twoRecords)
	if err != nil {
		t.Fatal(err)
	}
	f, err := media.Open(device, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("setup.bin on the key has %d bytes, %v", len(got), err)
	}
	fi, err := os.Stat(device)
	if err != nil || fi.Size() != 64<<20 {
		t.Errorf("the disk has %v bytes now, %v", fi.Size(), err)
	}
}

// TestDeviceRefused wants every byte of the disk as it was.
func TestDeviceRefused(t *testing.T) {
	t.Parallel()
	const sdb = "sys/devices/usb1/block/sdb/"
	for _, tt := range []struct {
		name  string
		more  map[string]string
		stdin string
		args  []string
		want  error
		text  string
	}{
		{"another answer", nil, "yes\n", nil, nil, "the answer was not sdb"},
		{"no answer", nil, "", nil, nil, "the answer was not sdb"},
		{"fixed", map[string]string{sdb + "removable": "0"}, "sdb\n", nil, media.ErrForce, "not removable"},
		{"mounted", map[string]string{"proc/self/mountinfo": "30 22 8:16 / /mnt rw - vfat /dev/sdb rw"}, "sdb\n", nil, media.ErrMounted, "mounted on /mnt"},
		{"mounted, with force", map[string]string{"proc/self/mountinfo": "30 22 8:16 / /mnt rw - vfat /dev/sdb rw"}, "sdb\n", []string{"--force", "--yes"}, media.ErrMounted, "mounted on /mnt"},
		{"a member of btrfs", map[string]string{"sys/fs/btrfs/0b1c/devices/sdb/x": ""}, "sdb\n", []string{"--force", "--yes"}, media.ErrInUse, "a part of the btrfs 0b1c"},
		{"behind a loop device", map[string]string{"sys/block/loop3/loop/backing_file": "/dev/sdb"}, "sdb\n", []string{"--force", "--yes"}, media.ErrInUse, "behind loop3"},
		{"/home", map[string]string{"proc/self/mountinfo": "30 22 8:16 / /home rw - ext4 /dev/sdb rw"}, "sdb\n", []string{"--force", "--yes"}, media.ErrInUse, "it holds /home"},
		{"the system's", map[string]string{"proc/self/mountinfo": "30 22 8:16 / / rw - ext4 /dev/sdb rw"}, "sdb\n", []string{"--force", "--yes"}, media.ErrInUse, "it holds /"},
		{"swapped to", map[string]string{"proc/swaps": "/dev/sdb partition 9 0 -2"}, "", []string{"--force", "--yes"}, media.ErrInUse, "swaps"},
		{"held", map[string]string{sdb + "holders/dm-0/x": ""}, "", []string{"--force", "--yes"}, media.ErrInUse, "a part of dm-0"},
		{"write-protected", map[string]string{sdb + "ro": "1"}, "", []string{"--force", "--yes"}, media.ErrDisk, "write-protected"},
		{"too small", map[string]string{sdb + "size": "1000"}, "", []string{"--yes"}, media.ErrDisk, "512000 bytes"},
		{"partition", map[string]string{sdb + "partition": "1"}, "", []string{"--yes"}, media.ErrDisk, "name its disk"},
	} {
		disks, device := keyMachine(t, tt.more)
		stdout, _, err := scsctlWith(t, disks, tt.stdin, append([]string{"usb", "image", twoRecords, "--device", device}, tt.args...)...)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || stdout != "" {
			t.Errorf("%s: got %v and %q, want %q", tt.name, err, stdout, tt.text)
		}
		if f := explain(err); f.hint == "" || f.code != exitFailed {
			t.Errorf("%s: status %d, hint %q", tt.name, f.code, f.hint)
		}
		if b, err := os.ReadFile(device); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, 64<<20)) {
			t.Errorf("%s: the disk was written to (%v)", tt.name, err)
		}
	}
}

// TestDeviceForced names what is on a disk that is not removable, and overwrites
// it with force alone.
func TestDeviceForced(t *testing.T) {
	t.Parallel()
	disks, device := keyMachine(t, map[string]string{"sys/devices/usb1/block/sdb/removable": "0", "sys/devices/usb1/block/sdb/device/serial": "S-1"})
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("_BHRfS_M"), 0x10040); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_, _, err = scsctlWith(t, disks, "sdb\n", "usb", "image", twoRecords, "--device", device)
	if !errors.Is(err, media.ErrForce) || !strings.Contains(err.Error(), "it is not removable, and holds btrfs (sdb)") {
		t.Errorf("without force: got %v", err)
	}
	_, stderr, err := scsctlWith(t, disks, "sdb\n", "usb", "image", twoRecords, "--device", device, "--force")
	if err != nil || !strings.Contains(stderr, "warning: it holds btrfs (sdb)\n") || !strings.Contains(stderr, "all that is on "+device+" (Stick 64 serial S-1) will be lost; ") {
		t.Errorf("got %v, %q", err, stderr)
	}
	if f, err := media.Open(device, false); err != nil || f.Size() != 1536 {
		t.Errorf("got %v", err)
	}
}

// TestDeviceSwapped pulls the key out, and another disk in, while it asks.
func TestDeviceSwapped(t *testing.T) {
	t.Parallel()
	for file, text := range map[string]string{"device/model": "Other disk", "device/serial": "S-2", "diskseq": "8", "size": "131071", "removable": "0"} {
		disks, device := keyMachine(t, map[string]string{"sys/devices/usb1/block/sdb/device/serial": "S-1", "sys/devices/usb1/block/sdb/diskseq": "7"})
		calls, number := 0, disks.Number
		disks.Number = func(fi os.FileInfo) (uint32, uint32, error) {
			if calls++; calls == 2 {
				if err := os.WriteFile(filepath.Join(disks.Sys, "devices/usb1/block/sdb", file), []byte(text), 0o600); err != nil {
					return 0, 0, err
				}
			}
			return number(fi)
		}
		_, _, err := scsctlWith(t, disks, "sdb\n", "usb", "image", twoRecords, "--device", device, "--force")
		if !errors.Is(err, media.ErrChanged) || explain(err).hint != "look at it again" {
			t.Errorf("%s: got %v", file, err)
		}
		if b, err := os.ReadFile(device); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, 64<<20)) {
			t.Errorf("%s: the disk was written to (%v)", file, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"": 0, "512": 512, "4K": 4096, "32M": 32 << 20, "32MiB": 32 << 20, "1G": 1 << 30} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q: got %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"M", "-1M", "0", "1.5M", "32m", "99999999999G"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: got %d", s, got)
		}
	}
}

func TestFileVersion(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"2": "1", "2.6": "1", "3.0": "2", "3.2.1": "2", "4.0": "2.1", "5.2": "2.1", "6.0": "3", "6.2": "3", "7.0": "4", "11.8.50": "4", "16": "4",
	} {
		if got, err := fileVersion(release); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v, want %s", release, got, err, want)
		}
	}
	for _, release := range []string{"", "1.9", "x", "-3", "6.x", "100"} {
		if got, err := fileVersion(release); err == nil {
			t.Errorf("%q: got %v", release, got)
		}
	}
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		out  string
		i, n int
		want string
	}{
		{"setup.bin", 1, 1, "setup.bin"}, {"setup.bin", 1, 2, "setup-1.bin"}, {"a.b/setup", 3, 12, "a.b/setup-03"}, {"k/setup.bin", 100, 100, "k/setup-100.bin"},
	} {
		if got := numbered(tt.out, tt.i, tt.n); got != tt.want {
			t.Errorf("%s, %d of %d: got %s, want %s", tt.out, tt.i, tt.n, got, tt.want)
		}
	}
}
