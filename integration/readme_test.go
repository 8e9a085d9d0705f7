package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sessionLines is how long the README's session may be.
const sessionLines = 15

// readmeSession is the one ```sh block of the README, as it stands there.
func readmeSession(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "\n```sh\n")
	session, after, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed || strings.Contains(after, "\n```sh\n") {
		t.Fatal("README.md: want one block of ```sh")
	}
	if n := strings.Count(session, "\n") + 1; n > sessionLines {
		t.Errorf("README.md: the session has %d lines, at most %d", n, sessionLines)
	}
	return session + "\n"
}

// TestReadmeSession pastes the README's session into a shell, letter for letter.
// It uses the default ports: in a network of its own, which has nothing but a
// loopback, or else on this machine if they are free.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "dash", "sh"} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("%s is missing: install it to run this test", shell)
			}
			pasteSession(t, shell)
		})
	}
}

func pasteSession(t *testing.T, shell string) {
	t.Helper()
	session := readmeSession(t)
	line := []string{shell, "-e", "-c", session}
	if err := ownNetwork("true"); err == nil {
		line = append([]string{"unshare", "--user", "--map-root-user", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, line...)
	} else if err := defaultPortsFree(); err != nil {
		t.Skipf("the README's session uses the default ports, one of which is taken, and there is no network of its own to be had: %v", err)
	}
	dir := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp, "PWD="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the session: %v\n%s\n%s", err, out, logsIn(tmp))
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	for _, want := range []string{"1 of 1 devices are Operational", "Operational  Done"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the session does not show %q:\n%s", want, out)
		}
	}
	// The last line ends both programs: nothing of the session stays behind.
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if err := syscall.Kill(-cmd.Process.Pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a program of the session still runs\n%s", logsIn(tmp))
		}
	}
}

// defaultPortsFree tries the ports that scsd and amtsim have by default.
func defaultPortsFree() error {
	for _, addr := range []string{":9971", "127.0.0.1:9972", "127.0.0.1:9973", "127.0.0.2:16992", "127.0.0.2:16993"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		if err := ln.Close(); err != nil {
			return err
		}
	}
	return nil
}

// logsIn is the end of every log below a folder.
func logsIn(dir string) string {
	var sb strings.Builder
	paths, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil {
			fmt.Fprintf(&sb, "%s:\n%s\n", filepath.Base(path), b[max(0, len(b)-4000):])
		}
	}
	return sb.String()
}

// TestTwoDemos runs the demo twice at once: they do not come into each other's
// way, and leave nothing behind.
func TestTwoDemos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two demos take a while")
	}
	demo := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", demo, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("building the demo: %v\n%s", err, out)
	}
	tmp := t.TempDir()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			cmd := exec.Command(demo, "-bin", bin)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("demo: %v\n%s", err, out)
				return
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "demo: 20 of 20 devices Operational in ") {
				t.Errorf("demo: its last line is %q", last)
			}
		})
	}
	both.Wait()
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("a demo left %s behind", e.Name())
	}
}
