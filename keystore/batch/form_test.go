package batch

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// wide is text in UTF-16 without a mark.
func wide(order binary.AppendByteOrder, s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// TestNotText: what is no list is named by what it is, with the cure.
func TestNotText(t *testing.T) {
	t.Parallel()
	table := "pid,pps\r\n" + pid1 + "," + pps1 + "\r\n"
	for _, tt := range []struct{ name, file, want string }{
		{"UTF-16", "\xff\xfe" + string(wide(binary.LittleEndian, table)), "UTF-16 text: save it as UTF-8"},
		{"UTF-16 without a mark", string(wide(binary.LittleEndian, table)), "UTF-16 text without its mark: save it as UTF-8"},
		{"the other UTF-16 without a mark", string(wide(binary.BigEndian, table)), "UTF-16 text without its mark: save it as UTF-8"},
		{"a NUL", "pid,pps\n" + pid1 + "\x00," + pps1, "it has NUL bytes"},
		{"NULs", strings.Repeat("\x00", 100), "it has NUL bytes"},
		{"binary", strings.Repeat("\x01\x02\xff\xfea", 20), "it is a binary file"},
		{"zip", "PK\x03\x04xx", "zip file, or a spreadsheet"},
		{"empty zip", "PK\x05\x06", "zip file without any file"},
		{"xls", "\xd0\xcf\x11\xe0xx", "save it as CSV"},
		{"bzip2", "BZh91AY", "bunzip2"},
		{"xz", "\xfd7zXZ\x00x", "unxz"},
		{"PDF", "%PDF-1.7\n", "PDF file"},
	} {
		_, _, err := Detect(strings.NewReader(tt.file))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	for _, s := range []string{table, "# Stückliste\n" + table, "# St\xfcckliste\n" + table, table + "\x1a"} {
		if f, _, err := Detect(strings.NewReader(s)); f != CSV || err != nil {
			t.Errorf("%q: got %v, %v", s, f, err)
		}
	}
}

// TestSpreadsheets reads what Excel writes.
func TestSpreadsheets(t *testing.T) {
	t.Parallel()
	want := " " + pid1 + " " + strings.ReplaceAll(pps1, "-", "") + "   false\n"
	for _, tt := range []struct{ name, file, line string }{
		{"sep=;", "sep=;\r\npid;pps\r\n{pid};{pps}\r\n", "3"},
		{"SEP with a BOM, quoted, and what is no usual separator", "\xef\xbb\xbf\"SEP=|\"\npid|pps\n{pid}|{pps}\n", "3"},
		{"a tab", "sep=\t\n{pid}\t{pps}\n", "2"},
		{"a comma in a name", "sep=;\nused;pps;pid\n;{pps};{pid}\n", "3"},
		{"empty columns behind", "pid;pps;;;\n{pid};{pps};;;\n", "2"},
		{"empty columns behind no header", "{pid},{pps},,,,,\n", "1"},
		{"rows of separators", ";;;\npid;pps;;\n;;;\n{pid};{pps}\n ; ;\n", "4"},
		{"rows of commas before semicolons", ",,,\n{pid};{pps}\n", "2"},
	} {
		file := strings.NewReplacer("{pid}", pid1, "{pps}", pps1).Replace(tt.file)
		var rows []Row
		if err := ReadCSV("x.csv", strings.NewReader(file), collect(&rows)); err != nil || show(rows) != tt.line+want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, show(rows), err, tt.line+want)
		}
	}
	for _, s := range []string{"sep=", "sep=;;", "sep=a", "sep=-", `sep="`, "sep=\x01", "sepp;", "pid=;"} {
		if got := declared([]byte(s)); got != 0 {
			t.Errorf("%q declares %v", s, got)
		}
	}
}

// TestCures: the error of a row names what was done to it, and shows nothing.
func TestCures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ row, want string }{
		{"{pid},{pps},admin,P@ss,w0rd", "5 fields, want pid,pps,current_password,new_password: is there a comma in a field? quote it; or say where the fields stand with --columns"},
		{"{pid};{pps};admin;P@ss;w0rd", "is there a semicolon in a field?"},
		{"{pid}", "1 field, want pid,pps,current_password,new_password: does something else part the fields?"},
		{"{pps},{pid}", "x.csv:1: the columns of PID and PPS are exchanged; exchange them"},
		{"1.23E+11,{pps}", "pid: only A-Z and 0-9 are allowed; a spreadsheet made a number of it"},
		{"\"1,23E+11\",{pps}", "a spreadsheet made a number of it"},
		{"123E-4567,{pps}", "pid: the check character does not match"},
		{"pid,pps,,\n{pid},{pps},,x", "4 fields, want pid,pps: "},
	} {
		file := strings.NewReplacer("{pid}", pid1, "{pps}", pps1).Replace(tt.row) + "\n"
		err := ReadCSV("x.csv", strings.NewReader(file), func(Row) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.row, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "NKLD") || strings.Contains(err.Error(), "w0rd;")) {
			t.Errorf("%s: a value is shown: %v", tt.row, err)
		}
	}
	for _, f := range []fields{{pid: pid1[:8] + "X", pps: pps1}, {pid: pps1, pps: pid1}, {pid: pid1, pps: pps1, next: "weak"}} {
		f.record = true
		if _, bad := f.row(); bad == nil || strings.Contains(bad.What(), "column") || strings.Contains(bad.What(), "the field") {
			t.Errorf("of a setup.bin: %v", bad)
		}
	}
}
