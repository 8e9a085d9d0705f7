package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
)

func TestExplainCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("anything"), exitFailed},
		{usage("wrong"), exitUsage},
		{fmt.Errorf("around: %w", usage("wrong")), exitUsage},
		{partly("", "half"), exitPartly},
		{failed("hint", "x: %w", atomicfile.ErrExists), exitFailed},
		{fmt.Errorf("x: %w", contextfile.ErrMode), exitFailed},
		{fmt.Errorf("x: %w", contextfile.ErrContent), exitFailed},
		{context.DeadlineExceeded, exitUnavailable},
		{context.Canceled, exitFailed},
		{status.Error(codes.NotFound, "x"), exitNotFound},
		{status.Error(codes.PermissionDenied, "x"), exitRefused},
		{status.Error(codes.Unauthenticated, "x"), exitRefused},
		{status.Error(codes.Unavailable, "x"), exitUnavailable},
		{status.Error(codes.DeadlineExceeded, "x"), exitUnavailable},
		{status.Error(codes.Canceled, "x"), exitFailed},
		{status.Error(codes.Unimplemented, "x"), exitFailed},
		{status.Error(codes.InvalidArgument, "x"), exitFailed},
		{status.Error(codes.Internal, "x"), exitFailed},
	} {
		f := explain(c.err)
		if f.code != c.code || f.message == "" || strings.HasSuffix(f.message, ".") {
			t.Errorf("%v: got %+v, want status %d", c.err, f, c.code)
		}
	}
}

func TestExplainTakesTheServersHint(t *testing.T) {
	t.Parallel()
	st, err := status.New(codes.FailedPrecondition, "it is so.\x1b[2J").WithDetails(
		&errdetails.ErrorInfo{Reason: "X", Domain: "amtscs", Metadata: map[string]string{"hint": "do that."}},
	)
	if err != nil {
		t.Fatal(err)
	}
	f := explain(st.Err())
	if f.message != "it is so. [2J" || f.hint != "do that" {
		t.Errorf("got %+v", f)
	}
	bad, err := status.New(codes.InvalidArgument, "x").WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "pid", Description: "wrong"}, {Field: "document.name", Description: "f.yaml:1:2: name: wrong"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f = explain(bad.Err())
	if f.message != "pid: wrong" || len(f.more) != 1 || f.more[0] != "f.yaml:1:2: name: wrong" {
		t.Errorf("got %+v", f)
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`:                                                                                                                                 "no server answers at this address (dial tcp 127.0.0.1:1: connect: connection refused)",
		`max retries exhausted: failed after 4 attempts: rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`: "the server is not the one this context file is for (tls: failed to verify certificate: x509: certificate signed by unknown authority)",
		"the server is stopping": "the server cannot be reached: the server is stopping",
	} {
		message, hint := connection(text)
		if message != want || hint == "" {
			t.Errorf("got %q and %q, want %q", message, hint, want)
		}
	}
	if unsent("the server is stopping") || !unsent(`"transport: Error while dialing: x"`) {
		t.Error("unsent")
	}
}

func TestLostReply(t *testing.T) {
	t.Parallel()
	err := lostReply(status.Error(codes.Unavailable, "error reading from server: EOF"), "id-1")
	if f := explain(err); !strings.Contains(f.hint, "--request-id id-1") || f.code != exitUnavailable {
		t.Errorf("got %+v", f)
	}
	err = lostReply(status.Error(codes.NotFound, "no profile"), "id-1")
	if f := explain(err); strings.Contains(f.hint, "--request-id") || f.code != exitNotFound {
		t.Errorf("got %+v", f)
	}
}

// TestOpenExportNamesLeftovers: the hint comes from the server; where a killed
// command may have left pairs, scsctl knows.
func TestOpenExportNamesLeftovers(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]bool{"ExportOpen": true, "BatchExists": false} {
		st, err := status.New(codes.FailedPrecondition, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Metadata: map[string]string{"hint": "scsctl usb finish --discard 7"}})
		if err != nil {
			t.Fatal(err)
		}
		hint := explain(st.Err()).hint
		if !strings.HasPrefix(hint, "scsctl usb finish --discard 7") || strings.Contains(hint, ".FILE.*.part") != want {
			t.Errorf("%s: got %q", reason, hint)
		}
	}
}
