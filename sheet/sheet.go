// Package sheet prints pairs on paper for the Manual model: a PDF with one card
// a PC, on A4 or Letter. A card has the PID and the PPS in the groups that MEBx
// shows, the MEBx passwords, a QR code of the PID alone, a field for the asset
// tag, and what helps to find a typing error: numbered groups, a bar under each
// digit, and under each group the sum that its check character comes from. The
// typeface tells 0 from O and 1 from I and l.
//
// It writes bytes and nothing else: it neither draws nor stores pairs, keeps no
// file, and leaves to its caller who may print.
package sheet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/amtscs/amtscs/amt"
)

// Paper is a size of paper.
type Paper uint8

// The papers.
const (
	A4     Paper = 1 // 210 mm x 297 mm
	Letter Paper = 2 // 8.5 in x 11 in
)

// ParsePaper reads a4 or letter.
func ParsePaper(s string) (Paper, error) {
	for _, p := range []Paper{A4, Letter} {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("paper %q: want a4 or letter", s)
}

// String is the form that ParsePaper reads.
func (p Paper) String() string {
	switch p {
	case A4:
		return "a4"
	case Letter:
		return "letter"
	}
	return fmt.Sprintf("unknown (%d)", uint8(p))
}

// MaxCards is the most cards of a sheet: 500 pages.
const MaxCards = 2000

// Errors of a sheet.
var (
	// ErrCards is returned for a sheet without cards or with too many.
	ErrCards = errors.New("a sheet has 1 to 2000 cards")
	// ErrCard is returned for a card that cannot be printed; the error says why
	// and shows no secret.
	ErrCard = errors.New("the card cannot be printed")
)

// Card is what one PC needs.
type Card struct {
	Pair            amt.Pair
	CurrentPassword amt.Secret // of MEBx before; empty: not known
	NewPassword     amt.Secret // to be set; empty: not known
}

// Sheet is what is printed.
type Sheet struct {
	Batch   string    // its name
	Mark    string    // what the sheet is found by in the audit log; may be empty
	Printed time.Time // shown in its own zone
	Paper   Paper     // 0: A4
	Cards   []Card
}

// Write writes the PDF. The same sheet gives the same bytes.
func (s *Sheet) Write(w io.Writer) error {
	if len(s.Cards) == 0 || len(s.Cards) > MaxCards {
		return fmt.Errorf("%w: got %d", ErrCards, len(s.Cards))
	}
	p := newPage(s)
	for i, c := range s.Cards {
		if i%cardsPerPage == 0 {
			p.begin(i/cardsPerPage + 1)
		}
		if err := p.card(i, c); err != nil {
			return fmt.Errorf("card %d, PID %v: %w", i+1, c.Pair.PID, err)
		}
	}
	if err := p.Output(w); err != nil {
		return fmt.Errorf("writing the sheet: %w", err)
	}
	return nil
}

// cardsPerPage is the same on both papers.
const cardsPerPage = 4

// Measures in millimetres.
const (
	margin     = 12.0
	headHeight = 11.0
	footHeight = 22.0
	cardGap    = 3.0
)

// page draws; errors of fpdf stick and come out of Output.
type page struct {
	*fpdf.Fpdf
	sheet         *Sheet
	width, height float64 // of the paper
}

func newPage(s *Sheet) *page {
	paper := s.Paper
	if paper == 0 {
		paper = A4
	}
	p := &page{Fpdf: fpdf.New("P", "mm", paper.String(), ""), sheet: s}
	p.width, p.height = p.GetPageSize()
	p.SetCatalogSort(true)
	p.SetCreationDate(s.Printed)
	p.SetModificationDate(s.Printed)
	p.SetTitle("PID/PPS pairs of batch "+s.Batch, true)
	p.SetCreator("amtscs", true)
	p.SetMargins(margin, margin, margin)
	p.SetAutoPageBreak(false, 0)
	// fpdf writes into what it is given: each document has fonts of its own.
	p.AddUTF8FontFromBytes(mono, "", bytes.Clone(monoFont))
	p.AddUTF8FontFromBytes(plain, "", bytes.Clone(plainFont))
	return p
}

// pages is how many the sheet has.
func (s *Sheet) pages() int { return (len(s.Cards) + cardsPerPage - 1) / cardsPerPage }

// begin adds a page with its head and foot.
func (p *page) begin(number int) {
	p.AddPage()
	s := p.sheet
	p.ink(0)
	p.font(plain, 13)
	p.Text(margin, margin+4.5, clip("Intel AMT pairs for MEBx: batch "+printable(s.Batch), 70))
	p.font(plain, 8)
	p.ink(90)
	p.right(p.width-margin, margin+1.5, "printed "+s.Printed.Format("2006-01-02 15:04 MST"))
	where := fmt.Sprintf("page %d of %d", number, s.pages())
	if s.Mark != "" {
		where = clip(printable(s.Mark), 60) + ", " + where
	}
	p.right(p.width-margin, margin+5.5, where)
	p.foot()
}

// legend is what the foot of each page says.
var legend = []string{
	"SECRET: whoever holds this sheet can set these PCs up, and can listen in on their set-up. Keep it like a key, and shred it when the PCs are done.",
	"At the PC: enter MEBx, change its password first, then type PID and PPS where it asks for the TLS PSK pair, and leave MEBx so that it says hello.",
	"A bar under a character: it is a digit. Everything else is a letter, so there is no need to guess 0 or O, 1 or I, 5 or S. A small box is a space.",
	"The number under a group is the sum of the ASCII codes (0 is 48, A is 65) of the characters before the last one. Divided by 36 it leaves the",
	"last one, the check character: 0 to 9, and A for 10 to Z for 35. scsctl keys check names the group that was mistyped.",
	"MEBx reads every keyboard as a US one: on a German one, press Z for Y and Y for Z. Drawn passwords have neither, and of the signs only ! $ %,",
	"which most layouts have on the US keys. French keyboards differ in more: use another one, or type by the US layout.",
}

func (p *page) foot() {
	y := p.height - margin - footHeight + 5
	p.font(plain, 7.2)
	p.ink(60)
	for _, line := range legend {
		p.Text(margin, y, line)
		y += 3.1
	}
}
