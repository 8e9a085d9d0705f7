package batch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Layout says where the fields stand in a table that is not in one of the usual
// shapes. The zero Layout finds out by itself.
type Layout struct {
	Columns   []Column
	Separator Separator
	Skip      int // lines before the header or the first row, 0 to MaxSkip
}

// Column is the place of one field: a position, or a name in the header.
type Column struct {
	Field    string
	Position int    // from 1; 0: by Name
	Name     string // compared without regard to case; "" with a Position
}

// Separator is what parts the fields of a line; 0: whichever the first line has.
type Separator byte

// The separators.
const (
	Comma     Separator = ','
	Tab       Separator = '\t'
	Semicolon Separator = ';'
	Blank     Separator = ' ' // one or more
)

// Bounds of a Layout.
const (
	MaxSkip     = 1000
	maxPosition = 1000
	maxNameLen  = 100
)

// ErrLayout is returned for a layout that cannot be used.
var ErrLayout = errors.New("wrong layout")

var separatorNames = []struct {
	s    Separator
	name string
}{{Comma, "comma"}, {Tab, "tab"}, {Semicolon, "semicolon"}, {Blank, "blank"}}

// String is the name that ParseSeparator reads; "" for 0.
func (s Separator) String() string {
	for _, n := range separatorNames {
		if n.s == s {
			return n.name
		}
	}
	if s == 0 {
		return ""
	}
	return fmt.Sprintf("unknown separator (%d)", byte(s))
}

// ParseSeparator reads comma, tab, semicolon, blank, or nothing for 0.
func ParseSeparator(s string) (Separator, error) {
	if s == "" {
		return 0, nil
	}
	for _, n := range separatorNames {
		if n.name == s {
			return n.s, nil
		}
	}
	return 0, fmt.Errorf("%w: separator %q: want comma, tab, semicolon or blank", ErrLayout, s)
}

// ParseColumns reads field=column,... where a column is a position from 1 or a
// name in the header. A name that begins with a digit, or has a comma, cannot be
// said so: use its position.
func ParseColumns(s string) ([]Column, error) {
	var cols []Column
	for _, part := range strings.Split(s, ",") {
		field, at, ok := strings.Cut(part, "=")
		c := Column{Field: normal(field), Name: strings.TrimSpace(at)}
		if !ok || c.Field == "" || c.Name == "" {
			return nil, fmt.Errorf("%w: %q: want field=column, as in pid=3,pps=Passphrase", ErrLayout, clip(part))
		}
		if c.Name[0] >= '0' && c.Name[0] <= '9' {
			n, err := strconv.Atoi(c.Name)
			if err != nil {
				return nil, fmt.Errorf("%w: %s=%q: want a position from 1, or a name in the header", ErrLayout, clip(c.Field), clip(c.Name))
			}
			c.Position, c.Name = n, ""
		}
		cols = append(cols, c)
	}
	return cols, nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// String is what ParseColumns reads.
func (c Column) String() string {
	if c.Position > 0 {
		return c.Field + "=" + strconv.Itoa(c.Position)
	}
	return c.Field + "=" + c.Name
}

// CheckPairs refuses a layout that does not fit lists of pairs; the error is
// ErrLayout.
func (l Layout) CheckPairs() error { return l.check(&pairs) }

// CheckDevices refuses a layout that does not fit lists of PCs; the error is
// ErrLayout.
func (l Layout) CheckDevices() error { return l.check(&pcs) }

func (l Layout) check(k *kind) error {
	if l.Skip < 0 || l.Skip > MaxSkip {
		return fmt.Errorf("%w: %d lines to skip: want 0 to %d", ErrLayout, l.Skip, MaxSkip)
	}
	if l.Separator != 0 && strings.HasPrefix(l.Separator.String(), "unknown") {
		return fmt.Errorf("%w: %v", ErrLayout, l.Separator)
	}
	if len(l.Columns) == 0 {
		return nil
	}
	seen := map[string]bool{}
	at := map[string]string{}
	for _, c := range l.Columns {
		field := k.names[normal(c.Field)]
		switch {
		case field == "":
			return fmt.Errorf("%w: there is no field %q: want %s", ErrLayout, clip(c.Field), k.want)
		case seen[field]:
			return fmt.Errorf("%w: %s is there twice", ErrLayout, field)
		case c.Position < 0 || c.Position > maxPosition || (c.Position == 0) == (normal(c.Name) == ""):
			return fmt.Errorf("%w: %s: want a position from 1 to %d, or a name in the header", ErrLayout, field, maxPosition)
		case len(c.Name) > maxNameLen || strings.ContainsAny(c.Name, ",\r\n\x00"):
			return fmt.Errorf("%w: %s: a name has at most %d bytes, and no comma: use its position", ErrLayout, field, maxNameLen)
		}
		place := strconv.Itoa(c.Position) + normal(c.Name)
		if other := at[place]; other != "" {
			return fmt.Errorf("%w: %s and %s are in the same column", ErrLayout, other, field)
		}
		seen[field], at[place] = true, field
	}
	for _, field := range k.need {
		if !seen[field] {
			return fmt.Errorf("%w: %s has no column", ErrLayout, field)
		}
	}
	return nil
}

// named reports whether the layout needs a header.
func (l Layout) named() bool {
	return slices.ContainsFunc(l.Columns, func(c Column) bool { return c.Position == 0 })
}

// resolve finds the columns by the first line.
func (l Layout) resolve(k *kind, cells []string) (cols columns, header bool, err error) {
	cols.open = true
	header = l.named() || k.headed(l, cells)
	for _, c := range l.Columns {
		at := c.Position - 1
		if c.Position == 0 {
			at = slices.IndexFunc(cells, func(cell string) bool { return normal(cell) == normal(c.Name) })
			if at < 0 {
				return columns{}, false, fmt.Errorf("%w: the header has no column %q", ErrColumns, c.Name)
			}
			again := slices.IndexFunc(cells[at+1:], func(cell string) bool { return normal(cell) == normal(c.Name) })
			if again >= 0 {
				return columns{}, false, fmt.Errorf("%w: the header has two columns %q", ErrColumns, c.Name)
			}
		}
		for len(cols.fields) <= at {
			cols.fields = append(cols.fields, "")
		}
		if cols.fields[at] != "" {
			return columns{}, false, fmt.Errorf("%w: %s and %s are in the same column", ErrColumns, cols.fields[at], k.names[normal(c.Field)])
		}
		cols.fields[at] = k.names[normal(c.Field)]
	}
	return cols, header, nil
}

// headed guesses whether the first line of a table with positions is a header:
// no cell that must be there is anything like what it should be.
func (k *kind) headed(l Layout, cells []string) bool {
	for _, c := range l.Columns {
		field := k.names[normal(c.Field)]
		if !slices.Contains(k.need, field) || c.Position < 1 || c.Position > len(cells) {
			continue
		}
		if k.likely(field, cells[c.Position-1]) {
			return false
		}
	}
	return true
}

// normal is the form in which names are compared.
func normal(name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
}
