package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be the roles too, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if _, ok := roles[os.Args[1]]; ok {
			main()
		}
	}
	os.Exit(m.Run())
}

// TestQuick measures everything but the packages once, with small numbers and the
// real programs.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the programs")
	}
	var table, notes bytes.Buffer
	if status := run(t.Context(), []string{"-quick", "-run", "keys,intake,device,fleet"}, &table, &notes); status != 0 {
		t.Fatalf("status %d\n%s%s", status, notes.String(), table.String())
	}
	for _, want := range []string{
		"20000 pairs imported from CSV", "small updates during the import: p99", "under load: p99", "by device: time",
		"hello intake, rate beside accept-read-close", "two users: requests", "two users: challenges of set-up",
		"20 devices, 50ms a call: wall time", "scsd's processor time", "scsd's anonymous memory",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if strings.Contains(notes.String(), "scsd sent") {
		t.Errorf("the bare program sends other requests than scsd:\n%s", notes.String())
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"-run", "nothing"}, 1, "there is no such measurement"},
		{[]string{"extra"}, 2, "want no arguments"},
		{[]string{"-n", "0"}, 2, "-n from 1"},
		{[]string{"-n", "2001"}, 2, "-n from 1"},
		{[]string{"-rounds", "0"}, 2, "-rounds from 1"},
		{[]string{"-nonsense"}, 2, "not defined"},
		{[]string{"-pairs", "0"}, 2, "-pairs from 1000"},
		{[]string{"-keyrounds", "0"}, 2, "-keyrounds from 1"},
		{[]string{"keysimport"}, 1, "want STORE KEK CSV"},
		{[]string{"keysput", "x"}, 1, "want FROM TO PER"},
		{[]string{"keysread", "x"}, 1, "want LARGE SMALL KEK"},
		{[]string{"bare"}, 1, "bench bare: error:"},
		{[]string{"hellos", "x"}, 1, "want a file of PIDs"},
		{[]string{"hellos", "/nonexistent", "127.0.0.1:1"}, 1, "no such file"},
	} {
		var out, notes bytes.Buffer
		if got := run(t.Context(), tt.args, &out, &notes); got != tt.status {
			t.Errorf("%q: status %d, want %d", tt.args, got, tt.status)
		}
		if !strings.Contains(notes.String(), tt.says) {
			t.Errorf("%q: says %q, want %q", tt.args, notes.String(), tt.says)
		}
	}
}
