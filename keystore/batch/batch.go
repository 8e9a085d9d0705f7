// Package batch reads lists as manufacturers, staging teams and other management
// programs deliver them: of PID/PPS pairs in a setup.bin or a table, and of PCs
// in a table. It tells what a file is, unpacks it, hands on row by row in the
// memory of one row, and names what is wrong with a bad row by file, line, field
// and cure, never by its values. What it writes, it reads as the same rows.
//
// It stores nothing: keystore and provisioning do. It checks pairs, UUIDs and
// passwords by AMT's rules and nothing else; whether a PID or a name is known
// already is for the store to say.
package batch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// Row is one pair.
type Row struct {
	Line            int // of a table, from 1; of a setup.bin the record's place, from 1
	Pair            amt.Pair
	CurrentPassword amt.Secret // of MEBx; empty when the file does not say
	NewPassword     amt.Secret // that logs in during set-up; empty when the file does not say
	Used            bool       // consumed, or marked as used
	Raw             amt.Secret // its line, when Options asked for it
}

// Format is the form of a file.
type Format uint8

// The formats.
const (
	CSV      Format = 1 // or another table
	SetupBin Format = 2
)

// String names the format.
func (f Format) String() string {
	switch f {
	case CSV:
		return "table"
	case SetupBin:
		return "setup.bin"
	}
	return fmt.Sprintf("unknown format (%d)", uint8(f))
}

// Errors of files.
var (
	// ErrRows is wrapped by the error of a file with bad rows.
	ErrRows = errors.New("bad rows")
	// ErrFormat is returned for a file that is neither a setup.bin nor a table.
	ErrFormat = errors.New("neither a setup.bin nor a table of pairs")
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
	// Raw is the line, when Options asked for it; empty for one that was too long,
	// and for a damaged record of a setup.bin.
	Raw amt.Secret
}

// Error is file:line: field: what; cure.
func (e *RowError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What()) }

// What is Error without the place. A question mark needs no semicolon.
func (e *RowError) What() string {
	s := ""
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

	Checksums int // bad rows whose PID or PPS has a wrong check character
	Passwords int // bad rows with a password that firmware would refuse
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

// Detect tells the format from the first bytes, unpacking gzip, and gives a
// reader that begins with them again. ErrFormat says what the file may be instead.
func Detect(r io.Reader) (Format, io.Reader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	b, err := br.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if !bytes.Equal(b, gzipMagic) {
		return detect(br)
	}
	unpacked, err := gzip.NewReader(br)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: it is compressed, and cannot be unpacked: %w", ErrFormat, err)
	}
	return detect(bufio.NewReaderSize(unpacking{unpacked}, 64<<10))
}

// unpacking says of errors that the file is damaged.
type unpacking struct{ r io.Reader }

func (u unpacking) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("unpacking: %w: is the file cut off? fetch it again", err)
	}
	return n, err
}

var gzipMagic = []byte{0x1f, 0x8b}

func detect(br *bufio.Reader) (Format, io.Reader, error) {
	b, err := br.Peek(sniff)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	switch {
	case setupbin.Is(b):
		return SetupBin, br, nil
	case len(bytes.TrimSpace(b)) == 0:
		return 0, nil, fmt.Errorf("%w: it is empty", ErrFormat)
	case bytes.HasPrefix(b, gzipMagic):
		return 0, nil, fmt.Errorf("%w: it is compressed twice: unpack it", ErrFormat)
	}
	if err := notText(b); err != nil {
		return 0, nil, err
	}
	return CSV, br, nil
}

// Read is Detect and then ReadSetupBin or ReadCSV.
func Read(name string, r io.Reader, fn func(Row) error) error {
	format, r, err := Detect(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return ReadAs(format, name, r, Options{}, fn)
}

// ReadAs is ReadSetupBin or ReadTable, whichever Detect found. A setup.bin needs
// no Layout; what Options say of lines are those of a CSV file of its records.
func ReadAs(format Format, name string, r io.Reader, opts Options, fn func(Row) error) error {
	if format == SetupBin {
		return readSetupBin(name, r, opts, fn)
	}
	return ReadTable(name, r, opts, fn)
}

// collector counts rows and keeps the first bad ones.
type collector struct {
	file string
	each func(*RowError) // takes every bad row; may be nil
	keep bool            // with its line
	errs RowErrors
}

// bad notes a bad row; raw is its line.
func (c *collector) bad(e *RowError, raw []byte) {
	switch {
	case errors.Is(e.Err, amt.ErrPairChecksum):
		c.errs.Checksums++
	case errors.Is(e.Err, ErrPassword), errors.Is(e.Err, amt.ErrPassword):
		c.errs.Passwords++
	}
	if c.keep && raw != nil {
		e.Raw = amt.NewSecret(raw)
	}
	if c.each != nil {
		c.each(e)
	}
	if len(c.errs.Rows) == MaxBadRows {
		c.errs.More++
		return
	}
	kept := *e
	kept.Raw = amt.Secret{}
	c.errs.Rows = append(c.errs.Rows, &kept)
}

// pair checks a row and hands it on. The error is fn's.
func (c *collector) pair(line int, f *fields, raw []byte, fn func(Row) error) error {
	row, bad := f.row()
	if bad != nil {
		bad.File, bad.Line = c.file, line
		c.bad(bad, raw)
		return nil
	}
	row.Line = line
	if c.keep && raw != nil {
		row.Raw = amt.NewSecret(raw)
	}
	c.errs.Good++
	return fn(row)
}

func (c *collector) err() error {
	if len(c.errs.Rows) == 0 {
		return nil
	}
	return &c.errs
}
