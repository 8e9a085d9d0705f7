package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// revealers are the packages whose product code may look into a Secret, each
// with the one thing it needs that for. A package that is not named here hands
// secrets on unopened.
var revealers = map[string]string{
	"amt":                      "drawing, reading and checking secrets",
	"amtsim":                   "devices hold their secrets in clear, as firmware does",
	"audit":                    "the chain's key, a hash of the log",
	"ca":                       "the authority's private keys, to sign",
	"cmd/internal/contextfile": "a user's own private key, written to a 0600 file",
	"cmd/scsctl":               "pairs of a list, sent to the server",
	"cmd/scsd":                 "the server's own private keys",
	"keystore/batch":           "rows of a list, written again for who is to mend them",
	"keystore":                 "checking the form of a PPS before it is sealed",
	"rpc":                      "the answers of RevealKey, RevealDevicePassword and ExportBatch",
	"seal":                     "sealing, and the key-encryption key",
	"setupbin":                 "records of a setup.bin",
	"sheet":                    "cards with pairs and passwords, printed",
	"tlspsk":                   "the pre-shared key",
	"wsman":                    "digest login, and the calls that set passwords and pairs",
}

// TestWhoReveals looks for Secret.Reveal and RevealPPS in all product code, by
// their names: as a call or as a value.
func TestWhoReveals(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(pkg, "integration") || strings.HasPrefix(pkg, "bench") {
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			name := revealing(n)
			if name == "" {
				return true
			}
			seen[pkg] = true
			if revealers[pkg] == "" {
				t.Errorf("%s: package %s may not use %s: hand the Secret on, or add a row with the reason", files.Position(n.Pos()), pkg, name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range revealers {
		if !seen[pkg] {
			t.Errorf("package %s opens no Secret any more: remove its row", pkg)
		}
	}
}

// revealing is the name that opens a secret, if n is one: s.Reveal, amt.RevealPPS,
// and within amt RevealPPS itself.
func revealing(n ast.Node) string {
	var id *ast.Ident
	switch n := n.(type) {
	case *ast.SelectorExpr:
		id = n.Sel
	case *ast.CallExpr:
		id, _ = n.Fun.(*ast.Ident)
	}
	if id != nil && (id.Name == "Reveal" || id.Name == "RevealPPS") {
		return id.Name
	}
	return ""
}
