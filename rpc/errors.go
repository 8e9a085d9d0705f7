package rpc

import (
	"context"
	"errors"
	"maps"
	"strings"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
)

// Domain is the domain of every ErrorInfo.
const Domain = "amtscs"

// Errors of this package.
var (
	// errNoIdentity is returned to callers whose certificate is nobody's.
	errNoIdentity = errors.New("no user has this certificate")
	// errRole is returned for a method that the user's role may not call.
	errRole = errors.New("the role may not do this")
	// errNoMethod is returned for a method without a row in the table.
	errNoMethod = errors.New("no such method")
	// errPanic is returned for a call that panicked.
	errPanic = errors.New("the server met a fault of its own; its log tells more")
	// errStopping is returned to long calls when the server stops.
	errStopping = errors.New("the server is stopping")
	// errWatches is returned for one Watch too many.
	errWatches = errors.New("too many watches at a time")
	// errCalls is returned for one call too many.
	errCalls = errors.New("too many calls at a time")
	// errImports is returned for one import too many.
	errImports = errors.New("too many imports at a time")
	// errSilent ends an import whose client sends nothing.
	errSilent = errors.New("no rows came for too long")
	// errFull is returned in place of an error of the store for want of space.
	errFull = errors.New("the server's disk is full")
	// errAhead is returned for a Watch that begins behind the end of the log.
	errAhead = errors.New("the event log has not come so far: was the store put back?")
	// errRepeated is returned for a request_id that asked for something else before.
	errRepeated = errors.New("this request_id was used for another request")
	// errProtocol is returned for a stream whose messages come in the wrong order.
	errProtocol = errors.New("a message that does not belong here")
	// errExportOfAnother is returned to users who would discard an export that another just began.
	errExportOfAnother = errors.New("another user has just begun this export")
	// errListLong is returned for a list of more devices than one transaction takes.
	errListLong = errors.New("the list is too long")
)

// detailed adds what a status' ErrorInfo tells beside reason and hint.
type detailed struct {
	err  error
	meta map[string]string
}

func (d *detailed) Error() string { return d.err.Error() }

func (d *detailed) Unwrap() error { return d.err }

// refusal is the row of the table of errors that err belongs to.
func refusal(err error) (Refusal, bool) {
	for _, r := range refusals {
		if errors.Is(err, r.Err) {
			return r, true
		}
	}
	return Refusal{}, false
}

// internal is the answer to every error that has no row: what it says stays in
// the log.
var internal = Refusal{Code: codes.Internal, Reason: "InternalFault", Hint: "the server's log tells more"}

// statusOf makes a status of a call's error; nil is OK.
func (s *Server) statusOf(c *call, err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	var bad *violations
	if errors.As(err, &bad) {
		return bad.status()
	}
	switch { // without the paths of the server
	case errors.Is(err, kv.ErrFailed):
		err = kv.ErrFailed
	case full(err):
		err = errFull
	}
	r, known := refusal(err)
	text := clip(err.Error())
	if !known {
		if st, ok := status.FromError(err); ok && st.Code() != codes.Unknown {
			return st
		}
		r, text = internal, errPanic.Error()
	}
	meta := map[string]string{}
	var d *detailed
	if errors.As(err, &d) {
		maps.Copy(meta, d.meta)
	}
	if uuid, err := amt.ParseUUID(c.object); err == nil {
		meta["device"] = uuid.String()
	}
	if c.step != "" {
		meta["step"] = c.step
	}
	return r.status(text, meta, faults(err)...)
}

// full reports whether the store has no space.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func (r Refusal) status(text string, meta map[string]string, more ...protoadapt.MessageV1) *status.Status {
	if r.Hint != "" {
		meta["hint"] = r.Hint
	}
	info := &errdetails.ErrorInfo{Reason: r.Reason, Domain: Domain, Metadata: meta}
	return withDetails(status.New(r.Code, text), append([]protoadapt.MessageV1{info}, more...)...)
}

// faults lists what is wrong with a profile's document, by its fields' paths.
func faults(err error) []protoadapt.MessageV1 {
	var list profile.Errors
	if !errors.As(err, &list) {
		return nil
	}
	bad := &errdetails.BadRequest{}
	for _, f := range list[:min(len(list), 100)] {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: strings.TrimSuffix("document."+f.Path, "."), Description: f.Error(),
		})
	}
	return []protoadapt.MessageV1{bad}
}

// withDetails adds details; they always encode.
func withDetails(st *status.Status, details ...protoadapt.MessageV1) *status.Status {
	full, err := st.WithDetails(details...)
	if err != nil {
		return st
	}
	return full
}

// reasonOf is the stable reason in a status, or its code.
func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Code().String()
}

// stopped is ctx's error, or errStopping when the server stops.
func (s *Server) stopped(ctx context.Context) error {
	select {
	case <-s.stopping:
		return errStopping
	default:
		return ctx.Err()
	}
}
