package media

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/amtscs/amtscs/setupbin"
)

// forms gives a setup.bin by itself and in an image of each kind.
func forms(t *testing.T, file []byte) map[string]string {
	t.Helper()
	return map[string]string{
		"bare": put(t, file), "FAT16": put(t, image(t, Options{}, file)), "FAT16 without MBR": put(t, image(t, Options{NoMBR: true}, file)),
		"FAT32": put(t, image(t, Options{FAT: FAT32, Size: MinSize32}, file)),
	}
}

// TestConsume takes each record once, also when many ask at a time, and changes
// nothing but the flags and the count.
func TestConsume(t *testing.T) {
	t.Parallel()
	const n = 12
	for form, name := range forms(t, content(t, n)) {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen, usedUp := map[uint32]int{}, 0
		for range n + 3 {
			wg.Go(func() {
				r, err := Consume(name, setupbin.V2)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, setupbin.ErrUsedUp) {
					usedUp++
				} else if err != nil {
					t.Error(err)
				} else {
					seen[r.Number]++
				}
			})
		}
		wg.Wait()
		if len(seen) != n || usedUp != 3 {
			t.Errorf("%s: %d records, %d times used up", form, len(seen), usedUp)
		}
		after, err := os.ReadFile(name)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%s: %d bytes, %v", form, len(after), err)
		}
		differ := 0
		for i := range after {
			if after[i] != before[i] {
				differ++
			}
		}
		if differ != n+1 { // a byte of flags each, a byte of the count
			t.Errorf("%s: %d bytes changed, want %d", form, differ, n+1)
		}
	}
}

func TestConsumeFaults(t *testing.T) {
	t.Parallel()
	image := put(t, image(t, Options{}, content(t, 1)))
	if _, err := Consume(image, setupbin.V1); !errors.Is(err, setupbin.ErrVersion) || !strings.Contains(err.Error(), image) {
		t.Errorf("other version: got %v", err)
	}
	if _, err := Consume(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	if _, err := Consume(put(t, []byte("Dear Sir"))); !errors.Is(err, setupbin.ErrNotSetupBin) {
		t.Errorf("letter: got %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{t.TempDir(), pipe, "/dev/null"} {
		if _, err := Consume(name); err == nil || !strings.Contains(err.Error(), "neither a file nor a disk") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFileKeepsItsBounds(t *testing.T) {
	t.Parallel()
	for form, name := range forms(t, content(t, 2)) {
		f, err := Open(name, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{-1, f.Size() - 1, f.Size()} {
			if _, err := f.WriteAt([]byte{1, 2}, at); err == nil {
				t.Errorf("%s: writing at %d was taken", form, at)
			}
		}
		if _, err := f.WriteAt([]byte{1, 2}, f.Size()-2); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if f, err := Open(name, false); err != nil {
			t.Error(err)
		} else if _, err := f.WriteAt([]byte{1}, 0); err == nil {
			t.Errorf("%s: a file that was opened for reading was written to", form)
		}
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	file := content(t, 3)
	all := forms(t, file)
	all["text"] = put(t, []byte("pid,pps\n"))
	for form, name := range all {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Content(f)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		want := file
		if form == "text" {
			want = []byte("pid,pps\n")
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", form, len(got), err)
		}
		_ = f.Close()
	}
	b := image(t, Options{}, file)
	f, err := os.Open(put(t, b[:2<<20]))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Content(f); !errors.Is(err, ErrImage) {
		t.Errorf("cut image: got %v", err)
	}
}

// TestWipe wants nothing of the records to be left in the file or its image, the
// file to be valid, and the image to be whole.
func TestWipe(t *testing.T) {
	t.Parallel()
	for form, name := range forms(t, content(t, 9)) {
		f, err := Open(name, true)
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.Wipe()
		if err != nil || n != 9 {
			t.Errorf("%s: %d, %v", form, n, err)
		}
		_ = f.Close()
		b, err := os.ReadFile(name)
		if err != nil || bytes.Contains(b, []byte("P@ssw0rd")) || bytes.Contains(b, []byte("admin")) {
			t.Errorf("%s: passwords are left (%v)", form, err)
		}
		if form == "bare" && len(b) != 512 {
			t.Errorf("%s: %d bytes are left", form, len(b))
		}
		f, err = Open(name, false)
		if err != nil {
			t.Fatal(err)
		}
		if rd, err := setupbin.NewReader(f); err != nil || rd.Header().Records != 0 || rd.Header().Version != setupbin.V2 {
			t.Errorf("%s: %v", form, err)
		}
		_ = f.Close()
	}
	letter := put(t, []byte("Dear Sir"))
	f, err := Open(letter, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Wipe(); !errors.Is(err, setupbin.ErrNotSetupBin) {
		t.Errorf("letter: got %v", err)
	}
	if b, err := os.ReadFile(letter); err != nil || string(b) != "Dear Sir" {
		t.Errorf("the letter is %q, %v", b, err)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]*Found{
		"":            {FAT: FAT16, Volume: DefaultSize},
		"media-size":  {FAT: FAT16, Volume: 8 << 20},
		"media-large": {FAT: FAT16, Volume: 1 << 30},
		"media-fat32": {FAT: FAT32, Volume: 64 << 20},
	} {
		got := ""
		for _, x := range (&File{found: f}).Findings() {
			got += x.Rule
			if x.Text == "" || x.Cure == "" || x.Severity != setupbin.Warning {
				t.Errorf("finding %+v", x)
			}
		}
		if got != want {
			t.Errorf("%+v: got %s, want %s", f, got, want)
		}
	}
}
