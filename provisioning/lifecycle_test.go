package provisioning

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/keystore"
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

// TestMovesOnThePage wants the page's table of moves to be that of keystore.
func TestMovesOnThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| act | from | to | when |")
	shown := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z ]+) \| ([^|]+) \| (\w+) \|`).FindAllStringSubmatch(table, -1) {
		for _, from := range strings.Split(row[2], ", ") {
			shown[row[1]+": "+strings.TrimSpace(from)+" to "+row[3]] = true
		}
	}
	for _, r := range keystore.Rules() {
		from := r.From.String()
		if r.From == 0 {
			from = "(new)"
		}
		move := fmt.Sprintf("%s: %s to %v", r.Act, from, r.To)
		if !shown[move] && !r.Done {
			t.Errorf("the page lacks the move %s", move)
		}
		delete(shown, move)
	}
	for move := range shown {
		t.Errorf("the page has a move that is not made: %s", move)
	}
}

// TestStepNumbers wants every step of every kind to stand where its number says,
// and the numbers that the code looks at to be those of the steps meant.
func TestStepNumbers(t *testing.T) {
	t.Parallel()
	for kind, list := range kinds {
		for i, s := range list {
			if s.number != i+1 || s.name == "" || (s.do == nil) != (i == 0) {
				t.Errorf("%v: step %d is %+v", kind, i+1, s.name)
			}
		}
	}
	for number, name := range map[uint32]string{
		stepClean: "clean", stepKey: "key", stepCertificate: "certificate", stepPair: "pair", stepCommit: "commit",
	} {
		if got := stepName(number); got != name {
			t.Errorf("step %d is %s, want %s", number, got, name)
		}
	}
	if stepName(0) != "" || stepName(99) != "" {
		t.Error("a step that does not exist has a name")
	}
}
