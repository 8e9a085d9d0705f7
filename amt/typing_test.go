package amt_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// told is faults in one line, the guesses behind an arrow.
func told(faults []amt.TypingFault) string {
	var lines []string
	for _, f := range faults {
		line := f.Error()
		if l := f.LookAlike; l != nil {
			line += fmt.Sprintf(" -> %d %c for %c", l.Character, l.Instead, l.Typed)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func TestTypedPID(t *testing.T) {
	t.Parallel()
	const sum = "the check character does not match: is there a typing error?"
	for _, c := range []struct{ typed, want string }{
		{intelPID, ""},
		{"0000037m", ""},
		{" 0000 037M\r\n", ""},
		{"O000-037M", sum + " -> 1 0 for O"},
		{"0000-O37M", sum + " -> 5 0 for O"},
		{"O0O0-037M", sum},
		{"0000-038M", sum},
		{"0000-073M", ""}, // changed places: the sum is the same
		{"T000-037M", ""}, // T is 36 above 0: so it is here
		{"0000-037", "group 2: wrong length: 3 characters, want 4"},
		{"0000037", "wrong length: 7 characters, want 8 (9 with dashes)"},
		{"000-0037M", "group 1: wrong length: 3 characters, want 4; group 2: wrong length: 5 characters, want 4"},
		{"0000-037M-0000", "wrong groups: 3 of them, want 2"},
		{"0000-037_", "group 2: character 4: only A-Z and 0-9 are allowed"},
		{"0000037é", "character 8: only A-Z and 0-9 are allowed"},
		{"", "wrong length: nothing was typed"},
		{" - ", "wrong length: nothing was typed"},
	} {
		if got := told(amt.TypedPID(c.typed)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.typed, got, c.want)
		}
	}
}

func TestTypedPPS(t *testing.T) {
	t.Parallel()
	const sum = ": the check character does not match: is there a typing error?"
	bare := strings.ReplaceAll(intelPPS, "-", "")
	with := func(old, next string) string { return strings.Replace(intelPPS, old, next, 1) }
	for _, c := range []struct{ typed, want string }{
		{intelPPS, ""},
		{strings.ToLower(bare), ""},
		{strings.ReplaceAll(intelPPS, "-", "  "), ""},
		{with("G5DC", "GSDC"), "group 2" + sum + " -> 2 5 for S"},
		{with("E9YZ", "E9Y2"), "group 4" + sum + " -> 4 Z for 2"},
		{with("ZIJL", "Z1JL"), "group 5" + sum + " -> 2 I for 1"},
		{with("ZIJL", "2IJL"), "group 5" + sum + " -> 1 Z for 2"},
		{with("69XJ", "G9XJ"), "group 8" + sum + " -> 1 6 for G"},
		{with("RRNQ", "RRMQ"), "group 3" + sum},
		{with("NKLD", "KNLD"), ""}, // changed places
		{strings.NewReplacer("G5DC", "GSDC", "RRNQ", "RRMQ", "69XJ", "69X1").Replace(intelPPS), "group 2" + sum + " -> 2 5 for S; group 3" + sum + "; group 8" + sum},
		{with("RRNQ", "RRN"), "group 3: wrong length: 3 characters, want 4"},
		{with("RRNQ", "RRNQQ"), "group 3: wrong length: 5 characters, want 4"},
		{with("RRNQ", "RR!Q"), "group 3: character 3: only A-Z and 0-9 are allowed"},
		{strings.TrimSuffix(intelPPS, "-69XJ"), "wrong groups: 7 of them, want 8"},
		{bare[:9] + bare[10:], "group 3: wrong length: 31 characters, want 32 (39 with dashes)"},
		{bare[:9] + "RR" + bare[9:], "group 3: wrong length: 34 characters, want 32 (39 with dashes)"},
		{bare[:31], "group 8: wrong length: 31 characters, want 32 (39 with dashes)"},
		{bare[:5], "wrong length: 5 characters, want 32 (39 with dashes)"},
		{bare + "0000", "group 8: wrong length: 36 characters, want 32 (39 with dashes)"},
		{"", "wrong length: nothing was typed"},
	} {
		if got := told(amt.TypedPPS(amt.NewSecretString(c.typed))); got != c.want {
			t.Errorf("%q: got %q, want %q", c.typed, got, c.want)
		}
	}
}

// TestEverySlip types each single wrong character into drawn pairs: each is
// found in its group, and a look-alike, where it is the only one, is named.
func TestEverySlip(t *testing.T) {
	t.Parallel()
	twin := map[byte]string{'0': "O", 'O': "0", '1': "IL", 'I': "1", 'L': "1", '2': "Z", 'Z': "2", '5': "S", 'S': "5", '8': "B", 'B': "8", '6': "G", 'G': "6"}
	guessed, slips := 0, 0
	for range 20 {
		pair, err := amt.DrawPair(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		right := pair.PPS.Reveal()
		for i, c := range right {
			for _, wrong := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				// The codes of 0 and T, 1 and U, to 6 and Z are 36 apart: the sum is the same.
				if wrong == c || i%4 != 3 && (int(wrong)-int(c))%36 == 0 {
					continue
				}
				typed := append([]byte{}, right...)
				typed[i] = wrong
				faults := amt.TypedPPS(amt.NewSecret(typed))
				if len(faults) != 1 || faults[0].Group != i/4+1 || !errors.Is(faults[0], amt.ErrPairChecksum) {
					t.Fatalf("%s, character %d made %c: got %q", right, i+1, wrong, told(faults))
				}
				if !strings.ContainsRune(twin[wrong], rune(c)) {
					continue
				}
				slips++
				if l := faults[0].LookAlike; l != nil {
					guessed++
					typed[i/4*4+l.Character-1] = l.Instead
					if again := amt.TypedPPS(amt.NewSecret(typed)); again != nil {
						t.Fatalf("%s: the guess does not mend it: %q", typed, told(again))
					}
				}
			}
		}
	}
	if slips == 0 || guessed*10 < slips*8 {
		t.Errorf("of %d slips between look-alikes %d were named", slips, guessed)
	}
}

// FuzzTyped: what ParsePID and ParsePPS take has no faults, and no fault shows
// what was typed.
func FuzzTyped(f *testing.F) {
	for _, s := range []string{intelPID, intelPPS, "O000-037M", "nkld g5dc", "-", "\x00-\xff", strings.Repeat("A-", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pid, pps := amt.TypedPID(s), amt.TypedPPS(amt.NewSecretString(s))
		if _, err := amt.ParsePID(s); err == nil && pid != nil {
			t.Errorf("PID %q: got %q", s, told(pid))
		}
		if _, err := amt.ParsePPS(s); err == nil && pps != nil {
			t.Errorf("PPS %q: got %q", s, told(pps))
		}
		for _, fault := range append(pid, pps...) {
			if l := fault.LookAlike; l != nil && (l.Character < 1 || l.Character > 8 || l.Typed == l.Instead) {
				t.Errorf("%q: guess %+v", s, *l)
			}
			if typed := strings.TrimSpace(s); len(typed) >= 8 && strings.Contains(fault.Error(), typed) {
				t.Errorf("a fault shows what was typed: %v", fault)
			}
		}
	})
}
