package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/provisioning"
)

// TestWordsAreTheServers compares the lists that people are shown with those of
// the engine: a new event or reason has to be added to words.go.
func TestWordsAreTheServers(t *testing.T) {
	t.Parallel()
	var want []string
	for _, r := range provisioning.Reasons() {
		want = append(want, string(r.Code))
	}
	same(t, "reasons", reasons, want)
	same(t, "eventTypes", eventTypes, declared(t, "../../provisioning/types.go", "EventType"))
}

func same(t *testing.T, name string, got, want []string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s has no %s", name, w)
		}
	}
	for _, w := range got {
		if !slices.Contains(want, w) {
			t.Errorf("%s has %s, which the server does not know", name, w)
		}
	}
	if len(want) < 10 {
		t.Errorf("%s: only %d are declared", name, len(want))
	}
}

// declared reads the constants of a type.
func declared(t *testing.T, file, of string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == of {
			for _, v := range spec.Values {
				list = append(list, strings.Trim(v.(*ast.BasicLit).Value, `"`))
			}
		}
		return true
	})
	return list
}

func TestValueOf(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"KeyMismatch", "keymismatch", "key-mismatch"} {
		if got, err := valueOf("reason", given, reasons); err != nil || got != "KeyMismatch" {
			t.Errorf("%s: got %q, %v", given, got, err)
		}
	}
	for _, given := range []string{"", "Key", "KeyMismatches"} {
		if _, err := valueOf("reason", given, reasons); explain(err).code != exitUsage || !strings.Contains(err.Error(), "want UnknownPID, ") {
			t.Errorf("%s: got %v", given, err)
		}
	}
}

// TestHelpTellsValues wants the values of every flag that has a list of them.
func TestHelpTellsValues(t *testing.T) {
	t.Parallel()
	for command, want := range map[string][]string{
		"certificate list":   {"unfinished, good, revoked, expired", "device, server, client or console"},
		"certificate revoke": {"keyCompromise"},
		"device list":        {"authenticated", "operational", "waiting"},
		"keys list":          {"available", "retired"},
		"workflow list":      {"commitsent", "failed"},
		"watch":              {"commitsent", "StateChanged, StatusChanged"},
		"inbox list":         {"KeyMismatch"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), append(strings.Fields(command), "--help"), strings.NewReader(""), &out, &out); code != 0 {
			t.Errorf("%s: %s", command, out.String())
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("the help of %s does not tell %q:\n%s", command, w, out.String())
			}
		}
	}
}
