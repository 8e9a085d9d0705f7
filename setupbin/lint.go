package setupbin

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Severity says what a finding means.
type Severity uint8

// The severities.
const (
	Warning Severity = 1 // firmware may take it, or only a person can tell
	Error   Severity = 2 // some firmware passes over the file or the record
)

// String is the word of reports.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("unknown severity (%d)", uint8(s))
}

// Finding is one thing that is wrong with a file. It shows no value of a record.
type Finding struct {
	Offset   int64  // in the file, in bytes
	Record   int    // the record's place, from 1; 0 for the header and the file
	Rule     string // one of Rules
	Severity Severity
	Text     string // what is wrong
	Cure     string // what to do
}

// MaxFindings is how many findings a report holds; the rest is counted.
const MaxFindings = 1000

// ManyRecords is how many records every firmware reads in reasonable time.
const ManyRecords = 1000

// Report is what Lint found.
type Report struct {
	Findings []Finding // in the order of the file, the first MaxFindings
	More     int       // beyond them
	Errors   int
	Warnings int
	Records  int // that were read
}

// Lint reads a whole file and reports what firmware refuses and what other
// programs are known to get wrong. What cannot be read further is a finding, too;
// the error is the reader's.
func Lint(r io.Reader) (*Report, error) {
	l := &linter{pids: map[string]int{}}
	rd, err := NewReader(r)
	if err == nil {
		l.header = *rd.Header()
		l.v = l.header.Version
		l.lintHeader()
		err = l.lintRecords(rd)
	}
	var fe *FormatError
	if errors.As(err, &fe) {
		l.unreadable(0, fe)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if l.report.Records > 0 || l.v != 0 {
		l.lintCounts()
	}
	return &l.report, nil
}

// linter collects findings.
type linter struct {
	header Header
	v      Version
	report Report

	offset int64 // of the record at hand
	place  int   // of the record at hand, from 1

	marked       int   // records whose valid flag is cleared
	valid        int   // records that are valid
	afterValid   int64 // where the first marked record behind a valid one begins
	scrambled    int   // records that stand scrambled
	pids         map[string]int
	trailing     int64
	cut          bool // the file ended early
	unlistedSeen bool
}

func (l *linter) find(offset int64, rule string, cure, text string, args ...any) {
	row := ruleOf(rule)
	if row.Severity == Error {
		l.report.Errors++
	} else {
		l.report.Warnings++
	}
	if len(l.report.Findings) >= MaxFindings {
		l.report.More++
		return
	}
	l.report.Findings = append(l.report.Findings, Finding{
		Offset: offset, Record: l.place, Rule: rule, Severity: row.Severity, Text: fmt.Sprintf(text, args...), Cure: cure,
	})
}

// unreadable reports a break of the layout.
func (l *linter) unreadable(place int, fe *FormatError) {
	l.place = place
	rule, cure := "layout", "have the file made again"
	switch {
	case errors.Is(fe, ErrNotSetupBin):
		rule, cure = "type", "name a setup.bin, or make one with scsctl usb write"
	case errors.Is(fe, ErrVersion):
		rule = "version"
	case place > 0:
		rule, cure = "entry", "make the record again: its entries have at most 488 bytes, each within the record"
	}
	l.find(fe.Offset, rule, cure, "%s", fe.Rule)
}

const again = "make the file again with scsctl usb write"

func (l *linter) lintHeader() {
	h := &l.header
	if h.Chunks != 1 {
		l.find(offChunks, "header-chunks", "write 1 there, or "+again, "the header should have 1 chunk, not %d: firmware passes over such files", h.Chunks)
	}
	if want := offModules + 2*len(h.Modules) + 2; int(h.HeaderBytes) != want {
		l.find(offHeaderBytes, "header-size", again, "the header's size should be %d with %d modules, not %d", want, len(h.Modules), h.HeaderBytes)
	}
	if h.Number != 0 {
		l.find(offNumber, "header-fields", again, "the header's number should be 0, not %d", h.Number)
	}
	if h.Flags&^KeepRecords != 0 {
		l.find(offFlags, "flags", again, "flags 0x%x are not known", uint16(h.Flags&^KeepRecords))
	}
	if h.Flags&KeepRecords != 0 && h.Version == V1 {
		l.find(offFlags, "keep-version", "use file version 2 or later", "version 1 has no flag that keeps records; version 2 is the first")
	}
	if h.RecordChunks != 1 {
		l.find(offRecordChunks, "record-chunks", "write 1 there, or "+again, "a record should have 1 chunk, not %d: firmware passes over such files", h.RecordChunks)
	}
	if h.Reserved != 0 || h.Rest != nil {
		l.find(offReserved, "header-fields", again, "reserved bytes or padding of the header are not zero")
	}
	if len(h.Modules) == 0 && h.Records > 0 {
		l.find(offModules, "modules", again, "the header lists no modules")
	}
	if h.Records > ManyRecords {
		l.find(offRecords, "many-records", "write several keys: scsctl usb write --count", "%d records: PCs read slowly beyond %d", h.Records, ManyRecords)
	}
	if h.Records == 0 {
		l.find(offRecords, "no-records", again, "the file has no records")
	}
}

func (l *linter) lintRecords(rd *Reader) error {
	for {
		r, err := rd.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var fe *FormatError
		if err != nil && !errors.As(err, &fe) {
			return err
		}
		if r == nil {
			l.cut = true
			l.unreadable(0, fe)
			return nil
		}
		l.report.Records++
		l.place, l.offset = l.report.Records, rd.Offset()
		if fe != nil {
			l.unreadable(l.place, fe)
		}
		l.lintRecord(r)
	}
	l.place = 0
	n, err := io.Copy(io.Discard, rd.r)
	l.trailing = n
	if err != nil {
		return fmt.Errorf("reading a setup.bin: %w", err)
	}
	return nil
}

// lintCounts compares the header with what was read.
func (l *linter) lintCounts() {
	l.place = 0
	h := &l.header
	switch {
	case h.Consumed > h.Records:
		l.find(offConsumed, "consumed-count", again, "%d of %d records are counted as consumed", h.Consumed, h.Records)
	case l.cut:
	case h.Consumable() && int64(h.Consumed) != int64(l.marked):
		l.find(offConsumed, "consumed-count", "ask which PCs took a record, and make a new file for the others",
			"the header counts %d consumed records, %d are marked: firmware goes by both", h.Consumed, l.marked)
	case !h.Consumable() && (h.Consumed > 0 || l.marked > 0):
		l.find(offConsumed, "kept-consumed", again, "the file says to keep its records, and %d are counted and %d marked as consumed", h.Consumed, l.marked)
	}
	if l.afterValid > 0 {
		l.find(l.afterValid, "consumed-prefix", "ask which PCs took a record, and make a new file for the others",
			"consumed records should stand before all others: firmware takes them in order")
	}
	if l.report.Records > 0 && l.valid == 0 {
		l.find(offConsumed, "used-up", "make a new file for further PCs", "no record is left to be consumed")
	}
	if l.scrambled > 0 && l.scrambled < l.report.Records {
		l.find(0, "mixed-records", again, "%d of %d records are scrambled: files have all or none", l.scrambled, l.report.Records)
	}
	if l.trailing > 0 {
		l.find(h.Offset(h.Records), "trailing", again, "%d bytes follow the last record", l.trailing)
	}
}

// pid remembers where a PID stood.
func (l *linter) pid(at int64, value Raw) {
	id, err := amt.ParsePID(string(value))
	if err != nil {
		return
	}
	key := id.String()
	if first, ok := l.pids[key]; ok {
		l.find(at, "duplicate-pid", "give every PC a pair of its own", "PID %s is that of record %d, too", key, first)
		return
	}
	l.pids[key] = l.place
}

// Rule is a rule that Lint knows.
type Rule struct {
	ID       string
	Severity Severity
	About    string // what should be so
}

// Rules lists the rules, those of the header first.
func Rules() []Rule { return append([]Rule{}, rules...) }

func ruleOf(id string) Rule {
	for _, r := range rules {
		if r.ID == id {
			return r
		}
	}
	return Rule{ID: id, Severity: Error, About: strings.ReplaceAll(id, "-", " ")}
}

var rules = []Rule{
	{"type", Error, "the file begins with the type UUID of a known version"},
	{"version", Error, "the version is 1, 2, 2.1, 3 or 4 and goes with the type UUID"},
	{"layout", Error, "the file is as long as its header says, and the header is whole"},
	{"header-chunks", Error, "the header has 1 chunk"},
	{"record-chunks", Error, "records have 1 chunk"},
	{"header-size", Warning, "the header's size is 42 and 2 for each module"},
	{"header-fields", Warning, "number, reserved bytes and padding of the header are 0"},
	{"flags", Warning, "no flag is set but that which keeps records"},
	{"keep-version", Error, "records are kept from version 2 on only"},
	{"modules", Warning, "the header lists the modules that the records use"},
	{"many-records", Warning, "at most 1,000 records"},
	{"no-records", Warning, "there are records"},
	{"consumed-count", Error, "the header counts as many consumed records as are marked"},
	{"consumed-prefix", Error, "consumed records stand before all others"},
	{"kept-consumed", Warning, "no record of a file that keeps them is consumed"},
	{"used-up", Warning, "a record is left"},
	{"mixed-records", Warning, "all records are scrambled, or none"},
	{"trailing", Warning, "nothing follows the last record"},
	{"record-type", Error, "a record's type is 1"},
	{"record-header", Warning, "a record has 1 chunk, a header of 24 bytes, no unknown flags, and zeros where nothing is meant"},
	{"record-number", Warning, "records are numbered from 1"},
	{"scrambled-version", Error, "records are scrambled from version 4 on only"},
	{"entry", Error, "each entry lies within its record of 488 bytes"},
	{"terminator", Error, "module 0 ends the list of entries"},
	{"padding", Warning, "reserved bytes, padding and what follows the list are 0"},
	{"unknown-variable", Warning, "variables are known"},
	{"variable-version", Error, "the file's version has the variable"},
	{"variable-length", Error, "a value has the length of its variable"},
	{"variable-value", Error, "a value is one that the variable can have"},
	{"pid", Error, "a PID has 8 characters, of which the last checks the others"},
	{"pps", Error, "a PPS has eight groups, each with its check character"},
	{"password", Error, "the new password is strong by AMT's rules"},
	{"password-hp", Warning, "the new password keeps to HP's narrower rules"},
	{"current-password", Error, "a record begins with the current password"},
	{"new-password", Error, "the factory's password is followed by a new one"},
	{"pair", Error, "a PID has its PPS, and a PPS its PID"},
	{"kept-pair", Warning, "a file that keeps its records holds no pair"},
	{"duplicate-pid", Error, "each PID stands in one record"},
	{"order", Error, "variables stand in an order that firmware takes"},
	{"sorted", Warning, "variables rise by module and number"},
	{"repeated", Error, "a variable stands once, 2/8 up to three times"},
	{"network", Error, "a static address and DHCP exclude each other"},
}
