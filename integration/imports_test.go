package integration

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/amtscs/amtscs/"

// imports says which packages of this module each package may be built from,
// directly or not, in its non-test code. A package that is not named here may
// not exist: add it, with its reason, to docs/decisions when a new noun of the
// field needs one.
var imports = map[string]string{
	"amt":               "",
	"hello":             "amt",
	"setupbin":          "amt",
	"media":             "amt setupbin",
	"tlspsk":            "amt",
	"wsman":             "amt",
	"profile":           "amt",
	"kv":                "",
	"kv/bolt":           "kv",
	"kv/bolt/bolttest":  "kv kv/bolt kv/kvtest",
	"kv/kvtest":         "kv",
	"proto/scs/v1":      "",
	"proto/scsstore/v1": "",
	"seal":              "amt kv proto/scsstore/v1",
	"seal/sealtest":     "amt kv proto/scsstore/v1 seal",
	"keystore":          "amt kv seal proto/scsstore/v1",
	"keystore/batch":    "amt setupbin",
	"sheet":             "amt",
	"ca":                "amt kv seal proto/scsstore/v1",
	"access":            "amt kv seal proto/scsstore/v1",
	"audit":             "amt kv seal proto/scsstore/v1",
	"settings":          "amt profile wsman",
	"provisioning":      "amt kv seal proto/scsstore/v1 hello keystore profile settings wsman tlspsk",
	"rpc": "amt kv seal proto/scs/v1 proto/scsstore/v1 hello setupbin keystore keystore/batch profile settings wsman tlspsk " +
		"provisioning ca access audit",
	"amtsim": "amt hello media setupbin tlspsk",
}

// anything holds the folders that wire everything: programs, their tests, measurements.
var anything = []string{"cmd/", "integration", "bench"}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		if wires(pkg) {
			continue
		}
		seen[pkg] = true
		allowed, ok := imports[pkg]
		if !ok {
			t.Errorf("package %s has no row in the table of imports", pkg)
			continue
		}
		for _, dep := range fields[1:] {
			d, ours := strings.CutPrefix(dep, module)
			if ours && !contains(strings.Fields(allowed), d) {
				t.Errorf("package %s is built from %s, which it may not import", pkg, d)
			}
			if strings.HasPrefix(dep, "github.com/smallstep/") && pkg != "ca" && pkg != "rpc" {
				t.Errorf("package %s is built from %s: only ca may import it", pkg, dep)
			}
		}
	}
	for pkg := range imports {
		if !seen[pkg] {
			t.Errorf("the table of imports names %s, which is not there", pkg)
		}
	}
}

func wires(pkg string) bool {
	for _, p := range anything {
		if strings.HasPrefix(pkg, p) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
