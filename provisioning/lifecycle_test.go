package provisioning

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLifecyclePage wants docs/lifecycle.md to have the steps of the code, in
// their order, each saying what a crash leaves behind, and to name every state.
func TestLifecyclePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	headings := regexp.MustCompile(`(?m)^### Step (\d+): (\w+)$`).FindAllStringSubmatchIndex(text, -1)
	if len(headings) != len(StepNames()) {
		t.Fatalf("the page has %d steps, the code %d", len(headings), len(StepNames()))
	}
	for i, h := range headings {
		got := text[h[2]:h[3]] + " " + text[h[4]:h[5]]
		if want := fmt.Sprintf("%d %s", i+1, StepNames()[i]); got != want {
			t.Errorf("step %s on the page, %s in the code", got, want)
		}
		end := strings.Index(text[h[1]:], "\n#")
		section := text[h[1] : h[1]+end]
		if !strings.Contains(section, "*Crash") {
			t.Errorf("step %s does not say what a crash leaves behind", got)
		}
		if s := setupSteps[i].sets; s != 0 && !strings.Contains(section, "**"+s.String()+"**") {
			t.Errorf("step %s does not say that it makes the state %v", got, s)
		}
	}
	for _, s := range Statuses() {
		if !strings.Contains(text, s.String()) {
			t.Errorf("the page does not know the status %v", s)
		}
	}
}
