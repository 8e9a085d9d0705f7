package media

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Errors of disks.
var (
	// ErrDisk is returned for what cannot be written to as a disk: a file, a
	// partition, a disk without a medium.
	ErrDisk = errors.New("unfit disk")
	// ErrInUse is returned for a disk that the system works on; nothing overrules
	// it.
	ErrInUse = errors.New("the system uses this disk")
	// ErrMounted is returned for a disk that is mounted; nothing overrules it but
	// unmounting.
	ErrMounted = errors.New("it is mounted")
	// ErrForce is returned for a disk that is not removable.
	ErrForce = errors.New("not without force")
	// ErrChanged is returned when a path names another disk than it did.
	ErrChanged = errors.New("it became another disk meanwhile")
)

// System is where facts about disks come from. Its zero value is this machine's
// Linux; tests set all fields.
type System struct {
	Sys    string // "" is /sys
	Proc   string // "" is /proc
	Number func(fi os.FileInfo) (major, minor uint32, err error)

	open func(name string, flag int, perm os.FileMode) (*os.File, error)
}

// Disk is what is known about a disk.
type Disk struct {
	Path      string // of the device file, without symbolic links
	Name      string // the kernel's: sdb
	Model     string // vendor and model; may be empty
	Serial    string // may be empty
	Bus       string // "usb", or empty
	Size      int64  // in bytes
	Sequence  uint64 // the kernel's, another one for each disk and medium; 0 before Linux 5.15
	Removable bool
	ReadOnly  bool
	Mounts    []string // where it and its partitions are mounted
	InUse     []string // what else works on it, or which mount the system needs
	Holds     []string // the file systems and volumes that are recognised on it

	system       System
	major, minor uint32
	parts        []part
}

// part is a disk, or a partition.
type part struct {
	name, number string // sdb1 and 8:17
	start, size  int64  // on the disk, in bytes
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
	if d.Serial != "" {
		model += ", serial " + d.Serial
	}
	return fmt.Sprintf("%s: %s, %.1f GB, %s", d.Path, model, float64(d.Size)/1e9, kind)
}

// Title names the disk for a question: its path and what is printed on it.
func (d *Disk) Title() string {
	switch {
	case d.Serial != "":
		return fmt.Sprintf("%s (%s)", d.Path, strings.TrimSpace(d.Model+" serial "+d.Serial))
	case d.Model != "":
		return fmt.Sprintf("%s (%s)", d.Path, d.Model)
	}
	return d.Path
}

// Inspect tells what disk a path such as /dev/sdb names, and reads what it holds.
// Symbolic links are followed here, once. A partition is ErrDisk, which names its
// disk.
func (s System) Inspect(path string) (*Disk, error) {
	s = s.orReal()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(path) // before opening it: opening does something to some devices
	if err != nil {
		return nil, err
	}
	d, dir, err := s.identify(path, fi)
	if err != nil {
		return nil, err
	}
	if err := s.uses(d, dir); err != nil {
		return nil, err
	}
	f, err := s.open(path, os.O_RDONLY|os.O_EXCL, 0)
	switch {
	case errors.Is(err, syscall.EBUSY):
		d.claimed()
		return d, nil
	case errors.Is(err, errNoMedium):
		return d, nil
	case err != nil:
		return nil, fmt.Errorf("looking at the disk: %w", err)
	}
	defer func() { _ = f.Close() }()
	return d, d.scan(f)
}

// claimed notes that the kernel does not give the disk to anyone else.
func (d *Disk) claimed() {
	if len(d.Mounts)+len(d.InUse) == 0 {
		d.InUse = append(d.InUse, "the kernel says that it is taken: by a mount that is not seen from here, as a container's, or by a pool of disks, as of ZFS or btrfs")
	}
}

// identify tells which disk it is, by the number of its device file.
func (s System) identify(path string, fi os.FileInfo) (d *Disk, dir string, err error) {
	d = &Disk{Path: path, system: s}
	if d.major, d.minor, err = s.Number(fi); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	dir, err = filepath.EvalSymlinks(filepath.Join(s.Sys, "dev", "block", fmt.Sprintf("%d:%d", d.major, d.minor)))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: the system does not know it: %w", path, ErrDisk, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return nil, "", fmt.Errorf("%s: %w: it is a partition: name its disk, %s", path, ErrDisk, filepath.Join(filepath.Dir(path), filepath.Base(filepath.Dir(dir))))
	}
	d.Name = filepath.Base(dir)
	sectors, err := strconv.ParseInt(attr(dir, "size"), 10, 54)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: its size is not known", path, ErrDisk)
	}
	d.Size = sectors * sector
	d.Removable, d.ReadOnly = attr(dir, "removable") == "1", attr(dir, "ro") == "1"
	d.Model = strings.TrimSpace(attr(dir, "device", "vendor") + " " + attr(dir, "device", "model"))
	d.Serial = serial(dir)
	d.Sequence, _ = strconv.ParseUint(attr(dir, "diskseq"), 10, 64) // older systems have none
	if strings.Contains(dir, "/usb") {
		d.Bus = "usb"
	}
	return d, dir, nil
}

// serial is what tells one disk from another of its model: of the disk itself, of
// the USB device that it is behind, or its world wide name.
func serial(dir string) string {
	for _, name := range []string{"device/serial", "serial"} {
		if s := attr(dir, name); s != "" {
			return s
		}
	}
	for up := filepath.Dir(dir); up != filepath.Dir(up); up = filepath.Dir(up) {
		if attr(up, "idVendor") != "" { // a USB device
			if s := attr(up, "serial"); s != "" {
				return s
			}
			break
		}
	}
	for _, name := range []string{"device/wwid", "wwid", "device/cid"} {
		if s := attr(dir, name); s != "" {
			return s
		}
	}
	return ""
}

// same compares with what the disk was; ErrChanged names the difference.
func (d *Disk) same(was *Disk) error {
	for _, x := range []struct{ what, was, is string }{
		{"number", fmt.Sprintf("%d:%d", was.major, was.minor), fmt.Sprintf("%d:%d", d.major, d.minor)},
		{"name", was.Name, d.Name},
		{"model", was.Model, d.Model},
		{"serial number", was.Serial, d.Serial},
		{"size", fmt.Sprint(was.Size), fmt.Sprint(d.Size)},
		{"sequence number", fmt.Sprint(was.Sequence), fmt.Sprint(d.Sequence)},
		{"kind", fmt.Sprintf("removable %v", was.Removable), fmt.Sprintf("removable %v", d.Removable)},
		{"content", strings.Join(was.Holds, ", "), strings.Join(d.Holds, ", ")},
	} {
		if x.was != x.is {
			return fmt.Errorf("%s: %w: its %s was %q and is %q", d.Path, ErrChanged, x.what, x.was, x.is)
		}
	}
	return nil
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
	if s.open == nil {
		s.open = os.OpenFile
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

// Allow says whether an image of so many bytes may overwrite the disk: ErrDisk,
// ErrInUse, ErrMounted, and ErrForce, which alone force overrules.
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
	case len(d.Mounts) > 0:
		return fmt.Errorf("%s: %w on %s", d.Path, ErrMounted, strings.Join(d.Mounts, ", "))
	case !d.Removable && !force && len(d.Holds) > 0:
		return fmt.Errorf("%s: %w: it is not removable, and holds %s", d.Path, ErrForce, strings.Join(d.Holds, ", "))
	case !d.Removable && !force:
		return fmt.Errorf("%s: %w: it is not removable", d.Path, ErrForce)
	}
	return nil
}
