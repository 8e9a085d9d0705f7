package setupbin_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/integration/peers"
	"github.com/amtscs/amtscs/setupbin"
)

// The tests of this file compare with MeshCentral's codec, from which npm's
// package has one file. What it does otherwise than this package is in
// TestMeshCentralDiffers and, where it concerns all files, beside theirRecord.

// startCodec starts MeshCentral's codec, or skips the test.
func startCodec(t *testing.T) *peers.SetupBin {
	t.Helper()
	codec, err := peers.Start(t.Context(), peers.Need(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := codec.Close(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return codec
}

// theirVariable is a variable as MeshCentral has it.
type theirVariable struct {
	Module   uint16 `json:"moduleid"`
	Variable uint16 `json:"varid"`
	Length   int    `json:"length,omitempty"`
	Type     int    `json:"type"`
	Value    any    `json:"value,omitempty"` // hexadecimal, number, or the text of a GUID
	Text     string `json:"text,omitempty"`  // requests: a value in hexadecimal
}

// theirRecord is a record as MeshCentral has it. Its decoder reads chunkCount,
// headerByteCount and number from the wrong offsets, and so always has 0.
type theirRecord struct {
	Type       uint32          `json:"typeIdentifier"`
	Flags      uint32          `json:"flags"`
	ChunkCount int             `json:"chunkCount"`
	Number     int             `json:"number"`
	Variables  []theirVariable `json:"variables"`
}

type theirFile struct {
	FileType, MajorVersion, MinorVersion    uint8
	RecordChunkCount, RecordHeaderByteCount uint16
	RecordNumber, DataRecordsConsumed       uint32
	Flags, DataRecordChunkCount             uint16
	Records                                 []theirRecord
}

type theirAnswer struct {
	File    *theirFile
	Data    string
	Refused bool
	Error   string
}

func decodeThere(t *testing.T, codec *peers.SetupBin, b []byte) theirAnswer {
	t.Helper()
	var a theirAnswer
	if err := codec.Call(map[string]any{"act": "decode", "file": hex.EncodeToString(b)}, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func encodeThere(t *testing.T, codec *peers.SetupBin, f *setupbin.File) theirAnswer {
	t.Helper()
	request := map[string]any{
		"act": "encode", "version": f.Header.Version.Major(), "minor": f.Header.Version.Minor(),
		"flags": f.Header.Flags, "consumed": f.Header.Consumed,
	}
	var records []theirRecord
	for _, r := range f.Records {
		their := theirRecord{Type: r.Type, Flags: r.Flags, Variables: []theirVariable{}}
		for _, e := range r.Entries {
			v := theirValue(e)
			if s, ok := v.Value.(string); ok && v.Type == 0 {
				v.Text, v.Value = s, nil
			}
			v.Length = 0
			their.Variables = append(their.Variables, v)
		}
		records = append(records, their)
	}
	request["records"] = records
	var a theirAnswer
	if err := codec.Call(request, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// theirValue is an entry as their decoder gives it: numbers of the length that
// they should have as numbers, 1/6 as the text of a GUID whose first three fields
// are little-endian, and all others in hexadecimal.
func theirValue(e setupbin.Entry) theirVariable {
	v := theirVariable{Module: e.Module, Variable: e.Variable, Length: len(e.Value), Value: hex.EncodeToString(e.Value)}
	row, _ := setupbin.Lookup(e.Module, e.Variable)
	width := map[setupbin.Kind]int{setupbin.Byte: 1, setupbin.Word: 2, setupbin.Dword: 4}[row.Kind]
	switch {
	case width > 0:
		v.Type = map[int]int{1: 1, 2: 2, 4: 3}[width]
		n := 0.0
		for i := width - 1; i >= 0; i-- {
			n = n*256 + float64(e.Value[i])
		}
		v.Value = n
	case e.Module == 1 && e.Variable == 6:
		b := slices.Clone(e.Value)
		slices.Reverse(b[0:4])
		slices.Reverse(b[4:6])
		slices.Reverse(b[6:8])
		v.Type, v.Value = 4, fmt.Sprintf("%x-%x-%x-%x-%x", []byte(b[0:4]), []byte(b[4:6]), []byte(b[6:8]), []byte(b[8:10]), []byte(b[10:16]))
	}
	return v
}

// draw makes a file of some version: records with variables of the table in
// rising order, values of any bytes, some consumed, some scrambled.
func draw(r *rand.Rand) *setupbin.File {
	versions := setupbin.Versions()
	v := versions[r.IntN(len(versions))]
	f := &setupbin.File{Header: setupbin.Header{Version: v, Chunks: 1, RecordChunks: 1}}
	if v >= setupbin.V2 && r.IntN(3) == 0 {
		f.Header.Flags = setupbin.KeepRecords
	}
	n := 1 + r.IntN(4)
	f.Header.Records = uint32(n)
	f.Header.Consumed = uint32(r.IntN(n + 1))
	for i := range n {
		rec := setupbin.NewRecord(drawEntries(r, v)...)
		rec.Number = uint32(i + 1)
		if uint32(i) < f.Header.Consumed {
			rec.Flags &^= setupbin.FlagValid
		}
		if v == setupbin.V4 && r.IntN(2) == 0 {
			rec.Flags |= setupbin.FlagScrambled
		}
		f.Records = append(f.Records, rec)
		for _, e := range rec.Entries {
			if !slices.Contains(f.Header.Modules, e.Module) {
				f.Header.Modules = append(f.Header.Modules, e.Module)
			}
		}
	}
	f.Header.HeaderBytes = uint16(42 + 2*len(f.Header.Modules))
	return f
}

func drawEntries(r *rand.Rand, v setupbin.Version) []setupbin.Entry {
	var entries []setupbin.Entry
	room := setupbin.Capacity - 8 // an exactly full body is one of their faults
	for _, row := range setupbin.Variables() {
		if row.Since > v || r.IntN(3) == 0 {
			continue
		}
		value := make(setupbin.Raw, row.MinLen+r.IntN(min(row.MaxLen, 100)-row.MinLen+1))
		for i := range value {
			value[i] = byte(r.IntN(256))
		}
		if room -= 8 + (len(value)+3)/4*4; room < 0 {
			break
		}
		entries = append(entries, setupbin.Entry{Module: row.Module, Variable: row.Variable, Value: value})
	}
	return entries
}

const rounds = 300

// TestMeshCentralReads: what this package writes, MeshCentral reads as the same.
func TestMeshCentralReads(t *testing.T) {
	t.Parallel()
	codec := startCodec(t)
	r := rand.New(rand.NewPCG(3, 1))
	seen := map[string]int{}
	for round := range rounds {
		f := draw(r)
		b, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		a := decodeThere(t, codec, b)
		if a.File == nil {
			t.Fatalf("round %d: they answer %+v to\n%x", round, a, b)
		}
		got := *a.File
		h := f.Header
		want := theirFile{
			FileType: h.Version.Major(), MajorVersion: h.Version.Major(), MinorVersion: h.Version.Minor(),
			RecordChunkCount: 1, RecordHeaderByteCount: h.HeaderBytes, Flags: uint16(h.Flags), DataRecordsConsumed: h.Consumed, DataRecordChunkCount: 1,
		}
		for _, rec := range f.Records {
			their := theirRecord{Type: 1, Flags: rec.Flags, Variables: []theirVariable{}}
			for _, e := range rec.Entries {
				their.Variables = append(their.Variables, theirValue(e))
				seen[e.ID()]++
			}
			want.Records = append(want.Records, their)
		}
		if g, w := text(t, got), text(t, want); g != w {
			t.Fatalf("round %d: they read\n%s\nwant\n%s", round, g, w)
		}
	}
	if len(seen) != len(setupbin.Variables()) {
		t.Errorf("%d variables were compared, want all %d", len(seen), len(setupbin.Variables()))
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMeshCentralWrites: of the same content, MeshCentral makes the same bytes,
// and this package reads them as that content.
func TestMeshCentralWrites(t *testing.T) {
	t.Parallel()
	codec := startCodec(t)
	r := rand.New(rand.NewPCG(3, 2))
	for round := range rounds {
		f := draw(r)
		ours, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		a := encodeThere(t, codec, f)
		theirs, err := hex.DecodeString(a.Data)
		if err != nil || a.Error != "" {
			t.Fatalf("round %d: %s, %v", round, a.Error, err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("round %d: ours\n%x\ntheirs\n%x", round, ours, theirs)
		}
		got, err := setupbin.Parse(theirs)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got.Header.String() != f.Header.String() || len(got.Records) != len(f.Records) {
			t.Fatalf("round %d: got %v, want %v", round, &got.Header, &f.Header)
		}
		for i, rec := range got.Records {
			same := slices.EqualFunc(rec.Entries, f.Records[i].Entries, func(a, b setupbin.Entry) bool {
				return a.ID() == b.ID() && bytes.Equal(a.Value, b.Value)
			})
			if !same && rec.Valid() {
				t.Fatalf("round %d, record %d: got %v, want %v", round, i+1, rec, f.Records[i])
			}
		}
	}
}

// TestMeshCentralDiffers writes down where the two codecs part, and why this one
// does not follow: what they cannot read is kept here, and what they write
// without a word is refused.
func TestMeshCentralDiffers(t *testing.T) {
	t.Parallel()
	codec := startCodec(t)
	file := func(entries ...setupbin.Entry) *setupbin.File {
		return &setupbin.File{
			Header:  setupbin.Header{Version: setupbin.V2, Chunks: 1, HeaderBytes: 44, Records: 1, RecordChunks: 1, Modules: []uint16{2}},
			Records: []*setupbin.Record{setupbin.NewRecord(entries...)},
		}
	}
	entry := func(module, variable uint16, n int) setupbin.Entry {
		return setupbin.Entry{Module: module, Variable: variable, Value: bytes.Repeat([]byte{'x'}, n)}
	}
	for _, c := range []struct {
		name string
		file *setupbin.File
		want string
	}{
		{"an unknown variable", file(entry(2, 99, 4)), "TypeError"},
		{"an unknown module", file(entry(3, 1, 4)), "TypeError"},
		{"a body that is exactly full", file(entry(2, 3, 236), entry(2, 4, 236)), "TypeError"},
	} {
		c.file.Records[0].Number = 1
		b, err := c.file.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if a := decodeThere(t, codec, b); !strings.HasPrefix(a.Error, c.want) {
			t.Errorf("%s: they answer %+v, want %s: is this fault mended?", c.name, a, c.want)
		}
		got, err := setupbin.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if again, err := got.AppendBinary(nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: it is not kept as it was: %v", c.name, err)
		}
	}

	long := file(entry(2, 3, 255), entry(2, 4, 255))
	long.Records[0].Number = 1
	a := encodeThere(t, codec, long)
	if b, err := hex.DecodeString(a.Data); err != nil || len(b) <= 1024 {
		t.Errorf("a long record: they made %d bytes, %s, want more than a record holds: is this fault mended?", len(b), a.Error)
	} else if _, err := setupbin.Parse(b); err == nil {
		t.Error("a long record of theirs was read without a word")
	}
	if _, err := long.AppendBinary(nil); err == nil {
		t.Error("a long record was written")
	}
	if a := decodeThere(t, codec, make([]byte, 1024)); !a.Refused {
		t.Errorf("zeros: they answer %+v", a)
	}
}
