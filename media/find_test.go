package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stick makes a stick as a person would, with mformat and mcopy; names are copied
// in their order, setup.bin with file.
func stick(t *testing.T, flags []string, file []byte, names ...string) string {
	t.Helper()
	mformat, mcopy := peer(t, "mformat"), peer(t, "mcopy")
	size := 40 << 20
	if slices.Contains(flags, "1440") {
		size = 1440 << 10
	}
	img := put(t, make([]byte, size))
	run(t, mformat, append(append([]string{"-i", img}, flags...), "::")...)
	for _, n := range names {
		src := filepath.Join(t.TempDir(), filepath.Base(n))
		b := []byte("something else")
		if strings.EqualFold(n, "setup.bin") {
			b = file
		}
		if err := os.WriteFile(src, b, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, mcopy, "-i", img, src, "::"+n)
	}
	return img
}

// TestFoundOnOthersSticks finds the file on sticks that mtools made.
func TestFoundOnOthersSticks(t *testing.T) {
	t.Parallel()
	file := content(t, 9)
	fat16 := []string{"-t", "80", "-h", "16", "-s", "63", "-c", "4"}
	fat32 := []string{"-t", "80", "-h", "16", "-s", "63", "-c", "1", "-F"}
	for _, tt := range []struct {
		name  string
		flags []string
		names []string
		rules string
	}{
		{"FAT16", fat16, []string{"setup.bin"}, ""},
		{"a label and lower case", append(fat16, "-v", "STAGING"), []string{"Setup.bin"}, ""},
		{"more files", fat16, []string{"setup.bin", "Read me, please.txt", "b.txt"}, "media-only"},
		{"not the first", fat16, []string{"a.txt", "setup.bin"}, "media-first"},
		{"FAT32", fat32, []string{"setup.bin"}, "media-fat32"},
		{"clusters of 16 KiB", []string{"-t", "80", "-h", "16", "-s", "63", "-c", "8"}, []string{"setup.bin"}, ""},
	} {
		f, err := Open(stick(t, tt.flags, file, tt.names...), false)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, file) || f.Found().Others != len(tt.names)-1 {
			t.Errorf("%s: %d bytes, %v, found %+v", tt.name, len(got), err, f.Found())
		}
		var rules []string
		for _, x := range f.Findings() {
			rules = append(rules, x.Rule)
		}
		if strings.Join(rules, " ") != tt.rules {
			t.Errorf("%s: findings %v, want %s", tt.name, rules, tt.rules)
		}
		_ = f.Close()
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	fat16 := []string{"-t", "80", "-h", "16", "-s", "63", "-c", "4"}
	if f, err := Open(stick(t, fat16, nil, "other.bin"), false); !errors.Is(err, ErrNoFile) {
		t.Errorf("no setup.bin: got %v, %v", f, err)
	}
	if f, err := Open(stick(t, fat16, nil, "setup.bin"), false); !errors.Is(err, ErrNoFile) || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty setup.bin: got %v, %v", f, err)
	}
	floppy := []string{"-f", "1440"}
	if f, err := Open(stick(t, floppy, content(t, 1), "setup.bin"), false); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "FAT12") {
		t.Errorf("floppy: got %v, %v", f, err)
	}
}

// TestFragmented wants a file in two pieces to be refused, with the place.
func TestFragmented(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {FAT: FAT32}} {
		file := content(t, 20)
		b := image(t, o, file)
		i, _ := New(o, int64(len(file)))
		table := b[(i.start+i.reserved())*sector:]
		at := i.firstCluster() + 1
		if o.FAT == FAT32 {
			binary.LittleEndian.PutUint32(table[4*at:], 99)
		} else {
			binary.LittleEndian.PutUint16(table[2*at:], 99)
		}
		_, err := Find(bytes.NewReader(b), int64(len(b)))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Rule, "in one piece") || e.Offset != (i.start+i.reserved())*sector+at*(int64(i.o.FAT)/8) {
			t.Errorf("%v: got %v", i, err)
		}
	}
}

func TestFindFaults(t *testing.T) {
	t.Parallel()
	good, bare := image(t, Options{}, content(t, 9)), image(t, Options{NoMBR: true}, content(t, 9))
	wide := image(t, Options{FAT: FAT32, NoMBR: true}, content(t, 9))
	patch := func(b []byte, at int, v ...byte) []byte {
		b = slices.Clone(b)
		copy(b[at:], v)
		return b
	}
	const boot = 1 << 20
	root := int(bytes.Index(good, []byte(shortName)))
	for _, tt := range []struct {
		name string
		b    []byte
		want error
		text string
	}{
		{"empty", nil, ErrNoImage, ""},
		{"zeros", make([]byte, 4096), ErrNoImage, ""},
		{"an MBR with no partition", patch(good, 446+4, 0), ErrNoImage, ""},
		{"NTFS", patch(good, 446+4, 7), ErrNoImage, ""},
		{"GPT", patch(good, 446+4, 0xee), ErrImage, "GPT"},
		{"FAT12 partition", patch(good, 446+4, 1), ErrImage, "FAT12"},
		{"partition beyond the end", patch(good, 446+8, 0, 0, 0, 1), ErrImage, "offset 454 (0x1c6)"},
		{"no file system in the partition", patch(good, boot, 0), ErrImage, "offset 1048576"},
		{"cut", good[:boot+4096], ErrImage, "the file system should end within"},
		{"volume beyond its partition", patch(good, 446+12, 9, 0, 0, 0), ErrImage, "the file system should end within its partition"},
		{"cluster of 3 sectors", patch(bare, 13, 3), ErrImage, "power of 2"},
		{"no reserved sectors", patch(bare, 14, 0), ErrImage, "where the file allocation table is"},
		{"short table", patch(bare, 22, 2), ErrImage, "an entry for each"},
		{"no room", patch(bare, 19, 1, 0), ErrImage, "room for files"},
		{"file beyond the end", patch(good, root+28, 0xff, 0xff, 0xff, 0x7f), ErrImage, "within the file system"},
		{"file at cluster 0", patch(good, root+26, 0, 0), ErrImage, "not at cluster 0"},
		{"deleted", patch(good, root, 0xe5), ErrNoFile, ""},
		{"a folder", patch(good, root+11, 0x10), ErrNoFile, ""},
		{"chain to nowhere", patch(good, boot+512+4, 0xf0, 0xff), ErrImage, "should not lead to cluster"},
		{"root folder nowhere", patch(wide, 44, 1), ErrImage, "not at 1"},
	} {
		_, err := Find(bytes.NewReader(tt.b), int64(len(tt.b)))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
		}
	}
}

// TestEndlessRoot wants a root folder that leads back to itself to end.
func TestEndlessRoot(t *testing.T) {
	t.Parallel()
	b := image(t, Options{FAT: FAT32, NoMBR: true}, content(t, 1))
	root := bytes.Index(b, []byte(shortName))
	for at := root; at < root+512; at += dirEntry {
		copy(b[at:], fmt.Sprintf("FILE%04d   ", at%1000))
		b[at+11] = 0x20
	}
	binary.LittleEndian.PutUint32(b[32*sector+4*2:], 2)
	if _, err := Find(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "at most 4096 clusters") {
		t.Errorf("got %v", err)
	}
}

// FuzzFind gives Find the head of an image, with zeros behind it, and wants what
// it finds to lie within the image.
func FuzzFind(f *testing.F) {
	small := content(f, 2)
	for _, o := range []Options{{NoMBR: true}, {FAT: FAT32, NoMBR: true}, {}} {
		b := image(f, o, small)
		i, err := New(o, int64(len(small)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:sector], int64(i.start*sector), b[i.start*sector:][:sector], (i.data()-i.rootSectors())*sector, b[(i.data()-i.rootSectors())*sector:][:dirEntry])
	}
	f.Fuzz(func(t *testing.T, mbr []byte, at int64, boot []byte, rootAt int64, root []byte) {
		const size = 34 << 20
		r := sparse{{0, mbr}, {at, boot}, {rootAt, root}}
		found, err := Find(r, size)
		if err != nil {
			return
		}
		if found.Offset < sector || found.Size < 1 || found.Offset+found.Size > size || found.Start+found.Volume > size {
			t.Fatalf("found %+v in %d bytes", found, size)
		}
	})
}

// sparse is 34 MiB of zeros and a few pieces.
type sparse []struct {
	at int64
	b  []byte
}

func (s sparse) ReadAt(b []byte, at int64) (int, error) {
	const size = 34 << 20
	if at < 0 || at >= size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), size-at))
	clear(b[:n])
	for _, p := range s {
		for i, c := range p.b {
			if k := p.at + int64(i) - at; k >= 0 && k < int64(n) {
				b[k] = c
			}
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
