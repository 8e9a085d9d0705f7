package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amtscs/amtscs/integration/lab"
)

// programs builds scsd and amtsim for the scripts, once, in the folder that
// TestMain removes.
var programs = sync.OnceValues(func() (string, error) {
	build := exec.Command("go", "build", "-o", programDir+"/", "../scsd", "../amtsim")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building scsd and amtsim: %w\n%s", err, out)
	}
	return programDir, nil
})

var programDir string

func TestMain(m *testing.M) {
	if !testscriptChild() {
		var err error
		if programDir, err = os.MkdirTemp("", "scsctl-test-"); err != nil {
			panic(err)
		}
	}
	testscript.Main(cleaning{m, programDir}, commands)
}

// testscriptChild reports whether this process is scsctl in a script.
func testscriptChild() bool {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	_, ok := commands[name]
	return ok
}

var commands = map[string]func(){"scsctl": main}

// cleaning removes the programs behind the tests.
type cleaning struct {
	m   *testing.M
	dir string
}

func (c cleaning) Run() int {
	defer func() { _ = os.RemoveAll(c.dir) }()
	return c.m.Run()
}

// TestScripts runs the scripts of testdata with the real scsctl, scsd and amtsim.
func TestScripts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds and runs the programs")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			dir, err := programs()
			if err != nil {
				return err
			}
			env.Setenv("PATH", dir+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ready": ready, "network": network, "get": get, "mode": mode, "firstpid": firstPID, "firstuuid": firstUUID,
			"agekey": ageKey, "ageopen": ageOpen, "ageseal": ageSeal, "typed": typed, "pagetoken": pageToken,
		},
		RequireExplicitExec: true,
	})
}

// exits CODE PROGRAM ARG... runs a program and wants this exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// ready FILE waits for scsd's ready file and sets SCSCTL_ADDRESS, HELLO and METRICS.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready FILE")
	}
	var a lab.Addresses
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil {
			ts.Check(json.Unmarshal(b, &a))
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("scsd is not ready: %v", err)
		}
	}
	ts.Setenv("SCSCTL_ADDRESS", a.GRPC)
	ts.Setenv("HELLO", a.Hello)
	ts.Setenv("METRICS", a.Metrics)
}

// network N sets NET and PORT of a network whose first N addresses are free.
func network(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: network N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	prefix, port, err := lab.FreeNetwork(n)
	ts.Check(err)
	ts.Setenv("NET", prefix)
	ts.Setenv("PORT", strconv.Itoa(port))
}

// get URL FILE fetches a page.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get URL FILE")
	}
	resp, err := http.Get(args[0]) //nolint:gosec // a test's own server
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// mode MODE FILE wants a file of this mode.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode MODE FILE")
	}
	fi, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(fi.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// firstPID FILE sets PID to the first key of a JSON list.
func firstPID(ts *testscript.TestScript, _ bool, args []string) {
	var list struct{ Keys []struct{ PID string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list.Keys) == 0 {
		ts.Fatalf("%s has no keys", args[0])
	}
	ts.Setenv("PID", list.Keys[0].PID)
}

// firstUUID FILE sets UUID to the first device of a JSON list.
func firstUUID(ts *testscript.TestScript, _ bool, args []string) {
	var list struct{ Devices []struct{ UUID string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list.Devices) == 0 {
		ts.Fatalf("%s has no devices", args[0])
	}
	ts.Setenv("UUID", list.Devices[0].UUID)
}
