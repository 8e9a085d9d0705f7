package provisioning

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// reasonConstants are the constants of type Reason in reasons.go, by name.
func reasonConstants(t *testing.T) map[string]Reason {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Reason{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Reason" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found[spec.Names[0].Name] = Reason(value)
		}
		return true
	})
	return found
}

func TestReasons(t *testing.T) {
	t.Parallel()
	constants := reasonConstants(t)
	if len(constants) != len(Reasons()) {
		t.Errorf("%d constants, %d rows in the table", len(constants), len(Reasons()))
	}
	for name, r := range constants {
		info := r.Info()
		if string(r) != name {
			t.Errorf("constant %s has the code %s", name, r)
		}
		if info.Code != r || !strings.HasSuffix(info.Meaning, ".") {
			t.Errorf("%s: got %+v, want a row with a sentence", r, info)
		}
		if info.Hint != "" && !strings.HasSuffix(info.Hint, ".") {
			t.Errorf("%s: its hint is no sentence: %q", r, info.Hint)
		}
	}
	if got := Reason("Nonsense").Info(); got.Code != "Nonsense" || got.Meaning == "" || Reason("Nonsense").Hint() != "" {
		t.Errorf("an unknown code: got %+v", got)
	}
}

// TestReasonsPage keeps docs/reasons.md equal to the table. With
// UPDATE_DOCS set it writes the page.
func TestReasonsPage(t *testing.T) {
	const page = "../docs/reasons.md"
	want := reasonsPage()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the table of reasons: run UPDATE_DOCS=1 go test -run TestReasonsPage ./provisioning", page)
	}
}

func reasonsPage() []byte {
	var b bytes.Buffer
	b.WriteString("# Reasons\n\n" +
		"Why a hello led to no workflow, and why a workflow waits or failed. The codes are stable; programs may rely on them.\n" +
		"This page is made from `provisioning/reasontable.go`; a test keeps the two equal.\n\n" +
		"| code | what it means | what to do |\n|---|---|---|\n")
	for _, r := range Reasons() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Code, r.Meaning, r.Hint)
	}
	return b.Bytes()
}
