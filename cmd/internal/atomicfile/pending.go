package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Pending is a file that is being written and does not have its name yet. It ends
// with Place, PlaceAll or Discard.
type Pending struct {
	path    string
	replace bool
	dir     *os.File // the folder: opened before anything is written, to be synced at the end
	f       *os.File // nil at the end
	tmp     string   // the name it has meanwhile, "" for none

	placed, replaced bool
}

// Begin begins a file of mode 0600 at path, where nothing may be: ErrExists.
func Begin(path string) (*Pending, error) { return begin(path, 0o600, false) }

// BeginReplace begins a file of mode 0600 that replaces what is at path as Write
// does, if anything is.
func BeginReplace(path string) (*Pending, error) { return begin(path, 0o600, true) }

func begin(path string, mode fs.FileMode, replace bool) (*Pending, error) {
	folder := filepath.Dir(path)
	dir, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("writing %s: the folder is opened first, to make it durable: %w", path, err)
	}
	p := &Pending{path: path, replace: replace, dir: dir}
	if err := p.start(mode); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// start finds out what keeps the file from being written, and opens it.
func (p *Pending) start(mode fs.FileMode) error {
	// A folder that cannot be synced is known before a secret lies in it.
	if err := syncFolder(p.dir); err != nil {
		return fmt.Errorf("syncing %s: %w", p.dir.Name(), err)
	}
	Sweep(p.path)
	fi, err := os.Lstat(p.path)
	switch {
	case err == nil && !p.replace:
		return fmt.Errorf("%s: %w", p.path, ErrExists)
	case err == nil && !fi.Mode().IsRegular() && fi.Mode().Type() != fs.ModeSymlink:
		return fmt.Errorf("%s: %w", p.path, ErrKind)
	}
	if p.f, err = openUnnamed(p.path); err != nil {
		if p.f, err = openNamed(p.path); err != nil {
			return fmt.Errorf("writing %s: %w", p.path, err)
		}
		p.tmp = p.f.Name()
	}
	if mode == 0o600 { // it has that already; FAT knows no modes and refuses to set any
		return nil
	}
	if err := p.f.Chmod(mode); err != nil {
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	return nil
}

// Write adds to the file.
func (p *Pending) Write(b []byte) (int, error) {
	if p.f == nil {
		return 0, fmt.Errorf("writing %s: %w", p.path, os.ErrClosed)
	}
	n, err := p.f.Write(b)
	if err != nil {
		return n, fmt.Errorf("writing %s: %w", p.path, err)
	}
	return n, nil
}

// Place makes what was written durable and gives it its name. After an error
// nothing of the file is left, except with ErrPlaced; what was to be replaced is
// as it was, except with ErrPlaced.
func (p *Pending) Place() error {
	_, err := PlaceAll([]*Pending{p})
	return err
}

// Discard removes what was written, unless Place came before.
func (p *Pending) Discard() {
	if p.f != nil {
		p.end()
	}
}

// end closes everything and removes the name of meanwhile.
func (p *Pending) end() {
	if p.f != nil {
		_ = p.f.Close()
	}
	_ = p.dir.Close()
	if p.tmp != "" {
		_ = os.Remove(p.tmp)
	}
	p.f, p.tmp = nil, ""
}

// sync makes the content durable, before anything has the name.
func (p *Pending) sync() error {
	if p.f == nil {
		return fmt.Errorf("writing %s: %w", p.path, os.ErrClosed)
	}
	if err := p.f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	return nil
}

// place gives the file its name and makes that durable.
func (p *Pending) place() error {
	err := p.create()
	if p.replace && errors.Is(err, ErrExists) {
		p.replaced, err = true, p.over()
	}
	if err != nil {
		return err
	}
	p.placed = true
	if err := syncFolder(p.dir); err != nil {
		return p.undo(fmt.Errorf("syncing %s: %w", p.dir.Name(), err))
	}
	return nil
}

// undo takes the name away again, because of an error that it returns: with
// ErrPlaced when that cannot be done, or is not sure to last. What replaced
// another stays, for the other is lost.
func (p *Pending) undo(cause error) error {
	if p.replaced {
		return fmt.Errorf("%s: %w: %w", p.path, ErrPlaced, cause)
	}
	err := p.unlink()
	if err == nil {
		err = syncFolder(p.dir)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w; removing it: %w", p.path, ErrPlaced, cause, err)
	}
	p.placed = false
	return cause
}

// unlink removes the file, unless another has its name by now.
func (p *Pending) unlink() error {
	mine, err := p.f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
		return nil
	}
	return os.Remove(p.path)
}

// PlaceAll is Place for several files: all are durable before the first has its
// name. When one cannot get its name, those that were made new are removed again.
// Where one replaced another, or cannot be removed, nothing is: the error is
// ErrPlaced, and stays names the files that are, or may be, in their place.
func PlaceAll(files []*Pending) (stays []string, err error) {
	defer func() {
		for _, p := range files {
			p.Discard()
		}
	}()
	for _, p := range files {
		if err := p.sync(); err != nil {
			return nil, err
		}
	}
	for i, p := range files {
		if err := p.place(); err != nil {
			return takeBack(files[:i+1], err)
		}
		stays = append(stays, p.path)
	}
	return stays, nil
}

// takeBack removes what was placed before the last of the files could not be.
func takeBack(files []*Pending, cause error) (stays []string, err error) {
	last := files[len(files)-1]
	lost := errors.Is(cause, ErrPlaced)
	last.placed = lost
	for _, p := range files {
		lost = lost || p.placed && p.replaced
	}
	err = cause
	for _, p := range files {
		if p.placed && !lost {
			if e := p.undo(cause); errors.Is(e, ErrPlaced) {
				err = e
			}
		}
		if p.placed {
			stays = append(stays, p.path)
		}
	}
	if len(stays) > 0 && !errors.Is(err, ErrPlaced) {
		err = fmt.Errorf("%w: %w", err, ErrPlaced)
	}
	return stays, err
}
