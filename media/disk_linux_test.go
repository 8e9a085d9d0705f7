package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// loopDisk is a real disk of the kernel, made of a file of 40 MiB, that is taken
// apart at the end of the test. It is not removable.
func loopDisk(t *testing.T) (device string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making a loop device needs root")
	}
	for _, name := range []string{"losetup", "mkfs.ext4", "mount", "unshare"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is needed for a disk to try: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, bytes.Repeat([]byte{0xa5}, 40<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", "--partscan", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device is to be had: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return device
}

// shell runs a command to its end.
func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// whole reads all of a disk.
func whole(t *testing.T, device string) []byte {
	t.Helper()
	b, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// burnt inspects a disk and burns with force; Burn is tried even where Allow says
// no, as it may not rely on its caller.
func burnt(t *testing.T, device string, inspected func(*Disk)) error {
	t.Helper()
	d, err := System{}.Inspect(device)
	if err != nil {
		t.Fatal(err)
	}
	file := content(t, 5)
	i, err := New(Options{Size: MinSize}, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	inspected(d)
	return d.Burn(i, bytes.NewReader(file), true)
}

// TestLoopBurn burns a real disk, by a symbolic link.
func TestLoopBurn(t *testing.T) {
	device := loopDisk(t)
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	err := burnt(t, link, func(d *Disk) {
		if d.Path != device || d.Size != 40<<20 || d.Removable || len(d.InUse)+len(d.Mounts)+len(d.Holds) != 0 {
			t.Errorf("inspected %+v", d)
		}
		if err := d.Allow(MinSize, false); !errors.Is(err, ErrForce) {
			t.Errorf("without force: got %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(device, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content(t, 5)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestLoopMounted wants a mounted disk to be refused with force and to stay as it
// is: the whole disk, a partition of it, and both in another mount namespace only.
func TestLoopMounted(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		for _, parted := range []bool{false, true} {
			t.Run(fmt.Sprintf("hidden %v, partition %v", hidden, parted), func(t *testing.T) { tryMounted(t, hidden, parted) })
		}
	}
}

func tryMounted(t *testing.T, hidden, parted bool) {
	device := loopDisk(t)
	volume := device
	if parted {
		volume = onePartition(t, device)
	}
	shell(t, "mkfs.ext4", "-q", "-F", volume)
	want, busy := ErrMounted, ErrMounted
	if hidden {
		want, busy = ErrInUse, ErrInUse
		mountElsewhere(t, volume)
	} else {
		point := t.TempDir()
		shell(t, "mount", "-o", "ro,noload", volume, point)
		t.Cleanup(func() { shell2(t, "umount", point) })
	}
	before := whole(t, device)
	d, err := System{}.Inspect(device)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Allow(MinSize, true); !errors.Is(err, want) {
		t.Errorf("allowed: got %v, %+v", err, d)
	}
	// Open says the same of a disk whose setup.bin would be overwritten.
	if _, err := Open(device, true); !errors.Is(err, ErrInUse) {
		t.Errorf("open: got %v", err)
	}
	if err := burnt(t, device, func(*Disk) {}); !errors.Is(err, busy) && !errors.Is(err, ErrInUse) {
		t.Errorf("burn: got %v", err)
	}
	if !bytes.Equal(whole(t, device), before) {
		t.Error("the disk was written to")
	}
}

// shell2 runs a command in a cleanup, when the test's context is over.
func shell2(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %q: %v: %s", name, args, err, out)
	}
}

// onePartition writes a table with one partition, and waits for its device.
func onePartition(t *testing.T, device string) string {
	t.Helper()
	mbr := make([]byte, sector)
	copy(mbr[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0})
	mbr[510], mbr[511] = 0x55, 0xaa
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	_ = f.Sync()
	reread(f)
	_ = f.Close()
	if _, err := os.Stat(device + "p1"); err != nil { // a kernel that does not read such tables
		_ = exec.CommandContext(t.Context(), "partx", "--add", device).Run()
	}
	for range 50 {
		if _, err := os.Stat(device + "p1"); err == nil {
			return device + "p1"
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Skip("the system makes no device files for partitions")
	return ""
}

// mountElsewhere mounts a volume in a mount namespace of its own until the test's
// end.
func mountElsewhere(t *testing.T, volume string) {
	t.Helper()
	c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", `mount -o ro,noload "$0" "$1" && echo mounted && read end`, volume, t.TempDir())
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skipf("no mount namespace is to be had: %v", err)
	}
	t.Cleanup(func() { _, _ = in.Close(), c.Wait() })
	b := make([]byte, 8)
	if n, err := io.ReadFull(out, b); err != nil {
		t.Skipf("mounting in another namespace: %q, %v", b[:n], err)
	}
}

// TestLoopTaken takes a disk between inspecting and burning.
func TestLoopTaken(t *testing.T) {
	device := loopDisk(t)
	var f *os.File
	err := burnt(t, device, func(*Disk) {
		var err error
		if f, err = os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0); err != nil {
			t.Fatal(err)
		}
	})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "since it was looked at") {
		t.Errorf("got %v", err)
	}
	_ = f.Close()
	if b := whole(t, device); !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, len(b))) {
		t.Error("the disk was written to")
	}
}

// TestLoopChanged puts another medium of the same size into the device meanwhile,
// and another device behind the path: nothing but the kernel's numbers tell.
func TestLoopChanged(t *testing.T) {
	device, other := loopDisk(t), loopDisk(t)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.Symlink(device, path); err != nil {
		t.Fatal(err)
	}
	if err := burnt(t, path, func(d *Disk) {
		_ = os.Remove(path)
		if err := os.Symlink(other, path); err != nil || d.Path != device {
			t.Errorf("%v, %s", err, d.Path)
		}
	}); err != nil {
		t.Errorf("the link was followed at inspecting: got %v", err)
	}
	if b := whole(t, other); !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, len(b))) {
		t.Error("the other disk was written to")
	}
	err := burnt(t, device, func(d *Disk) { d.Path = other })
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "its number was") {
		t.Errorf("another device: got %v", err)
	}
	err = burnt(t, other, func(d *Disk) {
		if d.Sequence == 0 {
			t.Skip("this kernel has no sequence numbers of disks")
		}
		file := filepath.Join(t.TempDir(), "medium")
		if err := os.WriteFile(file, bytes.Repeat([]byte{0xa5}, 40<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		shell(t, "losetup", "--detach", other)
		shell(t, "losetup", other, file)
	})
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "sequence number") {
		t.Errorf("another medium: got %v", err)
	}
	if b := whole(t, other); !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, len(b))) {
		t.Error("the other disk was written to")
	}
}

// TestLoopHolds reads what real programs made, on the disk and on a partition.
func TestLoopHolds(t *testing.T) {
	device := loopDisk(t)
	volume := onePartition(t, device)
	for program, want := range map[string]string{"mkfs.ext4 -q -F": "ext", "mkswap": "swap", "mkfs.vfat -F 16": "FAT", "mkfs.btrfs -q -f": "btrfs"} {
		args := strings.Fields(program)
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("%s is not here", args[0])
			continue
		}
		zero, err := os.OpenFile(volume, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := zero.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		_ = zero.Close()
		shell(t, args[0], append(args[1:], volume)...)
		d, err := System{}.Inspect(device)
		if err != nil {
			t.Fatal(err)
		}
		if line := want + " (" + filepath.Base(volume) + ")"; !slices.Contains(d.Holds, line) {
			t.Errorf("%s: got %q", program, d.Holds)
		}
		if err := d.Allow(MinSize, false); !errors.Is(err, ErrForce) || !strings.Contains(err.Error(), "holds "+want) {
			t.Errorf("%s: got %v", program, err)
		}
	}
}
