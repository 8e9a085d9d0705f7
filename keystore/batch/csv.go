package batch

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amtscs/amtscs/amt"
)

// The usual shapes of lists without a header, whose last columns may be left out:
// ours, and the table of keys of Intel SCS with its row number.
var (
	positional = columns{fields: []string{FieldPID, FieldPPS, FieldCurrentPassword, FieldNewPassword}}
	scsShape   = columns{fields: []string{"", FieldPID, FieldPPS, FieldCurrentPassword, FieldNewPassword, FieldUsed}}
)

// pairs are lists of pairs. id is the number that Intel SCS gave its rows.
var pairs = kind{
	names: map[string]string{
		FieldPID: FieldPID, FieldPPS: FieldPPS, FieldCurrentPassword: FieldCurrentPassword, FieldNewPassword: FieldNewPassword,
		"admin_password": FieldNewPassword, FieldUsed: FieldUsed, "id": "",
	},
	need:   []string{FieldPID, FieldPPS},
	want:   "pid, pps, current_password, new_password and used, of which pid and pps must be there",
	usual:  usualPairs,
	likely: likelyPair,
}

// usualPairs tells the shapes apart by where a PPS stands in the first row; when
// none does, by the number of columns.
func usualPairs(cells []string) columns {
	pps := func(i int) bool { return i < len(cells) && ppsForm(cells[i]) }
	if !pps(1) && (pps(2) || len(cells) == len(scsShape.fields)) {
		return scsShape
	}
	return positional
}

// ppsForm reports whether a cell has a PPS' length and characters, right or not.
func ppsForm(s string) bool { return form(s, amt.PPSLen) }

func form(s string, n int) bool {
	s = strings.ReplaceAll(strings.TrimSpace(s), "-", "")
	alien := func(r rune) bool { return r >= utf8.RuneSelf || !alphanumeric(byte(r)) }
	return len(s) == n && strings.IndexFunc(s, alien) < 0
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// likelyPair takes a mistyped PID or PPS for one, in either column; a header's
// word is further off.
func likelyPair(_, cell string) bool {
	cell = strings.TrimSpace(cell)
	n := len(strings.ReplaceAll(cell, "-", ""))
	pid := n >= amt.PIDLen-1 && n <= amt.PIDLen+1 && strings.ContainsAny(cell, "0123456789")
	pps := n > amt.PPSLen-12 && !strings.Contains(cell, " ")
	return pid || pps
}

// ReadCSV is ReadTable without options.
func ReadCSV(name string, r io.Reader, fn func(Row) error) error {
	return ReadTable(name, r, Options{}, fn)
}

// ReadTable reads pid,pps,current_password,new_password, of which the last two
// may be left out, and id,pid,pps,current_password,admin_password,used. A first
// line that names columns may put them in another order; a column id is passed
// over. Other tables need a Layout. Fields are parted by commas, tabs, semicolons
// or blanks, whichever the first line has, and may be quoted; dashes in PID and
// PPS, lower case, CRLF, a BOM, empty lines and lines that begin with # are taken.
//
// Good rows go to fn in the order of the file; an error of fn ends the reading.
// Bad rows are passed over, collected and returned as *RowErrors in the end: a
// caller that wants all or nothing keeps the rows until then. A header that
// cannot be used is a *RowError, a layout that cannot be ErrLayout.
func ReadTable(name string, r io.Reader, opts Options, fn func(Row) error) error {
	if err := opts.Layout.CheckPairs(); err != nil {
		return err
	}
	t := &table{collector: collector{file: name}, kind: &pairs, opts: opts}
	t.take = func(line int, cells []string, cols columns) error {
		var f fields
		for i, cell := range cells[:min(len(cells), len(cols.fields))] {
			f.set(cols.fields[i], cell)
		}
		return t.pair(line, &f, t.raw, fn)
	}
	return t.read(r)
}

func (f *fields) set(field, cell string) {
	switch field {
	case FieldPID:
		f.pid = cell
	case FieldPPS:
		f.pps = cell
	case FieldCurrentPassword:
		f.current = cell
	case FieldNewPassword:
		f.next = cell
	case FieldUsed:
		f.used = cell
	}
}

// Fields are the names of the columns that a Layout for pairs may have.
func Fields() []string {
	return slices.Clone([]string{FieldPID, FieldPPS, FieldCurrentPassword, FieldNewPassword, FieldUsed})
}
