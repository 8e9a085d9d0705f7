package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

// three are pending files f0, f1, f2 with the content "new".
func three(t *testing.T, dir string) (list []*atomicfile.Pending, paths []string) {
	t.Helper()
	for _, name := range []string{"f0", "f1", "f2"} {
		path := filepath.Join(dir, name)
		p, err := atomicfile.BeginReplace(path)
		must(err)
		_, err = p.Write([]byte("new"))
		must(err)
		list, paths = append(list, p), append(paths, path)
	}
	return list, paths
}

// contents are those of three's files, "" for none, "dir" for a folder.
func contents(paths []string) (list []string) {
	for _, p := range paths {
		b, _ := os.ReadFile(p)
		if fi, err := os.Stat(p); err == nil && fi.IsDir() {
			b = []byte("dir")
		}
		list = append(list, string(b))
	}
	return list
}

// TestPlaceAll has a folder come to be where the last file belongs: no file can
// get its name then.
func TestPlaceAll(t *testing.T) {
	for name, c := range map[string]struct {
		old    []string // content before, "" for none
		block  bool
		want   []string
		stays  int
		placed bool
	}{
		"new":           {[]string{"", "", ""}, false, []string{"new", "new", "new"}, 3, false},
		"replaced":      {[]string{"old", "old", "old"}, false, []string{"new", "new", "new"}, 3, false},
		"new, blocked":  {[]string{"", "", ""}, true, []string{"", "", "dir"}, 0, false},
		"one replaced":  {[]string{"old", "", ""}, true, []string{"new", "new", "dir"}, 2, true},
		"both replaced": {[]string{"old", "old", ""}, true, []string{"new", "new", "dir"}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, old := range c.old {
				if old != "" {
					must(os.WriteFile(filepath.Join(dir, "f"+string(rune('0'+i))), []byte(old), 0o600))
				}
			}
			list, paths := three(t, dir)
			if c.block {
				must(os.Mkdir(paths[2], 0o700))
			}
			stays, err := atomicfile.PlaceAll(list)
			if (err != nil) != c.block || errors.Is(err, atomicfile.ErrPlaced) != c.placed || !slices.Equal(stays, paths[:c.stays]) && c.stays+len(stays) > 0 {
				t.Errorf("got %v, %v", stays, err)
			}
			if got := contents(paths); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestPlaceAllTakesNothingBackForGood: the second file's sync fails, and then that
// of taking the first away.
func TestPlaceAllTakesNothingBackForGood(t *testing.T) {
	list, paths := three(t, t.TempDir())
	atomicfile.FailSync(t, func(n int) bool { return n == 2 || n == 4 }) // f0, f1; f1 away, f0 away
	stays, err := atomicfile.PlaceAll(list)
	if !errors.Is(err, atomicfile.ErrPlaced) || !slices.Equal(stays, paths[:1]) {
		t.Errorf("got %v, %v", stays, err)
	}
}
