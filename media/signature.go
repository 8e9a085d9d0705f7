package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// signature is what tells a kind of file system or volume; at is an offset in
// bytes, from the end when it is negative.
type signature struct {
	name  string
	at    int64
	magic string
}

// signatures are those of the formats' own documents and headers, as Linux'
// include/uapi/linux/magic.h, raid/md_p.h and btrfs_tree.h; md's minor version 0.90
// and 1.0 and ZFS' labels are looked for by rules.
var signatures = []signature{
	{"LUKS", 0, "LUKS\xba\xbe"},
	{"LUKS", 0x4000, "SKUL\xba\xbe"},
	{"BitLocker", 3, "-FVE-FS-"},
	{"Linux RAID", 0, "\xfc\x4e\x2b\xa9"},
	{"Linux RAID", 4096, "\xfc\x4e\x2b\xa9"},
	{"Intel RAID", -1024, "Intel Raid ISM Cfg Sig. "},
	{"DDF RAID", -512, "\xde\x11\xde\x11"},
	{"LVM", 0, "LABELONE"},
	{"LVM", 512, "LABELONE"},
	{"LVM", 1024, "LABELONE"},
	{"LVM", 1536, "LABELONE"},
	{"bcache", 4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"Ceph", 0, "bluestore block device"},
	{"btrfs", 0x10040, "_BHRfS_M"},
	{"ext", 0x438, "\x53\xef"},
	{"XFS", 0, "XFSB"},
	{"F2FS", 1024, "\x10\x20\xf5\xf2"},
	{"JFS", 0x8000, "JFS1"},
	{"ReiserFS", 0x10034, "ReIsEr"},
	{"squashfs", 0, "hsqs"},
	{"NTFS", 3, "NTFS    "},
	{"exFAT", 3, "EXFAT   "},
	{"APFS", 32, "NXSB"},
	{"HFS+", 1024, "H+\x00\x04"},
	{"HFS+", 1024, "HX\x00\x05"},
	{"ISO 9660", 0x8001, "CD001"},
	{"swap", 4096 - 10, "SWAPSPACE2"},
	{"swap", 16384 - 10, "SWAPSPACE2"},
	{"swap", 65536 - 10, "SWAPSPACE2"},
}

// scan reads what the disk and its partitions hold.
func (d *Disk) scan(r io.ReaderAt) error {
	d.Holds = nil
	for n, p := range d.parts {
		if n == 0 {
			p.start, p.size = 0, d.Size
		}
		if p.start < 0 || p.size <= 0 || p.start+p.size > d.Size {
			continue
		}
		names, err := recognise(io.NewSectionReader(r, p.start, p.size), p.size)
		if err != nil {
			return fmt.Errorf("looking at what %s holds: %w", p.name, err)
		}
		for _, name := range names {
			d.Holds = append(d.Holds, name+" ("+p.name+")")
		}
	}
	return nil
}

// recognise names what is on a disk or partition, each name once. What is shorter
// than a format's place for its signature does not have it.
func recognise(r io.ReaderAt, size int64) ([]string, error) {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range signatures {
		at := s.at
		if at < 0 {
			at += size
		}
		b, err := piece(r, at, len(s.magic), size)
		if err != nil {
			return nil, err
		}
		if string(b) == s.magic {
			add(s.name)
		}
	}
	for name, found := range map[string]func(io.ReaderAt, int64) (bool, error){"ZFS": isZFS, "Linux RAID": isEndRAID, "FAT": isFAT} {
		yes, err := found(r, size)
		if err != nil {
			return nil, err
		}
		if yes {
			add(name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// piece reads n bytes at an offset; nil when they are not there.
func piece(r io.ReaderAt, at int64, n int, size int64) ([]byte, error) {
	if at < 0 || at+int64(n) > size {
		return nil, nil
	}
	b := make([]byte, n)
	if k, err := r.ReadAt(b, at); k < n && !errors.Is(err, io.EOF) {
		return nil, err
	} else if k < n {
		return nil, nil
	}
	return b, nil
}

// isZFS looks for an uberblock in the four labels, two at the begin and two at the
// end (ZFS On-Disk Specification, 1.3): from 128 KiB on in each of 256 KiB.
func isZFS(r io.ReaderAt, size int64) (bool, error) {
	const label, ring = 256 << 10, 128 << 10
	end := size / label * label
	for _, at := range []int64{0, label, end - 2*label, end - label} {
		b, err := piece(r, at+ring, label-ring, size)
		if err != nil {
			return false, err
		}
		for ; len(b) >= 8; b = b[min(1024, len(b)):] {
			if binary.LittleEndian.Uint64(b) == 0xbab10c || binary.BigEndian.Uint64(b) == 0xbab10c {
				return true, nil
			}
		}
	}
	return false, nil
}

// isEndRAID looks for superblocks of md at the end: 1.0, and 0.90, which has the
// byte order of its machine.
func isEndRAID(r io.ReaderAt, size int64) (bool, error) {
	const magic = 0xa92b4efc
	for _, at := range []int64{(size/sector - 16) &^ 7 * sector, size&^0xffff - 0x10000} {
		b, err := piece(r, at, 4, size)
		if err != nil {
			return false, err
		}
		if b != nil && (binary.LittleEndian.Uint32(b) == magic || binary.BigEndian.Uint32(b) == magic) {
			return true, nil
		}
	}
	return false, nil
}

func isFAT(r io.ReaderAt, size int64) (bool, error) {
	b, err := piece(r, 0, sector, size)
	return err == nil && b != nil && bytes.HasSuffix(b, []byte{0x55, 0xaa}) && isBoot(b), err
}
