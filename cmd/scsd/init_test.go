package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
)

// scsd runs the program and returns status, standard output and standard error.
func scsd(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek, admin := filepath.Join(dir, "data"), filepath.Join(dir, "kek"), filepath.Join(dir, "admin.yaml")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	for path, want := range map[string]os.FileMode{data: 0o700, filepath.Join(data, storeName): 0o600, kek: 0o600, admin: 0o600} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, fi, err, want)
		}
	}
	f, err := contextfile.Load(admin)
	if err != nil || f.Address != "127.0.0.1:9972" || f.ServerName != "localhost" {
		t.Errorf("context file: %+v, %v", f, err)
	}
	if leaf, err := f.Leaf(); err != nil || leaf.Subject.CommonName != "admin" {
		t.Errorf("leaf: %v, %v", leaf, err)
	}
	t.Run("refuses to overwrite", func(t *testing.T) { initAgain(t, data, kek) })
	t.Run("recover-admin", func(t *testing.T) { recoverAgain(t, data, kek) })
	t.Run("doctor", func(t *testing.T) { examine(t, data, kek) })
}

func initAgain(t *testing.T, data, kek string) {
	before, err := os.ReadFile(filepath.Join(data, storeName))
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := scsd(t, "init", "--data", data, "--kek", kek, "--admin-context", filepath.Join(t.TempDir(), "a"))
	if code != 1 || !strings.Contains(errs, "is in use") || !strings.Contains(errs, "scsd: hint: ") {
		t.Errorf("got %d, %s", code, errs)
	}
	after, err := os.ReadFile(filepath.Join(data, storeName))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the store changed: %v", err)
	}
}

func recoverAgain(t *testing.T, data, kek string) {
	for _, user := range []string{"admin", "second"} {
		out := filepath.Join(t.TempDir(), "r.yaml")
		code, _, errs := scsd(t, "recover-admin", "--data", data, "--kek", kek, "--user", user, "--admin-context", out)
		if code != 0 {
			t.Fatal(errs)
		}
		if f, err := contextfile.Load(out); err != nil {
			t.Errorf("%+v, %v", f, err)
		}
	}
	db, keys, err := openStore(t.Context(), data, kek, bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(t.Context(), func(r kv.Reader) error {
		log := audit.New(keys)
		list, _, err := log.List(r, audit.Filter{}, audit.Page{})
		if err != nil {
			return err
		}
		if len(list) != 3 || list[0].Method != "scsd init" || list[2].Method != "scsd recover-admin" || list[2].Object != "second" {
			t.Errorf("audit log: %+v", list)
		}
		u, err := (&access.Store{}).Get(r, "second")
		if err != nil || u.Role != access.Admin {
			t.Errorf("got %+v, %v", u, err)
		}
		return log.Verify(r)
	})
	if err != nil {
		t.Error(err)
	}
}

func examine(t *testing.T, data, kek string) {
	code, out, errs := scsd(t, "doctor", "--data", data, "--kek", kek, "--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--metrics-addr", "")
	if code != 0 || strings.Contains(out, "failure") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	code, out, errs = scsd(t, "doctor", "--data", data, "--kek", kek, "--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--metrics-addr", "", "-o", "json")
	if code != 1 || !strings.Contains(out, `"failures": 1`) || !strings.Contains(out, "chmod 0700") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
}

func TestInitLeavesNothingHalfMade(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"kek in data":           {"--kek", "data/kek"},
		"context in data":       {"--kek", "kek", "--admin-context", "data/a.yaml"},
		"bad kek":               {"--kek", "bad"},
		"context is there":      {"--kek", "kek", "--admin-context", "bad"},
		"bad user":              {"--kek", "kek", "--admin-name", "No Good"},
		"bad console name":      {"--kek", "kek", "--console-name", "a b"},
		"bad server name":       {"--kek", "kek", "--server-name", "a b"},
		"useless server name":   {"--kek", "kek", "--server-name", "foo_bar"},
		"bad address":           {"--kek", "kek", "--address", "9972"},
		"no folder for context": {"--kek", "kek", "--admin-context", "no/such/a.yaml"},
		"no folder for kek":     {"--kek", "bad/kek"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"init", "--data", filepath.Join(dir, "data")}, args...)
			for i, a := range args {
				if i > 2 && !strings.HasPrefix(a, "-") && (args[i-1] == "--kek" || args[i-1] == "--admin-context") {
					args[i] = filepath.Join(dir, a)
				}
			}
			code, _, errs := scsd(t, args...)
			left, err := os.ReadDir(dir)
			if code == 0 || err != nil || len(left) != 1 {
				t.Errorf("got %d, %s, left over %v, %v", code, errs, left, err)
			}
		})
	}
}

func TestInitTakesWhatIsMeantForIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	// The rest of an init that was killed.
	if err := os.WriteFile(filepath.Join(data, unfinished), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	list, err := os.ReadDir(data)
	fi, e := os.Stat(data)
	if err != nil || e != nil || len(list) != 1 || fi.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, %v", list, fi, err)
	}
}

// TestInitsAtOnce starts several inits of one data directory: one makes it, and
// the others touch nothing of its.
func TestInitsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	codes, errs := make([]int, 4), make([]string, 4)
	var inits sync.WaitGroup
	for i := range codes {
		inits.Go(func() {
			codes[i], _, errs[i] = scsd(t, "init", "--data", data, "--kek", kek, "--admin-context", filepath.Join(dir, fmt.Sprintf("%d.yaml", i)))
		})
	}
	inits.Wait()
	var good int
	for i, code := range codes {
		switch {
		case code == 0:
			good++
		case !strings.Contains(errs[i], "is in use"):
			t.Errorf("got %s", errs[i])
		}
	}
	contexts, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if good != 1 || err != nil || len(contexts) != 1 {
		t.Errorf("%d inits were good and made %v, %v; want one", good, contexts, err)
	}
	db, _, err := openStore(t.Context(), data, kek, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "needs a command"},
		{[]string{"bogus"}, 2, "unknown command"},
		{[]string{"init"}, 2, "--data is missing"},
		{[]string{"run"}, 2, "--data is missing"},
		{[]string{"run", "x"}, 2, `what is "x"`},
		{[]string{"run", "--bogus"}, 2, "scsd run --help"},
		{[]string{"run", "--data", "/no/such", "--kek", "/no/such"}, 1, "scsd init makes it"},
		{[]string{"doctor", "-o", "xml"}, 2, "want table or json"},
		{[]string{"recover-admin", "--data", "/no/such", "--kek", "/no/kek", "--admin-context", "/no/a"}, 1, "scsd init makes it"},
	} {
		code, out, errs := scsd(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: got %d, %q, %q, want %d and %q", c.args, code, out, errs, c.code, c.want)
		}
	}
	if code, out, _ := scsd(t, "version"); code != 0 || !strings.HasPrefix(out, "scsd ") {
		t.Errorf("version: got %d, %q", code, out)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	f, err := contextfileLeaf(t)
	if err != nil {
		t.Fatal(err)
	}
	life := f.NotAfter.Sub(f.NotBefore)
	for _, c := range []struct {
		at   time.Time
		want bool
	}{
		{f.NotBefore, false}, {f.NotBefore.Add(life / 2), false}, {f.NotBefore.Add(life * 3 / 4), true}, {f.NotAfter.Add(time.Hour), true},
	} {
		if got := due(f, c.at); got != c.want {
			t.Errorf("at %v: got %v", c.at, got)
		}
	}
}
