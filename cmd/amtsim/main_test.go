package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/setupbin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is how a run ended.
type result struct {
	code           int
	stdout, stderr string
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// simulate runs the program until it ends.
func simulate(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code := run(ctx, args, &out, &errs)
	return result{code, out.String(), errs.String()}
}

// key writes a setup.bin of n records with one pair.
func key(t *testing.T, v setupbin.Version, n int) string {
	t.Helper()
	var records []*setupbin.Record
	for range n {
		records = append(records, setupbin.NewRecord(
			setupbin.Entry{Module: 1, Variable: 1, Value: setupbin.Raw("admin")},
			setupbin.Entry{Module: 1, Variable: 2, Value: setupbin.Raw("Staging1!")},
			setupbin.Entry{Module: 2, Variable: 1, Value: setupbin.Raw("0000037M")},
			setupbin.Entry{Module: 2, Variable: 2, Value: setupbin.Raw("NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ")},
		))
	}
	f, err := setupbin.New(v, 0, records...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "setup.bin")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// server takes hellos.
func server(t *testing.T, n int) (addr string, wait func() []*hello.Message) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []*hello.Message, 1)
	go func() {
		var list []*hello.Message
		for len(list) < n {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			b, _ := io.ReadAll(c)
			_ = c.Close()
			if m, err := hello.Parse(b); err == nil {
				list = append(list, m)
			}
		}
		got <- list
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String(), func() []*hello.Message {
		select {
		case list := <-got:
			return list
		case <-time.After(20 * time.Second):
			return nil
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	usb := key(t, setupbin.V2, 1)
	for name, tt := range map[string]struct {
		args []string
		code int
		say  string
	}{
		"nothing":             {nil, exitUsage, "--usb"},
		"unknown flag":        {[]string{"--nonsense"}, exitUsage, "nonsense"},
		"unknown firmware":    {[]string{"--usb", usb, "--amt", "7.1"}, exitUsage, "7.1"},
		"no address":          {[]string{"--usb", usb, "--addr", "here"}, exitUsage, "--addr"},
		"no device":           {[]string{"--usb", usb, "-n", "0"}, exitUsage, "0 devices"},
		"unknown state":       {[]string{"--state", "new"}, exitUsage, "--state"},
		"no password":         {[]string{"--state", "operational"}, exitUsage, "--password"},
		"state and key":       {[]string{"--state", "operational", "--usb", usb, "--password", "x"}, exitUsage, "--usb"},
		"key and OEM":         {[]string{"--usb", usb, "--oem", usb}, exitUsage, "--oem"},
		"unknown trouble":     {[]string{"--usb", usb, "--trouble", "0:nonsense"}, exitUsage, "0:nonsense"},
		"unknown MEBx policy": {[]string{"--usb", usb, "--mebx", "x"}, exitUsage, "--mebx"},
		"unknown PSK policy":  {[]string{"--usb", usb, "--psk", "x"}, exitUsage, "--psk"},
		"unknown end":         {[]string{"--usb", usb, "--until", "noon"}, exitUsage, "--until"},
		"arguments":           {[]string{"setup.bin"}, exitUsage, "setup.bin"},
		"no such file":        {[]string{"--usb", usb + "x", "--addr", "127.79.1.1"}, exitFailed, "setup.binx"},
		"no such keys":        {[]string{"--usb", usb, "--keys", usb + "x"}, exitFailed, "setup.binx"},
		"keys without file":   {[]string{"keys", "-n", "1"}, exitUsage, "--out"},
	} {
		got := simulate(t, tt.args...)
		if got.code != tt.code || !strings.HasPrefix(got.stderr, "amtsim: error: ") || !strings.Contains(got.stderr, tt.say) {
			t.Errorf("%s: %+v, want %d and %q", name, got, tt.code, tt.say)
		}
	}
	if got := simulate(t, "--help"); got.code != exitDone || !strings.Contains(got.stdout, "--trouble") {
		t.Errorf("help: %+v", got)
	}
}

// TestRefusedFiles: what the firmware cannot read, and too few records, with hints.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	got := simulate(t, "--usb", key(t, setupbin.V4, 1), "--amt", "3.2", "--addr", "127.79.2.1")
	if got.code != exitFailed || !strings.Contains(got.stderr, "AMT 3.2 reads setup.bin up to version 2") || !strings.Contains(got.stderr, "hint: write the file again") {
		t.Errorf("version 4 on AMT 3.2: %+v", got)
	}
	got = simulate(t, "--usb", key(t, setupbin.V2, 1), "-n", "2", "--addr", "127.79.2.1")
	if got.code != exitFailed || !strings.Contains(got.stderr, "hint: each device takes one record") {
		t.Errorf("one record for two: %+v", got)
	}
}

// TestBoot starts two devices from a key, sees their hellos and events, and ends.
func TestBoot(t *testing.T) {
	t.Parallel()
	addr, wait := server(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs buffer
	code := make(chan int)
	usb := key(t, setupbin.V2, 2)
	go func() {
		code <- run(ctx, []string{
			"--usb", usb, "-n", "2", "--addr", "127.79.3.1", "--port", "17001", "--server", addr, "--amt", "3.2,9.0", "--json", "--seed", "x",
		}, &out, &errs)
	}()
	list := wait()
	cancel()
	if c := <-code; c != exitDone || len(list) != 2 || list[0].UUID == list[1].UUID {
		t.Fatalf("code %d, hellos %v: %s", c, list, errs.String())
	}
	kinds := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e struct {
			Event, UUID, Addr string
			Device            int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Addr != []string{"127.79.3.1:17001", "127.79.3.2:17001"}[e.Device] {
			t.Errorf("line %s: %v", line, err)
		}
		kinds[e.Event]++
	}
	if kinds["boot"] != 2 || kinds["listen"] != 2 || kinds["hello"] != 2 {
		t.Errorf("events %v", kinds)
	}
	if strings.Contains(out.String()+errs.String(), "NKLD") {
		t.Error("the output shows a PPS")
	}
}

// TestUntil: devices that are Operational already end at once; others make an end
// by signal a failure.
func TestUntil(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("P@ssw0rd!\nrest"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := simulate(t, "--state", "operational", "--password-file", file, "-n", "3", "--addr", "127.79.4.1", "--port", "17002", "--until", "operational", "-v")
	if got.code != exitDone || !strings.Contains(got.stdout, "3 of 3 devices Operational in") {
		t.Errorf("got %+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var out, errs buffer
	code := run(ctx, []string{
		"--usb", key(t, setupbin.V2, 1), "--addr", "127.79.4.9", "--server", "127.0.0.1:1", "--until", "operational",
	}, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "0 of 1 devices became Operational") {
		t.Errorf("code %d: %s", code, errs.String())
	}
}

// TestOEM reads pairs from a list, and refuses lines without showing them.
func TestOEM(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "oem.csv")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const line = "0000-037M,NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ,Staging1!"
	write("PID,PPS,password\r\n" + line + "\r\n\r\n")
	list, err := readOEM(path)
	if err != nil || len(list) != 1 || list[0].Pair.PID.String() != "0000-037M" || !list[0].NewPassword.Equal(amt.NewSecretString("Staging1!")) {
		t.Errorf("got %v, %v", list, err)
	}
	for name, text := range map[string]string{
		"too few cells": "0000-037M,NKLD", "bad PID": "0000-037N" + line[9:], "bad PPS": "0000-037M,NKLE-G5DC,x",
	} {
		write(line + "\n" + text)
		if _, err := readOEM(path); err == nil || !strings.Contains(err.Error(), "oem.csv:2") || strings.Contains(err.Error(), "NKLE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(line)
	if got := simulate(t, "--oem", path, "-n", "2"); got.code != exitFailed || !strings.Contains(got.stderr, "holds 1 pairs for 2 devices") {
		t.Errorf("too few: %+v", got)
	}
}

// TestKeys makes a key file once and uses it.
func TestKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.pem")
	if got := simulate(t, "keys", "-n", "1", "--out", path); got.code != exitDone || !strings.Contains(got.stdout, "1 keys") {
		t.Fatalf("got %+v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got := simulate(t, "keys", "-n", "1", "--out", path); got.code != exitFailed {
		t.Errorf("a second time: %+v", got)
	}
	got := simulate(t, "--state", "operational", "--tls", "--password", "P@ssw0rd!", "--keys", path, "--addr", "127.79.5.1", "--until", "operational")
	if got.code != exitDone {
		t.Errorf("got %+v", got)
	}
}

// TestStateDir: a second start goes on where the first was.
func TestStateDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	usb := key(t, setupbin.V2, 1)
	var uuids []amt.UUID
	for _, args := range [][]string{{"--usb", usb}, {"--usb", usb}, nil} {
		addr, wait := server(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs buffer
		code := make(chan int)
		go func() {
			code <- run(ctx, append([]string{"--addr", "127.79.6.1", "--state-dir", dir, "--server", addr}, args...), &out, &errs)
		}()
		for _, m := range wait() {
			uuids = append(uuids, m.UUID)
		}
		cancel()
		if c := <-code; c != exitDone {
			t.Fatalf("code %d: %s", c, errs.String())
		}
	}
	if len(uuids) != 3 || uuids[0] != uuids[1] || uuids[1] != uuids[2] {
		t.Errorf("UUIDs %v", uuids)
	}
	if got := simulate(t, "--addr", "127.79.6.1", "--state-dir", dir, "--amt", "10.0"); got.code != exitFailed || !strings.Contains(got.stderr, "hint:") {
		t.Errorf("other firmware: %+v", got)
	}
}
