// Package batch reads lists of PID/PPS pairs as manufacturers and staging teams
// deliver them: setup.bin and CSV. It tells which of the two a file is, hands on
// row by row, and names what is wrong with a bad row by file, line, field and
// cure, never by its secret.
//
// It stores nothing: keystore does. It checks pairs and passwords by AMT's rules
// and nothing else; whether a PID is known already is for the store to say.
package batch

import (
	"errors"
	"fmt"
	"io"

	"github.com/amtscs/amtscs/amt"
)

// Row is one pair.
type Row struct {
	Line            int // of a CSV file, from 1; of a setup.bin the record's number
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

// ErrRows is wrapped by the error of a file with bad rows.
var ErrRows = errors.New("bad rows")

// MaxBadRows is how many bad rows an error holds; the rest is counted.
const MaxBadRows = 100

// RowError is what is wrong with one row.
type RowError struct {
	File  string
	Line  int
	Field string // pid, pps, current_password, new_password, used; "" for the row
	Err   error
	Cure  string
}

// Error is file:line: field: what (cure).
func (e *RowError) Error() string {
	s := fmt.Sprintf("%s:%d: ", e.File, e.Line)
	if e.Field != "" {
		s += e.Field + ": "
	}
	s += e.Err.Error()
	if e.Cure != "" {
		s += "; " + e.Cure
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

// Detect tells the format from the first bytes and gives a reader that begins
// with them again.
func Detect(r io.Reader) (Format, io.Reader, error) { panic("not yet") }

// Read is Detect and then ReadSetupBin or ReadCSV.
func Read(name string, r io.Reader, fn func(Row) error) error { panic("not yet") }

// ReadCSV reads pid,pps,current_password,new_password, of which the last two may
// be left out, with or without a header. Good rows go to fn in the order of the
// file, an error of fn ends the reading. Bad rows are passed over, collected and
// returned as *RowErrors in the end: a caller that wants all or nothing keeps
// the rows until then.
func ReadCSV(name string, r io.Reader, fn func(Row) error) error { panic("not yet") }

// ReadSetupBin reads the records of a setup.bin of any version; consumed ones
// whose pair can still be read are Used, others are passed over. Errors are as
// with ReadCSV, with the record's number for the line.
func ReadSetupBin(name string, r io.Reader, fn func(Row) error) error { panic("not yet") }

// Error lists the bad rows, one a line.
func (e *RowErrors) Error() string { panic("not yet") }

// Unwrap gives ErrRows.
func (e *RowErrors) Unwrap() error { return ErrRows }
