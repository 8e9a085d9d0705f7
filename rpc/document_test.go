package rpc

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/access"
)

var update = flag.Bool("update", false, "write docs/api.md anew")

const apiPage = "../docs/api.md"

// generated stands at the head of what this test writes.
const generated = "<!-- go test ./rpc -run TestAPIPage -update writes what follows -->\n"

// TestAPIPage compares the tables of docs/api.md with those of the code.
func TestAPIPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	head, got, found := strings.Cut(string(page), generated)
	if !found {
		t.Fatalf("%s has no line %q", apiPage, generated)
	}
	want := methodTable() + errorTable()
	if *update {
		if err := os.WriteFile(apiPage, []byte(head+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s is not current: go test ./rpc -run TestAPIPage -update", apiPage)
	}
}

// methodTable says who may call what.
func methodTable() string {
	var sb strings.Builder
	sb.WriteString("\n## Who may call what\n`A` marks calls that are in the audit log: all that change something or bring a secret, the refused and failed ones too.\n\n| method |")
	for _, r := range access.Roles() {
		fmt.Fprintf(&sb, " %s |", strings.ToLower(r.String()))
	}
	sb.WriteString(" |\n|---" + strings.Repeat("|---", len(access.Roles())+1) + "|\n")
	names := make([]string, 0, len(methods))
	for name := range methods {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.Contains(name, "v1alpha") {
			continue
		}
		fmt.Fprintf(&sb, "| %s |", shortMethod(name))
		for _, r := range access.Roles() {
			mark := " "
			if methods[name].Allows(r) {
				mark = " yes "
			}
			sb.WriteString(mark + "|")
		}
		mark := " "
		if methods[name].Audit {
			mark = " A "
		}
		sb.WriteString(mark + "|\n")
	}
	return sb.String()
}

// errorTable lists the reasons.
func errorTable() string {
	rows := []string{"| InvalidRequest | InvalidArgument | fields of the request are wrong; google.rpc.BadRequest names them |"}
	for _, r := range refusals {
		row := fmt.Sprintf("| %s | %v | %s |", r.Reason, r.Code, strings.ReplaceAll(r.Err.Error(), "|", `\|`))
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	sort.Strings(rows)
	return "\n## Reasons\nThe `reason` of google.rpc.ErrorInfo, domain `amtscs`, with the code it comes with and what it means. Reasons of devices and hellos are in [reasons.md](reasons.md).\n\n| reason | code | meaning |\n|---|---|---|\n" +
		strings.Join(rows, "\n") + "\n"
}
