package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

// maxKeyFiles bounds the files of one call: all are open until the last is
// written, with their folders.
const maxKeyFiles = 400

// halfWritten is why files could not be made when some hold the export's pairs
// all the same. It wraps atomicfile.ErrPlaced.
type halfWritten struct {
	stays, missing []string
	replaced       bool // files of other content
	cause          error
}

func (h *halfWritten) Error() string {
	s := fmt.Sprintf("%v; written: %s", h.cause, strings.Join(h.stays, ", "))
	if len(h.missing) > 0 {
		s += "; not written: " + strings.Join(h.missing, ", ")
	}
	return s
}

func (h *halfWritten) Unwrap() error { return h.cause }

// tryOut finds out, before a secret leaves the server, whether the file can be
// made, and removes what a killed usb write left, for the server may refuse to
// hand out more before it hears about that.
func (s *setupFile) tryOut() error {
	if s.count == 0 {
		begin := atomicfile.Begin
		if s.again {
			begin = atomicfile.BeginReplace
		}
		p, err := begin(s.out)
		if err == nil {
			p.Discard()
		}
		return err
	}
	dir, base := filepath.Split(s.out)
	ext := filepath.Ext(base)
	left := regexp.MustCompile(`^\.(` + regexp.QuoteMeta(base[:len(base)-len(ext)]) + `(-[0-9]+)?` + regexp.QuoteMeta(ext) + `)\.[0-9]+\.part$`)
	entries, err := os.ReadDir(filepath.Dir(s.out))
	if err != nil {
		return fmt.Errorf("looking at the folder of the files: %w", err)
	}
	for _, e := range entries {
		if m := left.FindStringSubmatch(e.Name()); m != nil {
			atomicfile.Sweep(filepath.Join(dir, m[1]))
		}
	}
	return nil
}

// write makes the files. All are whole and durable before the first has its name,
// so that a full disk changes nothing; when one then cannot get its name, those
// that were made new are removed. Where one was replaced that is too late: the
// error is halfWritten.
func (s *setupFile) write(files []keyFile) error {
	begin, there := atomicfile.Begin, map[string]bool{}
	if s.again {
		begin = atomicfile.BeginReplace
	}
	for _, f := range files {
		if err := s.replaceable(f.name); err != nil {
			return err
		}
		_, err := os.Lstat(f.name)
		there[f.name] = err == nil
	}
	var pending []*atomicfile.Pending
	defer func() {
		for _, p := range pending {
			p.Discard()
		}
	}()
	for _, f := range files {
		p, err := begin(f.name)
		if err != nil {
			return err
		}
		pending = append(pending, p)
		if _, err := p.Write(f.bytes); err != nil {
			return err
		}
	}
	stays, err := atomicfile.PlaceAll(pending)
	if err == nil || !errors.Is(err, atomicfile.ErrPlaced) {
		return err
	}
	return half(files, stays, there, err)
}

// half tells which files have the export's pairs.
func half(files []keyFile, stays []string, there map[string]bool, cause error) error {
	h := &halfWritten{stays: stays, cause: cause}
	placed := map[string]bool{}
	for _, name := range stays {
		placed[name] = true
		h.replaced = h.replaced || there[name]
	}
	for _, f := range files {
		if !placed[f.name] {
			h.missing = append(h.missing, f.name)
		}
	}
	return h
}
