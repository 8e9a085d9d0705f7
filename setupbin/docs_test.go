package setupbin

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFormatsDocument wants every variable and every rule of Lint in the tables
// of docs/formats.md, as they are here.
func TestFormatsDocument(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, v := range Variables() {
		long := fmt.Sprint(v.MinLen)
		if v.MaxLen != v.MinLen {
			long += fmt.Sprintf("–%d", v.MaxLen)
		}
		since := v.Since.String()
		if v.Unverified {
			since += " ?"
		}
		begin, end := fmt.Sprintf("\n| %s | %s | %v, %s |", v.ID(), v.Name, v.Kind, long), fmt.Sprintf("| %s |", since)
		_, line, ok := strings.Cut(doc, begin)
		line, _, _ = strings.Cut(line, "\n")
		if !ok || !strings.Contains(line, end) {
			t.Errorf("docs/formats.md lacks %q with %q", begin, end)
		}
	}
	for _, r := range Rules() {
		if row := fmt.Sprintf("\n| `%s` | %v | %s |", r.ID, r.Severity, r.About); !strings.Contains(doc, row) {
			t.Errorf("docs/formats.md lacks %q", row)
		}
	}
}
