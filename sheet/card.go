package sheet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/amtscs/amtscs/amt"
)

// Sizes of type, in points.
const (
	bigType   = 21.0 // the PID
	wideType  = 18.0 // the PPS, whose 39 characters take 149 mm
	passType  = 13.0 // passwords
	labelType = 7.5
	hintType  = 6.5
)

// nameWidth is what PID and PPS take at the left of their groups, in millimetres.
const nameWidth = 10.0

// qrSize is the side of the QR code in millimetres, its quiet zone apart.
const qrSize = 20.0

// card draws the card at its place.
func (p *page) card(i int, c Card) error {
	if err := c.Pair.PID.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	pps, err := amt.ParsePPS(string(c.Pair.PPS.Reveal()))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	height := (p.height - 2*margin - headHeight - footHeight) / cardsPerPage
	x, y := margin, margin+headHeight+float64(i%cardsPerPage)*height
	width := p.width - 2*margin
	p.SetLineWidth(0.25)
	p.SetDrawColor(120, 120, 120)
	p.Rect(x, y, width, height-cardGap, "D")

	inner := x + 4
	p.label(inner, y+4.5, fmt.Sprintf("Card %d of %d, batch %s", i+1, len(p.sheet.Cards), clip(printable(p.sheet.Batch), 50)))
	p.name(inner, y+15.5, "PID")
	p.groups(inner+nameWidth, y+15.5, bigType, c.Pair.PID.String())
	p.hint(inner+nameWidth+p.span(bigType, 9)/2, y+20.5, sumHint(c.Pair.PID.Wire()))
	p.name(inner, y+32.3, "PPS")
	p.groups(inner+nameWidth, y+32.3, wideType, amt.RevealPPS(pps))
	p.numbers(inner+nameWidth, y+32.3, amt.RevealPPS(pps))
	p.passwords(inner, y+40.4, c)
	p.tag(x+74, y+6.5)
	p.ticks(inner, y+height-cardGap-1.6)
	return p.code(x+width-qrSize-4, y+2.5, c.Pair.PID)
}

// name is what a row of groups is.
func (p *page) name(x, y float64, text string) {
	p.font(plain, 11)
	p.ink(0)
	p.Text(x, y, text)
}

// groups draws groups of four on a baseline, with short dashes between them.
func (p *page) groups(x, y, size float64, text string) {
	p.marked(x, y, size, strings.ReplaceAll(text, "-", "\u00a0"))
	p.SetDrawColor(110, 110, 110)
	p.SetLineWidth(0.5)
	middle := y - size*point*0.3
	for i := 4; i < len(text); i += 5 {
		left := x + p.span(size, i)
		p.Line(left+1.2, middle, left+p.span(size, 1)-1.2, middle)
	}
}

// numbers draws the number of each group above it and its sum beneath.
func (p *page) numbers(x, y float64, text string) {
	for g := 0; g*5 < len(text); g++ {
		at := x + p.span(wideType, g*5+2)
		p.hint(at, y-6, strconv.Itoa(g+1))
		p.hint(at, y+4.6, sumHint(text[g*5:g*5+4]))
	}
}

// sumHint is the sum that gives the last character of text, and that character:
// 229 and D for NKLD.
func sumHint(text string) string {
	sum := 0
	for i := range len(text) - 1 {
		sum += int(text[i])
	}
	return fmt.Sprintf("%d → %c", sum, text[len(text)-1])
}

// marked draws text in the typeface of values, with a bar under each digit and
// an open box for each space.
func (p *page) marked(x, y, size float64, text string) {
	p.font(mono, size)
	p.ink(0)
	p.Text(x, y, text)
	p.SetDrawColor(0, 0, 0)
	p.SetLineWidth(0.35)
	for i, c := range []rune(text) {
		left, right := x+p.span(size, i)+0.5, x+p.span(size, i+1)-0.5
		under := y + 1.2
		switch {
		case c >= '0' && c <= '9':
			p.Line(left, under, right, under)
		case c == ' ':
			p.Line(left, under-1, left, under)
			p.Line(left, under, right, under)
			p.Line(right, under, right, under-1)
		}
	}
}

// passwords draws what MEBx asks for: the present password and the new one.
func (p *page) passwords(x, y float64, c Card) {
	half := (p.width - 2*margin - 8) / 2
	for i, f := range []struct {
		name   string
		secret amt.Secret
	}{{"MEBx password before", c.CurrentPassword}, {"MEBx password to set", c.NewPassword}} {
		left := x + float64(i)*half
		p.label(left, y, f.name)
		text := string(f.secret.Reveal())
		switch {
		case text == "":
			p.label(left, y+5, "not known to the server")
		case !ascii(text) || len(text) > amt.PasswordMax:
			p.label(left, y+5, "cannot be printed: see scsctl keys reveal "+c.Pair.PID.String())
		default:
			size := passType
			if wide := p.span(size, len(text)); wide > half-2 {
				size *= (half - 2) / wide
			}
			p.marked(left, y+5.2, size, text)
		}
	}
}

// tag draws the field for the asset tag.
func (p *page) tag(x, y float64) {
	p.SetDrawColor(120, 120, 120)
	p.SetLineWidth(0.25)
	width := p.width - margin - qrSize - 10 - x
	p.Rect(x, y, width, 13, "D")
	p.label(x+1.5, y+3.3, "Asset tag or serial number of the PC")
}

// ticks draws what is ticked off when the card is done.
func (p *page) ticks(x, y float64) {
	p.SetDrawColor(90, 90, 90)
	p.SetLineWidth(0.25)
	for _, t := range []string{"typed in", "MEBx took it", "PC is Operational"} {
		p.Rect(x, y-2.5, 2.8, 2.8, "D")
		p.label(x+4, y, t)
		x += 12 + p.GetStringWidth(t)
	}
	for _, t := range []string{"by", "on"} {
		p.label(x, y, t)
		x += 4
		p.Line(x, y+0.4, x+32, y+0.4)
		x += 38
	}
}

// code draws the QR code of the PID alone.
func (p *page) code(x, y float64, pid amt.PID) error {
	symbol, err := qr.Encode(pid.String(), qr.M, qr.AlphaNumeric)
	if err != nil {
		return fmt.Errorf("%w: its QR code: %w", ErrCard, err)
	}
	n := symbol.Bounds().Dx()
	module := qrSize / float64(n)
	p.SetFillColor(0, 0, 0)
	for row := range n {
		for col := 0; col < n; {
			from := col
			for col < n && dark(symbol.At(col, row)) {
				col++
			}
			if col > from {
				p.Rect(x+float64(from)*module, y+float64(row)*module, float64(col-from)*module, module, "F")
			}
			if col == from {
				col++
			}
		}
	}
	p.font(plain, hintType)
	p.ink(60)
	p.center(x+qrSize/2, y+qrSize+3, "the PID alone")
	return nil
}
