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
	"os/signal"
	"syscall"
	"time"

	"github.com/amtscs/amtscs/integration/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
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
	d := &demo{count: *count, out: stdout}
	good, took, err := d.run(ctx, *bin)
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
	*lab.Lab
	count int
	out   io.Writer
}

func (d *demo) run(ctx context.Context, bin string) (good int, took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "amtscs-demo-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if d.Lab, err = lab.New(bin, dir, d.count); err != nil {
		return 0, 0, err
	}
	const free = "127.0.0.1:0" // the server starts once: the system's choice is never taken
	d.Addrs = lab.Addresses{Hello: free, GRPC: free, Metrics: free}
	d.say("making a data directory, a CA and an administrator")
	if err := d.Init(ctx); err != nil {
		return 0, 0, err
	}
	server, err := d.StartServer(ctx, lab.ServerOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	d.say("making %d pairs and a setup.bin", d.count)
	usb, err := d.MakeKey(ctx, "demo", d.count)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	d.say("booting %d PCs (AMT 3.2, 6.2, 9.0, 10.0) from it on %s.0/24", d.count, d.Net)
	devices, err := d.StartDevices("--usb", usb, "-n", fmt.Sprint(d.count), "--amt", "3.2,6.2,9.0,10.0", "--clock", "20")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, devices.Stop()) }()
	watchErr := d.watch(ctx)
	took = time.Since(start)
	good, err = d.verify(ctx)
	return good, took, errors.Join(watchErr, err)
}

// watch shows the devices advancing until all of them are Operational.
func (d *demo) watch(ctx context.Context) error {
	watch := d.Scsctl(ctx, "watch", "--until", "operational", "-n", fmt.Sprint(d.count))
	watch.Stdout = d.out
	if err := watch.Run(); err != nil {
		return fmt.Errorf("scsctl watch: %w", err)
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "demo: "+format+"\n", args...) }
