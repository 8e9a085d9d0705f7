package batch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

const (
	pid1, pps1 = "0000-037M", "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"
	pid2, pps2 = "ABCDEFG8", "AAAF0000ZZZI1A2K9Z9OABCIAAAF0000"
)

// show renders rows with their secrets, for comparison.
func show(rows []Row) string {
	var sb strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&sb, "%d %v %s %s %s %v\n", r.Line, r.Pair.PID, r.Pair.PPS.Reveal(), r.CurrentPassword.Reveal(), r.NewPassword.Reveal(), r.Used)
	}
	return sb.String()
}

func collect(rows *[]Row) func(Row) error {
	return func(r Row) error {
		*rows = append(*rows, r)
		return nil
	}
}

func TestReadCSV(t *testing.T) {
	t.Parallel()
	row := func(line int, pid, pps, current, next string, used bool) string {
		return fmt.Sprintf("%d %s %s %s %s %v\n", line, pid, strings.ReplaceAll(pps, "-", ""), current, next, used)
	}
	tests := []struct{ name, file, want string }{
		{
			"four columns", pid1 + "," + pps1 + ",admin,P@ssw0rd\n" + pid2 + "," + pps2 + ",admin,P@ssw0rd2\n",
			row(1, pid1, pps1, "admin", "P@ssw0rd", false) + row(2, "ABCD-EFG8", pps2, "admin", "P@ssw0rd2", false),
		},
		{"two columns, no newline", pid1 + "," + pps1, row(1, pid1, pps1, "", "", false)},
		{"three columns", pid1 + "," + pps1 + ",Adm1n!xx\n", row(1, pid1, pps1, "Adm1n!xx", "", false)},
		{"empty passwords", pid1 + "," + pps1 + ",,\n", row(1, pid1, pps1, "", "", false)},
		{"header", "pid,pps,current_password,new_password\n" + pid1 + "," + pps1 + ",admin,P@ssw0rd\n", row(2, pid1, pps1, "admin", "P@ssw0rd", false)},
		{"header alone", "pid,pps\n", ""},
		{
			"header of Intel SCS, semicolons, CRLF, BOM", "\xef\xbb\xbfID;PID;PPS;Current Password;Admin_Password;Used\r\n108;" + pid1 + ";" + pps1 + ";admin;P@ssw0rd;1\r\n",
			row(2, pid1, pps1, "admin", "P@ssw0rd", true),
		},
		{"tabs, other order", "pps\tused\tpid\n" + pps1 + "\t0\t" + pid1 + "\n", row(2, pid1, pps1, "", "", false)},
		{"quotes and blanks", `"` + pid1 + `" , "` + pps1 + `",  "admin",P@ss w0rd ` + "\n", row(1, pid1, pps1, "admin", "P@ss w0rd", false)},
		{"BOM before a quote", "\xef\xbb\xbf\"" + pid1 + "\"," + pps1, row(1, pid1, pps1, "", "", false)},
		{"lower case", strings.ToLower(pid1 + "," + pps1), row(1, pid1, pps1, "", "", false)},
		{"empty lines and comments", "\n# from the supplier\n\n" + pid1 + "," + pps1 + "\n   \n", row(4, pid1, pps1, "", "", false)},
		{"Intel SCS without a header", "7," + pid1 + "," + pps1 + ",admin,P@ssw0rd,1\n8," + pid2 + "," + pps2 + ",,,0\n", row(1, pid1, pps1, "admin", "P@ssw0rd", true) + row(2, "ABCD-EFG8", pps2, "", "", false)},
		{"Intel SCS, row numbers like PIDs", "12345678;" + pid1 + ";" + pps1 + ";admin\n", row(1, pid1, pps1, "admin", "", false)},
		{"blanks", pid1 + " " + pps1 + "\n  " + pid2 + "   " + pps2 + "  admin \n", row(1, pid1, pps1, "", "", false) + row(2, "ABCD-EFG8", pps2, "admin", "", false)},
		{"blanks, quotes, a header", "PPS  PID New_Password\n" + pps1 + ` "` + pid1 + `"   "P@ss w0rd"` + "\n", row(2, pid1, pps1, "", "P@ss w0rd", false)},
		{"separator in a quoted password", pid1 + "," + pps1 + `,"ad""min","P@ss;w0rd"`, row(1, pid1, pps1, `ad"min`, "P@ss;w0rd", false)},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var rows []Row
			if err := ReadCSV("oem.csv", strings.NewReader(tt.file), collect(&rows)); err != nil {
				t.Fatal(err)
			}
			if got := show(rows); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestReadCSVFaults(t *testing.T) {
	t.Parallel()
	const leak = "Pl4nted.Passw0rd"
	tests := []struct {
		name, row string
		want      error
		text      string
	}{
		{"one field", pid1, ErrColumns, "oem.csv:2: wrong columns; 1 field, want pid,pps,current_password,new_password: does something else"},
		{"five fields", pid1 + "," + pps1 + ",admin," + leak + ",x", ErrColumns, "5 fields"},
		{"no PID", "," + pps1, ErrMissing, "oem.csv:2: pid: it is missing; want 8 characters"},
		{"short PID", "0000-03," + pps1, amt.ErrPairLength, "oem.csv:2: pid: wrong length; want 8"},
		{"PID check character", "0000-037N," + pps1, amt.ErrPairChecksum, "pid: the check character does not match"},
		{"PID with a sign", "0000_37M," + pps1, amt.ErrPairAlphabet, "pid: only A-Z and 0-9"},
		{"no PPS", pid1 + ",", ErrMissing, "oem.csv:2: pps: it is missing"},
		{"short PPS", pid1 + "," + pps1[:38], amt.ErrPairLength, "pps: PPS: wrong length: 38 characters, want 32 (39 with dashes)"},
		{"PPS check character", pid1 + "," + strings.Replace(pps1, "RRNQ", "RRNR", 1), amt.ErrPairChecksum, "pps: PPS: group 3: the check character does not match: is there a typing error? compare this group"},
		{"columns mixed up", leak[:8] + "," + pps1, amt.ErrPairAlphabet, "pid:"},
		{"weak password", pid1 + "," + pps1 + ",admin,leakleak", amt.ErrPassword, "new_password: password refused: it needs a digit; firmware would refuse it"},
		{"long current password", pid1 + "," + pps1 + "," + leak + leak + "x", ErrPassword, "current_password: no MEBx password; 33 characters, at most 32"},
		{"current password with a control character", pid1 + "," + pps1 + "," + leak + "\x01", ErrPassword, "current_password: no MEBx password; character 17"},
		{"blank in quotes", pid1 + "," + pps1 + `,"` + leak + ` "`, ErrPassword, "a space stands first or last"},
		{"blank in quotes, new", pid1 + "," + pps1 + `,,"` + leak + ` "`, amt.ErrPassword, "new_password: password refused; a space"},
		{"open quotes", pid1 + "," + pps1 + `,"` + leak, ErrQuotes, "oem.csv:2: the quotes do not close; a quote"},
		{"text behind quotes", pid1 + "," + pps1 + `,"` + leak + `"x`, ErrQuotes, "oem.csv:2: the quotes"},
		{"long line", strings.Repeat(leak, 300), ErrLine, "oem.csv:2: the line is too long"},
		{"very long line", strings.Repeat(leak, 30_000), ErrLine, "oem.csv:2: the line is too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := pid1 + "," + pps1 + "\n" + tt.row + "\n" + pid2 + "," + pps2 + "\n"
			var rows []Row
			err := ReadCSV("oem.csv", strings.NewReader(file), collect(&rows))
			var list *RowErrors
			if !errors.As(err, &list) || !errors.Is(err, ErrRows) || len(list.Rows) != 1 || list.Good != 2 || len(rows) != 2 || rows[1].Line != 3 {
				t.Fatalf("got %v, %d rows", err, len(rows))
			}
			if !errors.Is(list.Rows[0], tt.want) || !strings.Contains(list.Rows[0].Error(), tt.text) {
				t.Errorf("got %v, want %s", list.Rows[0], tt.text)
			}
			for _, secret := range []string{"Pl4n", "PL4N", "leakleak", "NKLD", "RRNR"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %s: %v", secret, err)
				}
			}
		})
	}
}

func TestReadCSVHeaderFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ header, text string }{
		{"pid,current_password", "wrong columns: pid or pps is not among them"},
		{"pid,pps,pid", "pid stands in two columns"},
		{"pid,pps,new_password,admin_password", "new_password stands in two columns"},
		{"pid,pps,colour", "column 3 has an unknown name"},
		{"colour,pid,pps", "column 1 has an unknown name"},
	}
	for _, tt := range tests {
		err := ReadCSV("oem.csv", strings.NewReader(tt.header+"\n"+pid1+","+pps1+"\n"), func(Row) error {
			t.Errorf("%s: a row was handed on", tt.header)
			return nil
		})
		var row *RowError
		if !errors.As(err, &row) || !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "oem.csv:1: ") || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %s", tt.header, err, tt.text)
		}
	}
}

func TestBadRowsAreBounded(t *testing.T) {
	t.Parallel()
	file := strings.Repeat("x,y\n", 5000) + pid1 + "," + pps1 + "\n"
	var list *RowErrors
	err := ReadCSV("oem.csv", strings.NewReader(file), func(Row) error { return nil })
	if !errors.As(err, &list) || len(list.Rows) != MaxBadRows || list.More != 5000-MaxBadRows || list.Good != 1 {
		t.Fatalf("got %d rows and %d more", len(list.Rows), list.More)
	}
	if s := err.Error(); !strings.HasPrefix(s, "bad rows: 5000, and 1 good ones\noem.csv:1: pid") || !strings.HasSuffix(s, "\nand 4900 more") {
		t.Errorf("got %s", s)
	}
}

func TestCallerEndsReading(t *testing.T) {
	t.Parallel()
	stop := errors.New("the store is full")
	file := strings.Repeat(pid1+","+pps1+"\n", 5)
	calls := 0
	fn := func(Row) error {
		calls++
		return stop
	}
	if err := ReadCSV("oem.csv", strings.NewReader(file), fn); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("CSV: got %v after %d calls", err, calls)
	}
	if err := ReadSetupBin("setup.bin", bytes.NewReader(stick(t)), fn); !errors.Is(err, stop) || calls != 2 {
		t.Errorf("setup.bin: got %v after %d calls", err, calls)
	}
	broken := errors.New("read error")
	for _, read := range []func(string, io.Reader, func(Row) error) error{ReadCSV, ReadSetupBin, Read} {
		if err := read("x", failing{broken}, fn); !errors.Is(err, broken) {
			t.Errorf("got %v, want the reader's error", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// stick is the golden file of version 2 with its two records.
func stick(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../../setupbin/testdata/v2.bin")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadSetupBin(t *testing.T) {
	t.Parallel()
	for _, v := range setupbin.Versions() {
		b, err := os.ReadFile("../../setupbin/testdata/v" + v.String() + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		var rows []Row
		if err := Read("setup.bin", bytes.NewReader(b), collect(&rows)); err != nil {
			t.Fatal(err)
		}
		want := "1 0000-037M NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ admin N3w.Passw0rd0 false\n2 ABCD-EFG8 " + pps2 + " admin N3w.Passw0rd1 false\n"
		if got := show(rows); got != want {
			t.Errorf("version %v: got\n%swant\n%s", v, got, want)
		}
	}
}

// TestReadSetupBinStates: consumed records, garbage, damage and a cut file.
func TestReadSetupBinStates(t *testing.T) {
	t.Parallel()
	patch := func(at int, v ...byte) []byte {
		b := stick(t)
		copy(b[at:], v)
		return b
	}
	noPair := patch(512+24+16+24+12, 0, 0) // ends the list before 2/1
	garbage := patch(512+4, 0)
	copy(garbage[512+24:], bytes.Repeat([]byte{0xa5}, 488))
	tests := []struct {
		name string
		file []byte
		rows int
		used bool  // the first one
		want error // of the bad row
		text string
	}{
		{"consumed", patch(512+4, 0), 2, true, nil, ""},
		{"consumed and wiped", garbage, 1, false, nil, ""},
		{"record type 0", patch(512, 0), 1, false, nil, ""},
		{"no pair", noPair, 1, false, ErrNoPair, "stick.bin:1: the record holds no PID and PPS"},
		{"damaged", patch(512+24+4, 0xff, 0xff), 1, false, setupbin.ErrFormat, "stick.bin:1: damaged setup.bin: offset 540"},
		{"cut", stick(t)[:1100], 1, false, setupbin.ErrFormat, "stick.bin:2: damaged setup.bin: offset 1100"},
		{"bad PPS", patch(512+24+16+24+12+16+8, 'X'), 1, false, amt.ErrPairChecksum, "stick.bin:1: pps: PPS: group 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var rows []Row
			err := ReadSetupBin("stick.bin", bytes.NewReader(tt.file), collect(&rows))
			if len(rows) != tt.rows || len(rows) > 0 && rows[0].Used != tt.used {
				t.Errorf("rows: got\n%s, %v", show(rows), err)
			}
			var list *RowErrors
			if tt.want == nil && err != nil || tt.want != nil && (!errors.As(err, &list) || !errors.Is(list.Rows[0], tt.want) || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("got %v, want %s", err, tt.text)
			}
		})
	}
	if err := ReadSetupBin("stick.bin", strings.NewReader("x"), nil); !errors.Is(err, setupbin.ErrNotSetupBin) || !strings.Contains(err.Error(), "stick.bin") {
		t.Errorf("no setup.bin: got %v", err)
	}
}

// TestReadSetupBinRaw: bad records become lines that can be mended and read.
func TestReadSetupBinRaw(t *testing.T) {
	t.Parallel()
	b := stick(t)
	b[512+24+16+24+12+16+8] = 'X' // in the first record's PPS
	var head, bad string
	opts := Options{
		Raw: true, Head: func(s amt.Secret) { head += string(s.Reveal()) + "\n" },
		Bad: func(e *RowError) { bad += string(e.Raw.Reveal()) + "\n" },
	}
	var rows, mended []Row
	if err := ReadAs(SetupBin, "stick.bin", bytes.NewReader(b), opts, collect(&rows)); !errors.Is(err, ErrRows) || len(rows) != 1 {
		t.Fatalf("got %v, %d rows", err, len(rows))
	}
	file := head + strings.Replace(bad, "XKLD", "NKLD", 1) + string(rows[0].Raw.Reveal()) + "\n"
	if err := ReadCSV("left.csv", strings.NewReader(file), collect(&mended)); err != nil {
		t.Fatal(err)
	}
	want := "2 0000-037M NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ admin N3w.Passw0rd0 false\n3 ABCD-EFG8 " + pps2 + " admin N3w.Passw0rd1 false\n"
	if got := show(mended); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		file []byte
		want Format
		text string
	}{
		{"setup.bin", stick(t), SetupBin, ""},
		{"the beginning of one", stick(t)[:20], SetupBin, ""},
		{"CSV", []byte(pid1 + "," + pps1), CSV, ""},
		{"empty", nil, 0, "it is empty"},
		{"blanks", []byte(" \n\n"), 0, "it is empty"},
		{"the beginning of gzip", []byte{0x1f, 0x8b, 8, 0}, 0, "compressed, and cannot be unpacked"},
		{"gzip within gzip", packed(t, packed(t, []byte(pid1))), 0, "compressed twice"},
		{"gzip of nothing", packed(t, nil), 0, "it is empty"},
		{"xlsx", []byte("PK\x03\x04...."), 0, "spreadsheet"},
		{"UTF-16", []byte("\xff\xfep\x00i\x00d\x00"), 0, "save it as UTF-8"},
		{"binary", []byte("\x7fELF\x00\x00"), 0, "neither a setup.bin nor a table"},
	}
	for _, tt := range tests {
		got, r, err := Detect(bytes.NewReader(tt.file))
		if got != tt.want || (err == nil) != (tt.text == "") || err != nil && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
		if err != nil {
			if err := Read("f.bin", bytes.NewReader(tt.file), nil); !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "f.bin: ") {
				t.Errorf("%s: Read: got %v", tt.name, err)
			}
			continue
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, tt.file) {
			t.Errorf("%s: the first bytes are lost", tt.name)
		}
	}
	if got := Format(9).String() + CSV.String() + SetupBin.String(); got != "unknown format (9)tablesetup.bin" {
		t.Errorf("String: got %s", got)
	}
}

// FuzzRead: no file panics, no row is handed on that AMT would refuse, and no
// error holds a long piece of the file.
func FuzzRead(f *testing.F) {
	f.Add([]byte(pid1 + "," + pps1 + ",admin,P@ssw0rd\n"))
	f.Add([]byte("id\tpid\tpps\tused\n1\t" + pid1 + "\t" + pps1 + "\t1\n"))
	f.Add([]byte("\"" + pid1 + "\";\"" + pps1 + "\";\"a\"\"b\"\n"))
	f.Add(stick(f))
	f.Add(packed(f, stick(f)))
	f.Add([]byte("1," + pid1 + "," + pps1 + ",admin,,0\n"))
	f.Add([]byte(pid1 + "  " + pps1 + "\n"))
	f.Add([]byte("sep=|\r\npid|pps||\r\n" + pid1 + "|" + pps1 + "||\r\n|||\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		good := 0
		var rows []Row
		err := Read("f", bytes.NewReader(b), func(r Row) error {
			good++
			rows = append(rows, r)
			if r.Pair.PID.Check() != nil || r.Pair.PPS.Len() != amt.PPSLen || r.Line < 1 {
				t.Fatalf("row %d: %v", r.Line, r.Pair)
			}
			if !r.NewPassword.IsZero() && amt.CheckPassword(r.NewPassword) != nil {
				t.Fatalf("row %d: a password that firmware refuses", r.Line)
			}
			return nil
		})
		var list *RowErrors
		if errors.As(err, &list) && (list.Good != good || len(list.Rows) == 0) {
			t.Fatalf("%d good rows, counted %d", good, list.Good)
		}
		again(t, rows)
	})
}

// again wants rows that are written to be read as the same.
func again(t *testing.T, rows []Row) {
	t.Helper()
	file := []byte(Header)
	for i := range rows {
		rows[i].Line = i + 2
		file = rows[i].AppendCSV(file)
	}
	var read []Row
	if err := ReadCSV("again", bytes.NewReader(file), collect(&read)); err != nil {
		t.Fatal(err)
	}
	if show(read) != show(rows) {
		t.Fatal("rows that were written are read as others")
	}
}

// packed is gzip of b.
func packed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func BenchmarkReadCSV(b *testing.B) {
	line := pid1 + "," + pps1 + ",admin,P@ssw0rd\n"
	file := strings.Repeat(line, 1000)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for i := 0; i < b.N; i += 1000 {
		if err := ReadCSV("x", strings.NewReader(file), func(Row) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
