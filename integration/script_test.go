package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amtscs/amtscs/integration/lab"
)

// TestScripts runs the scripts of testdata/script, each a page about one thing
// that people do, with the real scsd, scsctl and amtsim. Beside testscript's own
// commands they have those of script_commands_test.go.
func TestScripts(t *testing.T) {
	t.Parallel()
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			s := &stage{dir: env.WorkDir}
			env.Values[stageKey{}] = s
			env.Defer(func() { s.end(env.T()) })
			for k, v := range map[string]string{
				"PATH": bin + string(filepath.ListSeparator) + env.Getenv("PATH"),
				"REPO": repo, "TZ": "UTC", "HOME": env.WorkDir, "SCSCTL_CONTEXT": filepath.Join(env.WorkDir, "admin.yaml"),
			} {
				env.Setenv(k, v)
			}
			return nil
		},
		Cmds:                scriptCommands,
		Condition:           scriptCondition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// scriptCondition knows [netns]: this user may make a network of its own.
func scriptCondition(name string) (bool, error) {
	if name == "netns" {
		return ownNetwork("true") == nil, nil
	}
	return false, &unknownCondition{name}
}

type unknownCondition struct{ name string }

func (e *unknownCondition) Error() string { return "no condition is named " + e.name }

// ownNetwork runs a shell command where nothing but a fresh loopback is.
func ownNetwork(command string) error {
	return exec.Command("unshare", "--user", "--map-root-user", "--net", "sh", "-c", "ip link set lo up && "+command).Run()
}

type stageKey struct{}

// A stage is what one script runs on: a lab in the script's folder, once its
// network command or its server is there.
type stage struct {
	dir     string
	lab     *lab.Lab
	server  *lab.Process
	devices []*lab.Process
}

// onStage is the script's stage.
func onStage(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// prepare draws the network and tells the script of it.
func (s *stage) prepare(ts *testscript.TestScript) {
	if s.lab != nil {
		return
	}
	l, err := lab.New(bin, s.dir, 10)
	ts.Check(err)
	s.lab = l
	ts.Setenv("NET", l.Net)
	ts.Setenv("PORT", itoa(l.Port))
	ts.Setenv("CLEARPORT", itoa(l.Port-1))
}

// serve starts scsd, on an installation that is made if there is none.
func (s *stage) serve(ts *testscript.TestScript, flags []string) {
	s.prepare(ts)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := os.Stat(s.lab.Path("data")); err != nil {
		ts.Check(s.lab.Init(ctx))
	}
	p, err := s.lab.StartServer(ctx, lab.ServerOptions{Args: flags})
	ts.Check(err)
	s.server = p
	ts.Setenv("HELLO", s.lab.Addrs.Hello)
	ts.Setenv("GRPC", s.lab.Addrs.GRPC)
	ts.Setenv("METRICS", s.lab.Addrs.Metrics)
	ts.Setenv("SCSCTL_ADDRESS", s.lab.Addrs.GRPC)
}

// end stops what still runs, and shows what it said if the script failed.
func (s *stage) end(t testscript.T) {
	for _, p := range append(s.devices, s.server) {
		if p != nil {
			p.Kill()
		}
	}
	if f, ok := t.(interface{ Failed() bool }); !ok || !f.Failed() {
		return
	}
	for _, name := range []string{"scsd.log", "amtsim.log"} {
		if b, err := os.ReadFile(filepath.Join(s.dir, name)); err == nil {
			t.Log(name + ":\n" + string(b[max(0, len(b)-4000):]))
		}
	}
}
