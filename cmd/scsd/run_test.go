package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
)

// locked is output that is read while it is written.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is scsd run in this process.
type running struct {
	addresses
	data, kek, ready string
	out, errs        locked
	stop             context.CancelFunc
	code             chan int
}

// start makes an installation and runs it until stop.
func start(t *testing.T, more ...string) *running {
	t.Helper()
	dir := t.TempDir()
	data, kek, ready := filepath.Join(dir, "data"), filepath.Join(dir, "kek"), filepath.Join(dir, "ready.json")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := &running{data: data, kek: kek, ready: ready, stop: cancel, code: make(chan int, 1)}
	args := append([]string{
		"run", "--data", data, "--kek", kek, "--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0",
		"--metrics-addr", "127.0.0.1:0", "--ready-file", ready,
	}, more...)
	go func() { d.code <- run(ctx, args, &d.out, &d.errs) }()
	t.Cleanup(cancel)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(ready)
		if err == nil {
			if err := json.Unmarshal(b, &d.addresses); err != nil {
				t.Fatal(err)
			}
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", d.errs.String())
		}
	}
}

// metrics reads the page.
func (d *running) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + d.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRunAndStop(t *testing.T) {
	t.Parallel()
	d := start(t)
	if !strings.HasPrefix(d.out.String(), "scsd: ready: hello "+d.Hello+", grpc "+d.GRPC) {
		t.Errorf("got %q", d.out.String())
	}
	sayHello(t, d.Hello)
	var page string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if page = d.metrics(t); strings.Contains(page, `amtscs_hellos_total{outcome="UnknownPID"} 1`) {
			break
		}
	}
	for _, want := range []string{
		`amtscs_hellos_total{outcome="UnknownPID"} 1`, `amtscs_hello_connections_total{outcome="accepted"} 1`,
		`amtscs_hello_connections_total{outcome="malformed"} 0`, `amtscs_pairs{state="Available"} 0`,
		`amtscs_certificates{purpose="console",state="issued"} 1`, `amtscs_devices{state="Operational",status="Done"} 0`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="ListKeys"`, `amtscs_build_info`,
		`amtscs_queue{queue="hellos"}`, `amtscs_server_certificate_not_after_seconds`, `amtscs_inbox`, `amtscs_events_last_sequence`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	// The inbox has the hello once the gauges are read anew.
	d.stop()
	select {
	case code := <-d.code:
		if code != 0 || !strings.Contains(d.errs.String(), "msg=stopped") {
			t.Errorf("ended with %d\n%s", code, d.errs.String())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
	for _, addr := range []string{d.Hello, d.GRPC, d.Metrics} {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s is still open", addr)
		}
	}
}

// sayHello sends a hello of a pair that nobody knows.
func sayHello(t *testing.T, addr string) {
	t.Helper()
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&hello.Message{Version: hello.PSK, UUID: amt.UUID{1}, PID: pid}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRunRefusesATakenPort(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	args := []string{"--data", data, "--kek", kek, "--hello-addr", "127.0.0.1:0", "--grpc-addr", ln.Addr().String(), "--metrics-addr", ""}
	code, _, errs := scsd(t, append([]string{"run"}, args...)...)
	if code != 1 || !strings.Contains(errs, "--grpc-addr: ") || !strings.Contains(errs, "scsd doctor tells who has the port") {
		t.Errorf("got %d, %s", code, errs)
	}
	code, out, _ := scsd(t, append([]string{"doctor"}, args...)...)
	if code != 1 || !strings.Contains(out, "address already in use") || !strings.Contains(out, "nobody can use scsctl") {
		t.Errorf("got %d, %s", code, out)
	}
	// The store was closed: it can be opened again.
	code, _, errs = scsd(t, "recover-admin", "--data", data, "--kek", kek, "--admin-context", filepath.Join(dir, "r.yaml"))
	if code != 0 {
		t.Error(errs)
	}
}

func TestRunRefusesAnotherKey(t *testing.T) {
	t.Parallel()
	var keys [2]string
	var data string
	for i := range keys {
		dir := t.TempDir()
		data, keys[i] = filepath.Join(dir, "data"), filepath.Join(dir, "kek")
		if code, _, errs := scsd(t, "init", "--data", data, "--kek", keys[i]); code != 0 {
			t.Fatal(errs)
		}
	}
	code, _, errs := scsd(t, "run", "--data", data, "--kek", keys[0])
	if code != 1 || !strings.Contains(errs, "not the key-encryption key of the store") || !strings.Contains(errs, "give the file that scsd init used") {
		t.Errorf("got %d, %s", code, errs)
	}
}

func TestNoCoreFiles(t *testing.T) {
	t.Parallel()
	if err := protect(); err != nil {
		t.Fatal(err)
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &l); err != nil || l.Cur != 0 || l.Max != 0 {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestIssuerSaysWhatIsFinal(t *testing.T) {
	t.Parallel()
	if stepHook() != nil {
		t.Error("a program that is no crash test has a step hook")
	}
	var h *hinted
	if err := hint("x", errors.New("y")); !errors.As(err, &h) || h.hint != "x" || hint("x", nil) != nil {
		t.Errorf("got %v", err)
	}
}

// TestLibraryLog keeps the log one of JSON lines, whatever a library writes.
func TestLibraryLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		level, text string
		want        string // of the message's text; "" for no line at all
	}{
		{"debug", "Unsolicited response\nsecond line", "Unsolicited response"},
		{"debug", strings.Repeat("x", 500), strings.Repeat("x", 120)},
		{"info", "Unsolicited response", ""},
	} {
		var b bytes.Buffer
		w := libraryLog{newLog(&b, &settings{logLevel: tt.level, logFormat: "json"})}
		if n, err := w.Write([]byte(tt.text)); n != len(tt.text) || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if tt.want == "" {
			if b.Len() != 0 {
				t.Errorf("level %s: got %s", tt.level, b.String())
			}
			continue
		}
		var line struct{ Level, Text string }
		if err := json.Unmarshal(b.Bytes(), &line); err != nil || line.Level != "DEBUG" || line.Text != tt.want {
			t.Errorf("got %s, %v", b.String(), err)
		}
	}
}
