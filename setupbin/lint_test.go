package setupbin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// raw is a file of these records, none of which is checked.
func raw(t testing.TB, v Version, flags FileFlags, list ...*Record) []byte {
	t.Helper()
	f := File{Header: newHeader(v, flags, uint32(len(list)), []uint16{1, 2}), Records: list}
	for i, r := range list {
		r.Number = uint32(i + 1)
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain are the entries of a good record.
func plain(more ...Entry) []Entry {
	return append([]Entry{
		e(1, 1, "admin"), e(1, 2, "P@ssw0rd"), e(1, 3, "\x01"), e(2, 1, "0000037M"), e(2, 2, "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"),
	}, more...)
}

type lintCase struct {
	name string
	file []byte
	want []string // "offset record rule", in the order of the file
}

func one(t testing.TB, v Version, entries ...Entry) []byte {
	return raw(t, v, 0, NewRecord(entries...))
}

func headerCases(t *testing.T) []lintCase {
	v2 := golden(t, V2)
	consumed := patch(patch(v2, offConsumed, 1), 512+4, 0)
	many := raw(t, V2, 0)
	for range 1001 {
		many = append(many, v2[512:1024]...)
	}
	copy(many[offRecords:], []byte{0xe9, 3})
	return []lintCase{
		{"other file", []byte("Dear Sir"), []string{"8 0 type"}},
		{"cut header", v2[:99], []string{"99 0 layout"}},
		{"version 9", patch(v2, offMajor, 9), []string{"24 0 version"}},
		{"cut", v2[:1100], []string{"1100 0 layout"}},
		{"chunk counts 0", patch(patch(v2, offChunks, 0), offRecordChunks, 0), []string{"16 0 header-chunks", "36 0 record-chunks"}},
		{"header size", patch(v2, offHeaderBytes, 42), []string{"18 0 header-size"}},
		{"header number", patch(v2, offNumber, 1), []string{"20 0 header-fields"}},
		{"header reserved", patch(v2, offReserved, 1), []string{"38 0 header-fields"}},
		{"header padding", patch(v2, 300, 1), []string{"38 0 header-fields"}},
		{"unknown flag", patch(v2, offFlags, 2), []string{"26 0 flags"}},
		{"kept in version 1", patch(golden(t, V1), offFlags, 1), []string{"26 0 keep-version", "536 1 kept-pair", "1048 2 kept-pair"}},
		{"no modules", patch(patch(v2, offModules, 0, 0, 0, 0), offHeaderBytes, 42), []string{"40 0 modules"}},
		{"no records", raw(t, V2, 0), []string{"28 0 no-records"}},
		{"good, one consumed", consumed, nil},
		{"count too low", patch(consumed, offConsumed, 0), []string{"32 0 consumed-count"}},
		{"count too high", patch(v2, offConsumed, 1), []string{"32 0 consumed-count"}},
		{"count beyond", patch(v2, offConsumed, 3), []string{"32 0 consumed-count"}},
		{"second consumed first", patch(patch(v2, offConsumed, 1), 1024+4, 0), []string{"1024 0 consumed-prefix"}},
		{"used up", patch(patch(consumed, offConsumed, 2), 1024+4, 0), []string{"32 0 used-up"}},
		{"consumed with garbage", patch(consumed, 512+24, bytes.Repeat([]byte{0xa5}, Capacity)...), nil},
		{"trailing", append(append([]byte{}, v2...), 1), []string{"1536 0 trailing"}},
		{"kept and consumed", patch(consumed, offFlags, 1), []string{"1048 2 kept-pair", "32 0 kept-consumed"}},
		{"many", many, append([]string{"28 0 many-records"}, manyFindings()...)},
	}
}

// manyFindings are of the same record, 1001 times.
func manyFindings() []string {
	var list []string
	for n := 2; len(list) < MaxFindings-1; n++ {
		list = append(list, fmt.Sprintf("%d %d record-number", n*512+20, n), fmt.Sprintf("%d %d duplicate-pid", n*512+84, n))
	}
	return list[:MaxFindings-1]
}

func recordCases(t *testing.T) []lintCase {
	v2, v4 := golden(t, V2), golden(t, V4)
	overrun := one(t, V2, plain(e(2, 4, "scs"))...)
	return []lintCase{
		{"type 0", patch(v2, 512, 0), []string{"512 1 record-type"}},
		{"unknown record flag", patch(v2, 512+4, 9), []string{"516 1 record-header"}},
		{"record reserved", patch(v2, 512+8, 9), []string{"520 1 record-header"}},
		{"record of 2 chunks", patch(v2, 512+16, 2), []string{"528 1 record-header"}},
		{"record header of 20", patch(v2, 512+18, 20), []string{"530 1 record-header"}},
		{"number", patch(v2, 512+20, 7), []string{"532 1 record-number"}},
		{"scrambled in 3", patch(patch(v4, 0, fileTypesOf(V3)...), offMajor, 3), []string{"516 1 scrambled-version", "1028 2 scrambled-version"}},
		{"half scrambled", append(append(patch(v4[:1024], 0, v4[:512]...), v2[1024:1536]...), nil...), []string{"0 0 mixed-records"}},
		{"488 bytes and more", patch(overrun, 512+24+16+16+12+16+40+4, 0xff, 1), []string{"640 1 entry"}},
		{"full", one(t, V21, plain(e(2, 4, strings.Repeat("a.", 120)+"aa"), e(2, 19, strings.Repeat("x", 128)))...), []string{"1024 1 terminator"}},
		{"padding of an entry", patch(v2, 512+24+8+5, 1), []string{"542 1 padding"}},
		{"behind the list", patch(v2, 1020, 1), []string{"668 1 padding"}},
	}
}

func fileTypesOf(v Version) []byte { b := fileTypes[v]; return b[:] }

func variableCases(t *testing.T) []lintCase {
	pps := "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"
	hash := "\x01" + strings.Repeat("h", 20) + "\x00"
	swap := func(i, j int, list []Entry) []Entry { list[i], list[j] = list[j], list[i]; return list }
	return []lintCase{
		{"unknown", one(t, V2, plain(e(2, 9, "x"))...), []string{"636 1 unknown-variable"}},
		{"module not listed", one(t, V2, plain(e(3, 1, "x"))...), []string{"636 1 modules", "636 1 unknown-variable"}},
		{"version", one(t, V2, plain(e(2, 18, "\x01\x00"))...), []string{"636 1 variable-version"}},
		{"weakly sourced version", one(t, V21, plain(e(2, 25, "\x01"))...), []string{"636 1 variable-version"}},
		{"length", one(t, V21, plain(e(2, 18, "\x01"))...), []string{"640 1 variable-length"}},
		{"value", one(t, V21, plain(e(2, 18, "\x00\x00"))...), []string{"644 1 variable-value"}},
		{"hash of 3 in 2.1", one(t, V21, plain(e(2, 7, "\x01"), e(2, 8, "\x02"+strings.Repeat("h", 32)+"\x00"))...), []string{"656 1 variable-value"}},
		{"PID", one(t, V2, append(plain()[:3], e(2, 1, "0000037N"), e(2, 2, pps))...), []string{"588 1 pid"}},
		{"PPS", one(t, V2, append(plain()[:4], e(2, 2, strings.Replace(pps, "N", "M", 1)))...), []string{"604 1 pps"}},
		{"weak password", one(t, V2, with(1, "password")...), []string{"560 1 password"}},
		{"HP", one(t, V2, with(1, "P@ss w0rd")...), []string{"560 1 password-hp"}},
		{"no current", one(t, V2, plain()[2:]...), []string{"536 1 current-password"}},
		{"admin alone", one(t, V2, append(plain()[:1], plain()[2:]...)...), []string{"536 1 new-password"}},
		{"PID alone", one(t, V2, plain()[:4]...), []string{"536 1 pair"}},
		{"PPS alone", one(t, V2, append(plain()[:3], plain()[4])...), []string{"536 1 pair"}},
		{"twice the same PID", raw(t, V2, 0, NewRecord(plain()...), NewRecord(plain()...)), []string{"1100 2 duplicate-pid"}},
		{"new before current", one(t, V2, swap(0, 1, plain())...), []string{"536 1 order", "536 1 sorted", "536 1 current-password"}},
		{"1/3 last", one(t, V2, append(append(plain()[:2], plain()[3:]...), plain()[2])...), []string{"624 1 order"}},
		{"2/8 without 2/7", one(t, V2, plain(e(2, 8, hash))...), []string{"636 1 order"}},
		{"2/28 too early", one(t, V3, plain(e(2, 28, "\x01"), e(2, 4, "scs"))...), []string{"648 1 order"}},
		{"unsorted", one(t, V21, plain(e(2, 12, "x"), e(2, 11, "x"))...), []string{"536 1 sorted"}},
		{"repeated", one(t, V2, plain(e(2, 4, "a"), e(2, 4, "b"))...), []string{"648 1 repeated"}},
		{"four hashes", one(t, V3, plain(e(2, 8, hash), e(2, 8, hash), e(2, 8, hash), e(2, 8, hash))...), []string{"732 1 repeated"}},
		{"DHCP and static", one(t, V21, plain(e(2, 13, "\x02"), e(2, 19, "x"))...), []string{"536 1 network"}},
	}
}

// with is plain with another value.
func with(i int, value string) []Entry {
	list := plain()
	list[i].Value = Raw(value)
	return list
}

// TestLint wants exactly these findings, and every rule in some case.
func TestLint(t *testing.T) {
	t.Parallel()
	hit := map[string]bool{}
	for _, tt := range slices.Concat(headerCases(t), recordCases(t), variableCases(t)) {
		rep, err := Lint(bytes.NewReader(tt.file))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range rep.Findings {
			got = append(got, fmt.Sprintf("%d %d %s", f.Offset, f.Record, f.Rule))
			hit[f.Rule] = true
			if f.Cure == "" || f.Text == "" || f.Severity != ruleOf(f.Rule).Severity {
				t.Errorf("%s: incomplete finding %+v", tt.name, f)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, first(got), first(tt.want))
		}
		if rep.Errors+rep.Warnings != len(rep.Findings)+rep.More {
			t.Errorf("%s: %d errors, %d warnings, %d findings and %d more", tt.name, rep.Errors, rep.Warnings, len(rep.Findings), rep.More)
		}
	}
	for _, r := range Rules() {
		if !hit[r.ID] {
			t.Errorf("no case breaks the rule %s", r.ID)
		}
		delete(hit, r.ID)
	}
	for id := range hit {
		t.Errorf("rule %s is not in the list of rules", id)
	}
}

func first(list []string) string { return strings.Join(list[:min(len(list), 12)], "\n") }

// TestLintFindsNothing in what this package and the other encoder write.
func TestLintFindsNothing(t *testing.T) {
	t.Parallel()
	for _, v := range Versions() {
		for _, name := range []string{"v", "all-"} {
			rep, err := Lint(bytes.NewReader(readTestdata(t, name+v.String()+".bin")))
			if err != nil || len(rep.Findings) > 0 || rep.Records != 2 {
				t.Errorf("%s%v: got %+v, %v", name, v, rep, err)
			}
		}
	}
}

func TestLintShowsNoSecret(t *testing.T) {
	t.Parallel()
	secret := []string{"hunter2", "QQQQ"}
	b := one(t, V2, e(1, 1, "hunter2"), e(1, 2, "hunter2AAA"), e(2, 1, "0000037M"), e(2, 2, strings.Repeat("Q", 32)))
	rep, err := Lint(bytes.NewReader(b))
	if err != nil || rep.Errors < 2 {
		t.Fatalf("got %+v, %v", rep, err)
	}
	for _, s := range secret {
		if all := fmt.Sprintf("%+v", rep); strings.Contains(all, s) {
			t.Errorf("%q is in %s", s, all)
		}
	}
}

func TestLintPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("the stick was pulled")
	for _, n := range []int{100, 700, 1536} {
		r := io.MultiReader(bytes.NewReader(golden(t, V2)[:n]), failing{broken})
		if rep, err := Lint(r); rep != nil || !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %+v, %v", n, rep, err)
		}
	}
	if s := Severity(9).String(); s != "unknown severity (9)" || Error.String()+Warning.String() != "errorwarning" {
		t.Errorf("got %s", s)
	}
}

// FuzzLint wants no error finding in what Check takes, and none but known rules.
func FuzzLint(f *testing.F) {
	for _, v := range Versions() {
		f.Add(golden(f, v))
		f.Add(readTestdata(f, "all-"+v.String()+".bin"))
	}
	f.Add(readTestdata(f, "keep.bin"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, err := Lint(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range rep.Findings {
			if ruleOf(x.Rule).About == strings.ReplaceAll(x.Rule, "-", " ") || x.Offset < 0 || x.Offset > int64(len(b))+ChunkLen*maxChunks {
				t.Fatalf("finding %+v", x)
			}
		}
		if _, err := Parse(b); (err != nil) != layoutBroken(rep) && rep.More == 0 {
			t.Fatalf("Parse says %v, Lint %+v", err, rep)
		}
	})
}

func layoutBroken(rep *Report) bool {
	return slices.ContainsFunc(rep.Findings, func(f Finding) bool {
		return slices.Contains([]string{"type", "version", "layout", "entry"}, f.Rule)
	})
}
