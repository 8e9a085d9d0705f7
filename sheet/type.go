package sheet

import (
	_ "embed"
	"image/color"
	"strings"
	"unicode/utf8"
)

// Names of the typefaces within a PDF.
const (
	mono  = "mono"
	plain = "plain"
)

// Go Mono has a slashed zero, an I with serifs on both sides and a 1 with a flag
// on one. The licence is in fonts/LICENSE.
var (
	//go:embed fonts/Go-Mono-Bold.ttf
	monoFont []byte
	//go:embed fonts/Go-Regular.ttf
	plainFont []byte
)

// advance is the width of every character of Go Mono, in parts of its size.
const advance = 1229.0 / 2048

// millimetres in a point.
const point = 25.4 / 72

// span is the width of n characters of Go Mono, in millimetres.
func (p *page) span(size float64, n int) float64 { return float64(n) * size * point * advance }

func (p *page) font(name string, size float64) { p.SetFont(name, "", size) }

// ink is a grey: 0 is black.
func (p *page) ink(grey int) { p.SetTextColor(grey, grey, grey) }

func (p *page) label(x, y float64, text string) {
	p.font(plain, labelType)
	p.ink(60)
	p.Text(x, y, text)
}

// hint is small and centred.
func (p *page) hint(x, y float64, text string) {
	p.font(plain, hintType)
	p.ink(60)
	p.center(x, y, text)
}

func (p *page) center(x, y float64, text string) { p.Text(x-p.GetStringWidth(text)/2, y, text) }

func (p *page) right(x, y float64, text string) { p.Text(x-p.GetStringWidth(text), y, text) }

// printable replaces what the typefaces do not have: they know the scripts of
// Latin, Greek and Cyrillic.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r > 0x4ff {
			return '?'
		}
		return r
	}, s)
}

// clip shortens a text to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-3]) + "..."
}

// ascii reports whether all of s is printable 7-bit ASCII.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func dark(c color.Color) bool {
	r, _, _, _ := c.RGBA()
	return r < 0x8000
}
