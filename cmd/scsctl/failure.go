package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
)

// Exit statuses; scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4 // by role
	exitPartly      = 5
	exitUnavailable = 6
)

// failure is an error as a person meets it: what went wrong, and the way out.
type failure struct {
	code    int
	message string
	more    []string // further faults, each told like the message
	hint    string
	cause   error
}

func (f *failure) Error() string { return f.message }

func (f *failure) Unwrap() error { return f.cause }

// usage is a failure of the command line itself.
func usage(format string, args ...any) error {
	return &failure{code: exitUsage, message: fmt.Sprintf(format, args...)}
}

// failed is any other failure, with a hint.
func failed(hint, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &failure{code: exitFailed, message: err.Error(), hint: hint, cause: err}
}

// partly is the end of a command that did a part of what it was asked.
func partly(hint, format string, args ...any) error {
	return &failure{code: exitPartly, message: fmt.Sprintf(format, args...), hint: hint}
}

// explain makes a failure of any error.
func explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f.plain()
	}
	f = &failure{code: exitFailed, message: err.Error(), cause: err}
	switch {
	case errors.Is(err, contextfile.ErrMode):
		f.hint = "run chmod 600 on it"
	case errors.Is(err, contextfile.ErrContent):
		f.hint = "ask an administrator for a new one: scsctl user add NAME --role ROLE --out FILE"
	case errors.Is(err, atomicfile.ErrExists):
		f.hint = "choose another name, or remove the file"
	case errors.Is(err, context.Canceled):
		f.message = "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		f.code, f.message = exitUnavailable, "the server did not answer in time"
		f.hint = "try again, or give it longer with --timeout"
	}
	if st, ok := status.FromError(err); ok {
		f.fromStatus(st)
	}
	return f.plain()
}

// plain puts the message into the form of all messages: one line, no full stop.
func (f *failure) plain() *failure {
	g := *f
	g.message = strings.TrimSuffix(printable(f.message), ".")
	g.hint = strings.TrimSuffix(printable(f.hint), ".")
	g.more = nil
	for _, m := range f.more {
		g.more = append(g.more, strings.TrimSuffix(printable(m), "."))
	}
	return &g
}

// fromStatus takes over what the server, or gRPC for it, said.
func (f *failure) fromStatus(st *status.Status) {
	f.code, f.message = exitOf(st.Code()), st.Message()
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			f.hint = d.GetMetadata()["hint"]
			if d.GetReason() == "ExportOpen" {
				f.hint += "; before --discard look for FILE and " + atomicfile.Leftovers("FILE") + ", which a killed command may have left"
			}
		case *errdetails.BadRequest:
			f.message, f.more = violations(d)
		}
	}
	if f.hint != "" {
		return
	}
	switch st.Code() {
	case codes.Unavailable:
		f.message, f.hint = connection(st.Message())
	case codes.Canceled:
		f.message = "interrupted"
	case codes.DeadlineExceeded:
		f.message, f.hint = "the server did not answer in time", "try again, or give it longer with --timeout"
	case codes.Unimplemented:
		f.hint = "the server is of another version: compare scsctl version"
	}
}

func exitOf(c codes.Code) int {
	switch c {
	case codes.NotFound:
		return exitNotFound
	case codes.PermissionDenied, codes.Unauthenticated:
		return exitRefused
	case codes.Unavailable, codes.DeadlineExceeded:
		return exitUnavailable
	}
	return exitFailed
}

// violations lists the fields of a request that the server refused. Those of a
// document name file, line and field by themselves.
func violations(d *errdetails.BadRequest) (first string, more []string) {
	for _, v := range d.GetFieldViolations() {
		text := v.GetField() + ": " + v.GetDescription()
		if f := v.GetField(); f == "document" || strings.HasPrefix(f, "document.") {
			text = v.GetDescription()
		}
		more = append(more, text)
	}
	if len(more) == 0 {
		return "the request is refused", nil
	}
	return more[0], more[1:]
}

// unsent reports whether gRPC failed before the request left: nothing was done.
func unsent(text string) bool {
	return strings.Contains(text, "Error while dialing") || strings.Contains(text, "authentication handshake failed")
}

// cause is the end of gRPC's text, behind what it wraps around it.
func cause(text string) string {
	for _, mark := range []string{"desc = ", "transport: Error while dialing: ", "transport: authentication handshake failed: "} {
		if i := strings.LastIndex(text, mark); i >= 0 {
			text = text[i+len(mark):]
		}
	}
	return strings.Trim(text, `"`)
}

// connection explains why there was no connection, from gRPC's text for it.
func connection(text string) (message, hint string) {
	for _, c := range []struct{ sign, message, hint string }{
		{"connection refused", "no server answers at this address", "is scsd running there? the address is in the context file, or give --address HOST:PORT"},
		{"no such host", "the server's name does not resolve", "check the address in the context file"},
		{"certificate signed by unknown authority", "the server is not the one this context file is for", "use the context file of this server"},
		{"certificate is valid for", "the server's certificate has another name", "set server_name in the context file to a name of the server's certificate"},
		{"expired", "a certificate has ended, or a clock is wrong", "compare the clocks; scsd recover-admin makes a new administrator's certificate"},
		{"bad certificate", "the server does not know this certificate", "ask an administrator for a new context file"},
		{"unknown certificate", "the server does not know this certificate", "ask an administrator for a new context file"},
	} {
		if strings.Contains(text, c.sign) {
			return fmt.Sprintf("%s (%s)", c.message, cause(text)), c.hint
		}
	}
	return "the server cannot be reached: " + cause(text), "is scsd running? try again in a moment"
}

// printable replaces what could move a terminal's cursor; values may have come
// from a device.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
