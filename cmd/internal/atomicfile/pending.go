package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Pending is a file that is being written, under another name in the same folder.
// It ends with Create or Discard.
type Pending struct {
	path string
	f    *os.File // nil at the end
}

// Begin begins a file of mode 0600 at path, where nothing may be: ErrExists.
func Begin(path string) (*Pending, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrExists)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // has 0600
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &Pending{path: path, f: f}, nil
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

// Create makes what was written durable and gives it its name, as the function
// Create does. After an error nothing of the file is left.
func (p *Pending) Create() error {
	if p.f == nil {
		return fmt.Errorf("writing %s: %w", p.path, os.ErrClosed)
	}
	tmp := p.f.Name()
	err := errors.Join(p.f.Sync(), p.f.Close())
	p.f = nil
	defer func() { _ = os.Remove(tmp) }()
	if err != nil {
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	return place(tmp, p.path)
}

// Discard removes what was written, unless Create came before.
func (p *Pending) Discard() {
	if p.f == nil {
		return
	}
	_ = p.f.Close()
	_ = os.Remove(p.f.Name())
	p.f = nil
}
