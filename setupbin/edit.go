package setupbin

import (
	"fmt"
	"slices"
)

// Set gives a variable a value: it replaces the first one of these numbers where
// it stands, or puts a new one behind those with lower numbers, which is the
// order that satisfies every rule. The other entries stay as they are, in bytes
// too. Module 0 is ErrVariable; Check knows the other rules.
func (r *Record) Set(module, variable uint16, value Raw) error {
	if module == 0 {
		return fmt.Errorf("variable 0/%d: %w: module 0 ends the list", variable, ErrVariable)
	}
	e := Entry{Module: module, Variable: variable, Value: append(Raw{}, value...)}
	at := len(r.Entries)
	for i, have := range r.Entries {
		if have.Module == module && have.Variable == variable {
			r.Entries[i] = e
			return nil
		}
		if at == len(r.Entries) && e.before(have) {
			at = i
		}
	}
	r.Entries = slices.Insert(r.Entries, at, e)
	return nil
}

// before reports whether e has lower numbers than o.
func (e Entry) before(o Entry) bool {
	return e.Module < o.Module || e.Module == o.Module && e.Variable < o.Variable
}

// Delete removes every entry of a variable and tells how many there were.
func (r *Record) Delete(module, variable uint16) int {
	n := len(r.Entries)
	r.Entries = slices.DeleteFunc(r.Entries, func(e Entry) bool { return e.Module == module && e.Variable == variable })
	return n - len(r.Entries)
}
