package setupbin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Errors of records to be written.
var (
	// ErrVariable is returned for a variable that the file's version does not
	// have, and for a value that no firmware takes.
	ErrVariable = errors.New("variable refused")
	// ErrOrder is returned for entries in an order that firmware refuses.
	ErrOrder = errors.New("entries in the wrong order")
)

// endRoom is kept free behind the entries of a new record, so that every reader
// finds the end of the list.
const endRoom = 4

// maxHashes is how often 2/8 may stand in a record (Intel, version 2.0).
const maxHashes = 3

// Check reports why firmware, or the rules of version v, refuse a record that is
// to be written; the first reason found. Variables that are not known are taken
// as they are. Errors name variables and versions and never show a value.
func (r *Record) Check(v Version) error {
	if r.Scrambled() && v < V4 {
		return fmt.Errorf("scrambled record: %w: version %v has none; version %v is the first", ErrVariable, v, V4)
	}
	if n := r.Size(); n > Capacity-endRoom {
		return fmt.Errorf("%w: the entries need %d bytes, %d are the most", ErrCapacity, n, Capacity-endRoom)
	}
	for _, e := range r.Entries {
		if err := e.check(v); err != nil {
			return err
		}
	}
	if err := r.checkOrder(); err != nil {
		return err
	}
	return r.checkTogether(v)
}

// check looks at one entry by itself.
func (e Entry) check(v Version) error {
	if e.Module == 0 {
		return fmt.Errorf("variable %s: %w: module 0 ends the list", e.ID(), ErrVariable)
	}
	row, ok := Lookup(e.Module, e.Variable)
	if !ok {
		return nil
	}
	if row.Since > v {
		return fmt.Errorf("variable %v: %w: file version %v does not have it; version %v is the first", row, ErrVariable, v, row.Since)
	}
	if n := len(e.Value); n < row.MinLen || n > row.MaxLen {
		return fmt.Errorf("variable %v: %w: %d bytes, want %d to %d", row, ErrVariable, n, row.MinLen, row.MaxLen)
	}
	return e.checkValue(v)
}

// checkValue applies the rules of single variables.
func (e Entry) checkValue(v Version) error {
	var err error
	switch id(e) {
	case varCurrentPassword:
		err = checkASCII(e.Value)
	case varNewPassword:
		err = amt.CheckPassword(amt.NewSecret(e.Value))
	case varPID:
		err = amt.PID(e.Value).Check()
	case varPPS:
		_, err = amt.ParsePPS(string(e.Value))
	case varDNSSuffix:
		err = checkName(strings.TrimPrefix(string(e.Value), "."))
	case varServerFQDN:
		err = checkName(string(e.Value))
	case varHashAdd:
		err = checkHash(e.Value, v)
	case varHostName:
		err = checkLabel(string(e.Value))
	case varDomain:
		err = checkName(string(e.Value))
	default:
		if err = checkChoice(e); err == nil {
			err = checkNumber(e)
		}
	}
	if err != nil {
		return fmt.Errorf("variable %s: %w: %w", e.Describe(), ErrVariable, err)
	}
	return nil
}

// id packs the numbers of an entry's variable; numbers above 255 are of none
// that is known by name.
func id(e Entry) uint16 {
	if e.Module > 0xff || e.Variable > 0xff {
		return 0
	}
	return e.Module<<8 | e.Variable
}

func checkASCII(b []byte) error {
	for i, c := range b {
		if c < 32 || c > 126 {
			return fmt.Errorf("character %d is not printable 7-bit ASCII", i+1)
		}
	}
	return nil
}

// checkLabel wants one DNS label.
func checkLabel(s string) error {
	if strings.Contains(s, ".") {
		return errors.New("a host name has no dots: the domain is 2/12")
	}
	return checkName(s)
}

// checkName wants DNS labels.
func checkName(s string) error {
	label := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > 63 || s[i-1] == '-' || s[i-label] == '-' {
				return fmt.Errorf("not a DNS name: the label that ends at character %d needs 1 to 63 letters, digits and inner hyphens", i)
			}
			label = 0
			continue
		}
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' {
			return fmt.Errorf("not a DNS name: character %d is no letter, digit, hyphen or dot", i+1)
		}
		label++
	}
	return nil
}

// hashLens are the lengths of the sums of 2/8 by algorithm.
var hashLens = map[byte]int{1: 20, 2: 32, 3: 48}

// checkHash wants algorithm, sum, length of the name, name (MeshCentral).
func checkHash(b []byte, v Version) error {
	n, ok := hashLens[b[0]]
	switch {
	case !ok:
		return fmt.Errorf("hash algorithm %d: want 1 (SHA-1), 2 (SHA-256) or 3 (SHA-384)", b[0])
	case b[0] > 1 && v < V3:
		return fmt.Errorf("hash algorithm %d: file version %v has SHA-1 alone; version %v is the first with others", b[0], v, V3)
	case len(b) < n+2 || len(b) != n+2+int(b[n+1]):
		return fmt.Errorf("hash algorithm %d: want the algorithm, %d bytes of sum, the length of the name and the name", b[0], n)
	}
	return nil
}

// checkOrder wants modules and variables to rise, which satisfies every known
// rule of order; only 2/8 may stand more than once.
func (r *Record) checkOrder() error {
	hashes := 0
	for i, e := range r.Entries {
		if id(e) == varHashAdd {
			hashes++
		}
		if i == 0 {
			continue
		}
		p := r.Entries[i-1]
		before := p.Module < e.Module || p.Module == e.Module && p.Variable < e.Variable
		again := p.Module == e.Module && p.Variable == e.Variable
		if !before && (!again || id(e) != varHashAdd) {
			return fmt.Errorf("variable %s behind %s: %w: each once, by rising module and variable", e.Describe(), p.Describe(), ErrOrder)
		}
	}
	if hashes > maxHashes {
		return fmt.Errorf("variable 2/8: %w: %d times, at most %d", ErrOrder, hashes, maxHashes)
	}
	return nil
}

// checkTogether applies the rules about pairs of variables.
func (r *Record) checkTogether(v Version) error {
	has := map[uint16]bool{}
	for _, e := range r.Entries {
		has[id(e)] = true
	}
	if current, ok := r.Get(ModuleME, 1); ok && string(current) == amt.FactoryPassword && !has[varNewPassword] {
		return fmt.Errorf("variable 1/1: %w: the factory password must be followed by a new one, 1/2", ErrOrder)
	}
	if has[varPID] != has[varPPS] {
		return fmt.Errorf("variables 2/1 and 2/2: %w: a PID needs its PPS and a PPS its PID", ErrVariable)
	}
	if err := r.checkNetwork(has); err != nil {
		return err
	}
	if v.Major() == 2 && has[varHashAdd] && !has[varHashConfig] {
		return fmt.Errorf("variable 2/8: %w: version %v wants 2/7 before it", ErrOrder, v)
	}
	return nil
}

// checkNetwork wants one way to an address.
func (r *Record) checkNetwork(has map[uint16]bool) error {
	dhcp, ok := r.Get(ModuleAMT, varDHCP&0xff)
	if has[varStaticIPv4] && ok && len(dhcp) == 1 && dhcp[0] == 2 {
		return fmt.Errorf("variable 2/19 Static IPv4: %w: 2/13 says that the address comes by DHCP", ErrVariable)
	}
	return nil
}
