package seal_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/amtscs/amtscs/seal"
)

// keyText is the contents of a key file: base64 of 32 times K.
var keyText = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("K", seal.KEKLen)))

func TestCreateFileKEK(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "kek")
	made, err := seal.CreateFileKEK(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != 45 {
		t.Errorf("the file has mode %v and %d bytes, %v", info.Mode(), info.Size(), err)
	}
	for name, read := range map[string]func(string) (seal.KEK, error){"FileKEK": seal.FileKEK, "CreateFileKEK": seal.CreateFileKEK} {
		if again, err := read(path); err != nil || again.ID() != made.ID() {
			t.Errorf("%s of the file made: %v", name, err)
		}
	}
	other, err := seal.CreateFileKEK(filepath.Join(dir, "other"))
	if err != nil || other.ID() == made.ID() {
		t.Errorf("a second file holds the same key, or %v", err)
	}
	if rest, _ := os.ReadDir(dir); len(rest) != 2 {
		t.Errorf("the folder has %v", rest)
	}
	if _, err := seal.CreateFileKEK(filepath.Join(dir, "missing", "kek")); err == nil || !strings.Contains(err.Error(), "missing/kek") {
		t.Errorf("in a missing folder: got error %v", err)
	}
}

// TestCreateFileKEKRace: however many make it, there is one key.
func TestCreateFileKEKRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			kek, err := seal.CreateFileKEK(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = kek.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("the keys are %q", ids)
			break
		}
	}
}

func TestFileKEKText(t *testing.T) {
	t.Parallel()
	good := keyText
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"as written", good + "\n", true},
		{"no line end", good, true},
		{"CRLF", good + "\r\n", true},
		{"empty", "", false},
		{"line end only", "\n", false},
		{"short", good[:40] + "\n", false},
		{"long", good + good + "\n", false},
		{"two lines", good + "\n" + good + "\n", false},
		{"broken line", good[:20] + "\n" + good[20:] + "\n", false},
		{"blank before", " " + good + "\n", false},
		{"hex", strings.Repeat("4b", 32) + "\n", false},
		{"raw", strings.Repeat("K", 32), false},
		{"31 bytes", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("K", 31))) + "\n", false},
		{"loose bits", good[:42] + "t=\n", false},
		{"huge", strings.Repeat(good, 1000), false},
	} {
		path := filepath.Join(t.TempDir(), "kek")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.FileKEK(path)
		if c.ok {
			if err != nil {
				t.Errorf("%s: got error %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, seal.ErrKEKFile) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore it") {
			t.Errorf("%s: got error %v", c.name, err)
		} else if strings.Contains(err.Error(), good[:8]) {
			t.Errorf("%s: the error shows the key: %v", c.name, err)
		}
	}
}

func writeKey(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(keyText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestFileKEKModes(t *testing.T) {
	t.Parallel()
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o640: false, 0o604: false, 0o660: false, 0o644: false, 0o620: false, 0o602: false, 0o610: false, 0o601: false,
	} {
		path := filepath.Join(t.TempDir(), "kek")
		writeKey(t, path, mode)
		_, err := seal.FileKEK(path)
		if ok && err != nil {
			t.Errorf("mode %v: got error %v", mode, err)
		}
		if !ok && (!errors.Is(err, seal.ErrKEKFile) || !strings.Contains(err.Error(), "chmod 600")) {
			t.Errorf("mode %v: got error %v", mode, err)
		}
		if _, err := seal.CreateFileKEK(path); (err == nil) != ok {
			t.Errorf("mode %v: CreateFileKEK: got error %v", mode, err)
		}
	}
}

func TestFileKEKOddFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writeKey(t, in("good"), 0o600)
	writeKey(t, in("open"), 0o644)
	links := map[string]string{"to good": "good", "to open": "open", "to null": "/dev/null", "to folder": ".", "to nothing": "nothing", "to itself": "to itself"}
	for link, target := range links {
		if err := os.Symlink(target, in(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"to good": "", "to open": "chmod 600", "to null": "not a regular file", "to folder": "not a regular file",
		"to nothing": "no such file", "to itself": "too many levels", "fifo": "not a regular file", "missing": "no such file",
	} {
		_, err := seal.FileKEK(in(name))
		if want == "" {
			if err != nil {
				t.Errorf("%s: got error %v", name, err)
			}
			continue
		}
		if !errors.Is(err, seal.ErrKEKFile) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), in(name)) {
			t.Errorf("%s: got error %v, want %q", name, err, want)
		}
	}
	// A link to nothing is not followed to make a file there.
	if _, err := seal.CreateFileKEK(in("to nothing")); !errors.Is(err, seal.ErrKEKFile) {
		t.Errorf("CreateFileKEK behind a dead link: got error %v", err)
	}
	if _, err := os.Lstat(in("nothing")); err == nil {
		t.Error("CreateFileKEK made a file behind a dead link")
	}
}

func TestFileKEKOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "kek")
	writeKey(t, path, 0o600)
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.FileKEK(path); !errors.Is(err, seal.ErrKEKFile) || !strings.Contains(err.Error(), "user 12345") {
		t.Errorf("got error %v", err)
	}
}

// TestCredential: systemd shows the read bit of an access list as the group's.
func TestCredential(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a credential belongs to root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "kek")
	writeKey(t, path, 0o440)
	if _, err := seal.FileKEK(path); err == nil {
		t.Error("a file that a group can read is taken")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if _, err := seal.FileKEK(path); err != nil {
		t.Errorf("a credential: got error %v", err)
	}
	for _, mode := range []os.FileMode{0o444, 0o460, 0o640 | 0o020} {
		writeKey(t, path, mode)
		if _, err := seal.FileKEK(path); err == nil {
			t.Errorf("a credential of mode %v is taken", mode)
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "kek")
	writeKey(t, elsewhere, 0o440)
	if _, err := seal.FileKEK(elsewhere); err == nil {
		t.Error("a file outside of the credentials is taken")
	}
}

func FuzzKEKFile(f *testing.F) {
	for _, seed := range []string{keyText + "\n", keyText, "", "\n", strings.Repeat("4b", 32)} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "kek")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.FileKEK(path)
		if err != nil {
			return
		}
		line := strings.TrimRight(string(text), "\r\n")
		if key, derr := base64.StdEncoding.DecodeString(line); derr != nil || base64.StdEncoding.EncodeToString(key) != line {
			t.Errorf("taken, and yet not the one form of its key: %q", text)
		}
	})
}
