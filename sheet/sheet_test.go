package sheet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// The pairs of these tests, as MEBx shows them.
const (
	pid1, pps1 = "0000-037M", "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"
	pid2, pps2 = "ABCD-EFG8", "AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-AAAF-0000"
)

func card(t testing.TB, pid, pps, before, set string) Card {
	t.Helper()
	p, err := amt.ParsePID(pid)
	if err != nil {
		t.Fatal(err)
	}
	k, err := amt.ParsePPS(pps)
	if err != nil {
		t.Fatal(err)
	}
	return Card{amt.Pair{PID: p, PPS: k}, amt.NewSecretString(before), amt.NewSecretString(set)}
}

var printed = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

func sample(t testing.TB, paper Paper) *Sheet {
	t.Helper()
	return &Sheet{
		Batch: "lab München", Mark: "export 12", Printed: printed, Paper: paper,
		Cards: []Card{card(t, pid1, pps1, "admin", "N3w.Passw0rd0"), card(t, pid2, pps2, "", "")},
	}
}

func pdf(t testing.TB, s *Sheet) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// need skips the test without a program, which the project's own checks do not.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" {
			t.Fatalf("%s is not installed, and AMTSCS_REQUIRE_PEERS=1", program)
		}
		t.Skipf("%s is not installed: apt install poppler-utils zbar-tools to run this test", program)
	}
}

// output runs a program of poppler or zbar in a folder that holds sheet.pdf.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	need(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, stderr.String())
	}
	return string(out)
}

func folder(t *testing.T, s *Sheet) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sheet.pdf"), pdf(t, s), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// text is what pdftotext reads, with single blanks.
func text(t *testing.T, s *Sheet) string {
	t.Helper()
	out := output(t, folder(t, s), "pdftotext", "-layout", "sheet.pdf", "-")
	return strings.Join(strings.Fields(strings.ReplaceAll(out, "\u00a0", " ")), " ")
}

func TestText(t *testing.T) {
	t.Parallel()
	got := text(t, sample(t, A4))
	for _, want := range []string{
		"batch lab München", "printed 2026-11-21 09:30 UTC", "export 12, page 1 of 1", "Card 1 of 2", "Card 2 of 2",
		strings.ReplaceAll(pid1, "-", " "), strings.ReplaceAll(pid2, "-", " "),
		strings.ReplaceAll(pps1, "-", " "), strings.ReplaceAll(pps2, "-", " "),
		"admin N3w.Passw0rd0", "not known to the server", "Asset tag", "1 2 3 4 5 6 7 8", "SECRET",
		// Intel's worked example: 0x15A gives M, 0xE5 gives D.
		"346 → M", "229 → D",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the sheet lacks %q:\n%s", want, got)
		}
	}
}

// TestCheckHints: every sum that is printed gives the character it points to.
func TestCheckHints(t *testing.T) {
	t.Parallel()
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, group := range append(strings.Split(pps1, "-"), "0000037M", "ABCDEFG8") {
		var sum int
		var check rune
		if n, err := fmt.Sscanf(sumHint(group), "%d → %c", &sum, &check); n != 2 {
			t.Fatalf("%s: got %q: %v", group, sumHint(group), err)
		}
		if got := alphabet[sum%36]; rune(got) != check || group[len(group)-1] != got {
			t.Errorf("%s: %d leaves %c, want %c", group, sum, got, check)
		}
	}
}

// TestCodes: the QR codes, as a reader finds them in the rendered page, have the
// PIDs and nothing else.
func TestCodes(t *testing.T) {
	t.Parallel()
	for _, paper := range []Paper{A4, Letter} {
		t.Run(paper.String(), func(t *testing.T) {
			t.Parallel()
			dir := folder(t, sample(t, paper))
			output(t, dir, "pdftoppm", "-r", "150", "-png", "-singlefile", "sheet.pdf", "page")
			got := output(t, dir, "zbarimg", "--quiet", "--raw", "page.png")
			lines := strings.Fields(got)
			if len(lines) != 2 || !strings.Contains(got, pid1) || !strings.Contains(got, pid2) {
				t.Errorf("got %q, want the two PIDs", lines)
			}
		})
	}
}

func TestPaper(t *testing.T) {
	t.Parallel()
	for paper, want := range map[Paper]string{A4: "595.28 x 841.89 pts (A4)", Letter: "612 x 792 pts (letter)", 0: "(A4)"} {
		if got := output(t, folder(t, sample(t, paper)), "pdfinfo", "sheet.pdf"); !strings.Contains(got, want) {
			t.Errorf("%v: got\n%s\nwant %s", paper, got, want)
		}
	}
	for _, paper := range []Paper{A4, Letter} {
		if got, err := ParsePaper(paper.String()); err != nil || got != paper {
			t.Errorf("%v: got %v, %v", paper, got, err)
		}
	}
	if _, err := ParsePaper("A3"); err == nil || !strings.Contains(err.Error(), "want a4 or letter") {
		t.Errorf("A3: got %v", err)
	}
	if got := Paper(9).String(); got != "unknown (9)" {
		t.Errorf("got %s", got)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := sample(t, A4)
	for range 7 {
		s.Cards = append(s.Cards, s.Cards[0])
	}
	got := text(t, s)
	for _, want := range []string{"page 1 of 3", "page 2 of 3", "page 3 of 3", "Card 9 of 9"} {
		if !strings.Contains(got, want) {
			t.Errorf("the sheet lacks %q", want)
		}
	}
	if n := strings.Count(got, strings.ReplaceAll(pps1, "-", " ")); n != 8 {
		t.Errorf("got the pair %d times, want 8", n)
	}
}

// TestPasswords: what can be typed is printed, and what cannot is named.
func TestPasswords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ password, want string }{
		{`!"#$%&'()*+,-./09:;<=>?@AZ[\]^_`, `!"#$%&'()*+,-./09:;<=>?@AZ[\]^_`},
		{"`az{|}~", "`az{|}~"},
		{"two words", "two words"},
		{"Pässw0rd!", "cannot be printed: see scsctl keys reveal 0000-037M"},
		{"Tab\tStop1!", "cannot be printed"},
		{strings.Repeat("x", 33), "cannot be printed"},
	} {
		s := sample(t, Letter)
		s.Cards = []Card{card(t, pid1, pps1, "admin", c.password)}
		got := text(t, s)
		if !strings.Contains(got, c.want) {
			t.Errorf("%q: the sheet lacks %q", c.password, c.want)
		}
		if strings.HasPrefix(c.want, "cannot") && strings.Contains(got, c.password) {
			t.Errorf("%q is printed", c.password)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := sample(t, A4).Cards[0]
	short, wrong := good, good
	short.Pair.PPS = amt.NewSecretString("NKLDG5DC")
	wrong.Pair.PID = amt.PID([]byte("0000037N"))
	for _, c := range []struct {
		name  string
		cards []Card
		want  error
		text  string
	}{
		{"none", nil, ErrCards, "got 0"},
		{"too many", make([]Card, MaxCards+1), ErrCards, "got 2001"},
		{"a short PPS", []Card{good, short}, amt.ErrPairLength, "card 2, PID 0000-037M: the card cannot be printed: PPS"},
		{"a wrong PID", []Card{wrong}, amt.ErrPairChecksum, "card 1"},
		{"no pair", []Card{{}}, amt.ErrPairAlphabet, "card 1"},
	} {
		s := Sheet{Batch: "b", Printed: printed, Cards: c.cards}
		var b bytes.Buffer
		err := s.Write(&b)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.text)
		}
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes were written", c.name, b.Len())
		}
		if err != nil && strings.Contains(err.Error(), "G5DC") {
			t.Errorf("%s: the error shows the PPS: %v", c.name, err)
		}
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	a, b := pdf(t, sample(t, A4)), pdf(t, sample(t, A4))
	if !bytes.Equal(a, b) {
		t.Error("the same sheet gave other bytes")
	}
	// What is in clear in the file, for tools that index files, has no secret.
	for _, secret := range []string{"NKLD", "N3w.Passw0rd0"} {
		if bytes.Contains(a, []byte(secret)) {
			t.Errorf("%s stands outside of the compressed pages", secret)
		}
	}
}

// TestNames: batch names have any characters; none breaks the PDF.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Прага Ωmega": "batch Прага Ωmega", "倉庫": "batch ??", "🔑 key": "batch ? key", "a\u0085\tb": "batch a??b",
		strings.Repeat("n", 250): "batch " + strings.Repeat("n", 47) + "...",
	} {
		s := sample(t, A4)
		s.Batch, s.Mark = name, ""
		if got := text(t, s); !strings.Contains(got, want) {
			t.Errorf("%q: the sheet lacks %q", name, want)
		}
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestWriterFails(t *testing.T) {
	t.Parallel()
	if err := sample(t, A4).Write(broken{io.ErrShortWrite}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	s := sample(b, A4)
	for len(s.Cards) < 200 {
		s.Cards = append(s.Cards, s.Cards[0])
	}
	for b.Loop() {
		if err := s.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	pid, _ := amt.ParsePID(pid1)
	pps, _ := amt.ParsePPS(pps1)
	s := Sheet{Batch: "lab", Printed: printed, Cards: []Card{{Pair: amt.Pair{PID: pid, PPS: pps}}}}
	var b bytes.Buffer
	fmt.Println(s.Write(&b), b.String()[:5])
	// Output: <nil> %PDF-
}
