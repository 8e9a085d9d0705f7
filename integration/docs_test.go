package integration

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/provisioning"
)

var update = flag.Bool("update", false, "write the tables of flags in docs/operations.md")

const (
	operationsPage = "../docs/operations.md"
	flagsMarker    = "<!-- go test ./integration -run TestEveryFlagIsDocumented -update writes what follows -->\n"
)

// A command is one of a program's, as its --help shows it.
type command struct {
	path  []string // program and subcommands
	flags []commandFlag
}

type commandFlag struct{ short, name, kind, text string }

var (
	subcommandLine = regexp.MustCompile(`^  ([a-z][a-z-]*) +\S`)
	flagLine       = regexp.MustCompile(`^ +(?:-(\w), )?--([\w-]+)(?: (\w+))?(?:\s\s+(.*))?$`)
)

// commandsOf asks a program, and each of its subcommands, for help.
func commandsOf(t *testing.T, path ...string) []command {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, path[0]), append(slices.Clone(path[1:]), "--help")...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s --help: %v", strings.Join(path, " "), err)
	}
	c := command{path: path}
	var all []command
	section := ""
	for _, line := range strings.Split(string(out), "\n") {
		if line != "" && line[0] != ' ' {
			section = line
		}
		if m := subcommandLine.FindStringSubmatch(line); m != nil && section == "Available Commands:" && m[1] != "help" && m[1] != "completion" {
			all = append(all, commandsOf(t, append(slices.Clone(path), m[1])...)...)
		}
		if m := flagLine.FindStringSubmatch(line); m != nil && section == "Flags:" && m[2] != "help" {
			c.flags = append(c.flags, commandFlag{m[1], m[2], m[3], m[4]})
		}
	}
	return append([]command{c}, all...)
}

// flagTables is the generated end of the page.
func flagTables(programs map[string][]command) string {
	var sb strings.Builder
	sb.WriteString("\n## Flags of the other commands\nAs their `--help` tells them.\n")
	for _, program := range []string{"scsd", "scsctl", "amtsim"} {
		fmt.Fprintf(&sb, "\n### %s\n| command | flag | meaning |\n|---|---|---|\n", program)
		for _, c := range programs[program] {
			name := strings.Join(c.path, " ")
			if name == "scsd run" || name == "scsd doctor" {
				continue // by hand, above
			}
			for _, f := range c.flags {
				form := "`--" + f.name + "`"
				if f.short != "" {
					form = "`-" + f.short + "`, " + form
				}
				fmt.Fprintf(&sb, "| `%s` | %s | %s |\n", name, form, strings.ReplaceAll(f.text, "|", `\|`))
			}
		}
	}
	return sb.String()
}

// TestEveryFlagIsDocumented wants a heading and the variable for each flag of
// scsd run, and a row for each flag of anything else.
func TestEveryFlagIsDocumented(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(operationsPage)
	if err != nil {
		t.Fatal(err)
	}
	hand, made, found := strings.Cut(string(b), flagsMarker)
	programs := map[string][]command{}
	for _, program := range []string{"scsd", "scsctl", "amtsim"} {
		programs[program] = commandsOf(t, program)
	}
	for _, c := range programs["scsd"] {
		name := strings.Join(c.path, " ")
		if name != "scsd run" && name != "scsd doctor" {
			continue
		}
		for _, f := range c.flags {
			env := "SCSD_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))
			if name == "scsd doctor" && (f.name == "domain" || f.name == "output") {
				env = ""
			}
			_, text, ok := strings.Cut(hand, "\n### --"+f.name+"\n")
			text, _, _ = strings.Cut(text, "\n###")
			if !ok || !strings.Contains(text, env) {
				t.Errorf("%s: --%s of %s has no heading, or its text does not name %q", operationsPage, f.name, name, env)
			}
		}
	}
	want := flagTables(programs)
	if *update {
		page := strings.TrimRight(hand, "\n") + "\n\n" + flagsMarker + want
		if err := os.WriteFile(operationsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !found || made != want {
		t.Errorf("%s: its tables of flags are not those of the programs: run go test ./integration -run TestEveryFlagIsDocumented -update", operationsPage)
	}
}

// TestLinksResolve follows every relative link of the documents.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range append(append(pages, more...), "../README.md", "../CHANGELOG.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			} else if anchor != "" && !slices.Contains(anchorsOf(t, target), anchor) {
				t.Errorf("%s: %s has no heading for #%s", page, target, anchor)
			}
		}
	}
}

// anchorsOf makes the anchors of a page's headings, as forges do.
func anchorsOf(t *testing.T, page string) []string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, line := range strings.Split(string(b), "\n") {
		if title := strings.TrimLeft(line, "#"); title != line {
			text := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			list = append(list, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return list
}

// TestEveryReasonIsDocumented wants each Reason that the engine declares in the
// table that people are shown, and on its page.
func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "../provisioning/reasons.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, r := range provisioning.Reasons() {
		shown[string(r.Code)] = true
	}
	declared := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Reason" {
			return true
		}
		for _, v := range spec.Values {
			lit, ok := v.(*ast.BasicLit)
			if !ok {
				continue
			}
			declared++
			code := strings.Trim(lit.Value, `"`)
			if !shown[code] || !strings.Contains(string(page), "\n| `"+code+"` |") {
				t.Errorf("reason %s has no row in the table, or none in docs/reasons.md", code)
			}
		}
		return true
	})
	if declared < 20 {
		t.Errorf("only %d reasons were found: are they declared elsewhere now?", declared)
	}
}

// TestNoMachinePaths wants no line of the tree to name folders of the machine it
// was written on.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "-C", "..", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("this is no git checkout: %v", err)
	}
	machine := regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(` + strings.Join([]string{"work", "home", "Users", "tmp"}, "|") + `)/\w`)
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join("..", name))
		if err != nil || slices.Contains(b[:min(len(b), 8000)], 0) {
			continue // removed just now, or not text
		}
		for i, line := range strings.Split(string(b), "\n") {
			if machine.MatchString(line) {
				t.Errorf("%s:%d names a path of somebody's machine", name, i+1)
			}
		}
	}
}
