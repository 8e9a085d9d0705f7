package media

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Errors of disks.
var (
	// ErrDisk is returned for what cannot be written to as a disk: a file, a
	// partition, a disk without a medium.
	ErrDisk = errors.New("unfit disk")
	// ErrInUse is returned for a disk that the system works on; nothing overrules
	// it.
	ErrInUse = errors.New("the system uses this disk")
	// ErrForce is returned for a disk that is not removable or mounted.
	ErrForce = errors.New("not without force")
)

// System is where facts about disks come from. Its zero value is this machine's
// Linux; tests set all fields.
type System struct {
	Sys    string // "" is /sys
	Proc   string // "" is /proc
	Number func(path string) (major, minor uint32, err error)
}

// Disk is what is known about a disk.
type Disk struct {
	Path      string // as it was named
	Name      string // the kernel's: sdb
	Model     string // vendor and model; may be empty
	Bus       string // "usb", or empty
	Size      int64  // in bytes
	Removable bool
	ReadOnly  bool
	Mounts    []string // where its partitions are mounted
	InUse     []string // what else works on it, or which mount the system needs

	parts map[string]string // major:minor to name, of the disk and its partitions
}

// String is one line for people.
func (d *Disk) String() string {
	kind := "not removable"
	if d.Removable {
		kind = "removable"
	}
	if d.Bus != "" {
		kind += ", " + strings.ToUpper(d.Bus)
	}
	model := d.Model
	if model == "" {
		model = "unknown model"
	}
	return fmt.Sprintf("%s: %s, %.1f GB, %s", d.Path, model, float64(d.Size)/1e9, kind)
}

// Inspect tells what disk a path such as /dev/sdb names. A partition is ErrDisk,
// which names its disk.
func (s System) Inspect(path string) (*Disk, error) {
	s = s.orReal()
	major, minor, err := s.Number(path)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(s.Sys, "dev", "block", fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: the system does not know it: %w", path, ErrDisk, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return nil, fmt.Errorf("%s: %w: it is a partition: name its disk, %s", path, ErrDisk, filepath.Join(filepath.Dir(path), filepath.Base(filepath.Dir(dir))))
	}
	d := &Disk{Path: path, Name: filepath.Base(dir), parts: map[string]string{}}
	sectors, err := strconv.ParseInt(attr(dir, "size"), 10, 54)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: its size is not known", path, ErrDisk)
	}
	d.Size = sectors * sector
	d.Removable, d.ReadOnly = attr(dir, "removable") == "1", attr(dir, "ro") == "1"
	d.Model = strings.TrimSpace(attr(dir, "device", "vendor") + " " + attr(dir, "device", "model"))
	if strings.Contains(dir, "/usb") {
		d.Bus = "usb"
	}
	d.holders(dir)
	if err := s.mounts(d); err != nil {
		return nil, err
	}
	return d, s.swaps(d)
}

func (s System) orReal() System {
	if s.Sys == "" {
		s.Sys = "/sys"
	}
	if s.Proc == "" {
		s.Proc = "/proc"
	}
	if s.Number == nil {
		s.Number = deviceNumber
	}
	return s
}

// attr reads a file of a few characters; "" when it is not there.
func attr(dir string, name ...string) string {
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, name...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
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
		name := filepath.Base(p)
		d.parts[attr(p, "dev")] = name
		list, _ := os.ReadDir(filepath.Join(p, "holders"))
		for _, h := range list {
			d.InUse = append(d.InUse, name+" is a part of "+h.Name())
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
		if p == name {
			return true
		}
	}
	return false
}

// needed are the mount points without which the system does not go on.
var needed = []string{"/", "/boot", "/boot/efi", "/usr", "/var", "/etc"}

// mounts reads mountinfo: the third field is the device's number, the fifth the
// mount point, the one behind " - " and a type the device's name.
func (s System) mounts(d *Disk) error {
	b, err := os.ReadFile(filepath.Join(s.Proc, "self", "mountinfo"))
	if err != nil {
		return fmt.Errorf("reading what is mounted: %w", err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		_, by := d.parts[f[2]]
		if _, tail, ok := strings.Cut(line, " - "); ok && !by {
			if t := strings.Fields(tail); len(t) > 1 {
				by = d.owns(t[1])
			}
		}
		if !by {
			continue
		}
		point := unescape(f[4])
		d.Mounts = append(d.Mounts, point)
		if slices.Contains(needed, point) {
			d.InUse = append(d.InUse, "it holds "+point)
		}
	}
	return nil
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

// Allow says whether an image of so many bytes may overwrite the disk: ErrDisk,
// ErrInUse, and unless force is given ErrForce.
func (d *Disk) Allow(size int64, force bool) error {
	switch {
	case d.Size == 0:
		return fmt.Errorf("%s: %w: there is no medium in it", d.Path, ErrDisk)
	case d.ReadOnly:
		return fmt.Errorf("%s: %w: it is write-protected", d.Path, ErrDisk)
	case d.Size < size:
		return fmt.Errorf("%s: %w: it has %d bytes, the image has %d", d.Path, ErrDisk, d.Size, size)
	case len(d.InUse) > 0:
		return fmt.Errorf("%s: %w: %s", d.Path, ErrInUse, strings.Join(d.InUse, "; "))
	case !d.Removable && !force:
		return fmt.Errorf("%s: %w: it is not removable", d.Path, ErrForce)
	case len(d.Mounts) > 0 && !force:
		return fmt.Errorf("%s: %w: it is mounted on %s", d.Path, ErrForce, strings.Join(d.Mounts, ", "))
	}
	return nil
}
