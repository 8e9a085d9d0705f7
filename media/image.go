package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// FAT is a kind of file system.
type FAT uint8

// The kinds that firmware reads.
const (
	FAT16 FAT = 16
	FAT32 FAT = 32
)

// String is FAT16 or FAT32.
func (f FAT) String() string {
	if f == FAT16 || f == FAT32 {
		return fmt.Sprintf("FAT%d", uint8(f))
	}
	return fmt.Sprintf("unknown file system (%d)", uint8(f))
}

// Sizes of images, in bytes.
const (
	sector = 512
	// DefaultSize is the size of a FAT16 image.
	DefaultSize = 32 << 20
	// DefaultSize32 is the size of a FAT32 image, which has more than 65,524
	// clusters.
	DefaultSize32 = 64 << 20
	// MinSize is the least: HP wants more than 16 MB.
	MinSize = 17 << 20
	// MinSize32 is the least of a FAT32 image.
	MinSize32 = 34 << 20
	// MaxSize is the most: what vendors call 2 GB.
	MaxSize = 2000 << 20
	// EasySize is what all vendors' advice covers.
	EasySize = 512 << 20
)

// ErrSize is returned for a size that no firmware, or no such file system, takes.
var ErrSize = errors.New("unfit size")

// Options say what image to make. The zero value is a FAT16 image of 32 MiB with
// one partition.
type Options struct {
	Size   int64     // in bytes, of the whole image; 0: the default
	FAT    FAT       // 0: FAT16
	NoMBR  bool      // the file system begins at sector 0, without a partition table
	Serial uint32    // of the volume and the disk; should differ from others
	Time   time.Time // of the file; 1980 to 2107
}

// Image is a disk image that can be written.
type Image struct {
	o       Options
	file    int64 // bytes of setup.bin
	start   int64 // of the volume, in sectors
	volume  int64 // sectors
	cluster int64 // sectors
	fat     int64 // sectors of one file allocation table
	count   int64 // clusters
}

const (
	partitionStart = 2048
	rootEntries    = 512
	dirEntry       = 32
	fats           = 2
)

// New plans an image for a setup.bin of so many bytes. What does not fit is
// ErrSize.
func New(o Options, file int64) (*Image, error) {
	i := &Image{o: o, file: file}
	if o.FAT == 0 {
		i.o.FAT = FAT16
	}
	least := int64(MinSize)
	if i.o.FAT == FAT32 {
		least = MinSize32
	}
	switch {
	case i.o.FAT != FAT16 && i.o.FAT != FAT32:
		return nil, fmt.Errorf("making an image: %v: want FAT16 or FAT32", i.o.FAT)
	case o.Size == 0 && i.o.FAT == FAT32:
		i.o.Size = DefaultSize32
	case o.Size == 0:
		i.o.Size = DefaultSize
	}
	if i.o.Size < least || i.o.Size > MaxSize || i.o.Size%sector != 0 {
		return nil, fmt.Errorf("making an image: %w: %d bytes, want %d to %d MiB for %v, in sectors of 512", ErrSize, i.o.Size, least>>20, MaxSize>>20, i.o.FAT)
	}
	if !o.NoMBR {
		i.start = partitionStart
	}
	i.volume = i.o.Size/sector - i.start
	if err := i.plan(); err != nil {
		return nil, err
	}
	if free := (i.count - i.firstCluster() + 2) * i.cluster * sector; file < 1 || file > free {
		return nil, fmt.Errorf("making an image: %w: a setup.bin of %d bytes does not fit the %d bytes of this image: choose a larger size", ErrSize, file, free)
	}
	return i, nil
}

// margin is kept from the limits of cluster counts, as Microsoft advises: old
// code is off by a few.
const margin = 16

// plan chooses the cluster size and computes the tables.
func (i *Image) plan() error {
	low, high, entry := int64(4085), int64(65525), int64(2)
	i.cluster = clusterOf16(i.volume)
	if i.o.FAT == FAT32 {
		low, high, entry = 65525, 1<<28-16, 4
		i.cluster = clusterOf32(i.volume)
	}
	for ; i.cluster <= 64; i.cluster *= 2 {
		i.fat = 1
		for i.layOut(); (i.count+2)*entry > i.fat*sector; i.layOut() {
			i.fat++
		}
		if i.count+margin < high {
			break
		}
	}
	if i.count < low+margin || i.count+margin >= high {
		return fmt.Errorf("making an image: %w: %d bytes give %d clusters, which is no %v", ErrSize, i.o.Size, i.count, i.o.FAT)
	}
	return nil
}

func (i *Image) layOut() { i.count = (i.volume - (i.data() - i.start)) / i.cluster }

// clusterOf16 and clusterOf32 are Microsoft's tables, in sectors.
func clusterOf16(volume int64) int64 {
	for size := int64(2); size < 64; size *= 2 {
		if volume <= map[int64]int64{2: 32680, 4: 262144, 8: 524288, 16: 1048576, 32: 2097152}[size] {
			return size
		}
	}
	return 64
}

func clusterOf32(volume int64) int64 {
	if volume <= 532480 {
		return 1
	}
	return 8
}

func (i *Image) reserved() int64 {
	if i.o.FAT == FAT32 {
		return 32
	}
	return 1
}

func (i *Image) rootSectors() int64 {
	if i.o.FAT == FAT32 {
		return 0
	}
	return rootEntries * dirEntry / sector
}

// data is the sector of cluster 2.
func (i *Image) data() int64 { return i.start + i.reserved() + fats*i.fat + i.rootSectors() }

// firstCluster is setup.bin's.
func (i *Image) firstCluster() int64 {
	if i.o.FAT == FAT32 {
		return 3
	}
	return 2
}

// Size is the size of the whole image in bytes.
func (i *Image) Size() int64 { return i.o.Size }

// Offset is where setup.bin begins in the image, in bytes.
func (i *Image) Offset() int64 { return (i.data() + (i.firstCluster()-2)*i.cluster) * sector }

// String is one line for people.
func (i *Image) String() string {
	table := "an MBR with one partition"
	if i.o.NoMBR {
		table = "no partition table"
	}
	return fmt.Sprintf("%v, %d MiB, %s", i.o.FAT, i.o.Size>>20, table)
}

// Write writes the image, Size bytes, with the setup.bin that content gives. It
// fails when content has another length than New was told.
func (i *Image) Write(w io.Writer, content io.Reader) error {
	if _, err := w.Write(i.head()); err != nil {
		return fmt.Errorf("writing an image: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(content, i.file))
	if err != nil {
		return fmt.Errorf("writing an image: %w", err)
	}
	if more, _ := content.Read(make([]byte, 1)); n != i.file || more > 0 {
		return fmt.Errorf("writing an image: the setup.bin has not the %d bytes that it had at first", i.file)
	}
	zeros := make([]byte, 1<<20)
	for left := i.o.Size - i.Offset() - i.file; left > 0; {
		k, err := w.Write(zeros[:min(left, int64(len(zeros)))])
		if err != nil {
			return fmt.Errorf("writing an image: %w", err)
		}
		left -= int64(k)
	}
	return nil
}

// head is all that stands before the file.
func (i *Image) head() []byte {
	b := make([]byte, i.Offset())
	if i.start > 0 {
		i.putMBR(b)
	}
	v := b[i.start*sector:]
	i.putBoot(v)
	table := v[i.reserved()*sector:]
	i.putTable(table)
	copy(table[i.fat*sector:], table[:i.fat*sector])
	root := b[i.data()*sector-i.rootSectors()*sector:]
	i.putEntry(root)
	return b
}

// putTable fills one file allocation table: two entries that name the medium,
// FAT32's root folder, and the chain of the file.
func (i *Image) putTable(b []byte) {
	put, end := func(n int64, v uint32) { binary.LittleEndian.PutUint16(b[2*n:], uint16(v)) }, uint32(0xffff)
	if i.o.FAT == FAT32 {
		put, end = func(n int64, v uint32) { binary.LittleEndian.PutUint32(b[4*n:], v) }, 0x0fffffff
		put(2, end)
	}
	put(0, end&^0xff|0xf8)
	put(1, end)
	first := i.firstCluster()
	last := first + i.clusters() - 1
	for n := first; n < last; n++ {
		put(n, uint32(n+1))
	}
	put(last, end)
}

// clusters is how many the file takes.
func (i *Image) clusters() int64 {
	return (i.file + i.cluster*sector - 1) / (i.cluster * sector)
}

// putEntry fills the first entry of the root folder.
func (i *Image) putEntry(b []byte) {
	le := binary.LittleEndian
	copy(b, shortName)
	b[11] = 0x20 // archive
	t := i.o.Time
	if y := t.Year(); y < 1980 || y > 2107 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	clock := uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	day := uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	le.PutUint16(b[14:], clock) // made
	le.PutUint16(b[16:], day)
	le.PutUint16(b[18:], day)   // read
	le.PutUint16(b[22:], clock) // written
	le.PutUint16(b[24:], day)
	le.PutUint16(b[26:], uint16(i.firstCluster()))
	le.PutUint32(b[28:], uint32(i.file))
}

// shortName is the file's name in a folder.
const shortName = "SETUP   BIN"
