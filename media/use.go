package media

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// uses collects the disk's partitions and who works on them, as far as that can be
// seen in /sys and /proc. A pool of ZFS, and a mount of another mount namespace,
// cannot; they are found by opening the disk.
func (s System) uses(d *Disk, dir string) error {
	d.holders(dir)
	s.pools(d)
	s.loops(d)
	if err := s.mounts(d); err != nil {
		return err
	}
	return s.swaps(d)
}

// holders collects the disk and its partitions, and what is built on them.
func (d *Disk) holders(dir string) {
	dirs := []string{dir}
	children, _ := os.ReadDir(dir)
	for _, c := range children {
		if attr(dir, c.Name(), "partition") != "" {
			dirs = append(dirs, filepath.Join(dir, c.Name()))
		}
	}
	for _, p := range dirs {
		start, _ := strconv.ParseInt(attr(p, "start"), 10, 54) // a disk has none
		size, _ := strconv.ParseInt(attr(p, "size"), 10, 54)
		x := part{name: filepath.Base(p), number: attr(p, "dev"), start: start * sector, size: size * sector}
		d.parts = append(d.parts, x)
		list, _ := os.ReadDir(filepath.Join(p, "holders"))
		for _, h := range list {
			d.InUse = append(d.InUse, x.name+" is a part of "+h.Name())
		}
	}
}

// pools finds the disk among the members of mounted btrfs file systems, whose
// mounts name one member alone.
func (s System) pools(d *Disk) {
	for _, p := range d.parts {
		list, _ := filepath.Glob(filepath.Join(s.Sys, "fs", "btrfs", "*", "devices", p.name))
		for _, m := range list {
			d.InUse = append(d.InUse, p.name+" is a part of the btrfs "+filepath.Base(filepath.Dir(filepath.Dir(m))))
		}
	}
}

// loops finds loop devices that are made of the disk, which do not claim it.
func (s System) loops(d *Disk) {
	list, _ := filepath.Glob(filepath.Join(s.Sys, "block", "loop*", "loop", "backing_file"))
	for _, l := range list {
		if back := attr(l); d.owns(back) {
			d.InUse = append(d.InUse, filepath.Base(back)+" is behind "+filepath.Base(filepath.Dir(filepath.Dir(l))))
		}
	}
}

// owns reports whether a device file's path is that of the disk or a partition.
func (d *Disk) owns(path string) bool {
	name, ok := strings.CutPrefix(path, "/dev/")
	if !ok {
		return false
	}
	for _, p := range d.parts {
		if p.name == name {
			return true
		}
	}
	return false
}

// needed are the mount points that a person does not unmount to make a USB key;
// what is below them belongs to them.
var needed = []string{"/boot", "/efi", "/etc", "/home", "/nix", "/opt", "/root", "/srv", "/usr", "/var"}

func isNeeded(point string) bool {
	for _, n := range needed {
		if point == n || strings.HasPrefix(point, n+"/") {
			return true
		}
	}
	return point == "/"
}

// mounts reads mountinfo: the third field is the device's number, the fifth the
// mount point, the one behind " - " and a type the device's name.
func (s System) mounts(d *Disk) error {
	b, err := os.ReadFile(filepath.Join(s.Proc, "self", "mountinfo"))
	if err != nil {
		return fmt.Errorf("reading what is mounted: %w", err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 || !d.behind(line, f[2]) {
			continue
		}
		point := unescape(f[4])
		d.Mounts = append(d.Mounts, point)
		if isNeeded(point) {
			d.InUse = append(d.InUse, "it holds "+point)
		}
	}
	return nil
}

// behind reports whether a line of mountinfo is of the disk, by number or name.
func (d *Disk) behind(line, number string) bool {
	for _, p := range d.parts {
		if p.number == number {
			return true
		}
	}
	if _, tail, ok := strings.Cut(line, " - "); ok {
		if t := strings.Fields(tail); len(t) > 1 {
			return d.owns(unescape(t[1]))
		}
	}
	return false
}

// unescape replaces the octal escapes of mountinfo, as \040 for a space.
func unescape(s string) string {
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				sb.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		sb.WriteByte(s[i])
	}
	return sb.String()
}

func (s System) swaps(d *Disk) error {
	b, err := os.ReadFile(filepath.Join(s.Proc, "swaps"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what is swapped to: %w", err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 0 && d.owns(f[0]) {
			d.InUse = append(d.InUse, "the system swaps to "+f[0])
		}
	}
	return nil
}
