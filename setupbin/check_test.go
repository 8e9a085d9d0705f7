package setupbin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	var last Variable
	for _, v := range Variables() {
		if v.Module < last.Module || v.Module == last.Module && v.Variable <= last.Variable {
			t.Errorf("%v is not behind %v", v, last)
		}
		if v.Name == "" || v.MinLen < 1 || v.MaxLen < v.MinLen || !v.Since.known() || strings.HasPrefix(v.Kind.String(), "unknown") {
			t.Errorf("%v: incomplete row %+v", v, v)
		}
		for _, s := range []string{v.ID(), v.Name, strings.ToUpper(v.Name)} {
			if got, err := ParseVariable(s); err != nil || got != v {
				t.Errorf("ParseVariable(%q) = %v, %v", s, got, err)
			}
		}
		last = v
	}
	if _, err := ParseVariable("2/9"); err == nil || !strings.Contains(err.Error(), `"2/9"`) {
		t.Errorf("2/9: got %v", err)
	}
	if got := (Entry{Module: 2, Variable: 9}).Describe(); got != "2/9 (unknown)" {
		t.Errorf("Describe: got %s", got)
	}
	if got := Kind(99).String(); got != "unknown kind (99)" {
		t.Errorf("Kind: got %s", got)
	}
}

// TestEveryGate writes every variable in every version.
func TestEveryGate(t *testing.T) {
	t.Parallel()
	for _, row := range Variables() {
		e := Entry{Module: row.Module, Variable: row.Variable, Value: sample(row)}
		for _, v := range Versions() {
			err := e.check(v)
			if v >= row.Since && err != nil {
				t.Errorf("%v in %v: %v", row, v, err)
			}
			if v < row.Since && (!errors.Is(err, ErrVariable) || !strings.Contains(err.Error(), row.String()) ||
				!strings.Contains(err.Error(), "version "+v.String()+" does not have it")) {
				t.Errorf("%v in %v: got %v", row, v, err)
			}
		}
	}
}

// sample is a good value of a variable: that of the golden files.
func sample(row Variable) Raw {
	for _, v := range allValues() {
		if v.Module == row.Module && v.Variable == row.Variable {
			return v.value
		}
	}
	return nil
}

func e(module, variable uint16, value string) Entry {
	return Entry{Module: module, Variable: variable, Value: Raw(value)}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	hash := func(alg, sum int, name string) string {
		return string(rune(alg)) + strings.Repeat("h", sum) + string(rune(len(name))) + name
	}
	good := []Entry{e(1, 1, "admin"), e(1, 2, "P@ssw0rd"), e(1, 3, "\x01")}
	with := func(more ...Entry) []Entry { return append(append([]Entry{}, good...), more...) }
	pps := "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"
	tests := []struct {
		name    string
		v       Version
		entries []Entry
		want    error // nil: taken
		text    string
	}{
		{"passwords", V1, good, nil, ""},
		{"nothing", V1, nil, nil, ""},
		{"unknown variable", V1, with(e(2, 9, "x"), e(77, 300, "")), nil, ""},
		{"suffix with a dot", V2, with(e(2, 3, ".corp.example")), nil, ""},
		{"three hashes", V2, with(e(2, 7, "\x01"), e(2, 8, hash(1, 20, "a")), e(2, 8, hash(1, 20, "")), e(2, 8, hash(1, 20, "c"))), nil, ""},
		{"SHA-384", V3, with(e(2, 8, hash(3, 48, strings.Repeat("n", 31)))), nil, ""},

		{"four hashes", V3, with(e(2, 8, hash(1, 20, "")), e(2, 8, hash(1, 20, "")), e(2, 8, hash(1, 20, "")), e(2, 8, hash(1, 20, ""))), ErrOrder, "4 times, at most 3"},
		{"SHA-256 in 2.1", V21, with(e(2, 7, "\x01"), e(2, 8, hash(2, 32, ""))), ErrVariable, "version 2.1 has SHA-1 alone"},
		{"hash algorithm 9", V4, with(e(2, 8, hash(9, 20, ""))), ErrVariable, "hash algorithm 9"},
		{"short hash", V4, with(e(2, 8, hash(2, 20, ""))), ErrVariable, "32 bytes of sum"},
		{"hash without its config", V2, with(e(2, 8, hash(1, 20, "a"))), ErrOrder, "wants 2/7 before it"},
		{"factory password alone", V1, []Entry{e(1, 1, "admin")}, ErrOrder, "followed by a new one"},
		{"twice", V1, []Entry{e(1, 1, "P@ssw0rd"), e(1, 1, "P@ssw0rd")}, ErrOrder, "1/1 Current MEBx password behind 1/1"},
		{"1/3 behind module 2", V1, []Entry{e(2, 1, "0000037M"), e(2, 2, pps), e(1, 3, "\x01")}, ErrOrder, "1/3 Manageability feature selection behind 2/2 PPS"},
		{"falling", V1, []Entry{e(1, 2, "P@ssw0rd"), e(1, 1, "admin")}, ErrOrder, "rising"},
		{"module 0", V1, []Entry{e(0, 1, "x")}, ErrVariable, "module 0 ends the list"},
		{"PID alone", V1, with(e(2, 1, "0000037M")), ErrVariable, "a PID needs its PPS"},
		{"PPS alone", V1, with(e(2, 2, pps)), ErrVariable, "a PID needs its PPS"},
		{"short PID", V1, with(e(2, 1, "0000"), e(2, 2, pps)), ErrVariable, "4 bytes, want 8 to 8"},
		{"port 0", V3, with(e(2, 18, "\x00\x00")), ErrVariable, "want 1 to 65535"},
		{"manageability 2", V1, []Entry{e(1, 3, "\x02")}, ErrVariable, "want 0 (none), 1 (Intel AMT)"},
		{"control character", V1, []Entry{e(1, 1, "admin\n"), e(1, 2, "P@ssw0rd")}, ErrVariable, "character 6 is not printable"},
		{"FQDN with a dot first", V2, with(e(2, 4, ".corp.example")), ErrVariable, "not a DNS name"},
		{"FQDN with a hyphen last", V2, with(e(2, 4, "scs.corp-")), ErrVariable, "not a DNS name"},
		{"FQDN with a long label", V2, with(e(2, 4, strings.Repeat("a", 64))), ErrVariable, "not a DNS name"},
		{"too much", V4, []Entry{e(2, 3, strings.Repeat("a.", 120)+"a"), e(2, 4, strings.Repeat("b.", 120)+"b")}, ErrCapacity, "the entries need 504 bytes, 484 are the most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := NewRecord(tt.entries...).Check(tt.v)
			if tt.want == nil && err != nil || !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v %q", err, tt.want, tt.text)
			}
		})
	}
	r := NewRecord(good...)
	r.Flags |= FlagScrambled
	if err := r.Check(V3); !errors.Is(err, ErrVariable) || !strings.Contains(err.Error(), "version 3 has none") {
		t.Errorf("scrambled in 3: got %v", err)
	}
}

func TestVersionText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Version{"1": V1, "1.0": V1, "2": V2, "2.0": V2, "2.1": V21, "3": V3, "3.0": V3, "4": V4, "4.0": V4} {
		if got, err := ParseVersion(in); err != nil || got != want {
			t.Errorf("ParseVersion(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "2.2", "5", "v2", "2.10", " 2"} {
		if got, err := ParseVersion(in); !errors.Is(err, ErrVersion) {
			t.Errorf("ParseVersion(%q) = %v, %v", in, got, err)
		}
	}
}

func TestParseSetupFaults(t *testing.T) {
	t.Parallel()
	pps := "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"
	tests := []struct {
		name    string
		entries []Entry
		want    error
		text    string
	}{
		{"no pair", []Entry{e(1, 1, "admin")}, ErrNoSetup, "lacks 2/1 PID or 2/2 PPS"},
		{"bad PID", []Entry{e(2, 1, "0000037N"), e(2, 2, pps)}, ErrVariable, "2/1 PID"},
		{"bad PPS", []Entry{e(2, 1, "0000037M"), e(2, 2, pps[1:])}, ErrVariable, "2/2 PPS: variable refused: PPS: wrong length"},
		{"short address", []Entry{e(2, 17, "abc")}, ErrVariable, "3 bytes, want 4"},
		{"long port", []Entry{e(2, 18, "abc")}, ErrVariable, "3 bytes, want 2"},
		{"bad FQDN", []Entry{e(2, 4, "")}, ErrVariable, "not a DNS name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseSetup(NewRecord(tt.entries...))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), pps[1:]) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
		})
	}
	dashed := NewRecord(e(2, 1, "0000-037m"), e(2, 2, "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"), e(2, 2, "second"), e(2, 99, "x"))
	if s, err := ParseSetup(dashed); err != nil || s.Pair.PID.Wire() != "0000037M" || string(s.Pair.PPS.Reveal()) != pps {
		t.Errorf("dashed: got %+v, %v", s, err)
	}
}

// TestHundredThousandRecords streams a file of 100,000 records (51 MB) in the
// memory of one.
func TestHundredThousandRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 51 MB to a pipe")
	}
	const n = 100_000
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := writeMany(pw, n)
		done <- err
		_ = pw.CloseWithError(err)
	}()
	start := time.Now()
	r, err := NewReader(pr)
	if err != nil {
		t.Fatal(err)
	}
	count, peak := 0, uint64(0)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSetup(rec); err != nil {
			t.Fatal(err)
		}
		if count++; count%20_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.Sys)
		}
	}
	if err := <-done; err != nil || count != n {
		t.Fatalf("%d records, %v", count, err)
	}
	t.Logf("%d records written and read in %v, %d MB from the system", n, time.Since(start).Round(time.Millisecond), peak>>20)
	if peak > 200<<20 {
		t.Errorf("%d MB from the system, want at most 200", peak>>20)
	}
}

func writeMany(w io.Writer, n uint32) error {
	wr, err := NewWriter(w, V4, 0, n)
	if err != nil {
		return err
	}
	var seed [32]byte
	draw := rand.NewChaCha8(seed)
	for i := range n {
		pair, err := amt.DrawPair(draw)
		if err != nil {
			return err
		}
		s := SetupRecord{Pair: pair, NewPassword: amt.NewSecretString(fmt.Sprintf("P@ssw0rd%d", i)), FQDN: "scs.corp.example", Port: 9971}
		rec, err := s.Record(V4)
		if err != nil {
			return err
		}
		rec.Flags |= FlagScrambled
		if err := wr.Write(rec); err != nil {
			return err
		}
	}
	return wr.Close()
}

func BenchmarkWriteRecord(b *testing.B) {
	b.SetBytes(ChunkLen)
	b.ReportAllocs()
	if err := writeMany(io.Discard, uint32(b.N)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadRecord(b *testing.B) {
	var file bytes.Buffer
	if err := writeMany(&file, 1000); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(ChunkLen)
	b.ReportAllocs()
	var r *Reader
	for i := range b.N {
		if i%1000 == 0 {
			r, _ = NewReader(bytes.NewReader(file.Bytes()))
		}
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHeaderWriteFaults(t *testing.T) {
	t.Parallel()
	f, err := Parse(golden(t, V2))
	if err != nil {
		t.Fatal(err)
	}
	bad := *f
	bad.Header.Modules = []uint16{1, 0}
	if _, err := bad.AppendBinary(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("module 0 listed: got %v", err)
	}
	bad = *f
	bad.Records = f.Records[:1]
	if _, err := bad.AppendBinary(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a record is missing: got %v", err)
	}
	bad = *f
	bad.Records = []*Record{NewRecord(e(9, 9, strings.Repeat("x", 600))), f.Records[1]}
	if _, err := bad.AppendBinary(nil); !errors.Is(err, ErrCapacity) {
		t.Errorf("a record is too long: got %v", err)
	}
	bad = *f
	bad.Header.Version = 0x0500
	if _, err := bad.AppendBinary(nil); !errors.Is(err, ErrVersion) {
		t.Errorf("version 5: got %v", err)
	}
	if _, err := New(V1, 0, NewRecord(e(2, 4, "scs.example"))); !errors.Is(err, ErrVariable) || !strings.Contains(err.Error(), "record 1") {
		t.Errorf("New: got %v", err)
	}
}
