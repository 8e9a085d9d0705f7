package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// loaded is settings made of flags, variables and a file.
func loaded(t *testing.T, file string, env []string, args ...string) (*settings, error) {
	t.Helper()
	s := &settings{}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.flags(f)
	if file != "" {
		path := filepath.Join(t.TempDir(), "scsd.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, "SCSD_CONFIG="+path)
	}
	if err := f.Parse(append([]string{"--data=d", "--kek=k"}, args...)); err != nil {
		return s, err
	}
	return s, s.load(f, func() []string { return env })
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = "hello-addr: :1\ngrpc-addr: :2\nworkers: 7\ndial-allow: [10.0.0.0/8, 192.0.2.1]\nstop-timeout: 3s\n"
	s, err := loaded(t, file, []string{"SCSD_HELLO_ADDR=:3", "SCSD_GRPC_ADDR=:4", "SCSD_SERVICE_HOST=x"}, "--grpc-addr=:5")
	if err != nil {
		t.Fatal(err)
	}
	if s.helloAddr != ":3" || s.grpcAddr != ":5" || s.workers != 7 || s.stopTimeout.String() != "3s" {
		t.Errorf("got %+v", s)
	}
	if len(s.allow) != 2 || s.allow[0].String() != "10.0.0.0/8" || s.allow[1].String() != "192.0.2.1/32" {
		t.Errorf("got %v", s.allow)
	}
	if s.metricsAddr != "127.0.0.1:9973" {
		t.Errorf("got %q, want the default", s.metricsAddr)
	}
}

func TestListFromVariable(t *testing.T) {
	t.Parallel()
	s, err := loaded(t, "", []string{"SCSD_DIAL_ALLOW=127.0.0.0/8,::1/128", "SCSD_PSK_SUITES=aes256"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.allow) != 2 || !loopback(s.allow[0]) || !loopback(s.allow[1]) || len(s.pskSuites) != 1 {
		t.Errorf("got %v, %v", s.allow, s.pskSuites)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file string
		env  []string
		args []string
		want string
	}{
		{file: "hello-adr: :1", want: `unknown key "hello-adr"`},
		{file: "config: x", want: `unknown key "config"`},
		{file: "hello-addr: :1\nhello-addr: :2\n", want: "scsd.yaml"},
		{file: "workers: many", want: "workers"},
		{file: "workers: {a: 1}", want: "want a value, not a table"},
		{file: "- a", want: "scsd.yaml"},
		{env: []string{"SCSD_WORKERS=many"}, want: "SCSD_WORKERS"},
		{env: []string{"SCSD_CONFIG=/no/such"}, want: "/no/such"},
		{args: []string{"--hello-addr=9971"}, want: "want host:port"},
		{args: []string{"--grpc-addr="}, want: "--grpc-addr"},
		{args: []string{"--dial-allow=10.0.0.0/40"}, want: "want a network"},
		{args: []string{"--workers=0"}, want: "--workers"},
		{args: []string{"--log-level=loud"}, want: "--log-level"},
		{args: []string{"--log-format=xml"}, want: "--log-format"},
		{args: []string{"--psk-versions=1.3"}, want: "--psk-versions"},
		{args: []string{"--psk-suites=null"}, want: "--psk-suites"},
		{args: []string{"--pair-form=x"}, want: "--pair-form"},
		{args: []string{"--psk-form=x"}, want: "--psk-form"},
		{args: []string{"--device-port=0"}, want: "--device-port"},
		{args: []string{"--event-life=1s"}, want: "--event-life"},
		{args: []string{"--server-name=foo_bar"}, want: `--server-name "foo_bar": want a DNS name`},
		{args: []string{"--server-name=a..example"}, want: "--server-name"},
		{args: []string{"--server-name=10.0.0.300"}, want: "--server-name"},
		{args: []string{"--server-name=fe80::1%eth0"}, want: "--server-name"},
		{args: []string{"--server-name=a,,b"}, want: `--server-name ""`},
		{args: []string{"--server-name="}, want: "--server-name is empty"},
		{env: []string{"SCSD_SERVER_NAME="}, want: "SCSD_SERVER_NAME is empty"},
		{args: []string{"--dial-allow=10.0.0.0"}, want: "did you mean 10.0.0.0/8? For this address alone write 10.0.0.0/32"},
		{args: []string{"--dial-allow=10.1.0.0/16,192.168.7.0"}, want: "did you mean 192.168.7.0/24?"},
		{args: []string{"--dial-allow=0.0.0.0"}, want: "did you mean 0.0.0.0/0?"},
		{args: []string{"--dial-allow=2001:db8::"}, want: "did you mean 2001:db8::/32?"},
		{args: []string{"--hello-addr=:99999"}, want: `--hello-addr ":99999": want a port from 1 to 65535`},
		{args: []string{"--grpc-addr=:-1"}, want: "want a port from 1 to 65535"},
		{args: []string{"--metrics-addr=:nosuchport"}, want: "want a port as a number"},
		{args: []string{"--hello-addr=127.0.0.1:"}, want: "want a port"},
		{args: []string{"--events=0"}, want: "--events 0"},
		{args: []string{"--event-life=4000d"}, want: "--event-life"},
		{args: []string{"--event-life=11y"}, want: "--event-life"},
		{args: []string{"--event-life=90000h"}, want: "--event-life"},
		{env: []string{"SCSD_EVENT_LIFE=ages"}, want: "SCSD_EVENT_LIFE"},
		{args: []string{"--dial-allow="}, want: "--dial-allow is empty"},
		{file: "dial-allow: []", want: "dial-allow is empty"},
		{args: []string{"--data="}, want: "--data"},
		{args: []string{"--kek="}, want: "--kek"},
	} {
		_, err := loaded(t, c.file, c.env, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to name %s", c, err, c.want)
		}
	}
}

func TestMetricsMayBeOff(t *testing.T) {
	t.Parallel()
	if s, err := loaded(t, "", nil, "--metrics-addr="); err != nil || s.metricsAddr != "" {
		t.Errorf("got %q, %v", s.metricsAddr, err)
	}
}

// TestOperationsPage wants a heading for every flag, with its variable.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	(&settings{}).flags(f)
	f.VisitAll(func(fl *pflag.Flag) {
		for _, want := range []string{"\n### --" + fl.Name, "`" + envName(fl.Name) + "`"} {
			if !strings.Contains(string(doc), want) {
				t.Errorf("docs/operations.md has no %q", strings.TrimSpace(want))
			}
		}
	})
}

// TestAPINames wants the names that are always there beside those given.
func TestAPINames(t *testing.T) {
	t.Parallel()
	s, err := loaded(t, "", nil, "--server-name=SCS.example.com,192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"localhost", "127.0.0.1", "::1", "scs.example.com", "192.0.2.7"} {
		if !slices.Contains(s.apiNames(), want) {
			t.Errorf("got %v, want %s in it", s.apiNames(), want)
		}
	}
	if s, err = loaded(t, "", nil); err != nil || s.apiNames() != nil {
		t.Errorf("got %v, %v, want the names as they are", s.apiNames(), err)
	}
}

func TestDoctorKnowsTheAPIName(t *testing.T) {
	t.Parallel()
	issued := []string{"localhost", "127.0.0.1", "::1", "host"}
	for _, c := range []struct {
		addr   string
		given  []string
		issued []string
		want   verdict // empty: nothing is said
	}{
		{"127.0.0.1:9972", nil, issued, good},
		{"HOST:9972", nil, issued, good},
		{":9972", nil, issued, ""},
		{"0.0.0.0:9972", []string{"scs.example.com"}, issued, ""},
		{"192.0.2.7:9972", nil, nil, ""},
		{"192.0.2.7:9972", nil, issued, warning},
		{"192.0.2.7:9972", []string{"scs.example.com"}, nil, warning},
		{"192.0.2.7:9972", []string{"192.0.2.7"}, issued, good},
		{"[2001:db8::1]:9972", []string{"2001:DB8:0::1"}, issued, good},
	} {
		d := &doctor{s: &settings{grpcAddr: c.addr, serverNames: c.given}, names: c.issued}
		d.apiName()
		got := verdict("")
		if len(d.findings) > 0 {
			got = d.findings[0].Verdict
		}
		if got != c.want {
			t.Errorf("%s with %v: got %+v, want %q", c.addr, c.given, d.findings, c.want)
		}
	}
}

func TestEventLife(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "36h": 36 * time.Hour} {
		if s, err := loaded(t, "event-life: "+text, nil); err != nil || s.eventLife != want {
			t.Errorf("%s: got %v, %v, want %v", text, s.eventLife, err, want)
		}
	}
	if s, err := loaded(t, "", nil); err != nil || (&days{&s.eventLife}).String() != "90d" {
		t.Errorf("the default is %v, %v", s.eventLife, err)
	}
}

// TestSingleAddresses wants addresses of hosts taken as they are.
func TestSingleAddresses(t *testing.T) {
	t.Parallel()
	s, err := loaded(t, "", nil, "--dial-allow=10.0.0.1,2001:db8::100,::1,10.0.0.0/32")
	if err != nil || len(s.allow) != 4 || s.allow[1].Bits() != 128 || s.allow[3].Bits() != 32 {
		t.Errorf("got %v, %v", s.allow, err)
	}
}

// TestListenFaults wants each kind of fault told by what it is.
func TestListenFaults(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, taken := lc.Listen(t.Context(), "tcp", ln.Addr().String())
	_, unknown := lc.Listen(t.Context(), "tcp", "no.such.invalid:9971")
	// Some machines let programs bind any address, and root any port.
	bind := func(errno syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)}
	}
	for _, c := range []struct {
		err        error
		text, hint string
	}{
		{taken, "address already in use", "scsd doctor tells who has the port"},
		{unknown, "the host does not resolve", "give an address of this machine"},
		{bind(syscall.EADDRNOTAVAIL), "no such address on this machine", "ip address shows"},
		{bind(syscall.EACCES), "permission denied", "CAP_NET_BIND_SERVICE"},
	} {
		var h *hinted
		if told := listenFault("hello-addr", c.err); !errors.As(told, &h) || !strings.Contains(told.Error(), c.text) || !strings.Contains(h.hint, c.hint) {
			t.Errorf("%v: got %v, %+v", c.err, told, h)
		}
	}
}
