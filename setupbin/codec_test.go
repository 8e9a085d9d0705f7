package setupbin

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// patch gives a copy of b with v at offset.
func patch(b []byte, offset int, v ...byte) []byte {
	b = append([]byte{}, b...)
	copy(b[offset:], v)
	return b
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	v2, v4 := golden(t, V2), golden(t, V4)
	tests := []struct {
		name   string
		file   []byte
		want   error
		offset int64
		rule   string
	}{
		{"empty", nil, ErrNotSetupBin, 0, "begin with a header"},
		{"text", []byte("pid,pps\n"), ErrNotSetupBin, 8, "begin with a header"},
		{"a long other file", bytes.Repeat([]byte("PK"), 1000), ErrNotSetupBin, 0, "type UUID"},
		{"cut in the header", v2[:100], ErrFormat, 100, "the file should not end here"},
		{"version 5", patch(v4, offMajor, 5), ErrVersion, offMajor, "5.0: 1, 2, 2.1, 3 and 4 are known"},
		{"version 2.2", patch(v2, offMinor, 2), ErrVersion, offMajor, "2.2"},
		{"version of another type", patch(v2, offMajor, 3), ErrVersion, offMajor, "version 3 does not go with the type UUID"},
		{"header of 99 chunks", patch(v2, offChunks, 99), ErrFormat, offChunks, "1 chunk, not 99"},
		{"records of 17 chunks", patch(v2, offRecordChunks, 17), ErrFormat, offRecordChunks, "1 chunk, not 17"},
		{"endless module list", patch(v2, offModules, bytes.Repeat([]byte{1}, ChunkLen-offModules)...), ErrFormat, ChunkLen, "end with a 0"},
		{"cut in a record", v2[:1100], ErrFormat, 1100, "counts 2 records, this would be number 2"},
		{"counts one too many", patch(v2, offRecords, 3), ErrFormat, 1536, "counts 3 records"},
		{"counts 4 billion", patch(v2, offRecords, 0xff, 0xff, 0xff, 0xff), ErrFormat, 1536, "4294967295"},
		{"value beyond the record", patch(v2, 512+24+4, 0xe1, 0x01), ErrFormat, 512 + 24 + 4, "1/1 should end within its record: 481 bytes, 480 are left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.file)
			var fe *FormatError
			if !errors.Is(err, tt.want) || !errors.As(err, &fe) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if fe.Offset != tt.offset || !strings.Contains(err.Error(), tt.rule) {
				t.Errorf("got %v, want offset %d and %q", err, tt.offset, tt.rule)
			}
		})
	}
}

// TestParseTakes lists odd files that must be taken, and must come out again.
func TestParseTakes(t *testing.T) {
	t.Parallel()
	v2, v4 := golden(t, V2), golden(t, V4)
	consumed := patch(patch(v2, offConsumed, 1), 512+4, 0)
	garbage := patch(consumed, 512+24, bytes.Repeat([]byte{0xa5}, Capacity)...)
	full := append([]byte{}, v2[:1024]...)
	full[offRecords] = 1
	le := binary.LittleEndian
	le.PutUint16(full[512+24:], 7)
	le.PutUint16(full[512+26:], 9)
	le.PutUint16(full[512+28:], Capacity-8)
	tests := map[string][]byte{
		"one consumed":                    consumed,
		"consumed with garbage":           garbage,
		"scrambled consumed with garbage": patch(garbage, 512+4, 2),
		"chunk counts 0":                  patch(patch(v2, offChunks, 0), offRecordChunks, 0),
		"no modules listed":               patch(v2, offModules, 0, 0, 0, 0),
		"bytes behind the module list":    patch(v2, 300, 1, 2, 3),
		"exactly full record":             full,
		"non-zero padding and reserved":   patch(patch(patch(v2, 512+24+8+5, 1, 2, 3), 512+8, 9), 512+30, 7),
		"bytes behind the list":           patch(v2, 1000, 1, 2, 3),
		"bytes behind a scrambled list":   patch(v4, 1000, 1, 2, 3),
		"bytes behind the file":           append(append([]byte{}, v2...), 1, 2, 0),
		"record type 0":                   patch(v2, 512, 0),
		"record type 7":                   patch(v2, 512, 7),
		"unknown flags":                   patch(v2, 512+4, 0xfd, 0xff),
		"fewer counted than there are":    patch(v2, offRecords, 1),
		"two-chunk header":                append(append(patch(v2[:512], offChunks, 2), bytes.Repeat([]byte{4}, 512)...), v2[512:]...),
		"one two-chunk record":            patch(patch(v2, offRecords, 1), offRecordChunks, 2),
		"no records":                      patch(v2[:512], offRecords, 0),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			identity(t, b)
		})
	}
}

func identity(t *testing.T, b []byte) {
	t.Helper()
	in := append([]byte{}, b...)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, in) {
		t.Error("writing what was parsed gives other bytes")
	}
	if !bytes.Equal(b, in) {
		t.Error("Parse changed its input")
	}
}

func TestReaderGoesOnBehindDamage(t *testing.T) {
	t.Parallel()
	b := patch(golden(t, V2), 512+24+4, 0xff, 0xff)
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Next()
	if !errors.Is(err, ErrFormat) || rec == nil || rec.Number != 1 || len(rec.Entries) != 0 || len(rec.Rest) != Capacity {
		t.Fatalf("damaged record: got %+v, %v", rec, err)
	}
	rec, err = r.Next()
	if err != nil || rec.Number != 2 || r.Offset() != 1024 {
		t.Fatalf("record behind it: got %+v at %d, %v", rec, r.Offset(), err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("behind the last: got %v", err)
	}
}

func TestReaderEndsWithItsFile(t *testing.T) {
	t.Parallel()
	r, err := NewReader(bytes.NewReader(golden(t, V2)[:1030]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrFormat) {
		t.Errorf("cut record: got %v", err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) || r.Header().Records != 2 {
		t.Errorf("afterwards: got %v, header %v", err, r.Header())
	}
	broken := fmt.Errorf("the stick was pulled")
	_, err = NewReader(io.MultiReader(bytes.NewReader(golden(t, V2)[:100]), failing{broken}))
	if !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("failing medium: got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := NewWriter(&out, V21, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records(t, V21) {
		if err := w.Write(NewRecord(Entry{Module: 2, Variable: 25, Value: Raw{1}})); !errors.Is(err, ErrVariable) {
			t.Errorf("KVM in 2.1: got %v", err)
		}
		if err := w.Write(NewRecord(Entry{Module: 9, Variable: 1})); !errors.Is(err, ErrVariable) {
			t.Errorf("module that is not listed: got %v", err)
		}
		if err := w.Close(); !errors.Is(err, ErrFormat) {
			t.Errorf("Close with %d of 2 records: got %v", i, err)
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(records(t, V21)[0]); !errors.Is(err, ErrFormat) {
		t.Errorf("third of two: got %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), golden(t, V21)) {
		t.Error("the file differs from the golden one")
	}
}

func TestWriterFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	w, err := NewWriter(failing{full}, V2, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err = w.Write(records(t, V2)[0]); err != nil {
			break
		}
	}
	if !errors.Is(err, full) || !errors.Is(w.Write(records(t, V2)[0]), full) || !errors.Is(w.Close(), full) {
		t.Errorf("got %v, want the medium's error each time", err)
	}
	if _, err := NewWriter(io.Discard, V1, KeepRecords, 1); !errors.Is(err, ErrVariable) {
		t.Errorf("kept records in version 1: got %v", err)
	}
	if _, err := NewWriter(io.Discard, Version(0x0202), 0, 1); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2.2: got %v", err)
	}
	if _, err := NewWriter(io.Discard, V2, 2, 1); !errors.Is(err, ErrFormat) {
		t.Errorf("unknown flags: got %v", err)
	}
	if _, err := NewWriter(io.Discard, V2, 0, 1, make([]uint16, 300)...); err == nil {
		t.Error("300 modules were taken")
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	f, err := Parse(golden(t, V4))
	if err != nil {
		t.Fatal(err)
	}
	r := f.Records[0]
	setup, err := ParseSetup(r)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "entry", r.Entries[1], "value", r.Entries[1].Value, "setup", setup)
	all := log.String()
	type holder struct {
		R *Record
		L []*Record
		F *File
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, holder{r, f.Records, f}) + fmt.Sprintf(verb, f) + fmt.Sprintf(verb, r) + fmt.Sprintf(verb, *r) + fmt.Sprintf(verb, r.Entries) + fmt.Sprintf(verb, setup)
	}
	for _, secret := range []string{"N3w.Passw0rd0", "NKLDG5DC", fmt.Sprintf("%x", "N3w.Passw0rd0"), fmt.Sprint([]byte("N3w")[0], " ", []byte("N3w")[1])} {
		if strings.Contains(all, secret) {
			t.Errorf("%q was printed", secret)
		}
	}
	if b, err := json.Marshal(r); !errors.Is(err, amt.ErrSecretEncoding) {
		t.Errorf("json.Marshal: got %s, %v", b, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range Versions() {
		f.Add(golden(f, v))
		f.Add(readTestdata(f, "all-"+v.String()+".bin"))
	}
	f.Add(readTestdata(f, "keep.bin"))
	f.Add(patch(patch(golden(f, V2), 512+4, 0), 512+24, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			var fe *FormatError
			if !errors.As(err, &fe) || fe.Offset < 0 || fe.Offset > int64(len(b)) {
				t.Fatalf("not a place in %d bytes: %v", len(b), err)
			}
			return
		}
		out, err := file.AppendBinary(nil)
		if err != nil || !bytes.Equal(out, b) {
			t.Fatalf("parse and write: %v; %d bytes became %d", err, len(b), len(out))
		}
		for _, r := range file.Records {
			_, _ = ParseSetup(r)
			_ = r.Check(file.Header.Version)
		}
	})
}
