package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What file systems differ in. Tests put in their place what is not at hand.
var (
	openUnnamed = unnamed
	renameNew   = renameNoReplace
	linkNew     = os.Link
	syncFolder  = (*os.File).Sync
)

// tries is how many names of meanwhile are tried.
const tries = 100

// create gives the file its name, which nothing else may have: ErrExists.
func (p *Pending) create() error {
	if p.tmp == "" {
		return p.named(linkUnnamed(p.f, p.path))
	}
	var err error
	// A rename would replace what is there, so there are three ways not to. FAT
	// knows no links; network file systems may not know the first.
	for _, give := range []func(from, to string) error{renameNew, linkAway, reserve} {
		err = give(p.tmp, p.path)
		if err == nil {
			p.tmp = ""
		}
		if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, ErrPlaced) {
			break
		}
	}
	return p.named(err)
}

// named says what an error of giving a name means.
func (p *Pending) named(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", p.path, ErrExists)
	}
	return fmt.Errorf("putting %s in its place: %w", p.path, err)
}

// linkAway gives a second name and takes the first away.
func linkAway(from, to string) error {
	if err := linkNew(from, to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil {
		return fmt.Errorf("%w: %w", ErrPlaced, err)
	}
	return nil
}

// reserve makes an empty file and renames over it, which replaces nothing else.
func reserve(from, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := os.Rename(from, to); err != nil {
		_ = os.Remove(to)
		return err
	}
	return nil
}

// over gives the file its name in place of what has it.
func (p *Pending) over() error {
	if p.tmp == "" {
		if err := p.nameMeanwhile(); err != nil {
			return err
		}
	}
	if err := os.Rename(p.tmp, p.path); err != nil {
		return fmt.Errorf("putting %s in its place: %w", p.path, err)
	}
	p.tmp = ""
	return nil
}

// nameMeanwhile gives a file without a name one that can be renamed.
func (p *Pending) nameMeanwhile() error {
	before, after := around(p.path)
	var err error
	for range tries {
		name := filepath.Join(filepath.Dir(p.path), before+strconv.FormatUint(uint64(rand.Uint32()), 10)+after)
		if err = linkUnnamed(p.f, name); err == nil {
			p.tmp = name
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return fmt.Errorf("putting %s in its place: %w", p.path, err)
}

// around are what stands before and behind the random number in the name that a
// file has meanwhile.
func around(path string) (before, after string) { return "." + filepath.Base(path) + ".", ".part" }

// Leftovers is the pattern of the hidden files beside path that a program which
// was killed while it wrote path may have left, for people.
func Leftovers(path string) string {
	before, after := around(path)
	return filepath.Join(filepath.Dir(path), before+"*"+after)
}

// openNamed opens a file with a name of meanwhile. It is locked, so that a sweep
// knows that somebody is writing it.
func openNamed(path string) (*os.File, error) {
	before, after := around(path)
	for range tries {
		f, err := os.CreateTemp(filepath.Dir(path), before+"*"+after) // has 0600
		if err != nil {
			return nil, err
		}
		if lock(f) != lockedElsewhere {
			if _, err := os.Lstat(f.Name()); err == nil {
				return f, nil
			}
		}
		_ = f.Close() // a sweep came between
		_ = os.Remove(f.Name())
	}
	return nil, errors.New("its hidden file is taken away again and again")
}

// Sweep removes the hidden files that killed writers of path left beside it, as
// every beginning of path does; those that are being written stay. It is on Linux
// only, and what cannot be removed stays.
func Sweep(path string) {
	before, after := around(path)
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), before)
		number, found := strings.CutSuffix(number, after)
		if _, err := strconv.ParseUint(number, 10, 64); !ok || !found || err != nil || !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(filepath.Dir(path), e.Name())
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		if lock(f) == locked {
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
}

// What lock found.
type lockState int

const (
	lockUnknown lockState = iota // the file system has no locks
	locked
	lockedElsewhere
)
