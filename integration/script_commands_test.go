package integration

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/hello"
)

// patience is how long a script waits for what must come to be, on a machine
// that may have more to do.
const patience = 90 * time.Second

// scriptCommands are what scripts can say beside testscript's own commands.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"network":     cmdNetwork,
	"server":      cmdServer,
	"stopserver":  cmdStopServer,
	"killserver":  cmdKillServer,
	"devices":     cmdDevices,
	"stopdevices": cmdStopDevices,
	"ready":       cmdReady,
	"waitfor":     cmdWaitFor,
	"exits":       cmdExits,
	"mode":        cmdMode,
	"uuid":        cmdUUID,
	"set":         cmdSet,
	"sayhello":    cmdSayHello,
	"operational": cmdOperational,
	"overwrite":   cmdOverwrite,
}

func itoa(n int) string { return strconv.Itoa(n) }

func usageOf(ts *testscript.TestScript, bad bool, usage string) {
	if bad {
		ts.Fatalf("usage: %s", usage)
	}
}

// network draws a free network without starting anything: $NET, $PORT, $CLEARPORT.
func cmdNetwork(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) != 0, "network")
	onStage(ts).prepare(ts)
}

// server [FLAG...] runs scsd until the script ends, on data, kek and admin.yaml,
// which are made if they are not there. It sets $HELLO, $GRPC, $METRICS, and the
// environment of scsctl. Its log is scsd.log.
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, "server [FLAG...]")
	onStage(ts).serve(ts, absolute(ts, args))
}

// absolute gives files of the script's folder, which is not that of this process,
// their whole path.
func absolute(ts *testscript.TestScript, args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if _, err := os.Stat(ts.MkAbs(a)); err == nil && !strings.HasPrefix(a, "-") {
			args[i] = ts.MkAbs(a)
		}
	}
	return args
}

// stopserver stops scsd by SIGTERM and wants it to end well.
func cmdStopServer(ts *testscript.TestScript, neg bool, args []string) {
	s := onStage(ts)
	usageOf(ts, neg || len(args) != 0 || s.server == nil, "stopserver, after server")
	ts.Check(s.server.Stop())
	s.server = nil
}

// killserver ends scsd as a power cut would.
func cmdKillServer(ts *testscript.TestScript, neg bool, args []string) {
	s := onStage(ts)
	usageOf(ts, neg || len(args) != 0 || s.server == nil, "killserver, after server")
	s.server.Kill()
	s.server = nil
}

// devices FLAG... runs amtsim until the script ends, on $NET.1 and up, towards
// the server, sixty times as fast as firmware. Its log is amtsim.log.
func cmdDevices(ts *testscript.TestScript, neg bool, args []string) {
	s := onStage(ts)
	usageOf(ts, neg || s.lab == nil, "devices FLAG..., after server")
	p, err := s.lab.StartDevices(append([]string{"--clock", "60"}, absolute(ts, args)...)...)
	ts.Check(err)
	s.devices = append(s.devices, p)
}

// stopdevices stops every amtsim that devices started.
func cmdStopDevices(ts *testscript.TestScript, neg bool, args []string) {
	s := onStage(ts)
	usageOf(ts, neg || len(args) != 0, "stopdevices")
	for _, p := range s.devices {
		ts.Check(p.Stop())
	}
	s.devices = nil
}

// ready FILE waits for the ready file of an scsd that the script runs itself,
// and sets what server sets.
func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) != 1, "ready FILE")
	var a struct{ Hello, GRPC, Metrics string }
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil {
			ts.Check(json.Unmarshal(b, &a))
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("scsd is not ready: %v", err)
		}
	}
	for k, v := range map[string]string{"HELLO": a.Hello, "GRPC": a.GRPC, "METRICS": a.Metrics, "SCSCTL_ADDRESS": a.GRPC} {
		ts.Setenv(k, v)
	}
}

// waitfor PATTERN PROGRAM ARG... runs a program again and again until its output
// matches, and leaves that output to stdout. ! waits until it no longer does.
// In place of a program, metrics stands for the server's metrics.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, len(args) < 2, "[!] waitfor PATTERN PROGRAM ARG...")
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		out, err := outputOf(ts, args[1], args[2:])
		if err == nil && pattern.Match(out) != neg {
			_, err = ts.Stdout().Write(out)
			ts.Check(err)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: waited in vain for %q (%v):\n%s", strings.Join(args[1:], " "), args[0], err, out)
		}
	}
}

func outputOf(ts *testscript.TestScript, program string, args []string) ([]byte, error) {
	if program != "metrics" {
		return background(ts, program, args...).Output()
	}
	resp, err := http.Get("http://" + ts.Getenv("METRICS") + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// background is a command with the script's environment, whose output does not
// go to the script.
func background(ts *testscript.TestScript, program string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(bin + "/" + program)
	if err != nil {
		path = program
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = os.Environ()
	for _, k := range []string{"PATH", "HOME", "TZ", "SCSCTL_CONTEXT", "SCSCTL_ADDRESS"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	return cmd
}

// exits STATUS PROGRAM ARG... wants this exit status, or any, in time.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) < 2, "exits STATUS PROGRAM ARG...")
	err := ts.Exec("timeout", append([]string{"-k", "5", "90"}, args[1:]...)...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	const timedOut = 124
	if args[0] != itoa(got) && (args[0] != "any" || got == timedOut) {
		ts.Fatalf("%s ended with %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// mode MODE FILE... wants files of this mode, in octal.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) < 2, "mode MODE FILE...")
	for _, path := range args[1:] {
		fi, err := os.Stat(ts.MkAbs(path))
		ts.Check(err)
		if got := strconv.FormatUint(uint64(fi.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", path, got, args[0])
		}
	}
}

// uuid SEED N sets $UUID0 to $UUIDn of the devices that amtsim --seed SEED makes.
func cmdUUID(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) != 2, "uuid SEED N")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	fleet, err := amtsim.NewFleet(amtsim.FleetOptions{Count: n, Seed: args[0], Device: amtsim.Options{Addr: netip.MustParseAddr("127.0.0.1")}})
	ts.Check(err)
	for i, d := range fleet.Devices() {
		ts.Setenv("UUID"+itoa(i), d.Snapshot().UUID.String())
	}
}

// set NAME PATH FILE sets a variable to a value of a JSON file: keys.0.pid.
func cmdSet(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) != 3, "set NAME PATH FILE")
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &v))
	for _, step := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i >= len(at) {
				ts.Fatalf("%s: %d is beyond the end of a list of %d", args[1], i, len(at))
			}
			v = at[i]
		default:
			v = nil
		}
	}
	if v == nil {
		ts.Fatalf("%s is not in %s", args[1], args[2])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// sayhello psk UUID PID, sayhello pki UUID and sayhello hex BYTES send one
// message to the server from $NET.200.
func cmdSayHello(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) < 2, "sayhello psk UUID PID | pki UUID | hex BYTES")
	from := netip.MustParseAddr(ts.Getenv("NET") + ".200")
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: patience}
	conn, err := d.Dial("tcp", ts.Getenv("HELLO"))
	ts.Check(err)
	defer conn.Close()
	_, err = conn.Write(helloBytes(ts, args))
	ts.Check(err)
}

func helloBytes(ts *testscript.TestScript, args []string) []byte {
	if args[0] == "hex" {
		b, err := hex.DecodeString(strings.Join(args[1:], ""))
		ts.Check(err)
		return b
	}
	id, err := amt.ParseUUID(args[1])
	ts.Check(err)
	m := &hello.Message{CredentialsSet: true, Version: hello.PKI, UUID: id, Hashes: []hello.Hash{{Algorithm: 1, Sum: make([]byte, 20)}}}
	if args[0] == "psk" {
		m.Version, m.Hashes = hello.PSK, nil
		m.PID, err = amt.ParsePID(args[2])
		ts.Check(err)
	}
	b, err := m.AppendBinary(nil)
	ts.Check(err)
	return b
}

// overwrite FILE OFFSET BYTES damages a file.
func cmdOverwrite(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg || len(args) != 3, "overwrite FILE OFFSET BYTES")
	at, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	b, err := hex.DecodeString(args[2])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(b, at)
	ts.Check(errors.Join(err, f.Close()))
}
