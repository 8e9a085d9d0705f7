package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/setupbin"
)

// lies are images in which something else claims the clusters of setup.bin, or
// whose tables say that they are nobody's.
func lies(t *testing.T) map[string][]byte {
	t.Helper()
	file := content(t, 20)
	all := map[string][]byte{}
	lie := func(name string, o Options, do func(b, table []byte, root int, i *Image)) {
		b := image(t, o, file)
		i, err := New(o, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		do(b, b[(i.start+i.reserved())*sector:], bytes.Index(b, []byte(shortName)), i)
		all[name] = b
	}
	le := binary.LittleEndian
	narrow, wide := Options{NoMBR: true}, Options{FAT: FAT32, NoMBR: true}
	lie("the last cluster is free", narrow, func(_, table []byte, _ int, i *Image) {
		le.PutUint16(table[2*(1+(i.file+2047)/2048):], 0)
	})
	lie("another chain leads to its begin", narrow, func(_, table []byte, _ int, _ *Image) { le.PutUint16(table[2*400:], 2) })
	lie("another chain leads to its middle", narrow, func(_, table []byte, _ int, _ *Image) { le.PutUint16(table[2*400:], 4) })
	lie("its chain is a ring", narrow, func(_, table []byte, _ int, i *Image) {
		le.PutUint16(table[2*(1+(i.file+2047)/2048):], 2)
	})
	lie("another file begins there", narrow, func(b, _ []byte, root int, _ *Image) {
		e := slices.Clone(b[root:][:dirEntry])
		copy(e, "LETTER  TXT")
		copy(b[root+dirEntry:], e)
	})
	lie("the tables differ", narrow, func(_, table []byte, _ int, i *Image) { le.PutUint16(table[i.fat*sector+4:], 0xfff8) })
	lie("it is the root folder", wide, func(b, table []byte, root int, _ *Image) {
		le.PutUint32(table[4*2:], 3)
		le.PutUint16(b[root+26:], 2)
	})
	lie("the second table is the active one", wide, func(b, _ []byte, _ int, _ *Image) { b[40] = 0x81 })
	lie("another partition overlaps", Options{}, func(b, _ []byte, _ int, _ *Image) {
		copy(b[462:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0})
	})
	return all
}

// TestLies wants nothing to be written to such images.
func TestLies(t *testing.T) {
	t.Parallel()
	for what, b := range lies(t) {
		name := put(t, b)
		if _, err := Consume(name); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "offset ") {
			t.Errorf("%s: got %v", what, err)
		}
		if f, err := Open(name, true); !errors.Is(err, ErrImage) {
			t.Errorf("%s: opened: %v, %v", what, f, err)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, b) {
			t.Errorf("%s: the image was written to (%v)", what, err)
		}
	}
}

// claims reads an image by other means than Find: which bytes are those of the
// clusters that the chain of the first SETUP.BIN in the root folder names, and that
// no other entry of the table or the root folder claims. It takes the geometry of
// the boot sector at start.
func claims(b []byte, start int64) []bool {
	own := make([]bool, len(b))
	le := binary.LittleEndian
	boot := b[start:]
	ss, spc, rsv, nf := int64(le.Uint16(boot[11:])), int64(boot[13]), int64(le.Uint16(boot[14:])), int64(boot[16])
	ents, fl, width := int64(le.Uint16(boot[17:])), int64(le.Uint16(boot[22:])), int64(2)
	if fl == 0 {
		fl, width, ents = int64(le.Uint32(boot[36:])), 4, 0
	}
	table := start + rsv*ss
	root := table + nf*fl*ss
	data := root + (ents*32+ss-1)/ss*ss
	if width == 4 {
		root, ents = data+(int64(le.Uint32(boot[44:]))-2)*spc*ss, spc*ss/32 // its first cluster alone
	}
	entry := func(n int64) int64 {
		if width == 2 {
			return int64(le.Uint16(b[table+2*n:]))
		}
		return int64(le.Uint32(b[table+4*n:]) & 0x0fffffff)
	}
	count := map[int64]int{} // how often a cluster is claimed
	total := int64(le.Uint16(boot[19:]))
	if total == 0 {
		total = int64(le.Uint32(boot[32:]))
	}
	clusters := (start + total*ss - data) / (spc * ss)
	for n := int64(2); n < clusters+2; n++ { // what is behind in the table is of no cluster
		count[entry(n)]++
	}
	first := int64(0)
	for k := int64(0); k < ents && b[root+32*k] != 0; k++ {
		e := b[root+32*k:][:32]
		at := int64(le.Uint16(e[26:]))
		if width == 4 {
			at |= int64(le.Uint16(e[20:])) << 16
		}
		if e[0] == 0xe5 || e[11]&8 != 0 {
			continue
		}
		count[at]++
		if first == 0 && string(e[:11]) == shortName && e[11]&0x10 == 0 {
			first = at
		}
	}
	for n := first; n >= 2 && n < clusters+2 && count[n] == 1 && entry(n) >= 2; n = entry(n) {
		at := data + (n-2)*spc*ss
		if at < data || at+spc*ss > int64(len(b)) {
			break
		}
		for k := range spc * ss {
			own[at+k] = true
		}
	}
	return own
}

// shrunk is an image with clusters of a sector, and no more of them than it takes,
// so that many are tried.
func shrunk(t testing.TB, o Options, file []byte) []byte {
	t.Helper()
	b := image(t, o, file)
	i, err := New(o, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	boot := b[i.start*sector:]
	boot[13] = 1
	last := (int64(len(file))+sector-1)/sector + 1
	for copies := range int64(fats) {
		table := b[(i.start+i.reserved()+copies*i.fat)*sector:]
		for n := int64(2); n <= last && o.FAT != FAT32; n++ { // FAT32 has such clusters already
			le.PutUint16(table[2*n:], uint16(n+1))
			if n == last {
				le.PutUint16(table[2*n:], 0xffff)
			}
		}
	}
	total := i.data() - i.start + 4100
	le.PutUint16(boot[19:], 0)
	le.PutUint32(boot[32:], uint32(total))
	b = b[:(i.start+total)*sector]
	if !o.NoMBR {
		le.PutUint32(b[446+12:], uint32(total))
	}
	name := put(t, b)
	if _, err := Consume(name); err != nil {
		t.Fatalf("the image to begin with: %v", err)
	}
	inPlace(t, name, b, "consuming")
	return b
}

// FuzzInPlace damages an image anywhere (table, folder, boot sector, setup.bin),
// consumes a record and wipes, and wants every byte to be as it was that is not in
// a cluster which is setup.bin's by its chain, and its alone.
func FuzzInPlace(f *testing.F) {
	var images [][]byte
	file := content(f, 20)
	for n, o := range []Options{{NoMBR: true, Size: MinSize}, {FAT: FAT32, NoMBR: true, Size: MinSize32}, {Size: MinSize}} {
		images = append(images, shrunk(f, o, file))
		i, err := New(o, int64(len(file)))
		if err != nil {
			f.Fatal(err)
		}
		table, root := uint32((i.start+i.reserved())*sector), uint32(bytes.Index(images[n], []byte(shortName)))
		f.Add(uint8(n), uint32(0), []byte{}, uint32(0), []byte{})
		f.Add(uint8(n), table+4, []byte{9, 0}, table+8, []byte{9, 0})       // fragments
		f.Add(uint8(n), table+200, []byte{3, 0, 0, 0}, table+8, []byte{4})  // a cross-link
		f.Add(uint8(n), root+26, []byte{0, 0}, root+28, []byte{0, 8, 0, 0}) // cluster 0
		f.Add(uint8(n), root+26, []byte{200}, root+28, []byte{0, 2, 0, 0})  // a free cluster
		f.Add(uint8(n), uint32(i.start*sector)+11, []byte{0, 4}, root+28, []byte{255, 255, 255, 255})
		f.Add(uint8(n), uint32(i.Offset())+20, []byte{255, 255, 255}, uint32(i.Offset())+512, []byte{1, 2, 3})
	}
	name := put(f, nil)
	f.Fuzz(func(t *testing.T, which uint8, at1 uint32, lie1 []byte, at2 uint32, lie2 []byte) {
		b := slices.Clone(images[int(which)%len(images)])
		copy(b[int(at1)%len(b):], lie1)
		copy(b[int(at2)%len(b):], lie2)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Consume(name)
		inPlace(t, name, b, "consuming")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(name, true); err == nil {
			if f.Alone() {
				t.Skip("the fuzzer made a setup.bin of it") // it may be cut
			}
			_, _ = f.Wipe()
			_ = f.Close()
		}
		inPlace(t, name, b, "wiping")
	})
}

// inPlace compares with what the image was.
func inPlace(t testing.TB, name string, before []byte, what string) {
	t.Helper()
	after, err := os.ReadFile(name)
	if err != nil || len(after) != len(before) {
		t.Fatalf("%s: %d bytes of %d, %v", what, len(after), len(before), err)
	}
	if bytes.Equal(after, before) {
		return
	}
	v, err := open(bytes.NewReader(before), int64(len(before)))
	if err != nil {
		t.Fatalf("%s: what is no image was written to: %v", what, err)
	}
	own := claims(before, v.found.Start)
	for i := range after {
		if after[i] != before[i] && !own[i] {
			t.Fatalf("%s: offset %d was written to, which is not setup.bin's", what, i)
		}
	}
}

// TestInPlaceSeesWrites wants the check of FuzzInPlace to know a bad write, and
// good ones.
func TestInPlaceSeesWrites(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {FAT: FAT32, NoMBR: true}} {
		file := content(t, 20)
		b := image(t, o, file)
		i, err := New(o, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		own, n := claims(b, i.start*sector), 0
		for _, yes := range own {
			if yes {
				n++
			}
		}
		if !own[i.Offset()] || !own[i.Offset()+i.file-1] || own[i.Offset()-1] || n < len(file) || n > len(file)+4096 {
			t.Errorf("%v: %d bytes are setup.bin's, of %d", i, n, len(file))
		}
		name := put(t, b)
		if _, err := Consume(name); err != nil {
			t.Error(err)
		}
		inPlace(t, name, b, "consuming")
		f, err := Open(name, false)
		if err != nil {
			t.Fatal(err)
		}
		if rd, err := setupbin.NewReader(io.NewSectionReader(f, 0, f.Size())); err != nil || rd.Header().Consumed != 1 {
			t.Errorf("%v: it was not consumed: %v", i, err)
		}
		_ = f.Close()
	}
}
