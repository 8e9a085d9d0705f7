package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/amt"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// drawn draws pairs of which some have the same PID.
func drawn(t testing.TB, n int, seed int64) []Record {
	t.Helper()
	s := New(nil)
	s.Rand = rand.New(rand.NewSource(seed))
	recs, err := s.Draw(n, func() (amt.Secret, error) { return amt.NewSecretString("Secret-of-a-PC"), nil })
	if err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		recs[i].Used, recs[i].Exported = i%7 == 3, i%5 == 2
		if i%10 == 9 {
			recs[i].Pair.PID = recs[i-5].Pair.PID
		}
		if i%11 == 4 {
			recs[i].CurrentPassword = amt.Secret{}
		}
	}
	return recs
}

// text is a record with its secrets, to be compared.
func text(pid amt.PID, s Secrets, used, exported bool) string {
	return fmt.Sprintf("%v %s %q %q %v %v", pid, s.PPS.Reveal(), s.CurrentPassword.Reveal(), s.NewPassword.Reveal(), used, exported)
}

func wanted(recs []Record) []string {
	recs = slices.Clone(recs)
	slices.SortStableFunc(recs, func(a, b Record) int { return bytes.Compare(a.Pair.PID[:], b.Pair.PID[:]) })
	var out []string
	for _, r := range recs {
		out = append(out, text(r.Pair.PID, Secrets{PPS: r.Pair.PPS, CurrentPassword: r.CurrentPassword, NewPassword: r.NewPassword}, r.Used, r.Exported))
	}
	return out
}

// drain reads a source to its end.
func drain(t testing.TB, s *Store, src source) []string {
	t.Helper()
	var out []string
	for {
		r, err := src.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := s.secretsOf(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text(r.pid(), secrets, r[flagsAt]&flagUsed != 0, r[flagsAt]&flagExported != 0))
	}
}

// TestSorter sorts lists that fit into memory, or take one, two or many runs.
func TestSorter(t *testing.T) {
	t.Parallel()
	s := New(sealtest.New(t))
	for _, c := range []struct{ records, limit int }{
		{0, 1000}, {1, 1000}, {50, 1 << 20}, {11, 1000}, {400, 20_000}, {3000, 3000}, {3000, 120_000},
	} {
		recs := drawn(t, c.records, int64(c.records))
		sort := &sorter{dir: t.TempDir(), limit: c.limit}
		sealed := 0
		sort.seal = func(buf []byte, r rawRecord) ([]byte, error) {
			sealed++
			sort.hurry.Store(sealed%3 == 0) // those that somebody waits for are not sealed yet
			return s.appendSealed(buf, r)
		}
		for _, r := range recs {
			if err := sort.add(r); err != nil {
				t.Fatal(err)
			}
		}
		src, err := sort.sorted()
		if err != nil {
			t.Fatal(err)
		}
		if spilled := sort.file != nil; spilled != (c.records > 50 || c.limit == 1000 && c.records > 1) {
			t.Errorf("%+v: spilled: %v", c, spilled)
		}
		if got, want := drain(t, s, src), wanted(recs); !slices.Equal(got, want) {
			t.Errorf("%+v: got %d records %q, want %d", c, len(got), got[:min(3, len(got))], len(want))
		}
		if _, err := src.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%+v: behind the end: %v", c, err)
		}
		sort.close()
	}
}

// TestSpillFile looks at the temporary file itself: closed to others, without a
// name, without a word in clear.
func TestSpillFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	s, dir := New(sealtest.New(t)), t.TempDir()
	sort := &sorter{dir: dir, limit: 5000, seal: s.appendSealed}
	recs := drawn(t, 500, 1)
	for _, r := range recs {
		if err := sort.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sort.sorted(); err != nil {
		t.Fatal(err)
	}
	info, err := sort.file.file.Stat()
	if err != nil || info.Mode() != 0o600 || info.Size() < 30_000 {
		t.Errorf("the file has mode %v and %d bytes, %v", info.Mode(), info.Size(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	raw := make([]byte, info.Size())
	if _, err := sort.file.file.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	var plain []byte
	for i, b := range sort.file.blocks {
		if plain, err = sort.file.scratch.Open(plain, raw[b.at:b.at+int64(b.len)], uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(plain, recs[0].Pair.PID[:]) {
		t.Error("the opened blocks do not have the PIDs: the test looks at something else")
	}
	for _, r := range recs {
		for what, b := range map[string][]byte{"PPS": r.Pair.PPS.Reveal(), "password": r.NewPassword.Reveal(), "factory's password": r.CurrentPassword.Reveal()} {
			if len(b) > 0 && bytes.Contains(raw, b) {
				t.Fatalf("the file has a %s in clear", what)
			}
		}
		if bytes.Contains(raw, r.Pair.PID[:]) {
			t.Fatal("the file has a PID in clear")
		}
	}
	fd := fmt.Sprintf("/proc/self/fd/%d", sort.file.file.Fd())
	if link, err := os.Readlink(fd); err != nil || !strings.HasSuffix(link, "(deleted)") {
		t.Errorf("the file is %q, %v", link, err)
	}
	sort.close()
	if _, err := sort.file.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestSpillFaults: a block that was altered or exchanged is told, and so is a
// folder that takes no file.
func TestSpillFaults(t *testing.T) {
	t.Parallel()
	s := New(sealtest.New(t))
	spilled := func(dir string) (*sorter, error) {
		sort := &sorter{dir: dir, limit: 200_000, seal: s.appendSealed}
		for _, r := range drawn(t, 4000, 2) {
			if err := sort.add(r); err != nil {
				return sort, err
			}
		}
		_, err := sort.sorted()
		return sort, err
	}
	if _, err := spilled(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrTempFile) {
		t.Errorf("no folder: got error %v", err)
	} else if strings.Contains(err.Error(), "/") {
		t.Errorf("the error names a place of the server: %v", err)
	}
	for name, harm := range map[string]func(f *spill) error{
		"altered":   func(f *spill) error { _, err := f.file.WriteAt([]byte{1, 2, 3}, f.blocks[1].at+100); return err },
		"truncated": func(f *spill) error { return f.file.Truncate(f.blocks[1].at + 7) },
		"exchanged": func(f *spill) error { f.blocks[1] = f.blocks[0]; return nil },
	} {
		sort, err := spilled(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := harm(sort.file); err != nil {
			t.Fatal(err)
		}
		src, err := sort.file.merge()
		for err == nil {
			_, err = src.next()
		}
		if !errors.Is(err, ErrTempFile) || name != "truncated" && !errors.Is(err, seal.ErrScratch) {
			t.Errorf("%s: got error %v", name, err)
		}
		sort.close()
	}
}

// TestRemoveSpills removes what is ours and nothing else.
func TestRemoveSpills(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"amtscs-import-123.tmp", "scs.db", "amtscs-import-1.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeSpills(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 || slices.ContainsFunc(left, func(s string) bool { return strings.HasSuffix(s, ".tmp") }) {
		t.Errorf("left %v, %v", left, err)
	}
	if err := removeSpills(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: got error %v", err)
	}
}

// TestRawRecord: what goes into a raw record comes out of it.
func TestRawRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		field := rapid.SliceOfN(rapid.Byte(), 0, maxPassword)
		pps, current, next := rapid.SliceOfN(rapid.Byte(), 1, 65).Draw(rt, "pps"), field.Draw(rt, "current"), field.Draw(rt, "new")
		flags := rapid.Byte().Draw(rt, "flags")
		pid := amt.PID(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(rt, "pid"))
		buf := appendRaw([]byte("before"), pid, flags, pps, current, next)
		r, rest := firstRecord(append(buf, "behind"...)[6:])
		p, c, n := r.fields()
		if string(rest) != "behind" || r.pid() != pid || r[flagsAt] != flags || !bytes.Equal(p, pps) || !bytes.Equal(c, current) || !bytes.Equal(n, next) {
			rt.Fatalf("got %v %x %x %x %x, rest %q", r.pid(), r[flagsAt], p, c, n, rest)
		}
	})
}

// TestTemplate: an encoded pair is what proto.Marshal makes of the record that
// Add would store.
func TestTemplate(t *testing.T) {
	t.Parallel()
	s := New(sealtest.New(t))
	im := Import{Batch: Batch{Name: "B1"}, Move: Move{Who: "anna", Why: "list", At: s.Now()}}
	templates, err := newTemplates(im, amt.OEM, 77)
	if err != nil || len(templates) != 4 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	for i, rec := range drawn(t, 40, 3) {
		raw, err := s.appendSealed(nil, appendRecord(nil, rec))
		if err != nil {
			t.Fatal(err)
		}
		p := Prepared{pid: rec.Pair.PID, used: rec.Used, exported: rec.Exported}
		p.pps, p.current, p.next = rawRecord(raw).fields()
		k := p.record("B1", amt.OEM)
		k.ImportId = 77
		if err := begin(k, beginning(rec.Used), amt.UUID{}, im.Move); err != nil {
			t.Fatal(err)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		kind := templates[raw[flagsAt]&^flagSealed]
		if got := kind.append(nil, raw); !bytes.Equal(got, want) {
			t.Errorf("record %d: got\n%x, want\n%x", i, got, want)
		}
		if kind.state != State(k.GetState()) || fmt.Sprint(kind.placement) != fmt.Sprint(keysTable.Place(k)) {
			t.Errorf("record %d: state %v, placement %q", i, kind.state, kind.placement)
		}
	}
	// A field that comes to be must be in one of the parts.
	if n := (&scsstorev1.Key{}).ProtoReflect().Descriptor().Fields().Len(); n != 15 {
		t.Errorf("Key has %d fields: do the new ones differ between the pairs of an import? Then template.append must write them", n)
	}
}
