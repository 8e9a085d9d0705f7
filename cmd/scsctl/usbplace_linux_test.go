package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// setupIn is usb write --again of n pairs a file.
func setupIn(dir string, n int) *setupFile {
	return &setupFile{out: filepath.Join(dir, "setup.bin"), v: setupbin.V2, count: n, again: true}
}

// oldFiles writes setup.bin files that are not those of the next export, and
// returns their content.
func oldFiles(t *testing.T, names ...string) []byte {
	t.Helper()
	old, err := setupIn("", 1).encode([]*scsv1.ExportedKey{plantedKey, plantedKey, plantedKey})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(name, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return old
}

// keysOf are n pairs for a server to hand out.
func keysOf(n int) faultyExports {
	return faultyExports{parts: []*scsv1.ExportBatchResponse{part(slices.Repeat([]*scsv1.ExportedKey{plantedKey}, n)...)}}
}

// wrote is what became of usb write.
func wrote(t *testing.T, server *faultyExports, s *setupFile) (*failure, string) {
	t.Helper()
	var out, stderr bytes.Buffer
	a := &app{stdout: &out, stderr: &stderr, output: "table", timeout: time.Second}
	err := a.writeSetup(t.Context(), server, s)
	if err == nil {
		return nil, strings.Join(server.finished, ", ")
	}
	return explain(err), strings.Join(server.finished, ", ")
}

// TestReplacedHalf: the second file cannot be replaced when the first was. The
// export stays open, and what is where is told.
func TestReplacedHalf(t *testing.T) {
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "setup-1.bin"), filepath.Join(dir, "setup-2.bin"), filepath.Join(dir, "setup-3.bin")}
	old := oldFiles(t, names...)
	immutable(t, names[1])
	server := keysOf(3)
	f, finished := wrote(t, &server, setupIn(dir, 1))
	if f == nil || finished != "" || f.code != exitFailed || !errors.Is(f, atomicfile.ErrPlaced) {
		t.Fatalf("got %+v; the server was told %q", f, finished)
	}
	if want := "; written: " + names[0] + "; not written: " + names[1] + ", " + names[2]; !strings.HasSuffix(f.message, want) {
		t.Errorf("got %q, want the end %q", f.message, want)
	}
	if !strings.Contains(f.hint, "scsctl usb finish 7;") || strings.Contains(f.hint, "--discard") {
		t.Errorf("got the hint %q", f.hint)
	}
	for i, name := range names {
		if b, err := os.ReadFile(name); err != nil || bytes.Equal(b, old) != (i > 0) {
			t.Errorf("%s: old content: %t, %v", name, bytes.Equal(b, old), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// immutable has a file refuse to be replaced until the test ends (chattr +i).
func immutable(t *testing.T, name string) {
	t.Helper()
	set := func(flags int) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
	if err := set(immutableFlag); err != nil {
		t.Skip("files cannot be made immutable here:", err)
	}
	t.Cleanup(func() {
		if err := set(0); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDiskChangesNothing: there is room for the first file, and not for the
// second.
func TestFullDiskChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=24k,mode=700"); err != nil {
		t.Skip("no small disk can be mounted:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	names := []string{filepath.Join(dir, "setup-1.bin"), filepath.Join(dir, "setup-2.bin")}
	old := oldFiles(t, names...)
	server := keysOf(40)
	f, finished := wrote(t, &server, setupIn(dir, 20))
	if f == nil || finished != "7 false" || !errors.Is(f, syscall.ENOSPC) {
		t.Errorf("got %+v; the server was told %q", f, finished)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, old) {
			t.Errorf("%s is changed: %v", name, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
	few := keysOf(2) // there is room for these
	if f, finished := wrote(t, &few, setupIn(dir, 1)); f != nil || finished != "7 true" {
		t.Errorf("got %+v; the server was told %q", f, finished)
	}
}

// TestNewFilesAreTakenBack: the last name is too long, which shows when the file
// gets it. Nothing was replaced, so nothing stays and the export may be given up.
func TestNewFilesAreTakenBack(t *testing.T) {
	dir := t.TempDir()
	s := setupIn(dir, 1)
	files, err := s.files(slices.Repeat([]*scsv1.ExportedKey{plantedKey}, 3))
	if err != nil {
		t.Fatal(err)
	}
	files[2].name = filepath.Join(dir, strings.Repeat("n", 300))
	if err := s.write(files); !errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, atomicfile.ErrPlaced) {
		t.Errorf("got %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left over: %v, %v", list, err)
	}
}

// TestReplacedIsTold is TestReplacedHalf for everybody: the error says that pairs
// are in a file exactly when the old content is gone.
func TestReplacedIsTold(t *testing.T) {
	t.Parallel()
	s := setupIn(t.TempDir(), 1)
	files, err := s.files(slices.Repeat([]*scsv1.ExportedKey{plantedKey}, 2))
	if err != nil {
		t.Fatal(err)
	}
	old := oldFiles(t, files[0].name)
	files[1].name = filepath.Join(filepath.Dir(s.out), strings.Repeat("n", 300))
	err = s.write(files)
	b, e := os.ReadFile(files[0].name)
	half := (*halfWritten)(nil)
	if told := errors.As(err, &half) && half.replaced; err == nil || e != nil || told == bytes.Equal(b, old) {
		t.Errorf("got %v; old content: %t, %v", err, bytes.Equal(b, old), e)
	}
}

// TestHandOutMayBeThere: of a file that may be there the server hears nothing, and
// the person hears both ways out.
func TestHandOutMayBeThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err      error
		finished string
		hint     bool
	}{
		{fmt.Errorf("file: %w: %w", atomicfile.ErrPlaced, syscall.EIO), "", true},
		{fmt.Errorf("file: %w", syscall.EIO), "7 false", false},
	} {
		server, dropped := keysOf(1), false
		var stderr bytes.Buffer
		h := &handOut{
			take: func(string, *scsv1.ExportedKey) error { return nil },
			keep: func() error { return c.err },
			drop: func() { dropped = true },
		}
		_, err := h.run(context.Background(), &app{stderr: &stderr, timeout: time.Second}, &server)
		f := explain(err)
		both := strings.Contains(f.hint, "scsctl usb finish 7;") && strings.Contains(f.hint, "scsctl usb finish --discard 7")
		if !errors.Is(err, syscall.EIO) || !dropped || strings.Join(server.finished, ", ") != c.finished || both != c.hint {
			t.Errorf("%v: got %+v; the server was told %v", c.err, f, server.finished)
		}
	}
}

func TestKeyFilesAreBounded(t *testing.T) {
	t.Parallel()
	server := keysOf(maxKeyFiles + 1)
	dir := t.TempDir()
	f, finished := wrote(t, &server, setupIn(dir, 1))
	if f == nil || f.message != "401 files: at most 400 in one call" || finished != "7 false" {
		t.Errorf("got %+v; the server was told %q", f, finished)
	}
	all := keysOf(maxKeyFiles)
	if f, finished := wrote(t, &all, setupIn(dir, 1)); f != nil || finished != "7 true" {
		t.Errorf("got %+v; the server was told %q", f, finished)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != maxKeyFiles {
		t.Errorf("got %d files, %v", len(list), err)
	}
}

// TestLeftoversGoBeforeTheServerIsAsked: it may refuse because of the very export
// that was killed.
func TestLeftoversGoBeforeTheServerIsAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count      int
		left, stay []string
	}{
		{0, []string{".setup.bin.17.part"}, []string{".setup-1.bin.17.part", ".setup.bin.part", ".other.bin.17.part"}},
		{5, []string{".setup.bin.17.part", ".setup-1.bin.17.part", ".setup-02.bin.4.part"}, []string{".setup-x.bin.1.part", ".setup-1.bin.x.part"}},
	} {
		dir := t.TempDir()
		for _, name := range append(slices.Clone(c.left), c.stay...) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		server := faultyExports{broken: status.Error(codes.FailedPrecondition, "an export of this batch was begun and not finished")}
		if f, finished := wrote(t, &server, setupIn(dir, c.count)); f == nil || finished != "" {
			t.Errorf("got %+v; the server was told %q", f, finished)
		}
		slices.Sort(c.stay)
		list, err := os.ReadDir(dir)
		got := []string{}
		for _, e := range list {
			got = append(got, e.Name())
		}
		if err != nil || !slices.Equal(got, c.stay) {
			t.Errorf("got %v, %v, want %v", got, err, c.stay)
		}
	}
}

// TestNothingIsAskedForNoFolder: no export is begun for a file that cannot be made.
func TestNothingIsAskedForNoFolder(t *testing.T) {
	t.Parallel()
	for _, count := range []int{0, 5} {
		server := keysOf(1)
		f, finished := wrote(t, &server, setupIn(filepath.Join(t.TempDir(), "none"), count))
		if f == nil || !errors.Is(f, os.ErrNotExist) || finished != "" {
			t.Errorf("got %+v; the server was told %q", f, finished)
		}
	}
}
