package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// maxLine bounds a line of a table, in bytes.
const maxLine = 4096

// Errors of lines.
var (
	// ErrColumns is returned for a header or a row with the wrong columns.
	ErrColumns = errors.New("wrong columns")
	// ErrQuotes is returned for a row whose quotes do not close.
	ErrQuotes = errors.New("the quotes do not close")
	// ErrLine is returned for a line that is too long.
	ErrLine = errors.New("the line is too long")
)

// Options are how a table is read. The zero Options find everything out.
type Options struct {
	Layout Layout
	// Raw keeps the line of each row in Row.Raw and RowError.Raw.
	Raw bool
	// Head, if set, takes the lines before the first row, which rows of the same
	// layout need before them.
	Head func(line amt.Secret)
	// Begun, if set, takes the shape of the table once it is known: tables of one
	// shape can be put together.
	Begun func(shape string)
	// Bad, if set, takes every bad row, also those that RowErrors only counts.
	Bad func(*RowError)
	// Note, if set, takes what a person should know of a line, without values.
	Note func(line int, text string)
}

// kind is what the rows of a table are.
type kind struct {
	names  map[string]string // in headers, to fields; "" is passed over
	need   []string          // fields that must have a column
	want   string            // the fields, for people
	usual  func(cells []string) columns
	likely func(field, cell string) bool // whether a cell may be a value of the field
}

// columns says which field stands where; fields that are passed over are "".
type columns struct {
	fields []string
	open   bool // more cells may follow
}

func (c columns) String() string {
	shown := slices.Clone(c.fields)
	for i, f := range shown {
		if f == "" {
			shown[i] = "id"
		}
	}
	return strings.Join(shown, ",")
}

// table is one reading of a file.
type table struct {
	collector
	kind      *kind
	opts      Options
	take      func(line int, cells []string, cols columns) error // nil rows are bad ones
	begun     bool
	columns   columns
	separator Separator
	cells     []string
	raw       []byte // the line at hand
}

// read goes through the lines.
func (t *table) read(r io.Reader) error {
	t.separator = t.opts.Layout.Separator
	t.each, t.keep = t.opts.Bad, t.opts.Raw
	br := bufio.NewReaderSize(r, 64<<10)
	for line := 1; ; line++ {
		b, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrLine) {
			return fmt.Errorf("%s:%d: reading: %w", t.file, line, err)
		}
		t.raw = b
		if errors.Is(err, ErrLine) {
			t.raw = nil
			t.fault(line, "", ErrLine, fmt.Sprintf("more than %d bytes: is this a list?", maxLine))
		} else if stop := t.line(line, b); stop != nil {
			return stop
		}
		if errors.Is(err, io.EOF) {
			return t.err()
		}
	}
}

// fault notes a bad row with its line.
func (t *table) fault(line int, field string, err error, cure string) {
	t.bad(&RowError{File: t.file, Line: line, Field: field, Err: err, Cure: cure}, t.raw)
}

// readLine reads up to a newline, which it drops. A line longer than maxLine is
// read to its end and is ErrLine.
func readLine(r *bufio.Reader) ([]byte, error) {
	b, err := r.ReadSlice('\n')
	if len(b) <= maxLine && !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimRight(b, "\r\n"), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	return nil, ErrLine
}

// line takes one line; the error ends the reading.
func (t *table) line(n int, b []byte) error {
	if n == 1 {
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		t.raw = b
	}
	if s := declared(b); n == 1 && s != 0 {
		if t.separator == 0 {
			t.separator = s
		}
		t.head(b)
		return nil
	}
	if n <= t.opts.Layout.Skip {
		t.head(b)
		return nil
	}
	if s := bytes.TrimSpace(b); len(s) == 0 || s[0] == '#' || onlySeparators(b, t.separator) {
		return nil
	}
	if t.separator == 0 {
		t.separator = separatorOf(b)
	}
	var err error
	if t.cells, err = split(t.cells[:0], string(b), t.separator); err != nil {
		t.fault(n, "", err, `a quote inside quotes is written twice, and a line break cannot be in a field`)
		return nil
	}
	if !t.begun {
		header, err := t.begin()
		if err != nil {
			return &RowError{File: t.file, Line: n, Err: err, Cure: "want " + t.kind.want + "; or say which column is which with --columns"}
		}
		t.begun = true
		if t.opts.Begun != nil {
			t.opts.Begun(t.separator.String() + " " + t.columns.String())
		}
		if header {
			t.head(b)
			t.noteHeader(n)
			return nil
		}
	}
	if cure := t.misfit(); cure != "" {
		t.fault(n, "", ErrColumns, cure)
		return nil
	}
	return t.take(n, t.cells, t.columns)
}

// misfit says what is wrong with the number of cells; "" when it fits. Empty cells
// behind the last column are dropped: spreadsheets write them.
func (t *table) misfit() string {
	want := len(t.columns.fields)
	for !t.columns.open && len(t.cells) > want && t.cells[len(t.cells)-1] == "" {
		t.cells = t.cells[:len(t.cells)-1]
	}
	const or = "or say where the fields stand with --columns"
	switch n := len(t.cells); {
	case n > want && !t.columns.open:
		what := t.separator.String()
		if t.separator != Comma && t.separator != Tab && t.separator != Semicolon && t.separator != Blank {
			what = "separator"
		}
		return fmt.Sprintf("%s, want %v: is there a %s in a field? quote it; %s", fieldsOf(n), t.columns, what, or)
	case n < 2 && len(t.kind.need) > 1:
		return fmt.Sprintf("%s, want %v: does something else part the fields? say it with --separator; %s", fieldsOf(n), t.columns, or)
	}
	return ""
}

func fieldsOf(n int) string {
	if n == 1 {
		return "1 field"
	}
	return fmt.Sprintf("%d fields", n)
}

func (t *table) head(b []byte) {
	if t.opts.Head != nil {
		t.opts.Head(amt.NewSecret(b))
	}
}

// noteHeader tells of a guess.
func (t *table) noteHeader(n int) {
	if l := t.opts.Layout; t.opts.Note != nil && len(l.Columns) > 0 && !l.named() {
		t.opts.Note(n, "this line is taken for a header")
	}
}

// begin finds the columns by the first line.
func (t *table) begin() (header bool, err error) {
	if len(t.opts.Layout.Columns) > 0 {
		t.columns, header, err = t.opts.Layout.resolve(t.kind, t.cells)
		return header, err
	}
	if t.columns, err = t.kind.header(t.cells); err != nil || t.columns.fields != nil {
		return true, err
	}
	t.columns = t.kind.usual(t.cells)
	return false, nil
}

// header gives the columns that a first line names, none when it is a row
// already: one that names no column.
func (k *kind) header(cells []string) (columns, error) {
	var cols []string
	known := false
	seen := map[string]bool{}
	for len(cells) > 0 && cells[len(cells)-1] == "" { // a spreadsheet's empty columns
		cells = cells[:len(cells)-1]
	}
	for i, cell := range cells {
		field, ok := k.names[normal(cell)]
		switch {
		case ok:
			known = true
		case known:
			return columns{}, fmt.Errorf("%w: column %d has an unknown name", ErrColumns, i+1)
		default: // a row, or a header that begins with an unknown name
			field = "?"
		}
		if field != "" && field != "?" && seen[field] {
			return columns{}, fmt.Errorf("%w: %s stands in two columns", ErrColumns, field)
		}
		seen[field] = true
		cols = append(cols, field)
	}
	switch {
	case !known:
		return columns{}, nil
	case seen["?"]:
		return columns{}, fmt.Errorf("%w: column 1 has an unknown name", ErrColumns)
	}
	for _, field := range k.need {
		if !seen[field] {
			return columns{}, fmt.Errorf("%w: %s is not among them", ErrColumns, strings.Join(k.need, " or "))
		}
	}
	return columns{fields: cols}, nil
}

// separatorOf is what parts the fields of the first line.
func separatorOf(b []byte) Separator {
	for _, c := range []byte(",\t;") {
		if bytes.IndexByte(b, c) >= 0 {
			return Separator(c)
		}
	}
	if bytes.IndexByte(bytes.TrimSpace(b), ' ') >= 0 {
		return Blank
	}
	return Comma
}

// split parts a line into cells. A cell that begins with a quote goes to the
// closing one, behind which only a separator or blanks may stand; of other cells
// surrounding blanks are dropped.
func split(cells []string, line string, separator Separator) ([]string, error) {
	if separator == Blank {
		line = strings.Trim(line, " ")
	}
	for {
		trimmed := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(trimmed, `"`) {
			if separator == Blank {
				line = trimmed
			}
			i := strings.IndexByte(line, byte(separator))
			if i < 0 {
				return append(cells, strings.TrimSpace(line)), nil
			}
			cells, line = append(cells, strings.TrimSpace(line[:i])), line[i+1:]
			continue
		}
		cell, rest, err := unquote(trimmed[1:])
		if err != nil {
			return cells, err
		}
		cells = append(cells, cell)
		behind := strings.TrimLeft(rest, " ")
		switch {
		case behind == "":
			return cells, nil
		case separator == Blank && len(behind) < len(rest):
			line = behind
		case separator != Blank && behind[0] == byte(separator):
			line = behind[1:]
		default:
			return cells, ErrQuotes
		}
	}
}

// unquote reads up to the closing quote and gives what stands behind it.
func unquote(s string) (cell, rest string, err error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(s[:i], `""`, `"`), s[i+1:], nil
	}
	return "", "", ErrQuotes
}
