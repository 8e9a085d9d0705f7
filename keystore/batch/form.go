package batch

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// forms are the beginnings of files that are no list, with what they are and the
// cure.
var forms = []struct{ begin, what string }{
	{"PK\x03\x04", "it is a zip file, or a spreadsheet: unpack it, or save it as CSV"},
	{"PK\x05\x06", "it is a zip file without any file: fetch it again"},
	{"\xd0\xcf\x11\xe0", "it is a spreadsheet (.xls) or another document: save it as CSV"},
	{"\xff\xfe", "it is UTF-16 text: save it as UTF-8"},
	{"\xfe\xff", "it is UTF-16 text: save it as UTF-8"},
	{"BZh", "it is compressed with bzip2: unpack it with bunzip2"},
	{"\xfd7zXZ\x00", "it is compressed with xz: unpack it with unxz"},
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it with unzstd"},
	{"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it"},
	{"%PDF-", "it is a PDF file: ask for the list as CSV"},
}

// notText says what the first bytes of a file are that is no text, and the cure;
// nil for text in UTF-8 or in a code page.
func notText(b []byte) error {
	for _, f := range forms {
		if bytes.HasPrefix(b, []byte(f.begin)) {
			return fmt.Errorf("%w: %s", ErrFormat, f.what)
		}
	}
	var zero [2]int // at even and odd places
	other := 0
	for i, c := range b {
		switch {
		case c == 0:
			zero[i%2]++
		case c < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1a\x1b", rune(c)):
			other++
		}
	}
	switch half := len(b) / 2; {
	case zero[0]+zero[1] > 0 && other == 0 && (zero[0] == 0 || zero[1] == 0) && (zero[0]+zero[1])*4 >= half*3:
		return fmt.Errorf("%w: it is UTF-16 text without its mark: save it as UTF-8", ErrFormat)
	case zero[0]+zero[1] > 0:
		return fmt.Errorf("%w: it has NUL bytes: it is a binary file, or damaged; fetch it again, or ask for the list as CSV", ErrFormat)
	case other*10 > len(b):
		return fmt.Errorf("%w: it is a binary file: ask for the list as CSV", ErrFormat)
	}
	return nil
}

// scientific is how a spreadsheet shows a long number.
var scientific = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?[eE]\+[0-9]+$|^[0-9]+[.,][0-9]+[eE]-?[0-9]+$`)

// numbered reports whether a cell is a number that a spreadsheet made.
func numbered(cell string) bool { return scientific.MatchString(strings.TrimSpace(cell)) }

const numberCure = "a spreadsheet made a number of it: format the column as text, and fill it anew from the supplier's list"

// declared is the separator of the line sep=; with which Excel begins a table, 0
// for any other line.
func declared(line []byte) Separator {
	s := bytes.Trim(bytes.TrimRight(line, "\r\n"), `"`)
	if len(s) != len("sep=;") || !strings.EqualFold(string(s[:4]), "sep=") {
		return 0
	}
	if c := s[4]; c == '\t' || c >= ' ' && c < 0x7f && !alphanumeric(c) && !strings.ContainsRune(`"-#`, rune(c)) {
		return Separator(c)
	}
	return 0
}

// onlySeparators reports whether a line has no cell with a value.
func onlySeparators(line []byte, s Separator) bool {
	cut := " \t,;"
	if s != 0 {
		cut += string(rune(s))
	}
	return len(bytes.Trim(line, cut)) == 0
}
