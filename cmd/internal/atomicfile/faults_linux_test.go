package atomicfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

// helperEnv makes this program a writer that is to be killed, or one that is not
// root: "ACT PATH".
const helperEnv = "ATOMICFILE_TEST_HELPER"

func TestMain(m *testing.M) {
	act, path, ok := strings.Cut(os.Getenv(helperEnv), " ")
	if !ok {
		os.Exit(m.Run())
	}
	switch act {
	case "hold", "hold-named":
		hold(path, act == "hold-named")
	case "create":
		if os.Getuid() == 0 {
			must(errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)))
		}
		err := atomicfile.Create(path, []byte("secret"), 0o600)
		fmt.Printf("%v, placed %t\n", err, errors.Is(err, atomicfile.ErrPlaced))
	}
}

const nobody = 65534

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// hold writes half a file and waits to be killed.
func hold(path string, named bool) {
	if named {
		atomicfile.NoUnnamed()
	}
	p, err := atomicfile.Begin(path)
	must(err)
	_, err = p.Write([]byte("secret"))
	must(err)
	fmt.Println("written")
	time.Sleep(time.Hour)
}

func helper(t *testing.T, act, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), helperEnv+"="+act+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// killed is a writer that has written half of path. end kills it with SIGKILL.
func killed(t *testing.T, act, path string) (end func()) {
	t.Helper()
	cmd := helper(t, act, path)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "written\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// TestKilled: a writer that is killed leaves nothing where there are files without
// a name.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	if f, err := os.OpenFile(dir, syscall.O_WRONLY|unix.O_TMPFILE, 0o600); err != nil {
		t.Skip("the file system knows no files without a name:", err)
	} else {
		_ = f.Close()
	}
	path := filepath.Join(dir, "f")
	end := killed(t, "hold", path)
	alone(t, dir)
	end()
	alone(t, dir)
}

// TestKilledWithAName: elsewhere the next writer of the same file, and no other,
// removes what is left, but not what another is writing just now.
func TestKilledWithAName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	end := killed(t, "hold-named", path)
	left, err := filepath.Glob(atomicfile.Leftovers(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("got %v, %v, want one file of the pattern %s", left, err, atomicfile.Leftovers(path))
	}
	begin(t, path, "meanwhile").Discard()
	alone(t, dir, filepath.Base(left[0]))
	end()
	begin(t, filepath.Join(dir, "other"), "x").Discard()
	foreign := filepath.Join(dir, ".f.notes.part")
	must(os.WriteFile(foreign, nil, 0o600))
	alone(t, dir, filepath.Base(left[0]), ".f.notes.part")
	if err := begin(t, path, "whole").Place(); err != nil {
		t.Fatal(err)
	}
	alone(t, dir, ".f.notes.part", "f")
}

// TestDropBox: files can be put into the folder, and nobody lists it, so that it
// cannot be synced. That is told before anything is written.
func TestDropBox(t *testing.T) {
	dir, err := os.MkdirTemp("", "dropbox")
	must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		must(os.Chown(dir, nobody, nobody))
	}
	must(os.Chmod(dir, 0o300))
	out, err := helper(t, "create", filepath.Join(dir, "f")).Output()
	if err != nil || !strings.Contains(string(out), "permission denied, placed false") {
		t.Errorf("got %q, %v", out, err)
	}
	must(os.Chmod(dir, 0o700))
	alone(t, dir)
}

// TestNoSync fails the syncs of the folder: the first is the trial, the second
// that of the name, the third that of taking it away again.
func TestNoSync(t *testing.T) {
	for name, c := range map[string]struct {
		replace, placed, stays bool
		fail                   func(n int) bool
	}{
		"trial":          {fail: func(n int) bool { return n == 1 }},
		"name":           {fail: func(n int) bool { return n == 2 }},
		"name and away":  {fail: func(n int) bool { return n >= 2 }, placed: true},
		"replaced":       {fail: func(n int) bool { return n == 2 }, replace: true, placed: true, stays: true},
		"replaced trial": {fail: func(n int) bool { return n == 1 }, replace: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, put := filepath.Join(dir, "f"), atomicfile.Create
			if c.replace {
				put = atomicfile.Write
				must(os.WriteFile(path, []byte("old"), 0o600))
			}
			atomicfile.FailSync(t, c.fail)
			err := put(path, []byte("new"), 0o600)
			if !errors.Is(err, atomicfile.ErrSystem) || errors.Is(err, atomicfile.ErrPlaced) != c.placed {
				t.Errorf("got %v, want ErrPlaced: %t", err, c.placed)
			}
			want := map[bool]string{false: "", true: "old"}[c.replace]
			if c.stays {
				want = "new"
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestNothingIsReplaced: on every kind of file system a file that comes to be
// meanwhile stays as it is.
func TestNothingIsReplaced(t *testing.T) {
	for name, set := range map[string]func(*testing.T){
		"this":    func(*testing.T) {},
		"FAT":     func(t *testing.T) { atomicfile.LikeFAT(t, false) },
		"old FAT": func(t *testing.T) { atomicfile.LikeFAT(t, true) },
		"NFS":     atomicfile.LikeNFS,
	} {
		t.Run(name, func(t *testing.T) {
			set(t)
			path := filepath.Join(t.TempDir(), "f")
			p := begin(t, path, "ours")
			must(os.WriteFile(path, []byte("another's"), 0o600))
			if err := p.Place(); !errors.Is(err, atomicfile.ErrExists) || errors.Is(err, atomicfile.ErrPlaced) {
				t.Errorf("got %v, want ErrExists", err)
			}
			expect(t, path, "another's", 0o600)
			must(os.Remove(path))
			if err := begin(t, path, "ours").Place(); err != nil {
				t.Fatal(err)
			}
			expect(t, path, "ours", 0o600)
			if err := atomicfile.Write(path, []byte("newer"), 0o640); err != nil {
				t.Fatal(err)
			}
			expect(t, path, "newer", 0o640)
		})
	}
}
