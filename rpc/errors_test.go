package rpc

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// exempt are errors of the domain that no call of the API can end with.
var exempt = map[string]string{
	"keystore.ErrInvariant":     "of checks",
	"provisioning.ErrInvariant": "of checks",
	"profile.ErrName":           "of set-ups",
	"profile.ErrNoPattern":      "of set-ups",
	"profile.ErrFact":           "of set-ups",
	"profile.ErrNoSecret":       "of the engine's own work",
	"seal.ErrWrongKEK":          "of opening a store",
	"seal.ErrWrapped":           "of opening a store",
	"seal.ErrKEKFile":           "of opening a store",
	"seal.ErrExists":            "of opening a store",
	"seal.ErrScratch":           "always a keystore.ErrTempFile",
	"seal.ErrNoKeyset":          "of opening a store",
}

// sentinels reads the names of the exported errors of a package.
func sentinels(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob("../" + pkg + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("package %s: %v, %v", pkg, files, err)
	}
	var names []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, pkg+"."+name.Name)
					}
				}
			}
		}
	}
	return names
}

// tabled reads the first column of the table in refusals.go.
func tabled(t *testing.T) map[string]bool {
	t.Helper()
	src, err := os.ReadFile("refusals.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, line := range strings.Split(string(src), "\n") {
		if row, ok := strings.CutPrefix(line, "\t{"); ok {
			name, _, _ := strings.Cut(row, ",")
			rows[name] = true
		}
	}
	return rows
}

func TestEveryDomainErrorHasARow(t *testing.T) {
	t.Parallel()
	rows := tabled(t)
	for _, pkg := range []string{"provisioning", "keystore", "ca", "access", "audit", "seal", "profile"} {
		for _, name := range sentinels(t, pkg) {
			if !rows[name] && exempt[name] == "" {
				t.Errorf("%s has no row in the table of errors", name)
			}
			if rows[name] && exempt[name] != "" {
				t.Errorf("%s is exempt and has a row", name)
			}
		}
	}
}

func TestEveryRow(t *testing.T) {
	t.Parallel()
	s := newWorld(t).server
	seen := map[error]bool{}
	for _, row := range refusals {
		if seen[row.Err] {
			t.Errorf("%v has two rows", row.Err)
		}
		seen[row.Err] = true
		c := &call{object: "88888888-8887-1888-8888-878888888888", step: "commit"}
		st := s.statusOf(c, fmt.Errorf("doing something: %w", row.Err))
		info := refused(t, st.Err(), row.Code, row.Reason)
		if info == nil {
			continue
		}
		meta := info.GetMetadata()
		if meta["hint"] != row.Hint || meta["device"] != c.object || meta["step"] != "commit" {
			t.Errorf("%s: metadata %v", row.Reason, meta)
		}
		if strings.HasSuffix(row.Hint, ".") || row.Reason == "" || row.Code == codes.OK || row.Code == codes.Unknown {
			t.Errorf("a bad row: %+v", row)
		}
	}
}

func TestUnknownErrorsTellNothing(t *testing.T) {
	t.Parallel()
	s := newWorld(t).server
	st := s.statusOf(&call{}, fmt.Errorf("reading /var/lib/secret/place: %w", errPlanted))
	refused(t, st.Err(), codes.Internal, "InternalFault")
	if strings.Contains(st.Message(), "secret") {
		t.Errorf("got %q", st.Message())
	}
	if st := s.statusOf(&call{}, nil); st.Code() != codes.OK || st.Err() != nil {
		t.Errorf("no error is %v", st)
	}
}

func TestViolations(t *testing.T) {
	t.Parallel()
	v := &violations{}
	if v.err() != nil {
		t.Error("nothing is an error")
	}
	v.pid("pid", "0000-037X")
	v.uuid("uuid", "x")
	v.serial("serial", "x")
	v.text("text", "a\nb", 10)
	v.text("long", strings.Repeat("a", 11), 10)
	v.text("utf8", "\xff", 10)
	v.name("name", "")
	v.page(-1, "")
	v.between("count", 11, 1, 10)
	v.requestID("request_id", "a b c d e")
	v.sequence("x")
	known(v, "state", codeLike(99), map[int32]string{0: "A"})
	want := []string{"pid", "uuid", "serial", "text", "long", "utf8", "name", "page_size", "count", "request_id", "page_token", "state"}
	err := (&Server{}).statusOf(&call{}, fmt.Errorf("checking: %w", v.err())).Err()
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	got := fields(err)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !errors.As(v.err(), new(*violations)) {
		t.Error("violations are not found")
	}
}

type codeLike int32

func (codeLike) String() string { return "" }

func TestReasonOf(t *testing.T) {
	t.Parallel()
	for _, row := range refusals {
		if got := reasonOf(row.status("x", map[string]string{})); got != row.Reason {
			t.Errorf("got %s, want %s", got, row.Reason)
		}
	}
	if got := reasonOf(status.New(codes.Aborted, "x")); got != "Aborted" {
		t.Errorf("got %s", got)
	}
}
