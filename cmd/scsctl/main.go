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
	"time"
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	os.Exit(bounded(ctx, stopTime, os.Stderr, func() int { return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }))
}

// stopTime is how long a command may take behind a signal. It is longer than
// telling the server that nothing was written.
const stopTime = 7 * time.Second

// bounded runs a program, but no longer than so long once ctx is done: opening a
// pipe and reading from a terminal know no context. What is left behind ends
// with the process.
func bounded(ctx context.Context, most time.Duration, stderr io.Writer, program func() int) int {
	code := make(chan int, 1)
	go func() { code <- program() }()
	select {
	case c := <-code:
		return c
	case <-ctx.Done():
	}
	select {
	case c := <-code:
		return c
	case <-time.After(most):
		_, _ = fmt.Fprintln(stderr, "scsctl: error: interrupted")
		return exitFailed
	}
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
