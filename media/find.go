package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors of images.
var (
	// ErrNoImage is returned for what is no disk image with a FAT file system.
	ErrNoImage = errors.New("no disk image with a FAT file system")
	// ErrImage is returned for an image that is damaged or of a kind that firmware
	// does not read.
	ErrImage = errors.New("unfit disk image")
	// ErrNoFile is returned when the root folder has no setup.bin.
	ErrNoFile = errors.New("no setup.bin in the root folder")
)

// Error says where an image breaks a rule.
type Error struct {
	Offset int64  // in the image, in bytes
	Rule   string // what should be there
	Err    error  // ErrImage
}

// Error names offset and rule.
func (e *Error) Error() string {
	return fmt.Sprintf("%v: offset %d (0x%x): %s", e.Err, e.Offset, e.Offset, e.Rule)
}

// Unwrap gives the sentinel.
func (e *Error) Unwrap() error { return e.Err }

func broken(offset int64, rule string, args ...any) error {
	return &Error{Offset: offset, Rule: fmt.Sprintf(rule, args...), Err: ErrImage}
}

// Found is a setup.bin in an image.
type Found struct {
	Offset, Size int64 // of the file in the image, in bytes
	FAT          FAT
	Start        int64 // of the volume in the image, in bytes; 0 without a partition table
	Volume       int64 // its length in bytes
	Cluster      int64 // bytes
	Before       int   // files and folders before it in the root folder
	Others       int   // all files and folders but it
}

// Find finds the setup.bin in the root folder of an image of size bytes, or of a
// whole disk: by the boot sector in sector 0, or by the first FAT partition of a
// partition table there. A file that is not contiguous is ErrImage, as firmware
// would read something else.
func Find(r io.ReaderAt, size int64) (*Found, error) {
	v, err := open(r, size)
	if err != nil {
		return nil, err
	}
	return v.find()
}

// open finds the file system.
func open(r io.ReaderAt, size int64) (*volume, error) {
	b := make([]byte, sector)
	if err := readAt(r, b, 0); err != nil {
		return nil, err
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil, ErrNoImage
	}
	start, limit := int64(0), size
	if !isBoot(b) {
		var err error
		if start, limit, err = partition(b, size); err != nil {
			return nil, err
		}
		if err := readAt(r, b, start); err != nil {
			return nil, err
		}
		if !isBoot(b) {
			return nil, broken(start, "the partition should begin with the boot sector of a FAT file system")
		}
	}
	v, err := parseBoot(b, start, limit)
	if err != nil {
		return nil, err
	}
	v.r = r
	return v, nil
}

// readAt reads all of b; an early end is ErrImage.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF) && at == 0:
		return ErrNoImage
	case errors.Is(err, io.EOF):
		return broken(at+int64(n), "the image should not end here")
	}
	return fmt.Errorf("reading an image: %w", err)
}

// isBoot tells a FAT boot sector from a partition table.
func isBoot(b []byte) bool {
	le := binary.LittleEndian
	jump := b[0] == 0xe9 || b[0] == 0xeb && b[2] == 0x90
	return jump && slices.Contains([]uint16{512, 1024, 2048, 4096}, le.Uint16(b[11:])) && b[13] != 0 && (b[16] == 1 || b[16] == 2)
}

// fatTypes are the types of partitions that hold FAT.
var fatTypes = []byte{0x04, 0x06, 0x0b, 0x0c, 0x0e}

// partition finds the first FAT partition of a table.
func partition(b []byte, size int64) (start, limit int64, err error) {
	le := binary.LittleEndian
	for at := 446; at < 510; at += 16 {
		e := b[at:]
		switch {
		case e[4] == 0xee:
			return 0, 0, broken(int64(at), "the disk has a GPT: firmware of this age wants an MBR")
		case e[4] == 0x01:
			return 0, 0, broken(int64(at), "the partition is FAT12: firmware wants FAT16 or FAT32")
		case e[0]&0x7f != 0:
			return 0, 0, ErrNoImage
		case !slices.Contains(fatTypes, e[4]):
			continue
		}
		start, count := int64(le.Uint32(e[8:]))*sector, int64(le.Uint32(e[12:]))*sector
		if start == 0 || start+sector > size {
			return 0, 0, broken(int64(at+8), "the partition should begin within the image")
		}
		return start, min(start+count, size), overlap(b, at)
	}
	return 0, 0, ErrNoImage
}

// overlap wants the partition whose entry is at an offset to have its sectors for
// itself.
func overlap(b []byte, at int) error {
	le := binary.LittleEndian
	first, count := int64(le.Uint32(b[at+8:])), int64(le.Uint32(b[at+12:]))
	for other := 446; other < 510; other += 16 {
		e := b[other:]
		from, n := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		if other != at && e[4] != 0 && n > 0 && from < first+count && first < from+n {
			return broken(int64(other+8), "no other partition should overlap the one with the FAT file system")
		}
	}
	return nil
}

// volume is a FAT file system; places are in bytes from the begin of the image.
type volume struct {
	r     io.ReaderAt
	found Found

	table, data int64 // of the first allocation table and of cluster 2
	root        int64 // FAT16: of the root folder; FAT32: its cluster
	entries     int64 // FAT16: of the root folder
	count       int64 // clusters
	tables      int64
	tableBytes  int64
	first, need int64 // of the file: its first cluster, and how many; set by find
	entry       int64 // of the file, in the root folder
}

func parseBoot(b []byte, start, limit int64) (*volume, error) {
	le := binary.LittleEndian
	bytes, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables := int64(le.Uint16(b[14:])), int64(b[16])
	entries, table := int64(le.Uint16(b[17:])), int64(le.Uint16(b[22:]))
	total := int64(le.Uint16(b[19:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	v := &volume{found: Found{FAT: FAT16, Start: start, Volume: total * bytes, Cluster: perCluster * bytes}, entries: entries}
	if table == 0 {
		v.found.FAT = FAT32
		table, v.root = int64(le.Uint32(b[36:])), int64(le.Uint32(b[44:]))
		entries = 0
	}
	rootBytes := (entries*dirEntry + bytes - 1) / bytes * bytes
	v.table, v.tables, v.tableBytes = start+reserved*bytes, tables, table*bytes
	v.data = v.table + tables*table*bytes + rootBytes
	v.count = (start + v.found.Volume - v.data) / v.found.Cluster
	switch {
	case perCluster&(perCluster-1) != 0:
		return nil, broken(start+13, "the sectors of a cluster should be a power of 2, not %d", perCluster)
	case reserved == 0 || table == 0:
		return nil, broken(start+14, "the boot sector should tell where the file allocation table is")
	case start+v.found.Volume > limit:
		return nil, broken(start+19, "the file system should end within its partition and the image: it has %d bytes, %d are there", v.found.Volume, limit-start)
	case v.count < 1:
		return nil, broken(start+19, "the file system should have room for files")
	case v.found.FAT == FAT16 && v.count < 4085:
		return nil, broken(start+19, "with %d clusters it is FAT12: firmware wants FAT16 or FAT32", v.count)
	case v.count > maxClusters[v.found.FAT]:
		return nil, broken(start+19, "%d clusters are more than %v has", v.count, v.found.FAT)
	case v.found.FAT == FAT32 && b[40]&0x80 != 0 && b[40]&0x0f != 0:
		return nil, broken(start+40, "the first file allocation table should be the active one")
	case table*bytes < (v.count+2)*v.entrySize():
		return nil, broken(start+22, "the file allocation table should have an entry for each of the %d clusters", v.count)
	}
	if v.found.FAT == FAT16 {
		v.root = v.data - rootBytes
	}
	return v, nil
}

// maxClusters is behind Microsoft's "FAT: General Overview of On-Disk Format".
var maxClusters = map[FAT]int64{FAT16: 65524, FAT32: 0x0ffffff5}

func (v *volume) entrySize() int64 {
	if v.found.FAT == FAT32 {
		return 4
	}
	return 2
}

// next is the cluster behind n; more is false at the end of the chain.
func (v *volume) next(n int64) (next int64, more bool, err error) {
	b := make([]byte, 4)
	at := v.table + n*v.entrySize()
	if err := readAt(v.r, b[:v.entrySize()], at); err != nil {
		return 0, false, err
	}
	next, end := int64(binary.LittleEndian.Uint32(b))&0x0fffffff, int64(0x0ffffff8)
	if v.found.FAT == FAT16 {
		end = 0xfff8
	}
	if next >= end {
		return 0, false, nil
	}
	if next < 2 || next >= v.count+2 {
		return 0, false, broken(at, "the chain of clusters should not lead to cluster %d", next)
	}
	return next, true, nil
}

func (v *volume) place(cluster int64) int64 { return v.data + (cluster-2)*v.found.Cluster }

// maxRootClusters bounds how much of a FAT32 root folder is read.
const maxRootClusters = 4096

// find reads the root folder.
func (v *volume) find() (*Found, error) {
	var file []byte
	search := func(at, size int64) (over bool, err error) {
		b := make([]byte, size)
		if err := readAt(v.r, b, at); err != nil {
			return true, err
		}
		for ; len(b) >= dirEntry; b, at = b[dirEntry:], at+dirEntry {
			switch e := b[:dirEntry]; {
			case e[0] == 0:
				return true, nil
			case e[0] == 0xe5 || e[11]&0x08 != 0: // deleted, a label, a part of a long name
			case string(e[:11]) == shortName && e[11]&0x10 == 0 && file == nil:
				file, v.entry = slices.Clone(e), at
				v.found.Before = v.found.Others
			default:
				v.found.Others++
			}
		}
		return false, nil
	}
	if err := v.eachRoot(search); err != nil {
		return nil, err
	}
	if file == nil {
		return nil, ErrNoFile
	}
	return v.extent(file)
}

// eachRoot hands the parts of the root folder to search until it is over.
func (v *volume) eachRoot(search func(at, size int64) (bool, error)) error {
	if v.found.FAT == FAT16 {
		_, err := search(v.root, v.entries*dirEntry)
		return err
	}
	if v.root < 2 || v.root >= v.count+2 {
		return broken(v.found.Start+44, "the root folder should be at a cluster of the file system, not at %d", v.root)
	}
	n, more := v.root, true
	for range maxRootClusters {
		over, err := search(v.place(n), v.found.Cluster)
		if err != nil || over {
			return err
		}
		if n, more, err = v.next(n); err != nil || !more {
			return err
		}
	}
	return broken(v.found.Start+44, "the root folder should have at most %d clusters", maxRootClusters)
}

// starts is the first cluster that an entry of a folder names.
func (v *volume) starts(e []byte) int64 {
	first := int64(binary.LittleEndian.Uint16(e[26:]))
	if v.found.FAT == FAT32 {
		first |= int64(binary.LittleEndian.Uint16(e[20:])) << 16
	}
	return first
}

// extent follows the chain of the file, which must not jump.
func (v *volume) extent(e []byte) (*Found, error) {
	first, size := v.starts(e), int64(binary.LittleEndian.Uint32(e[28:]))
	need := (size + v.found.Cluster - 1) / v.found.Cluster
	switch {
	case size == 0:
		return nil, fmt.Errorf("%w: it is there and empty", ErrNoFile)
	case first < 2 || first+need > v.count+2:
		return nil, broken(v.place(2), "setup.bin should lie within the file system, not at cluster %d with %d bytes", first, size)
	}
	for n := first; n < first+need-1; n++ {
		next, more, err := v.next(n)
		if err != nil {
			return nil, err
		}
		if !more || next != n+1 {
			return nil, broken(v.table+n*v.entrySize(), "setup.bin should be in one piece: copy it to an empty stick, or use scsctl usb image")
		}
	}
	v.first, v.need = first, need
	v.found.Offset, v.found.Size = v.place(first), size
	return &v.found, nil
}
