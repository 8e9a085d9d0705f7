package atomicfile

import (
	"errors"
	"os"
	"testing"
)

// errSystem is what the faults below fail with.
var errSystem = errors.New("input/output error")

// LikeFAT leaves a file system with no files without a name and no links until
// the test ends; without its rename that refuses to replace, too, when old.
// The test must not be parallel.
func LikeFAT(t *testing.T, old bool) {
	was, link, rename := openUnnamed, linkNew, renameNew
	t.Cleanup(func() { openUnnamed, linkNew, renameNew = was, link, rename })
	NoUnnamed()
	linkNew = func(string, string) error { return errSystem }
	if old {
		renameNew = func(string, string) error { return errSystem }
	}
}

// LikeNFS leaves it with links only.
func LikeNFS(t *testing.T) {
	was, rename := openUnnamed, renameNew
	t.Cleanup(func() { openUnnamed, renameNew = was, rename })
	NoUnnamed()
	renameNew = func(string, string) error { return errSystem }
}

// NoUnnamed is for a process of its own.
func NoUnnamed() { openUnnamed = func(string) (*os.File, error) { return nil, errSystem } }

// FailSync fails those syncs of a folder, counted from 1, that fail says.
func FailSync(t *testing.T, fail func(n int) bool) {
	was := syncFolder
	t.Cleanup(func() { syncFolder = was })
	n := 0
	syncFolder = func(d *os.File) error {
		if n++; fail(n) {
			return errSystem
		}
		return was(d)
	}
}

// ErrSystem is what the faults fail with.
var ErrSystem = errSystem
