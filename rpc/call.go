package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/kv"
)

// call is one call under way: who makes it and what it is about.
type call struct {
	method   string // full
	rule     Rule
	begun    time.Time
	peer     string
	user     access.User
	serial   amt.Serial
	notAfter time.Time // of the certificate

	object string // what it is about: never a secret
	reason string // in the caller's words
	step   string // of the device's workflow, for errors
}

type callKey struct{}

// of is the call that ctx belongs to.
func of(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	var resp any
	c := &call{method: info.FullMethod}
	c.describe(req)
	err := s.around(ctx, c, func(ctx context.Context) error {
		var err error
		resp, err = next(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// inContext is a stream with the context of its call.
type inContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s inContext) Context() context.Context { return s.ctx }

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return s.around(stream.Context(), &call{method: info.FullMethod}, func(ctx context.Context) error {
		return next(srv, inContext{stream, ctx})
	})
}

// around is what happens to every call: it is admitted, carried out with panics
// contained, audited when it was refused or failed, logged, and its error made a
// status.
func (s *Server) around(ctx context.Context, c *call, fn func(context.Context) error) error {
	c.begun = s.cfg.Now()
	err := s.admit(ctx, c)
	leave, busy := s.enterCall(c.user.Name)
	defer leave()
	if busy != nil {
		err = busy
	}
	if err == nil {
		err = s.contained(c, func() error { return fn(context.WithValue(ctx, callKey{}, c)) })
	}
	st := s.statusOf(c, err)
	if err != nil {
		s.auditFailure(ctx, c, st, err)
	}
	s.log(ctx, c, st, err)
	return st.Err()
}

// enterCall counts the calls of a user; who is nobody was refused already. leave
// is never nil.
func (s *Server) enterCall(user string) (leave func(), err error) {
	if user == "" {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[user] >= MaxCalls {
		return func() {}, errCalls
	}
	s.calls[user]++
	return func() { s.leave(s.calls, user) }, nil
}

// leave counts down what enterCall and enter counted up.
func (s *Server) leave(counts map[string]int, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if counts[user]--; counts[user] == 0 {
		delete(counts, user)
	}
}

// admit finds out who calls and whether they may.
func (s *Server) admit(ctx context.Context, c *call) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return errNoIdentity
	}
	c.peer = p.Addr.String()
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return errNoIdentity
	}
	leaf := info.State.VerifiedChains[0][0]
	serial, err := amt.SerialOf(leaf.SerialNumber)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoIdentity, err)
	}
	c.serial, c.notAfter = serial, leaf.NotAfter
	return s.recheck(ctx, c)
}

// recheck looks the caller up: at the beginning of each call, and again while a
// long one goes on, so that a revocation takes effect at once.
func (s *Server) recheck(ctx context.Context, c *call) error {
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		var err error
		c.user, err = s.cfg.Users.Lookup(r, c.serial)
		return err
	})
	switch {
	case errors.Is(err, access.ErrUnknownCertificate), errors.Is(err, access.ErrRevoked), errors.Is(err, access.ErrExpired):
		c.user = access.User{}
		return fmt.Errorf("%w: %w", errNoIdentity, err)
	case err != nil:
		return err
	}
	rule, ok := methods[c.method]
	if !ok {
		return errNoMethod
	}
	c.rule = rule
	if !rule.Allows(c.user.Role) {
		return fmt.Errorf("%w: %s is %v", errRole, c.user.Name, c.user.Role)
	}
	return nil
}

// contained turns a panic into an error; its value may hold a secret and is not
// shown.
func (s *Server) contained(c *call, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("a call panicked", "method", shortMethod(c.method), "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return fn()
}

// describe takes what the call is about from the request.
func (c *call) describe(req any) {
	switch r := req.(type) {
	case interface{ GetUuid() string }:
		c.object = r.GetUuid()
	case interface{ GetPid() string }:
		c.object = r.GetPid()
	case interface{ GetBatch() string }:
		c.object = r.GetBatch()
	case interface{ GetSerial() string }:
		c.object = r.GetSerial()
	case interface{ GetExportId() string }:
		c.object = r.GetExportId()
	case interface{ GetName() string }:
		c.object = r.GetName()
	case interface{ GetId() string }:
		c.object = r.GetId()
	}
	if r, ok := req.(interface{ GetReason() string }); ok {
		c.reason = r.GetReason()
	}
}

// entry is the audit entry of the call.
func (s *Server) entry(c *call, outcome audit.Outcome) audit.Entry {
	return audit.Entry{
		At: s.cfg.Now(), Who: c.user.Name, Role: c.user.Role.String(), Method: shortMethod(c.method),
		Object: c.object, Reason: c.reason, Outcome: outcome,
	}
}

// done writes the entry of a call that succeeds, in the transaction of its change.
func (s *Server) done(ctx context.Context, tx kv.Tx) error {
	return s.cfg.Audit.Append(tx, s.entry(of(ctx), audit.Done))
}

// auditFailure writes the entry of an audited call that was refused or failed.
// What cannot stand in the log is replaced, not left out.
func (s *Server) auditFailure(ctx context.Context, c *call, st *status.Status, cause error) {
	rule, ok := methods[c.method]
	if !ok || !rule.Audit || c.user.Name == "" || errors.Is(cause, errCalls) {
		return // of a flood, the calls that are let in are told
	}
	e := s.entry(c, audit.Failed)
	if errors.Is(cause, errRole) {
		e.Outcome = audit.Refused
	}
	if audit.CheckText(e.Object) != nil {
		e.Object = "(unprintable)"
	}
	e.Reason = reasonOf(st)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error { return s.cfg.Audit.Append(tx, e) })
	if err != nil {
		s.cfg.Log.Error("an audit entry is lost", "method", e.Method, "user", e.Who, "error", err)
	}
}

// log writes one line about the call: reads that went well only when debugging.
func (s *Server) log(ctx context.Context, c *call, st *status.Status, err error) {
	level := slog.LevelDebug
	switch {
	case st.Code() == codes.Internal:
		level = slog.LevelError
	case err != nil || c.rule.Audit:
		level = slog.LevelInfo
	}
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", shortMethod(c.method)), slog.String("user", c.user.Name), slog.String("peer", c.peer),
		slog.String("object", clip(c.object)), slog.String("code", st.Code().String()), slog.Duration("took", s.cfg.Now().Sub(c.begun)),
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", reasonOf(st)), slog.String("error", clip(err.Error())))
	}
	s.cfg.Log.LogAttrs(ctx, level, "api call", attrs...)
}

// clip keeps a caller's text from filling the log.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) { // a status takes whole characters only
		end--
	}
	return s[:end] + "…"
}
