// Scsd is the Intel AMT set-up and configuration server: it listens for hello
// messages, takes devices to Operational, is their certificate authority, and
// serves the API that scsctl and other programs use.
//
// It needs one data directory and one key-encryption key outside of it, and no
// other service. It has no screens of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/cmd/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	end := profile()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	end()
	stop()
	os.Exit(code)
}

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// hinted is an error with the way out.
type hinted struct {
	err   error
	hint  string
	usage bool
	quiet bool // everything was said already
}

func (h *hinted) Error() string { return h.err.Error() }

func (h *hinted) Unwrap() error { return h.err }

func usage(format string, args ...any) error {
	return &hinted{err: fmt.Errorf(format, args...), usage: true}
}

func hint(text string, err error) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: text}
}

// run is the program: args without its name. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if err := protect(); err != nil {
		_, _ = fmt.Fprintf(stderr, "scsd: error: %v\n", err)
		return exitFailed
	}
	cmd := root(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitFailed
	var h *hinted
	if !errors.As(err, &h) {
		h = &hinted{}
	}
	if h.usage {
		code = exitUsage
	}
	if !h.quiet {
		_, _ = fmt.Fprintf(stderr, "scsd: error: %s\n", strings.TrimSuffix(err.Error(), "."))
	}
	if h.hint != "" {
		_, _ = fmt.Fprintf(stderr, "scsd: hint: %s\n", h.hint)
	}
	return code
}

func root(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "scsd", Short: "Intel AMT set-up and configuration server",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q: want init, run, doctor, recover-admin or version", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return usage("scsd needs a command: init, run, doctor, recover-admin or version; see scsd --help")
		},
	}
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &hinted{err: err, hint: "see " + c.CommandPath() + " --help", usage: true}
	})
	cmd.AddCommand(initCommand(stdout), runCommand(stdout, stderr), doctorCommand(stdout, stderr), recoverCommand(stdout), versionCommand(stdout))
	return cmd
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments: what is %q?", c.CommandPath(), args[0])
	}
	return nil
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(stdout, "scsd %s\n", version.String())
			return err
		},
	}
}
