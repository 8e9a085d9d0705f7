// Package batch reads lists of PID/PPS pairs as manufacturers and staging teams
// deliver them: setup.bin and CSV. It tells which of the two a file is, hands on
// row by row in the memory of one row, and names what is wrong with a bad row by
// file, line, field and cure, never by its values.
//
// It stores nothing: keystore does. It checks pairs and passwords by AMT's rules
// and nothing else; whether a PID is known already is for the store to say.
package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// Row is one pair.
type Row struct {
	Line            int // of a CSV file, from 1; of a setup.bin the record's place, from 1
	Pair            amt.Pair
	CurrentPassword amt.Secret // of MEBx; empty when the file does not say
	NewPassword     amt.Secret // that logs in during set-up; empty when the file does not say
	Used            bool       // consumed, or marked as used
}

// Format is the form of a file.
type Format uint8

// The formats.
const (
	CSV      Format = 1
	SetupBin Format = 2
)

// String names the format.
func (f Format) String() string {
	switch f {
	case CSV:
		return "CSV"
	case SetupBin:
		return "setup.bin"
	}
	return fmt.Sprintf("unknown format (%d)", uint8(f))
}

// Errors of files.
var (
	// ErrRows is wrapped by the error of a file with bad rows.
	ErrRows = errors.New("bad rows")
	// ErrFormat is returned for a file that is neither a setup.bin nor CSV.
	ErrFormat = errors.New("neither a setup.bin nor a CSV list of pairs")
)

// MaxBadRows is how many bad rows an error holds; the rest is counted.
const MaxBadRows = 100

// Names of fields, in the order of a file without a header.
const (
	FieldPID             = "pid"
	FieldPPS             = "pps"
	FieldCurrentPassword = "current_password"
	FieldNewPassword     = "new_password"
	FieldUsed            = "used"
)

// RowError is what is wrong with one row.
type RowError struct {
	File  string
	Line  int    // as Row.Line
	Field string // one of the names of fields; "" for the whole row
	Err   error  // shows no value of the row
	Cure  string // "" when there is none to tell
}

// Error is file:line: field: what; cure. A question mark needs no semicolon.
func (e *RowError) Error() string {
	s := fmt.Sprintf("%s:%d: ", e.File, e.Line)
	if e.Field != "" {
		s += e.Field + ": "
	}
	s += e.Err.Error()
	if e.Cure != "" {
		if !strings.HasSuffix(s, "?") {
			s += ";"
		}
		s += " " + e.Cure
	}
	return s
}

// Unwrap gives the cause.
func (e *RowError) Unwrap() error { return e.Err }

// RowErrors is the error of a file with bad rows; it wraps ErrRows.
type RowErrors struct {
	Rows []*RowError // the first MaxBadRows
	More int         // bad rows beyond them
	Good int         // rows handed on
}

// Error lists the bad rows, one a line.
func (e *RowErrors) Error() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%v: %d, and %d good ones", ErrRows, len(e.Rows)+e.More, e.Good)
	for _, r := range e.Rows {
		sb.WriteString("\n" + r.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&sb, "\nand %d more", e.More)
	}
	return sb.String()
}

// Unwrap gives ErrRows.
func (e *RowErrors) Unwrap() error { return ErrRows }

// sniff is how many bytes Detect looks at.
const sniff = 512

// Detect tells the format from the first bytes and gives a reader that begins
// with them again. ErrFormat says what the file may be instead.
func Detect(r io.Reader) (Format, io.Reader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	b, err := br.Peek(sniff)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	switch {
	case setupbin.Is(b):
		return SetupBin, br, nil
	case len(bytes.TrimSpace(b)) == 0:
		return 0, nil, fmt.Errorf("%w: it is empty", ErrFormat)
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}), bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return 0, nil, fmt.Errorf("%w: it is compressed, or a spreadsheet: unpack it, or save it as CSV", ErrFormat)
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return 0, nil, fmt.Errorf("%w: it is UTF-16 text: save it as UTF-8", ErrFormat)
	case bytes.IndexByte(b, 0) >= 0:
		return 0, nil, ErrFormat
	}
	return CSV, br, nil
}

// Read is Detect and then ReadSetupBin or ReadCSV.
func Read(name string, r io.Reader, fn func(Row) error) error {
	format, r, err := Detect(r)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case format == SetupBin:
		return ReadSetupBin(name, r, fn)
	}
	return ReadCSV(name, r, fn)
}

// collector counts rows and keeps the first bad ones.
type collector struct {
	file string
	fn   func(Row) error
	errs RowErrors
}

func (c *collector) bad(line int, field string, err error, cure string) {
	if len(c.errs.Rows) == MaxBadRows {
		c.errs.More++
		return
	}
	c.errs.Rows = append(c.errs.Rows, &RowError{File: c.file, Line: line, Field: field, Err: err, Cure: cure})
}

// take checks a row and hands it on. The error is fn's.
func (c *collector) take(line int, f *fields) error {
	row, bad := f.row()
	if bad != nil {
		c.bad(line, bad.Field, bad.Err, bad.Cure)
		return nil
	}
	row.Line = line
	c.errs.Good++
	return c.fn(row)
}

func (c *collector) err() error {
	if len(c.errs.Rows) == 0 {
		return nil
	}
	return &c.errs
}
