package batch

import (
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Header is the first line of a list that AppendCSV writes, with its line end.
const Header = FieldPID + "," + FieldPPS + "," + FieldCurrentPassword + "," + FieldNewPassword + "," + FieldUsed + "\n"

// AppendCSV appends the row as a line of a CSV file behind Header: whoever reads
// it has the pair. Line and Raw are not written.
func (r Row) AppendCSV(b []byte) []byte {
	f := fields{
		pid: r.Pair.PID.String(), pps: amt.RevealPPS(r.Pair.PPS),
		current: string(r.CurrentPassword.Reveal()), next: string(r.NewPassword.Reveal()),
	}
	if r.Used {
		f.used = "1"
	}
	return append(f.append(b), '\n')
}

// append writes the fields as they stand, without a line end.
func (f *fields) append(b []byte) []byte {
	return appendCells(b, f.pid, f.pps, f.current, f.next, f.used)
}

// appendCells writes cells that are parted by commas and quoted where they must
// be. Line breaks, which no field may have, become blanks.
func appendCells(b []byte, cells ...string) []byte {
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		cell = strings.NewReplacer("\r", " ", "\n", " ").Replace(cell)
		if cell == "" || !strings.ContainsAny(cell, ",;\t\" #") && !strings.HasPrefix(cell, "\xef\xbb\xbf") {
			b = append(b, cell...)
			continue
		}
		b = append(b, '"')
		b = append(b, strings.ReplaceAll(cell, `"`, `""`)...)
		b = append(b, '"')
	}
	return b
}
