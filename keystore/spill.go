package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/amtscs/amtscs/seal"
)

// blockLen is about how many bytes of records a block of a temporary file holds.
const blockLen = 64 << 10

// spillPattern is the name of a temporary file for the moment that it has one.
const spillPattern = "amtscs-import-*.tmp"

// ErrTempFile is returned by an import whose temporary file cannot be made,
// written or read. It names the fault, not the place: that is Store.TempDir.
var ErrTempFile = errors.New("sorting a long list in a temporary file")

// tempError adds ErrTempFile, and leaves the path out.
func tempError(err error) error {
	var perr *fs.PathError
	if errors.As(err, &perr) {
		err = perr.Err
	}
	return fmt.Errorf("%w: %w", ErrTempFile, err)
}

// spill is the temporary file.
type spill struct {
	file    *os.File
	scratch *seal.Scratch
	size    int64
	blocks  []block // by their numbers
	runs    []int   // number of the first block of each run
	named   bool    // it could not be taken out of its directory while it is open
}

// block is where a sealed block lies.
type block struct {
	at  int64
	len int
}

// newSpill opens a temporary file, mode 0600, and takes its name away.
func newSpill(dir string) (*spill, error) {
	scratch, err := seal.NewScratch()
	if err != nil {
		return nil, tempError(err)
	}
	f, err := os.CreateTemp(dir, spillPattern)
	if err != nil {
		return nil, tempError(err)
	}
	s := &spill{file: f, scratch: scratch}
	s.named = os.Remove(f.Name()) != nil // some systems refuse it
	return s, nil
}

func (s *spill) close() {
	_ = s.file.Close() // nobody needs what is in it
	if s.named {
		_ = os.Remove(s.file.Name()) // else the next sweep takes it
	}
}

// write adds a run of records, as encode appends them to a block.
func (s *spill) write(h *heap, encode func(buf []byte, r rawRecord) ([]byte, error)) (err error) {
	s.runs = append(s.runs, len(s.blocks))
	buf := make([]byte, 0, blockLen+2*maxRecord)
	defer func() { clear(buf[:cap(buf)]) }()
	var sealed []byte
	for i, p := range h.index {
		r, _ := firstRecord(h.bytes[p.at:])
		if buf, err = encode(buf, r); err != nil {
			return fmt.Errorf("PID %v: %w", r.pid(), err)
		}
		if len(buf) < blockLen && i < len(h.index)-1 {
			continue
		}
		sealed, _ = s.scratch.Seal(sealed[:0], buf)
		if _, err := s.file.WriteAt(sealed, s.size); err != nil {
			return tempError(err)
		}
		s.blocks = append(s.blocks, block{s.size, len(sealed)})
		s.size += int64(len(sealed))
		buf = buf[:0]
	}
	return nil
}

// spillRun reads one run.
type spillRun struct {
	file   *spill
	number int // the run's: what came earlier has the smaller one
	block  int // number of the next block
	end    int // of the first block that is not the run's
	sealed []byte
	plain  []byte
	rest   []byte    // of plain
	first  rawRecord // of the rest; nil at the end
}

// advance reads the next record into first.
func (r *spillRun) advance() error {
	if len(r.rest) == 0 {
		if r.block == r.end {
			r.first = nil
			return nil
		}
		b := r.file.blocks[r.block]
		r.sealed = slices.Grow(r.sealed[:0], b.len)[:b.len]
		if _, err := r.file.file.ReadAt(r.sealed, b.at); err != nil {
			return tempError(err)
		}
		plain, err := r.file.scratch.Open(r.plain[:0], r.sealed, uint64(r.block))
		if err != nil {
			return tempError(err)
		}
		r.block++
		r.plain, r.rest = plain, plain
	}
	r.first, r.rest = firstRecord(r.rest)
	return nil
}

// before orders runs by their first records.
func (r *spillRun) before(o *spillRun) bool {
	a, b := r.first.order(), o.first.order()
	return a < b || a == b && r.number < o.number
}

// merge is the source of all runs.
func (s *spill) merge() (source, error) {
	m := &merger{}
	for i, at := range s.runs {
		end := len(s.blocks)
		if i+1 < len(s.runs) {
			end = s.runs[i+1]
		}
		r := &spillRun{file: s, number: i, block: at, end: end}
		if err := r.advance(); err != nil {
			return nil, err
		}
		m.runs = append(m.runs, r)
	}
	for i := len(m.runs)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m, nil
}

// merger is a binary heap of runs, the one with the least record first.
type merger struct {
	runs  []*spillRun
	given bool // the first run's record was handed out
}

func (m *merger) next() (rawRecord, error) {
	if m.given {
		if err := m.runs[0].advance(); err != nil {
			return nil, err
		}
		if m.runs[0].first == nil {
			last := len(m.runs) - 1
			m.runs[0] = m.runs[last]
			m.runs = m.runs[:last]
		}
		m.sink(0)
	}
	m.given = len(m.runs) > 0
	if !m.given {
		return nil, io.EOF
	}
	return m.runs[0].first, nil
}

// sink moves the run at i down to its place.
func (m *merger) sink(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.runs); child++ {
			if m.runs[child].before(m.runs[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		m.runs[i], m.runs[least] = m.runs[least], m.runs[i]
		i = least
	}
}

// removeSpills removes temporary files whose names an import that was killed
// left behind. It is for when no import is under way.
func removeSpills(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ours, _ := filepath.Match(spillPattern, e.Name()); ours { // the pattern is a good one
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
