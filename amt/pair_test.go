package amt_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// Intel's example (pidppschecksum page), with all nine check characters right.
const (
	intelPID = "0000-037M"
	intelPPS = "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"
)

func TestParsePID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		err        error
	}{
		{intelPID, "0000037M", nil},
		// Reckoned by Intel's rule: the sum of the codes modulo 36.
		{"0000-000C", "0000000C", nil},
		{"ABCD-EFG8", "ABCDEFG8", nil},
		{"ZZZZ-ZZZI", "ZZZZZZZI", nil},
		{"1234-5674", "12345674", nil},
		{"A1B2-C3DK", "A1B2C3DK", nil},
		{"9999-9993", "99999993", nil},
		{"0000037M", "0000037M", nil},
		{" \tabcd-efg8\r\n", "ABCDEFG8", nil},
		{"DCBA-EFG8", "DCBAEFG8", nil}, // a sum does not see swapped characters

		{"0000-037N", "", amt.ErrPairChecksum},
		{"0000-037m1", "", amt.ErrPairLength},
		{"", "", amt.ErrPairLength},
		{"0000-037", "", amt.ErrPairAlphabet}, // eight characters, one of them a dash
		{"000-0037M", "", amt.ErrPairDashes},
		{"00000037M", "", amt.ErrPairDashes},
		{"0000_037M", "", amt.ErrPairDashes},
		{"0000-03-7M", "", amt.ErrPairLength},
		{"0000-037\x00", "", amt.ErrPairAlphabet},
		{"00 0-037M", "", amt.ErrPairAlphabet},
		{"ABCDEF:8", "", amt.ErrPairAlphabet},
		{"ZZZ\u017fZZ8", "", amt.ErrPairAlphabet}, // its upper case is S
		{"\u00a00000037M", "", amt.ErrPairLength},
		{strings.Repeat("A", 1000), "", amt.ErrPairLength},
	} {
		got, err := amt.ParsePID(c.text)
		if !errors.Is(err, c.err) || c.err == nil && got.Wire() != c.want {
			t.Errorf("ParsePID(%q): got %q, %v, want %q, %v", c.text, got.Wire(), err, c.want, c.err)
		}
		if c.err != nil && got != (amt.PID{}) {
			t.Errorf("ParsePID(%q): got %v beside an error", c.text, got)
		}
	}
}

func TestPIDString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pid  amt.PID
		want string
	}{
		{amt.PID([]byte("0000037M")), "0000-037M"},
		{amt.PID([]byte("ABCDEFGH")), "ABCD-EFGH"}, // a wrong check character prints
		{amt.PID([]byte("abcdEFG8")), `"abcdEFG8"`},
		{amt.PID([]byte("A\nB\x00\xff\"'\x1b")), `"A\nB\x00\xff\"'\x1b"`},
		{amt.PID{}, `"\x00\x00\x00\x00\x00\x00\x00\x00"`},
	} {
		if got := c.pid.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestParsePPS(t *testing.T) {
	t.Parallel()
	plain := strings.ReplaceAll(intelPPS, "-", "")
	group := func(i int, g string) string { return plain[:4*i] + g + plain[4*i+4:] }
	for _, c := range []struct {
		name, text, want string
		err              error
		says             string
	}{
		{"as MEBx shows it", intelPPS, plain, nil, ""},
		{"without dashes", plain, plain, nil, ""},
		{"lower case and blanks", " " + strings.ToLower(intelPPS) + "\n", plain, nil, ""},
		{"more vectors", "AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-NKLD-NKLD", "AAAF0000ZZZI1A2K9Z9OABCINKLDNKLD", nil, ""},
		{"swapped characters", group(0, "KNLD"), group(0, "KNLD"), nil, ""},
		{"group 1", group(0, "NKLE"), "", amt.ErrPairChecksum, "group 1:"},
		{"group 5", group(4, "ZIJM"), "", amt.ErrPairChecksum, "group 5:"},
		{"group 8", group(7, "69XK"), "", amt.ErrPairChecksum, "group 8:"},
		{"alphabet", group(2, "R:NQ"), "", amt.ErrPairAlphabet, "group 3:"},
		{"short", plain[:31], "", amt.ErrPairLength, "31 characters, want 32 (39 with dashes)"},
		{"HP's 40", intelPPS + "-", "", amt.ErrPairLength, "40 characters"},
		{"dashes elsewhere", strings.Replace(intelPPS, "NKLD-G", "NKL-DG", 1), "", amt.ErrPairDashes, ""},
		{"a PID", intelPID, "", amt.ErrPairLength, ""},
		{"empty", "", "", amt.ErrPairLength, ""},
	} {
		got, err := amt.ParsePPS(c.text)
		if !errors.Is(err, c.err) || string(got.Reveal()) != c.want {
			t.Errorf("%s: got %d characters, %v, want %v", c.name, got.Len(), err, c.err)
		}
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %q, want %q in it", c.name, err, c.says)
		}
		for i := 0; err != nil && i+4 <= len(c.text); i += 4 {
			if strings.Contains(err.Error(), strings.ToUpper(c.text[i:i+4])) && c.text[i] != ' ' {
				t.Errorf("%s: the error shows characters: %v", c.name, err)
			}
		}
	}
}

func TestRevealPPS(t *testing.T) {
	t.Parallel()
	pps, err := amt.ParsePPS(intelPPS)
	if err != nil || amt.RevealPPS(pps) != intelPPS {
		t.Errorf("got %q, %v", amt.RevealPPS(pps), err)
	}
	for text, want := range map[string]string{"": "", "A": "A", "ABCDE": "ABCD-E"} {
		if got := amt.RevealPPS(amt.NewSecretString(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzPID(f *testing.F) {
	for _, s := range []string{intelPID, "abcdefg8", " ZZZZ-ZZZI\n", "0000-037N", "----", "ZZZ\u017fZZ8", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := amt.ParsePID(s)
		if err != nil {
			var raw amt.PID
			if copy(raw[:], s) == amt.PIDLen && len(s) == amt.PIDLen && raw.Check() == nil {
				t.Errorf("%q is refused, and Check takes it: %v", s, err)
			}
			_ = raw.String()
			return
		}
		if err := p.Check(); err != nil {
			t.Errorf("%q parses as what Check refuses: %v", s, err)
		}
		for _, text := range []string{p.String(), p.Wire(), strings.ToLower(p.String())} {
			if again, err := amt.ParsePID(text); err != nil || again != p {
				t.Errorf("%q parses as %v, which prints as %q and parses as %v, %v", s, p, text, again, err)
			}
		}
		if bare := strings.Trim(s, " \t\r\n"); !strings.EqualFold(bare, p.String()) && !strings.EqualFold(bare, p.Wire()) {
			t.Errorf("%q parses as %v", s, p)
		}
	})
}

func FuzzPPS(f *testing.F) {
	for _, s := range []string{intelPPS, strings.ToLower(intelPPS), strings.ReplaceAll(intelPPS, "-", ""), "AAAF-0000", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pps, err := amt.ParsePPS(s)
		if err != nil {
			if !pps.IsZero() {
				t.Errorf("%q: a PPS beside an error", s)
			}
			return
		}
		shown := amt.RevealPPS(pps)
		again, err := amt.ParsePPS(shown)
		if err != nil || !again.Equal(pps) || pps.Len() != amt.PPSLen {
			t.Errorf("%q prints as %q, which parses as another, or %v", s, shown, err)
		}
		if bare := strings.Trim(s, " \t\r\n"); !strings.EqualFold(bare, shown) && !strings.EqualFold(bare, string(pps.Reveal())) {
			t.Errorf("%q parses as %q", s, shown)
		}
	})
}

func TestDrawPair(t *testing.T) {
	t.Parallel()
	seen := map[amt.PID]bool{}
	count := map[byte]int{}
	const n = 2000
	for range n {
		p, err := amt.DrawPair(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.PID.Check(); err != nil {
			t.Error(err)
		}
		if _, err := amt.ParsePPS(string(p.PPS.Reveal())); err != nil {
			t.Error(err)
		}
		if seen[p.PID] {
			t.Errorf("PID %v came twice in %d", p.PID, n)
		}
		seen[p.PID] = true
		for i, c := range p.PPS.Reveal() {
			if i%4 != 3 {
				count[c]++
			}
		}
	}
	// 48,000 characters over 36: 1333 each, standard deviation 36.
	for c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		b := "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[c]
		if count[b] < 1333-6*36 || count[b] > 1333+6*36 {
			t.Errorf("character %c came %d times of 48,000", b, count[b])
		}
	}
	if len(count) != 36 {
		t.Errorf("%d characters came, want 36", len(count))
	}
}

// TestDrawRejects: bytes of 252 and above would favour the first characters, so
// that they are passed over.
func TestDrawRejects(t *testing.T) {
	t.Parallel()
	random := append(bytes.Repeat([]byte{252, 253, 254, 255}, 30), bytes.Repeat([]byte{0, 35, 36, 251}, 30)...)
	p, err := amt.DrawPID(bytes.NewReader(random))
	if err != nil || p.Wire() != "0Z0Z0Z0U" {
		t.Errorf("got %v, %v", p, err)
	}
	const want = 7 + 24 + 8 // free characters, and some more for those that are rejected
	for n := range want + 1 {
		if _, err := amt.DrawPair(bytes.NewReader(make([]byte, n))); (err == nil) != (n == want) {
			t.Errorf("a pair from %d bytes: %v", n, err)
		}
	}
}

// TestDrawPairLayout: the characters of the draw go to the PID first, then to the
// groups of the PPS.
func TestDrawPairLayout(t *testing.T) {
	t.Parallel()
	random := make([]byte, 39)
	for i := range random {
		random[i] = byte(i)
	}
	p, err := amt.DrawPair(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	pps := string(p.PPS.Reveal())
	if got := p.PID.Wire()[:7]; got != "0123456" {
		t.Errorf("PID %s", got)
	}
	if pps[:3] != "789" || pps[4:7] != "ABC" || pps[28:31] != "STU" {
		t.Errorf("PPS %s", pps)
	}
	if err := errors.Join(p.PID.Check(), amt.CheckPPS(p.PPS)); err != nil {
		t.Error(err)
	}
}

// TestCheckPPS: what it refuses, it refuses without the characters.
func TestCheckPPS(t *testing.T) {
	t.Parallel()
	good := strings.ReplaceAll(intelPPS, "-", "")
	for text, want := range map[string]error{
		good: nil, "": amt.ErrPairLength, good[:31]: amt.ErrPairLength, intelPPS: amt.ErrPairLength,
		strings.ToLower(good): amt.ErrPairAlphabet, good[:31] + "?": amt.ErrPairAlphabet,
		good[4:] + good[1:4] + good[:1]: amt.ErrPairChecksum,
	} {
		err := amt.CheckPPS(amt.NewSecretString(text))
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%d characters: got error %v, want %v", len(text), err, want)
		}
		if err != nil && len(text) > 4 && strings.Contains(err.Error(), text[:4]) {
			t.Errorf("the error shows characters: %v", err)
		}
	}
}

func TestPairPrints(t *testing.T) {
	t.Parallel()
	pid, err := amt.ParsePID(intelPID)
	if err != nil {
		t.Fatal(err)
	}
	p := amt.Pair{PID: pid, PPS: amt.NewSecretString("AAAF")}
	for _, got := range []string{fmt.Sprint(p), fmt.Sprintf("%+v", p), p.LogValue().String()} {
		if got != intelPID {
			t.Errorf("got %q", got)
		}
	}
}

func ExampleParsePID() {
	pid, err := amt.ParsePID("0000-037m")
	fmt.Println(pid, pid.Wire(), err)
	_, err = amt.ParsePID("0000-037N")
	fmt.Println(err)
	// Output:
	// 0000-037M 0000037M <nil>
	// PID 0000-037N: the check character does not match: is there a typing error?
}
