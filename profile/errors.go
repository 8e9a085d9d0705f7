package profile

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// ErrInvalid is what every error of a document or of Validate is.
var ErrInvalid = errors.New("invalid profile")

// maxErrors bounds how many faults of one document are told.
const maxErrors = 20

// Error is one fault of a document.
type Error struct {
	Doc          string // the document's name; "" when there is none
	Line, Column int    // from 1; 0 when the place is not known
	Path         string // the field, as users[0].name; "" for the whole document
	Problem      string // what is wrong and what to do; never a password
}

// Error is doc:line:column: path: problem.
func (e *Error) Error() string {
	var sb strings.Builder
	if e.Doc != "" {
		sb.WriteString(e.Doc + ":")
	}
	if e.Line > 0 {
		fmt.Fprintf(&sb, "%d:%d:", e.Line, e.Column)
	}
	if sb.Len() > 0 {
		sb.WriteString(" ")
	}
	if e.Path != "" {
		sb.WriteString(e.Path + ": ")
	}
	sb.WriteString(e.Problem)
	return sb.String()
}

// Unwrap gives ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }

// Errors is the faults of one document, in the order of their places.
type Errors []*Error

// Error gives one fault a line.
func (e Errors) Error() string {
	lines := make([]string, 0, len(e))
	for i, one := range e {
		if i == maxErrors {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// place is where something stands in a document.
type place struct{ line, column int }

// faults collects the faults of one document.
type faults struct {
	doc    string
	places map[string]place // of the fields that were read
	list   Errors
}

// report adds a fault at the field's place, or at that of the nearest field
// around it.
func (f *faults) report(path, format string, args ...any) {
	at := path
	pl, ok := f.places[at]
	for !ok && at != "" {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
		pl, ok = f.places[at]
	}
	f.reportAt(pl, path, format, args...)
}

func (f *faults) reportAt(pl place, path, format string, args ...any) {
	f.list = append(f.list, &Error{Doc: f.doc, Line: pl.line, Column: pl.column, Path: path, Problem: fmt.Sprintf(format, args...)})
}

// err gives the faults, nil if there are none.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	sort.SliceStable(f.list, func(i, j int) bool {
		a, b := f.list[i], f.list[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return f.list
}
