// Amtsim plays Intel AMT PCs: they boot from a setup.bin, say hello to a set-up
// and configuration server, take a profile over TLS-PSK and WS-Management, commit,
// and then serve TLS with the certificate they were given. It prints a line for
// each event of a device.
//
// The devices are those of the amtsim package; this program only reads flags. It
// is for tests and demonstrations and manages no real hardware.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/setupbin"
)

// Exit statuses; scripts rely on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a failure of the command line itself.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the program: args without its name. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintf(stderr, "amtsim: error: %v\n", err)
	if hint := hintFor(err); hint != "" {
		_, _ = fmt.Fprintf(stderr, "amtsim: hint: %s\n", hint)
	}
	var u usageError
	if errors.As(err, &u) || errors.Is(err, amtsim.ErrOptions) || errors.Is(err, amtsim.ErrTrouble) {
		return exitUsage
	}
	return exitFailed
}

// hintFor is the way out of a failure that people meet.
func hintFor(err error) string {
	switch {
	case errors.Is(err, setupbin.ErrUsedUp):
		return "each device takes one record: generate more pairs and write a new setup.bin, or ask for fewer devices with -n"
	case errors.Is(err, amtsim.ErrTrouble):
		return "amtsim --help lists the troubles and how to name calls and devices"
	case errors.Is(err, setupbin.ErrVersion):
		return "write the file again with scsctl usb write --file-version, or choose other firmware with --amt"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: choose another --addr or --port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "the machine does not have that address: addresses of 127.0.0.0/8 work on Linux"
	case errors.Is(err, amtsim.ErrState):
		return "the devices of --state-dir were started with other --amt values: use them again, or an empty folder"
	}
	return ""
}
