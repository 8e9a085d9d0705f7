package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/setupbin"
)

// peer finds a program that the tests compare with. Without it they are skipped,
// or fail where all must be there.
func peer(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/sbin", "/usr/sbin") {
		if path := filepath.Join(dir, name); dir != "" {
			if fi, err := os.Stat(path); err == nil && fi.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	if os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed (Debian packages dosfstools and mtools)", name)
	return ""
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=0", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// content is a setup.bin of so many records.
func content(t testing.TB, records int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := setupbin.NewWriter(&b, setupbin.V2, 0, uint32(records))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		r := setupbin.NewRecord(setupbin.Entry{Module: 1, Variable: 1, Value: setupbin.Raw("admin")},
			setupbin.Entry{Module: 1, Variable: 2, Value: setupbin.Raw(fmt.Sprintf("P@ssw0rd%d", i))})
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func image(t testing.TB, o Options, file []byte) []byte {
	t.Helper()
	i, err := New(o, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := i.Write(&b, bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != i.Size() {
		t.Fatalf("%d bytes were written, want %d", b.Len(), i.Size())
	}
	return b.Bytes()
}

func put(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stick.img")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestPeersRead lets fsck.vfat and mtools read images of every kind, and Find.
func TestPeersRead(t *testing.T) {
	t.Parallel()
	tools := [3]string{peer(t, "fsck.vfat"), peer(t, "mdir"), peer(t, "mcopy")}
	for _, o := range []Options{
		{},
		{NoMBR: true},
		{Size: MinSize, Serial: 0x1234abcd},
		{Size: 33 << 20, NoMBR: true},
		{Size: 128 << 20},
		{FAT: FAT32},
		{FAT: FAT32, NoMBR: true, Serial: 0x1234abcd},
		{FAT: FAT32, Size: MinSize32},
	} {
		for _, records := range []int{0, 4, 1000} {
			o.Time = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)
			peersRead(t, tools, o, content(t, records))
		}
	}
}

func peersRead(t *testing.T, tools [3]string, o Options, file []byte) {
	t.Helper()
	b := image(t, o, file)
	i, err := New(o, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	name, drive := put(t, b), ""
	if !o.NoMBR {
		drive = "@@1M"
	}
	volume := name
	if drive != "" {
		volume = put(t, b[partitionStart*sector:])
	}
	bits := map[FAT]string{0: "16 bit entries", FAT32: "32 bit entries"}[o.FAT]
	out := run(t, tools[0], "-n", "-v", volume)
	if !strings.Contains(out, ": 1 files, ") || strings.Contains(out, "differences") || !strings.Contains(out, bits) {
		t.Errorf("%v, %d bytes: fsck.vfat says\n%s", i, len(file), out)
	}
	list := run(t, tools[1], "-i", name+drive, "-a", "::")
	if !strings.Contains(list, "SETUP    BIN") || !strings.Contains(list, "2026-03-04   5:06") || !strings.Contains(list, "1 file ") {
		t.Errorf("%v: mdir says\n%s", i, list)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	run(t, tools[2], "-i", name+drive, "::SETUP.BIN", copied)
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%v: mcopy gives other bytes (%v)", i, err)
	}
	found, err := Find(bytes.NewReader(b), int64(len(b)))
	if err != nil || found.Offset != i.Offset() || found.Size != int64(len(file)) || found.Before+found.Others != 0 {
		t.Errorf("%v: found %+v, %v", i, found, err)
	}
}

// TestEverySize plans images of many sizes, and wants the cluster counts that
// tell FAT16 from FAT32, tables that are long enough and no longer than needed.
func TestEverySize(t *testing.T) {
	t.Parallel()
	for _, kind := range []FAT{FAT16, FAT32} {
		for _, bare := range []bool{false, true} {
			for size := int64(MinSize); size <= MaxSize; size += 512 * 1023 {
				i, err := New(Options{Size: size, FAT: kind, NoMBR: bare}, 512)
				if kind == FAT32 && size < MinSize32 {
					if !errors.Is(err, ErrSize) {
						t.Errorf("FAT32 of %d bytes: got %v", size, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%v of %d bytes: %v", kind, size, err)
					continue
				}
				entry, low, high := int64(2), int64(4085), int64(65525)
				if kind == FAT32 {
					entry, low, high = 4, 65525, 1<<28
				}
				spare := i.fat*sector - (i.count+2)*entry
				if i.count < low || i.count >= high || spare < 0 || spare > 2*sector || i.data()+i.count*i.cluster > i.start+i.volume {
					t.Fatalf("%v of %d bytes: %+v, spare %d", kind, size, i, spare)
				}
			}
		}
	}
}

func TestRefusedSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    Options
		file int64
		text string
	}{
		{Options{Size: 16 << 20}, 512, "want 17 to 2000 MiB for FAT16"},
		{Options{Size: 2 << 30}, 512, "2147483648 bytes"},
		{Options{Size: 32<<20 + 1}, 512, "in sectors of 512"},
		{Options{Size: 33 << 20, FAT: FAT32}, 512, "want 34 to 2000 MiB for FAT32"},
		{Options{FAT: 12}, 512, "unknown file system (12): want FAT16 or FAT32"},
		{Options{Size: 17 << 20}, 17 << 20, "does not fit"},
		{Options{}, 0, "a setup.bin of 0 bytes"},
	} {
		if i, err := New(tt.o, tt.file); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%+v: got %v, %v, want %q", tt.o, i, err, tt.text)
		}
	}
	i, err := New(Options{}, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1023, 1025} {
		if err := i.Write(io.Discard, bytes.NewReader(make([]byte, n))); err == nil || !strings.Contains(err.Error(), "1024 bytes") {
			t.Errorf("content of %d bytes: got %v", n, err)
		}
	}
}

// TestTables holds the fields that firmware goes by and fsck does not look at.
func TestTables(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	file := content(t, 1)
	for _, tt := range []struct {
		o    Options
		kind byte
		chs  string // of the last sector
	}{
		{Options{Serial: 0xcafe0001}, 0x04, "14 10 04"},
		{Options{Size: 64 << 20}, 0x06, ""},
		{Options{FAT: FAT32}, 0x0c, ""},
	} {
		b := image(t, tt.o, file)
		e := b[446:]
		if e[0] != 0 || e[4] != tt.kind || le.Uint32(e[8:]) != 2048 || int64(le.Uint32(e[12:])) != int64(len(b))/512-2048 || !bytes.Equal(b[462:510], make([]byte, 48)) {
			t.Errorf("%+v: partition % x", tt.o, e[:16])
		}
		if got := fmt.Sprintf("% x", e[1:4]); got != "20 21 00" { // cylinder 0, head 32, sector 33
			t.Errorf("%+v: first sector %s", tt.o, got)
		}
		if got := fmt.Sprintf("% x", e[5:8]); tt.chs != "" && got != tt.chs {
			t.Errorf("%+v: last sector %s, want %s", tt.o, got, tt.chs)
		}
		boot := b[1<<20:]
		if le.Uint32(boot[28:]) != 2048 || boot[510] != 0x55 || boot[511] != 0xaa || !bytes.HasPrefix(boot[int(boot[1])+2:], skip) || !bytes.HasPrefix(b, skip) {
			t.Errorf("%+v: boot sector % x", tt.o, boot[:96])
		}
		if tt.o.Serial != le.Uint32(b[440:]) {
			t.Errorf("%+v: disk signature % x", tt.o, b[440:444])
		}
	}
}
