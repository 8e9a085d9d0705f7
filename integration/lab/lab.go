// Package lab runs the product's real programs on loopback, in one folder and on
// a free /24 of 127.0.0.0/8, for the demo, the tests and the measurements: scsd
// with its data directory, a simulated fleet, and the operator's tool.
//
// It holds no product code and no checks of its own.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Lab is one server and its fleet.
type Lab struct {
	Bin   string    // folder of scsd, scsctl and amtsim
	Dir   string    // everything that is written lies here
	Net   string    // first three octets of the devices' network
	Port  int       // of the devices' set-up and TLS interface
	Addrs Addresses // of the server, once it has been ready
}

// Addresses is what scsd writes to its ready file: host:port each.
type Addresses struct {
	Hello   string `json:"hello"`
	GRPC    string `json:"grpc"`
	Metrics string `json:"metrics"`
}

// New makes a lab for so many devices in an existing folder.
func New(bin, dir string, devices int) (*Lab, error) {
	prefix, port, err := FreeNetwork(devices)
	if err != nil {
		return nil, err
	}
	l := &Lab{Bin: bin, Dir: dir, Net: prefix, Port: port}
	for _, addr := range []*string{&l.Addrs.Hello, &l.Addrs.GRPC, &l.Addrs.Metrics} {
		if *addr, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Path is a file of the lab's folder.
func (l *Lab) Path(name string) string { return filepath.Join(l.Dir, name) }

// Init runs scsd init.
func (l *Lab) Init(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(l.Bin, "scsd"), "init",
		"--data", l.Path("data"), "--kek", l.Path("kek"), "--admin-context", l.Path("admin.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scsd init: %w\n%s", err, out)
	}
	return nil
}

// ServerOptions changes how scsd is run.
type ServerOptions struct {
	Env  []string // KEY=VALUE, added to the environment
	Args []string // added flags
	Wrap []string // a program and its arguments to run scsd under
	// MayEnd takes a server that ends before it is ready for started: it was told
	// to end at some point.
	MayEnd bool
}

// StartServer runs scsd run and waits until it is ready. A second start listens
// where the first one did.
func (l *Lab) StartServer(ctx context.Context, o ServerOptions) (*Process, error) {
	ready := l.Path("ready.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	args := append([]string{
		"run", "--data", l.Path("data"), "--kek", l.Path("kek"),
		"--hello-addr", l.Addrs.Hello, "--grpc-addr", l.Addrs.GRPC, "--metrics-addr", l.Addrs.Metrics,
		"--ready-file", ready, "--dial-allow", l.Net + ".0/24", "--device-port", fmt.Sprint(l.Port),
	}, o.Args...)
	p, err := start(l.Bin, l.Dir, "scsd", o.Wrap, o.Env, args)
	if err != nil {
		return nil, err
	}
	addrs, err := waitReady(ctx, p, ready)
	if errors.Is(err, errEnded) && o.MayEnd {
		return p, nil
	}
	if err != nil {
		log := p.Log()
		p.Kill()
		return nil, fmt.Errorf("scsd run: %w\n%s", err, log)
	}
	l.Addrs = addrs
	return p, nil
}

var errEnded = errors.New("it ended before it was ready")

// waitReady waits for scsd's ready file, or its end.
func waitReady(ctx context.Context, p *Process, path string) (Addresses, error) {
	deadline := time.Now().Add(60 * time.Second)
	for {
		var a Addresses
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			return a, fmt.Errorf("not ready: %w", err)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-p.Done():
			return a, errEnded
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// StartDevices runs amtsim on the lab's network with its --addr, --port and
// --server; the rest is the caller's.
func (l *Lab) StartDevices(args ...string) (*Process, error) {
	return start(l.Bin, l.Dir, "amtsim", nil, nil, append([]string{
		"--addr", l.Net + ".1", "--port", fmt.Sprint(l.Port), "--server", l.Addrs.Hello,
	}, args...))
}

// Scsctl is a command of the operator's tool as the first administrator.
func (l *Lab) Scsctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(l.Bin, "scsctl"), append([]string{
		"--context", l.Path("admin.yaml"), "--address", l.Addrs.GRPC,
	}, args...)...)
	return cmd
}

// Run runs the operator's tool and returns its standard output.
func (l *Lab) Run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := l.Scsctl(ctx, args...).Output()
	if err != nil {
		return out, fmt.Errorf("scsctl %s: %w", strings.Join(args, " "), Explain(err))
	}
	return out, nil
}

// MakeKey generates count pairs with random MEBx passwords, in a new batch to
// which args (such as --profile NAME) apply, and writes them to BATCH.bin in the
// lab's folder.
func (l *Lab) MakeKey(ctx context.Context, batch string, count int, args ...string) (path string, err error) {
	generate := append([]string{"keys", "generate", "--count", fmt.Sprint(count), "--batch", batch, "--mebx-password", "random"}, args...)
	if _, err := l.Run(ctx, generate...); err != nil {
		return "", err
	}
	path = l.Path(batch + ".bin")
	_, err = l.Run(ctx, "usb", "write", "--batch", batch, "--out", path)
	return path, err
}
