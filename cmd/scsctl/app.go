package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/media"
)

// app is what the commands share: the streams, the global flags and, once a
// command needs it, the connection.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	disks          media.System // what --device asks; the zero value is this machine

	contextPath string
	address     string
	output      string
	timeout     time.Duration

	conn *grpc.ClientConn
}

func (a *app) root() *cobra.Command {
	cmd := a.group("scsctl", "Set up Intel AMT PCs over an amtscs server",
		a.keys(), a.usb(), a.profile(), a.device(), a.workflow(), a.inbox(), a.user(), a.ca(), a.certificate(),
		a.watch(), a.audit(), a.whoami(), a.version())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.DisableSuggestions = true
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &failure{code: exitUsage, message: err.Error(), hint: "see " + c.CommandPath() + " --help"}
	})
	f := cmd.PersistentFlags()
	f.StringVar(&a.contextPath, "context", "", "context file (default $SCSCTL_CONTEXT, else scsctl/context.yaml in the user's configuration folder)")
	f.StringVar(&a.address, "address", "", "host:port of the server instead of the context file's (default $SCSCTL_ADDRESS)")
	f.StringVarP(&a.output, "output", "o", "table", "table for people or json for programs")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long the server may take to answer")
	tellValues(cmd)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "table" && a.output != "json" {
			return usage("--output %q: want table or json", a.output)
		}
		return nil
	}
	return cmd
}

// group is a command that only holds others.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			f := &failure{code: exitUsage, hint: "see " + c.CommandPath() + " --help"}
			if len(args) == 0 {
				f.message = c.CommandPath() + " needs a subcommand: " + strings.Join(names(c), ", ")
				return f
			}
			f.message = fmt.Sprintf("unknown command %q for %s", args[0], c.CommandPath())
			c.SuggestionsMinimumDistance = 2
			if s := c.SuggestionsFor(args[0]); len(s) > 0 {
				f.hint = "did you mean " + strings.Join(s, " or ") + "?"
			}
			return f
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(subs...)
	return cmd
}

func names(c *cobra.Command) []string {
	var list []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() {
			list = append(list, s.Name())
		}
	}
	return list
}

// takes says what arguments a command has, by name.
func takes(want ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(want) {
			return nil
		}
		f := &failure{code: exitUsage, hint: "usage: " + c.UseLine()}
		switch {
		case len(want) == 0:
			f.message = fmt.Sprintf("%s takes no arguments, got %q", c.CommandPath(), args)
		case len(args) < len(want):
			f.message = fmt.Sprintf("%s needs %s", c.CommandPath(), strings.Join(want[len(args):], " and "))
		default:
			f.message = fmt.Sprintf("%s: what is %q?", c.CommandPath(), args[len(want)])
		}
		return f
	}
}

// require marks flags that a command cannot do without.
func require(c *cobra.Command, flags ...string) *cobra.Command {
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		for _, name := range flags {
			if !c.Flags().Changed(name) {
				return &failure{code: exitUsage, message: fmt.Sprintf("%s needs --%s", c.CommandPath(), name), hint: "usage: " + c.UseLine()}
			}
		}
		return nil
	}
	return c
}

// path is the context file's.
func (a *app) path() (string, error) {
	if a.contextPath != "" {
		return a.contextPath, nil
	}
	if p := a.getenv("SCSCTL_CONTEXT"); p != "" {
		return p, nil
	}
	dir, err := os.UserConfigDir()
	if err == nil {
		p := filepath.Join(dir, "scsctl", "context.yaml")
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", &failure{code: exitUsage, message: "no context file", hint: "give --context FILE or set SCSCTL_CONTEXT; scsd init writes the first one"}
}

// call runs fn with a connection and a context that ends after --timeout.
func (a *app) call(ctx context.Context, fn func(context.Context, *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.stream(ctx, fn)
}

// stream is call for what may take any time.
func (a *app) stream(ctx context.Context, fn func(context.Context, *grpc.ClientConn) error) error {
	if err := a.connect(ctx); err != nil {
		return err
	}
	return fn(ctx, a.conn)
}

func (a *app) close() {
	if a.conn != nil {
		_ = a.conn.Close()
	}
}
