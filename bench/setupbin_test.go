package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/integration/peers"
	"github.com/amtscs/amtscs/setupbin"
)

func TestParsePeak(t *testing.T) {
	t.Parallel()
	if n, err := parsePeak("Name:\tbench\nVmPeak:\t  900 kB\nVmHWM:\t   1234 kB\n"); err != nil || n != 1234<<10 {
		t.Errorf("got %d, %v", n, err)
	}
	for _, text := range []string{"", "VmHWM:\n", "VmHWM: many kB\n", "VmHWM: -1 kB\n"} {
		if n, err := parsePeak(text); !errors.Is(err, errProc) {
			t.Errorf("%q: got %d, %v", text, n, err)
		}
	}
	if n, err := peakMemory(); err != nil || n < 1<<20 {
		t.Errorf("this process: got %d, %v", n, err)
	}
}

func TestWriteStick(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "setup.bin")
	if err := writeStick(path, 3); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := setupbin.Parse(b)
	if err != nil || len(f.Records) != 3 {
		t.Fatalf("got %v, %v", f, err)
	}
	for _, r := range f.Records {
		if s, err := setupbin.ParseSetup(r); err != nil || s.Pair.PID.Wire() != stickPID {
			t.Errorf("got %v, %v", s, err)
		}
	}
}

// TestQuickSetupBin runs both encoders, where npm brings the other.
func TestQuickSetupBin(t *testing.T) {
	t.Parallel()
	peers.Need(t)
	var table, notes bytes.Buffer
	if status := run(t.Context(), []string{"-quick", "-run", "setupbin"}, &table, &notes); status != 0 {
		t.Fatalf("status %d\n%s%s", status, notes.String(), table.String())
	}
	for _, want := range []string{"setup.bin of 1000 records: time beside MeshCentral's encoder", "the same bytes", "highest memory"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestSetupBinRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for says, args := range map[string][]string{
		"want a count and a file": {"setupbin"},
		"invalid syntax":          {"setupbin", "x", filepath.Join(dir, "f")},
		"no such file":            {"setupbin", "1", filepath.Join(dir, "none", "f")},
	} {
		var out, notes bytes.Buffer
		if status := run(t.Context(), args, &out, &notes); status != 1 || !strings.Contains(notes.String(), says) {
			t.Errorf("%q: got %d, %s", args, status, notes.String())
		}
	}
	if err := sameFiles(filepath.Join(dir, "none"), dir); err == nil {
		t.Error("files that are not there are the same")
	}
}
