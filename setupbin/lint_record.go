package setupbin

import (
	"bytes"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

func (l *linter) lintRecord(r *Record) {
	l.lintState(r)
	l.lintRecordHeader(r)
	if r.Scrambled() {
		l.scrambled++
		if l.v < V4 {
			l.find(l.offset+4, "scrambled-version", again, "version %v has no scrambled records; version %v is the first", l.v, V4)
		}
	}
	if !r.Valid() { // whatever a consumed record holds, but its PID counts
		if pid, ok := r.Get(ModuleAMT, 1); ok && r.Type == TypeData {
			l.pid(l.offset, pid)
		}
		return
	}
	at := l.offset + RecordHeaderLen
	for _, e := range r.Entries {
		l.lintEntry(at, e)
		at += int64(e.size())
	}
	l.lintOrder(r)
	l.lintTogether(r)
	l.lintEnd(r)
}

// lintState keeps count of what was consumed.
func (l *linter) lintState(r *Record) {
	switch {
	case r.Type != TypeData:
		l.find(l.offset, "record-type", again, "the record's type should be 1, not %d: firmware stops here", r.Type)
	case r.Valid():
		l.valid++
	default:
		l.marked++
		if l.valid > 0 && l.afterValid == 0 {
			l.afterValid = l.offset
		}
	}
}

func (l *linter) lintRecordHeader(r *Record) {
	at := l.offset
	if r.Flags&^(FlagValid|FlagScrambled) != 0 {
		l.find(at+4, "record-header", again, "flags 0x%x are not known", r.Flags&^(FlagValid|FlagScrambled))
	}
	if r.Reserved != [8]byte{} {
		l.find(at+8, "record-header", again, "reserved bytes are not zero")
	}
	if r.Chunks != 1 {
		l.find(at+16, "record-header", again, "the record should say that it has 1 chunk, not %d", r.Chunks)
	}
	if r.HeaderBytes != RecordHeaderLen {
		l.find(at+18, "record-header", again, "the record's header should have %d bytes, not %d", RecordHeaderLen, r.HeaderBytes)
	}
	if int64(r.Number) != int64(l.place) {
		l.find(at+20, "record-number", again, "the record's number should be %d, not %d", l.place, r.Number)
	}
}

// lintEntry looks at one entry by itself; at is where it begins.
func (l *linter) lintEntry(at int64, e Entry) {
	if !l.unlistedSeen && len(l.header.Modules) > 0 && !listed(l.header.Modules, e.Module) {
		l.unlistedSeen = true
		l.find(at, "modules", again, "the header does not list module %d", e.Module)
	}
	if e.Reserved != 0 || e.Pad != nil {
		l.find(at+6, "padding", again, "reserved bytes or padding of %s are not zero", e.Describe())
	}
	row, ok := Lookup(e.Module, e.Variable)
	if !ok {
		l.find(at, "unknown-variable", "check what wrote the file", "variable %s is not known", e.ID())
		return
	}
	if row.Since > l.v {
		doubt := ""
		if row.Unverified {
			doubt = " (no source says so for sure)"
		}
		l.find(at, "variable-version", "use file version "+row.Since.String()+", or leave the variable out",
			"variable %v: file version %v does not have it; version %v is the first%s", row, l.v, row.Since, doubt)
	}
	if n := len(e.Value); n < row.MinLen || n > row.MaxLen {
		l.find(at+4, "variable-length", "make the record again", "variable %v: %d bytes, want %d to %d", row, n, row.MinLen, row.MaxLen)
		return
	}
	l.lintValue(at+entryHeaderLen, e)
}

// valueRules are the rules of values that have one of their own.
var valueRules = map[uint16]struct{ rule, cure string }{
	varPID:         {"pid", "compare with the list that the pair came from: is there a typing error?"},
	varPPS:         {"pps", "compare with the list that the pair came from: is there a typing error?"},
	varNewPassword: {"password", "8 to 32 characters with a digit, both cases and a special character, without : , and \""},
}

func (l *linter) lintValue(at int64, e Entry) {
	if err := e.checkValue(l.v); err != nil {
		row, ok := valueRules[id(e)]
		if !ok {
			row.rule, row.cure = "variable-value", "make the record again"
		}
		l.find(at, row.rule, row.cure, "%s", strings.Replace(err.Error(), ": "+ErrVariable.Error(), "", 1))
	} else if id(e) == varNewPassword && bytes.ContainsAny(e.Value, "'<>& ") {
		l.find(at, "password-hp", "choose another where there are PCs of HP", "variable %s: HP's MEBx refuses ' < > & and spaces", e.Describe())
	}
	if id(e) == varPID {
		l.pid(at, e.Value)
	}
}

// lintOrder applies the rules of order that are known, and then the one that
// satisfies them all.
func (l *linter) lintOrder(r *Record) {
	at := l.offset + RecordHeaderLen
	count, sorted, module2 := map[uint16]int{}, true, false
	for i, e := range r.Entries {
		n := id(e)
		count[n]++
		switch {
		case n != 0 && n != varHashAdd && count[n] == 2:
			l.find(at, "repeated", "leave one of them out", "variable %s stands more than once", e.Describe())
		case n == varHashAdd && count[n] == maxHashes+1:
			l.find(at, "repeated", "leave out all but three", "variable %s stands more than %d times", e.Describe(), maxHashes)
		case n == varNewPassword && count[varCurrentPassword] == 0:
			l.find(at, "order", sortCure, "variable %s should stand behind 1/1", e.Describe())
		case n == varManageability && module2:
			l.find(at, "order", sortCure, "variable %s should stand before every variable of module 2", e.Describe())
		case n == varHashAdd && l.v.Major() == 2 && count[varHashConfig] == 0:
			l.find(at, "order", "put 2/7 before it", "variable %s: version %v wants 2/7 before it", e.Describe(), l.v)
		case count[varProvisioning] > 0 && (n == varDNSSuffix || n == varServerFQDN || n == varServerIPv4):
			l.find(at, "order", sortCure, "variable %s should stand before 2/28", e.Describe())
		case i > 0 && e.before(r.Entries[i-1]):
			sorted = false
		}
		module2 = module2 || e.Module == ModuleAMT
		at += int64(e.size())
	}
	if !sorted {
		l.find(l.offset+RecordHeaderLen, "sorted", sortCure, "variables do not rise by module and number")
	}
}

const sortCure = "order the variables by module and number"

// lintTogether applies the rules about several variables.
func (l *linter) lintTogether(r *Record) {
	at := l.offset + RecordHeaderLen
	current, hasCurrent := r.Get(ModuleME, 1)
	_, hasNew := r.Get(ModuleME, 2)
	pid, hasPID := r.Get(ModuleAMT, 1)
	_, hasPPS := r.Get(ModuleAMT, 2)
	has := map[uint16]bool{}
	for _, e := range r.Entries {
		has[id(e)] = true
	}
	if !hasCurrent || len(r.Entries) > 0 && id(r.Entries[0]) != varCurrentPassword {
		l.find(at, "current-password", "begin the record with 1/1", "the record does not begin with 1/1, which opens MEBx")
	}
	if hasCurrent && string(current) == amt.FactoryPassword && !hasNew {
		l.find(at, "new-password", "add 1/2", "1/1 is the factory's password, and no new one follows in 1/2")
	}
	if hasPID != hasPPS {
		l.find(at, "pair", "add the other one", "one of 2/1 PID and 2/2 PPS stands there without the other")
	}
	if len(pid) > 0 && !l.header.Consumable() {
		l.find(at, "kept-pair", "let firmware consume the records", "the file keeps its records: every PC would get the same pair")
	}
	if r.checkNetwork(has) != nil {
		l.find(at, "network", "leave out 2/13 or 2/19", "2/19 Static IPv4 and a 2/13 that says DHCP exclude each other")
	}
}

// lintEnd looks at what follows the entries: they and the record's room are
// multiples of 4 bytes, so that there is room for an end or none at all.
func (l *linter) lintEnd(r *Record) {
	size := r.Size()
	at := l.offset + RecordHeaderLen + int64(size)
	capacity := int(l.header.RecordLen()) - RecordHeaderLen
	switch {
	case capacity-size < 2 && len(r.Rest) < 2:
		l.find(at, "terminator", "make the record again with fewer or shorter values", "no module 0 ends the list: the entries fill their record")
	case r.Rest != nil && !bytes.HasPrefix(r.Rest, []byte{0, 0}): // a damaged entry, which was reported
	case r.Rest != nil:
		l.find(at, "padding", again, "the bytes behind the list of entries are not zero")
	}
}
