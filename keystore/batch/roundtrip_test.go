package batch

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// TestForeignWriter: whatever encoding/csv writes of good rows is read as the
// same rows, with any separator and either line ending.
func TestForeignWriter(t *testing.T) {
	t.Parallel()
	draw := rand.NewChaCha8([32]byte{1})
	for _, comma := range ",;\t" {
		for _, crlf := range []bool{false, true} {
			var file bytes.Buffer
			w := csv.NewWriter(&file)
			w.Comma, w.UseCRLF = comma, crlf
			_ = w.Write([]string{"PID", "Used", "New Password", "PPS", "current_password"})
			var want strings.Builder
			for line := 2; line < 300; line++ {
				pair, err := amt.DrawPair(draw)
				if err != nil {
					t.Fatal(err)
				}
				next, current, used := anyPassword(draw), anyPassword(draw), line%3 == 0
				_ = w.Write([]string{pair.PID.String(), map[bool]string{true: "1", false: "0"}[used], next, amt.RevealPPS(pair.PPS), current})
				fmt.Fprintf(&want, "%d %v %s %s %s %v\n", line, pair.PID, pair.PPS.Reveal(), current, next, used)
			}
			w.Flush()
			var rows []Row
			if err := Read("oem.csv", &file, collect(&rows)); err != nil {
				t.Fatal(err)
			}
			if got := show(rows); got != want.String() {
				t.Errorf("separator %q, CRLF %v: other rows", comma, crlf)
			}
		}
	}
}

// anyPassword draws a password with every character that firmware takes.
func anyPassword(draw *rand.ChaCha8) string {
	for {
		b := make([]byte, 8+draw.Uint64()%25)
		for i := range b {
			b[i] = byte(32 + draw.Uint64()%95)
		}
		s := string(b)
		if strings.TrimSpace(s) == s && amt.CheckPassword(amt.NewSecret(b)) == nil {
			return s
		}
	}
}
