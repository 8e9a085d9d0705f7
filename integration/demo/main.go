// Command demo runs the product's main job once, with the real programs on
// loopback: scsd makes pairs, scsctl writes them to a setup.bin, twenty simulated
// PCs of four firmware generations boot from it and become Operational, and then
// each one is asked over verified TLS, with the password read back from scsd,
// whether that is true.
//
// Its last line is "demo: 20 of 20 devices Operational in N s", and its exit
// status is 0 only if that is true. Everything lies in one temporary folder that
// is removed at the end; no root, no fixed ports, no fixed addresses, so that
// several demos can run at once. It is not a benchmark and measures nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	bin := flags.String("bin", "bin", "the folder of scsd, scsctl and amtsim")
	count := flags.Int("n", 20, "number of devices, 1 to 200")
	limit := flags.Duration("timeout", 3*time.Minute, "how long all of it may take")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *count < 1 || *count > 200 {
		fmt.Fprintln(stderr, "demo: error: -n: want 1 to 200")
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	d := &demo{bin: *bin, count: *count, out: stdout, err: stderr}
	good, took, err := d.run(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "demo: error: %v\n", err)
	}
	fmt.Fprintf(stdout, "demo: %d of %d devices Operational in %.0f s\n", good, *count, took.Seconds())
	if err != nil || good != *count {
		return 1
	}
	return 0
}

// A demo is one run.
type demo struct {
	bin      string
	count    int
	out, err io.Writer

	dir   string
	net   string // first three octets of the devices' /24
	port  int    // of the devices' set-up and TLS interface
	addrs addresses
}

func (d *demo) run(ctx context.Context) (good int, took time.Duration, err error) {
	d.dir, err = os.MkdirTemp("", "amtscs-demo-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if d.net, d.port, err = freeNetwork(d.count); err != nil {
		return 0, 0, err
	}
	stopServer, err := d.startServer(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stopServer()) }()
	if err := d.makeKeys(ctx); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	stopDevices, err := d.startDevices()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stopDevices()) }()
	d.say("waiting for %d devices", d.count)
	watch := d.scsctl(ctx, "watch", "--until", "operational", "-n", fmt.Sprint(d.count))
	watch.Stdout = d.out
	watchErr := watch.Run()
	took = time.Since(start)
	good, err = d.verify(ctx)
	return good, took, errors.Join(watchErr, err)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "demo: "+format+"\n", args...) }

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// startServer runs scsd init and scsd run, and waits until it is ready.
func (d *demo) startServer(ctx context.Context) (stop func() error, err error) {
	d.say("making a data directory, a CA and an administrator")
	initCmd := exec.CommandContext(ctx, filepath.Join(d.bin, "scsd"), "init",
		"--data", d.path("data"), "--kek", d.path("kek"), "--admin-context", d.path("admin.yaml"))
	if out, err := initCmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("scsd init: %w\n%s", err, out)
	}
	stop, err = d.start("scsd", "run", "--data", d.path("data"), "--kek", d.path("kek"),
		"--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0",
		"--ready-file", d.path("ready.json"), "--dial-allow", d.net+".0/24", "--device-port", fmt.Sprint(d.port),
		"--hello-per-source", fmt.Sprint(2*d.count))
	if err != nil {
		return nil, err
	}
	if d.addrs, err = waitReady(ctx, d.path("ready.json")); err != nil {
		return nil, errors.Join(fmt.Errorf("scsd run: %w\n%s", err, d.log("scsd")), stop())
	}
	return stop, nil
}

// makeKeys generates the pairs and writes the USB key's file.
func (d *demo) makeKeys(ctx context.Context) error {
	d.say("making %d pairs and a setup.bin", d.count)
	for _, args := range [][]string{
		{"keys", "generate", "--count", fmt.Sprint(d.count), "--batch", "demo", "--mebx-password", "random"},
		{"usb", "write", "--batch", "demo", "--out", d.path("setup.bin")},
	} {
		if out, err := d.scsctl(ctx, args...).Output(); err != nil {
			return fmt.Errorf("scsctl %s: %w\n%s", strings.Join(args, " "), explain(err), out)
		}
	}
	return nil
}

// startDevices boots the simulated PCs from the file.
func (d *demo) startDevices() (stop func() error, err error) {
	d.say("booting %d PCs (AMT 3.2, 6.2, 9.0, 10.0) from it on %s.0/24", d.count, d.net)
	return d.start("amtsim", "--usb", d.path("setup.bin"), "-n", fmt.Sprint(d.count), "--amt", "3.2,6.2,9.0,10.0",
		"--addr", d.net+".1", "--port", fmt.Sprint(d.port), "--server", d.addrs.Hello, "--clock", "20")
}

// start runs a program of the product in the background with its output in a
// file; stop ends it and waits for it.
func (d *demo) start(name string, args ...string) (stop func() error, err error) {
	log, err := os.OpenFile(d.path(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(d.bin, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// The children must not outlive a demo that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return func() error {
		defer log.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", name, err, d.log(name))
			}
			return nil
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
			return fmt.Errorf("%s did not stop within 20 s", name)
		}
	}, nil
}

// log is the end of a program's output.
func (d *demo) log(name string) string {
	b, err := os.ReadFile(d.path(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// scsctl is a command of the operator's tool as the first administrator.
func (d *demo) scsctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "scsctl"), args...)
	cmd.Env = append(os.Environ(), "SCSCTL_CONTEXT="+d.path("admin.yaml"), "SCSCTL_ADDRESS="+d.addrs.GRPC)
	return cmd
}

// explain adds what a failed command said on standard error.
func explain(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
