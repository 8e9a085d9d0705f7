// Scsctl is the operator's command line of the AMT set-up and configuration
// server: it speaks to scsd over its gRPC API, as the user whose certificate and
// key are in the context file.
//
// It keeps no state but that file, and never talks to a device.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: args without its name. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	f := explain(err)
	for _, m := range append([]string{f.message}, f.more...) {
		_, _ = fmt.Fprintf(stderr, "scsctl: error: %s\n", m)
	}
	if f.hint != "" {
		_, _ = fmt.Fprintf(stderr, "scsctl: hint: %s\n", f.hint)
	}
	return f.code
}
