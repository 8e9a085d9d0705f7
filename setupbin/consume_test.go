package setupbin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// stick is a Medium that records what is done to it, and fails from write
// number failAt on, if that is not 0.
type stick struct {
	b      []byte
	writes [][2]int64 // offset, length
	syncs  int
	failAt int
}

var errStick = errors.New("write error")

func (s *stick) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, off)
}

func (s *stick) WriteAt(p []byte, off int64) (int, error) {
	if s.writes = append(s.writes, [2]int64{off, int64(len(p))}); s.failAt > 0 && len(s.writes) >= s.failAt {
		return 0, errStick
	}
	return copy(s.b[off:], p), nil
}

func (s *stick) Sync() error {
	s.syncs++
	return nil
}

func TestConsume(t *testing.T) {
	t.Parallel()
	for _, v := range Versions() {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			orig := golden(t, v)
			s := &stick{b: append([]byte{}, orig...)}
			for i, want := range setups(t, v) {
				r, err := Consume(s)
				if err != nil {
					t.Fatal(err)
				}
				sameSetup(t, r, want)
				if !r.Valid() || r.Number != uint32(i+1) {
					t.Errorf("record %d: got %v", i+1, r)
				}
				flags := int64(512*(i+1) + 4)
				if w := s.writes[2*i:]; len(w) != 2 || w[0] != [2]int64{flags, 4} || w[1] != [2]int64{offConsumed, 4} || s.syncs != i+1 {
					t.Errorf("record %d: writes %v, %d syncs", i+1, w, s.syncs)
				}
				flag := orig[flags] &^ 1
				orig = patch(patch(orig, int(flags), flag), offConsumed, byte(i+1))
				if !bytes.Equal(s.b, orig) {
					t.Errorf("record %d: more bytes changed than flags and count", i+1)
				}
			}
			if _, err := Consume(s); !errors.Is(err, ErrUsedUp) || len(s.writes) != 4 {
				t.Errorf("third of two: got %v, %d writes", err, len(s.writes))
			}
		})
	}
}

func TestConsumeKeepsRecords(t *testing.T) {
	t.Parallel()
	s := &stick{b: patch(golden(t, V2), offFlags, byte(KeepRecords))}
	for range 5 {
		r, err := Consume(s)
		if err != nil || r.Number != 1 {
			t.Fatalf("got %v, %v", r, err)
		}
	}
	if len(s.writes) > 0 {
		t.Errorf("writes: %v", s.writes)
	}
}

func TestConsumeRefuses(t *testing.T) {
	t.Parallel()
	v2 := golden(t, V2)
	tests := []struct {
		name     string
		file     []byte
		versions []Version
		want     error
		text     string
	}{
		{"old firmware", v2, []Version{V1}, ErrVersion, "does not read version 2"},
		{"no setup.bin", []byte("hello"), nil, ErrNotSetupBin, "header"},
		{"header chunks 0", patch(v2, offChunks, 0), nil, ErrFormat, "offset 16 (0x10): the header should have 1 chunk, not 0"},
		{"record chunks 0", patch(v2, offRecordChunks, 0), nil, ErrFormat, "offset 36 (0x24): a record should have 1 chunk, not 0"},
		{"record chunks 2", patch(v2, offRecordChunks, 2), nil, ErrFormat, "not 2"},
		{"flag and count disagree", patch(v2, 512+4, 0), nil, ErrNotValid, "offset 512 (0x200): record 1 of 2"},
		{"type 0", patch(v2, 512, 0), nil, ErrNotValid, "record 1 of 2"},
		{"damaged record", patch(v2, 512+24+4, 0xff, 0xff), nil, ErrFormat, "within its record"},
		{"short file", patch(v2[:700], offRecords, 2), nil, ErrFormat, "within the next record"},
		{"consumed beyond the end", patch(v2, offConsumed, 9), nil, ErrUsedUp, "9 of 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &stick{b: append([]byte{}, tt.file...)}
			r, err := Consume(s, tt.versions...)
			if r != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, %v; want %q", r, err, tt.text)
			}
			if len(s.writes) > 0 {
				t.Errorf("a refused file was written to: %v", s.writes)
			}
		})
	}
}

// TestConsumeWriteFails checks that no record is given out that is not marked.
func TestConsumeWriteFails(t *testing.T) {
	t.Parallel()
	for failAt := 1; failAt <= 2; failAt++ {
		s := &stick{b: golden(t, V2), failAt: failAt}
		if r, err := Consume(s); r != nil || !errors.Is(err, errStick) {
			t.Errorf("write %d fails: got %v, %v", failAt, r, err)
		}
	}
}

func TestConsumeFileOnceEach(t *testing.T) {
	t.Parallel()
	const n = 40
	name := filepath.Join(t.TempDir(), "setup.bin")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(f, V2, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := w.Write(records(t, V2)[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen, usedUp := map[uint32]int{}, 0
	var wg sync.WaitGroup
	for range n + 5 {
		wg.Go(func() {
			r, err := ConsumeFile(name, Versions()...)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrUsedUp) {
				usedUp++
			} else if err != nil {
				t.Error(err)
			} else {
				seen[r.Number]++
			}
		})
	}
	wg.Wait()
	if len(seen) != n || usedUp != 5 {
		t.Errorf("got %d different records and %d times %v, want %d and 5", len(seen), usedUp, ErrUsedUp, n)
	}
}

func TestConsumeFileNames(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "none.bin")
	if _, err := ConsumeFile(name); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("missing file: got %v", err)
	}
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ConsumeFile(name); !errors.Is(err, ErrNotSetupBin) || !strings.Contains(err.Error(), name) {
		t.Errorf("other file: got %v", err)
	}
}
