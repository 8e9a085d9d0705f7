package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

func TestWriteReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, want := range []string{"one", "two"} {
		if err := atomicfile.Write(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, path, want, 0o600)
	}
}

func TestCreateRefusesToReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := atomicfile.Create(path, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "one", 0o640)
	if err := atomicfile.Create(path, []byte("two"), 0o600); !errors.Is(err, atomicfile.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	expect(t, path, "one", 0o640)
}

func TestCreateFromLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	full := errors.New("no space left")
	err := atomicfile.CreateFrom(path, func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return full
	}, 0o600)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := atomicfile.CreateFrom(path, func(w io.Writer) error { _, err := io.WriteString(w, "one"); return err }, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "one", 0o600)
}

func TestNothingHalfMadeStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := atomicfile.Write(filepath.Join(dir, "no", "such", "f"), nil, 0o600); err == nil {
		t.Error("a folder that is not there was no error")
	}
	sub := filepath.Join(dir, "sub")
	if err := os.MkdirAll(filepath.Join(sub, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(sub, []byte("one"), 0o600); !errors.Is(err, atomicfile.ErrKind) {
		t.Errorf("a folder in the file's place: got %v, want ErrKind", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestWriteKeepsWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if err := atomicfile.Write(pipe, []byte("one"), 0o600); !errors.Is(err, atomicfile.ErrKind) {
		t.Errorf("got %v, want ErrKind", err)
	}
	if fi, err := os.Lstat(pipe); err != nil || fi.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("got %v, %v, want the pipe", fi, err)
	}
}

func TestWriteReplacesALink(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "one", 0o600)
	expect(t, other, "kept", 0o600)
}

func expect(t *testing.T, path, want string, mode os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != mode {
		t.Errorf("got mode %v, %v, want %v", fi.Mode(), err, mode)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
