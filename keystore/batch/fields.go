package batch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Errors of single fields.
var (
	// ErrMissing is returned for a field that must have a value.
	ErrMissing = errors.New("it is missing")
	// ErrPassword is returned for a current password that no MEBx can have; new
	// ones are refused with amt.ErrPassword.
	ErrPassword = errors.New("no MEBx password")
	// ErrUsed is returned for a used field that is neither yes nor no.
	ErrUsed = errors.New("neither 0 nor 1")
	// ErrExchanged is returned for a row with a PPS for its PID and a PID for its PPS.
	ErrExchanged = errors.New("the columns of PID and PPS are exchanged")
)

// maxCurrent bounds current passwords, of which the factory's is shorter than
// any new one may be.
const maxCurrent = amt.PasswordMax

// fields is one row as it stands in a file.
type fields struct {
	pid, pps, current, next, used string

	record bool // of a setup.bin: there are no columns
}

// row checks the fields. The errors show no value: a list whose columns are
// mixed up has passwords where the PID should be.
func (f *fields) row() (Row, *RowError) {
	var row Row
	var err error
	if row.Pair.PID, err = amt.ParsePID(f.pid); err != nil {
		return Row{}, f.pidError(err)
	}
	if row.Pair.PPS, err = amt.ParsePPS(f.pps); err != nil {
		return Row{}, ppsError(f.pps, err)
	}
	if bad := checkCurrent(f.current); bad != nil {
		return Row{}, bad
	}
	if bad := checkNew(f.next); bad != nil {
		if f.record {
			bad.Cure = strings.Replace(bad.Cure, "leave the field empty", "have the file made again", 1)
		}
		return Row{}, bad
	}
	used, ok := usedWords[strings.ToLower(strings.TrimSpace(f.used))]
	if !ok {
		return Row{}, &RowError{Field: FieldUsed, Err: ErrUsed, Cure: "write 1 for a used pair and 0 for a free one"}
	}
	row.Used = used
	row.CurrentPassword, row.NewPassword = amt.NewSecretString(f.current), amt.NewSecretString(f.next)
	return row, nil
}

var usedWords = map[string]bool{
	"": false, "0": false, "no": false, "n": false, "false": false, "1": true, "yes": true, "y": true, "true": true,
}

// errExchangedRecord is ErrExchanged of a record.
var errExchangedRecord = errors.New("the record has PID and PPS exchanged")

// sentinel gives the pair error that err wraps, without the text around it.
func sentinel(err error) error {
	for _, s := range []error{amt.ErrPairLength, amt.ErrPairAlphabet, amt.ErrPairChecksum, amt.ErrPairDashes} {
		if errors.Is(err, s) {
			return s
		}
	}
	return amt.ErrPairAlphabet
}

func (f *fields) pidError(err error) *RowError {
	bad := &RowError{Field: FieldPID, Err: sentinel(err), Cure: "want 8 characters of A-Z and 0-9, as 0000-037M"}
	_, notPID := amt.ParsePID(f.pps)
	_, notPPS := amt.ParsePPS(f.pid)
	switch {
	case strings.TrimSpace(f.pid) == "":
		bad.Err = ErrMissing
	case notPID == nil && notPPS == nil && f.record:
		bad.Err, bad.Cure = errExchangedRecord, "have the file made again"
	case notPID == nil && notPPS == nil:
		bad.Field, bad.Err, bad.Cure = "", ErrExchanged, "exchange them, or say where they stand with --columns"
	case numbered(f.pid) && !f.record:
		bad.Cure = numberCure
	case errors.Is(err, amt.ErrPairChecksum) && f.record:
		bad.Cure = "compare the PID with the supplier's list, or have the file made again"
	case errors.Is(err, amt.ErrPairChecksum):
		bad.Cure = "compare the PID with the supplier's list, and check that this column holds the PID"
	}
	return bad
}

// ppsError keeps the group's number, which ParsePPS tells, and shows no character.
func ppsError(value string, err error) *RowError {
	bad := &RowError{Field: FieldPPS, Err: err, Cure: "want 32 characters of A-Z and 0-9 in eight groups"}
	switch {
	case strings.TrimSpace(value) == "":
		bad.Err = ErrMissing
	case numbered(value):
		bad.Cure = numberCure
	case errors.Is(err, amt.ErrPairChecksum):
		bad.Cure = "compare this group with the supplier's list"
	}
	return bad
}

func checkCurrent(s string) *RowError {
	bad := func(cure string) *RowError {
		return &RowError{Field: FieldCurrentPassword, Err: ErrPassword, Cure: cure}
	}
	if len(s) > maxCurrent {
		return bad(fmt.Sprintf("%d characters, at most %d", len(s), maxCurrent))
	}
	for i := range len(s) {
		if s[i] < 32 || s[i] > 126 {
			return bad(fmt.Sprintf("character %d is not printable 7-bit ASCII", i+1))
		}
	}
	if strings.TrimSpace(s) != s {
		return bad("a space stands first or last: remove it")
	}
	return nil
}

func checkNew(s string) *RowError {
	if s == "" {
		return nil
	}
	if strings.TrimSpace(s) != s {
		return &RowError{Field: FieldNewPassword, Err: amt.ErrPassword, Cure: "a space stands first or last: remove it"}
	}
	if err := amt.CheckPassword(amt.NewSecretString(s)); err != nil {
		return &RowError{Field: FieldNewPassword, Err: err, Cure: "firmware would refuse it: ask the supplier, or leave the field empty"}
	}
	return nil
}
