package setupbin

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// allValue is a row of testdata/all.csv.
type allValue struct {
	record           int // 0: every one
	Module, Variable uint16
	since            Version // of the value
	value            Raw
}

// allValues reads the values of the golden files; it panics on a bad row.
var allValues = sync.OnceValue(func() []allValue {
	b, err := os.ReadFile(filepath.Join("testdata", "all.csv"))
	if err != nil {
		panic(err)
	}
	var list []allValue
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, ",")
		v, err1 := ParseVersion(f[3])
		value, err2 := hex.DecodeString(f[4])
		row := allValue{since: v, value: value}
		var n [3]int
		for i := range n {
			n[i], err = strconv.Atoi(f[i])
			if err != nil {
				panic(err)
			}
		}
		if err1 != nil || err2 != nil {
			panic(fmt.Sprint(line, err1, err2))
		}
		row.record, row.Module, row.Variable = n[0], uint16(n[1]), uint16(n[2])
		list = append(list, row)
	}
	return list
})

// allRecords are the records of all-VERSION.bin.
func allRecords(v Version) []*Record {
	var list []*Record
	for n := 1; n <= 2; n++ {
		r := NewRecord()
		for _, row := range allValues() {
			if (row.record == 0 || row.record == n) && row.since <= v {
				r.Entries = append(r.Entries, Entry{Module: row.Module, Variable: row.Variable, Value: row.value})
			}
		}
		if v == V4 {
			r.Flags |= FlagScrambled
		}
		list = append(list, r)
	}
	return list
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEveryVariable holds the files with every variable that a version has, made
// by another encoder, against this one, both ways.
func TestEveryVariable(t *testing.T) {
	t.Parallel()
	for _, v := range Versions() {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			want := readTestdata(t, "all-"+v.String()+".bin")
			f, err := New(v, 0, allRecords(v)...)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.AppendBinary(nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("New: %v; got\n%swant\n%s", err, hex.Dump(got), hex.Dump(want))
			}
			identity(t, want)
			got, err := Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for i, r := range allRecords(v) {
				sameEntries(t, got.Records[i], r)
				for _, e := range r.Entries {
					seen[e.ID()] = true
				}
			}
			for _, row := range Variables() {
				if seen[row.ID()] != (row.Since <= v) {
					t.Errorf("%v is in the file: %v", row, seen[row.ID()])
				}
			}
		})
	}
}

func sameEntries(t *testing.T, got, want *Record) {
	t.Helper()
	if len(got.Entries) != len(want.Entries) {
		t.Fatalf("got %d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i, e := range want.Entries {
		if g := got.Entries[i]; g.ID() != e.ID() || !bytes.Equal(g.Value, e.Value) {
			t.Errorf("entry %d: got %v, want %v", i, g, e)
		}
	}
}

// TestKeep holds a file whose records firmware does not consume.
func TestKeep(t *testing.T) {
	t.Parallel()
	want := readTestdata(t, "keep.bin")
	f, err := New(V2, KeepRecords, allRecords(V2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.AppendBinary(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; got\n%s", err, hex.Dump(got))
	}
	s := &stick{b: append([]byte{}, want...)}
	for range 3 {
		if r, err := Consume(s); err != nil || r.Number != 1 {
			t.Errorf("consuming: got %v, %v", r, err)
		}
	}
	if !bytes.Equal(s.b, want) {
		t.Error("the file was written to")
	}
}

// TestEditKeepsTheRest edits a parsed record that has variables nobody knows and
// padding that is not zero, and wants every other byte as it was.
func TestEditKeepsTheRest(t *testing.T) {
	t.Parallel()
	r := NewRecord(e(1, 1, "admin"), e(1, 2, "P@ssw0rd"), e(2, 9, "odd"), e(2, 40, "later"), e(77, 300, ""))
	r.Entries[2].Pad, r.Entries[3].Reserved = Raw{9}, 7
	before, err := r.AppendBinary(nil, ChunkLen)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parseRecord(append([]byte{}, before...), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []uint16{13, 4} {
		if err := parsed.Set(ModuleAMT, v, Raw{2, 3, 4}); err != nil {
			t.Fatal(err)
		}
	}
	if err := parsed.Set(ModuleAMT, 13, Raw{1}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range parsed.Entries {
		ids = append(ids, e.ID())
	}
	if want := []string{"1/1", "1/2", "2/4", "2/9", "2/13", "2/40", "77/300"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	if v, _ := parsed.Get(2, 13); !bytes.Equal(v, []byte{1}) {
		t.Errorf("2/13: got %v", v)
	}
	if n := parsed.Delete(2, 13) + parsed.Delete(2, 4) + parsed.Delete(3, 3); n != 2 {
		t.Errorf("deleted %d", n)
	}
	after, err := parsed.AppendBinary(nil, ChunkLen)
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("%v: other bytes changed", err)
	}
	if err := parsed.Set(0, 1, nil); err == nil {
		t.Error("module 0 was taken")
	}
}

// TestText shows each value of the golden files to people.
func TestText(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"1/1": "admin", "1/3": "Intel AMT", "1/4": "enabled", "1/5": "always", "1/6": "desktop-wake-s5",
		"2/1": "ABCDEFG8", "2/5": "on", "2/7": "enabled", "2/10": "SOL, IDER", "2/11": "pc-17", "2/13": "on", "2/15": "ffff", "2/16": "1",
		"2/17": "192.0.2.10", "2/18": "9971", "2/19": "0102030405060708090a0b0c0d0e0f1011121314", "2/20": "0700",
		"2/25": "on", "2/26": "all", "2/28": "activate", "2/29": "automated", "2/30": "12345", "2/34": "proactive",
		"2/8": "SHA-384 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f",
	}
	got := map[string]string{}
	for _, v := range allValues() {
		e := Entry{Module: v.Module, Variable: v.Variable, Value: v.value}
		got[e.ID()] = e.Text()
		row, _ := Lookup(v.Module, v.Variable)
		if e.Secret() != row.Secret || e.Printable() != (row.Kind == Text) {
			t.Errorf("%v: secret %v, printable %v", e, e.Secret(), e.Printable())
		}
	}
	for id, text := range want {
		if got[id] != text {
			t.Errorf("%s: got %q, want %q", id, got[id], text)
		}
	}
	odd := map[string]Entry{
		"00ff": e(9, 9, "\x00\xff"), "61": e(2, 18, "a"), "41ff41414141": e(1, 1, "A\xffAAAA"), "7": e(1, 3, "\x07"),
		"ff" + strings.Repeat("00", 21): e(2, 8, "\xff"+strings.Repeat("\x00", 21)), "9": e(2, 34, "\x09\x00\x00\x00"),
	}
	for want, e := range odd {
		if got := e.Text(); got != want {
			t.Errorf("%v: got %q, want %q", e, got, want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, v := range Versions() {
		b := readTestdata(f, "all-"+v.String()+".bin")
		f.Add(b[512:1024])
		f.Add(b[1024:1536])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, make([]byte, (ChunkLen-len(b)%ChunkLen)%ChunkLen+ChunkLen)...)
		r, _ := parseRecord(append([]byte{}, b...), 0)
		out, err := r.AppendBinary(nil, int64(len(b)))
		if err != nil || !bytes.Equal(out, b) {
			t.Fatalf("parse and write: %v; %d bytes became %d", err, len(b), len(out))
		}
		for _, e := range r.Entries {
			_ = e.Text()
		}
		if err := r.Set(2, 9, Raw("x")); err != nil || len(r.Entries) == 0 {
			t.Fatal(err)
		}
		if v, ok := r.Get(2, 9); !ok || string(v) != "x" {
			t.Fatal("Get gives another value than was set")
		}
	})
}
