package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds a line of a CSV file, in bytes.
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

// columns says which field stands where; fields that are passed over are "".
type columns []string

// positional is the order of a file without a header, whose passwords may be
// left out.
var positional = columns{FieldPID, FieldPPS, FieldCurrentPassword, FieldNewPassword}

// headerNames maps the names in a header to fields. id is the number that Intel
// SCS gave its rows.
var headerNames = map[string]string{
	"pid": FieldPID, "pps": FieldPPS, "current_password": FieldCurrentPassword, "new_password": FieldNewPassword,
	"admin_password": FieldNewPassword, "used": FieldUsed, "id": "",
}

// ReadCSV reads pid,pps,current_password,new_password, of which the last two may
// be left out. A first line that names columns may put them in another order,
// add used, and say admin_password for new_password; a column id is passed over.
// Fields are parted by commas, tabs or semicolons, whichever the first line has,
// and may be quoted; dashes in PID and PPS, lower case, CRLF, a BOM, empty lines
// and lines that begin with # are taken.
//
// Good rows go to fn in the order of the file; an error of fn ends the reading.
// Bad rows are passed over, collected and returned as *RowErrors in the end: a
// caller that wants all or nothing keeps the rows until then. A header that
// cannot be used is a *RowError.
func ReadCSV(name string, r io.Reader, fn func(Row) error) error {
	p := &csvReader{collector: collector{file: name, fn: fn}}
	br := bufio.NewReaderSize(r, 64<<10)
	for line := 1; ; line++ {
		b, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrLine) {
			return fmt.Errorf("%s:%d: reading: %w", name, line, err)
		}
		if errors.Is(err, ErrLine) {
			p.bad(line, "", ErrLine, fmt.Sprintf("more than %d bytes: is this a list of pairs?", maxLine))
		} else if stop := p.line(line, b); stop != nil {
			return stop
		}
		if errors.Is(err, io.EOF) {
			return p.err()
		}
	}
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

// csvReader is one reading of a file.
type csvReader struct {
	collector
	columns   columns
	separator byte
	cells     []string
}

// line takes one line; the error ends the reading.
func (p *csvReader) line(n int, b []byte) error {
	if n == 1 {
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	}
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] == '#' {
		return nil
	}
	if p.separator == 0 {
		p.separator = separatorOf(b)
	}
	var err error
	if p.cells, err = split(p.cells[:0], string(b), p.separator); err != nil {
		p.bad(n, "", err, `a quote inside quotes is written twice, and a line break cannot be in a field`)
		return nil
	}
	if p.columns == nil {
		header, err := headerOf(p.cells)
		if err != nil {
			return &RowError{File: p.file, Line: n, Err: err, Cure: "want pid, pps, current_password, new_password and used, of which pid and pps must be there"}
		}
		if p.columns = header; header != nil {
			return nil
		}
		p.columns = positional
	}
	return p.row(n)
}

func (p *csvReader) row(n int) error {
	if len(p.cells) > len(p.columns) || len(p.cells) < 2 {
		cure := fmt.Sprintf("%d fields, want %s", len(p.cells), strings.Join(p.columns, ","))
		p.bad(n, "", ErrColumns, cure)
		return nil
	}
	var f fields
	for i, cell := range p.cells {
		switch p.columns[i] {
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
	return p.take(n, &f)
}

// headerOf gives the columns that a first line names, nil when it is a row
// already: one that names no column.
func headerOf(cells []string) (columns, error) {
	var cols columns
	known := false
	seen := map[string]bool{}
	for i, cell := range cells {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cell)), " ", "_")
		field, ok := headerNames[name]
		switch {
		case ok:
			known = true
		case known:
			return nil, fmt.Errorf("%w: column %d has an unknown name", ErrColumns, i+1)
		default: // a row, or a header that begins with an unknown name
			field = "?"
		}
		if field != "" && field != "?" && seen[field] {
			return nil, fmt.Errorf("%w: %s stands in two columns", ErrColumns, field)
		}
		seen[field] = true
		cols = append(cols, field)
	}
	switch {
	case !known:
		return nil, nil
	case seen["?"]:
		return nil, fmt.Errorf("%w: column 1 has an unknown name", ErrColumns)
	case !seen[FieldPID] || !seen[FieldPPS]:
		return nil, fmt.Errorf("%w: pid or pps is not among them", ErrColumns)
	}
	return cols, nil
}

// separatorOf is what parts the fields of the first line.
func separatorOf(b []byte) byte {
	for _, c := range []byte(",\t;") {
		if bytes.IndexByte(b, c) >= 0 {
			return c
		}
	}
	return ','
}

// split parts a line into cells. A cell that begins with a quote goes to the
// closing one, behind which only a separator or blanks may stand; of other cells
// surrounding blanks are dropped.
func split(cells []string, line string, separator byte) ([]string, error) {
	for {
		trimmed := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(trimmed, `"`) {
			i := strings.IndexByte(line, separator)
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
		if rest = strings.TrimLeft(rest, " "); rest == "" {
			return cells, nil
		}
		if rest[0] != separator {
			return cells, ErrQuotes
		}
		line = rest[1:]
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
