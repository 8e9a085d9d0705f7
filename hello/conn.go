package hello

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
)

// firstRead is the buffer a connection begins with: a whole version 2 message
// and enough behind it to see that there is more.
const firstRead = 64

// serve reads one connection, hands its message on and counts the outcome.
func (s *server) serve(v *visit) {
	defer s.gate.leave()
	b, err := read(v)
	evicted := s.gate.done(v)
	_ = v.conn.Close()
	m, outcome, err := judge(b, err, evicted)
	if m != nil {
		outcome, err = s.handle(v, m)
	}
	if bad, ok := errors.AsType[*ParseError](err); ok && outcome == UnknownVersion && s.Strange != nil {
		s.Strange(v.peer, *bad.Header) // a version was read, so there is a header
	}
	s.Observe(outcome)
	s.report(v, outcome, m, err)
}

// read reads until the end of the connection, the deadline, one byte more than
// MaxLen, or bytes that no hello begins with. The error is nil unless reading
// failed.
func read(v *visit) ([]byte, error) {
	b := make([]byte, 0, firstRead)
	for len(b) <= MaxLen && !hopeless(b) {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(4*cap(b), MaxLen+1)), b...)
		}
		n, err := v.conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// hopeless reports whether nothing that may follow makes b a message. A header
// of an unknown version is read to its end, for the log.
func hopeless(b []byte) bool {
	if len(b) < HeaderLen {
		return len(b) >= 2 && binary.LittleEndian.Uint16(b) > 1
	}
	h := parseHeader(b)
	return h.Credentials > 1 || h.Version != PKI && (h.Version != PSK || len(b) > PSKLen)
}

// judge turns what came into a message or the outcome of a connection without
// one. A message that is whole counts even when the sender never closed, or
// reset the connection behind it.
func judge(b []byte, readErr error, evicted string) (*Message, string, error) {
	m, err := Parse(b)
	switch {
	case err == nil:
		return m, Accepted, nil
	case errors.Is(err, ErrTooLong):
		return nil, Oversize, err
	case evicted != "":
		return nil, evicted, err
	case len(b) == 0:
		return nil, Silent, readErr
	case errors.Is(err, ErrVersion):
		return nil, UnknownVersion, err
	case errors.Is(err, ErrShort) && errors.Is(readErr, os.ErrDeadlineExceeded):
		return nil, Timeout, err
	}
	return nil, Malformed, err
}

// handle runs the handler; a panic ends with this message and nothing else.
func (s *server) handle(v *visit, m *Message) (outcome string, err error) {
	defer func() {
		if r := recover(); r != nil {
			outcome, err = Panicked, fmt.Errorf("panic in the hello handler: %v\n%s", r, debug.Stack())
		}
	}()
	ctx := newHandling(s.handling, s.HandleTimeout)
	defer ctx.end()
	switch err := s.Handle(ctx, v.peer, m); {
	case err == nil:
		return Accepted, nil
	case errors.Is(err, ErrBusy):
		return RefusedBusy, err
	default:
		return Refused, err
	}
}

// report logs one connection.
func (s *server) report(v *visit, outcome string, m *Message, err error) {
	level, msg := slog.LevelWarn, "hello: refused"
	switch outcome {
	case Accepted:
		level, msg = slog.LevelDebug, "hello: accepted"
	case Silent:
		level, msg = slog.LevelDebug, "hello: connection without a message"
	case Panicked:
		level = slog.LevelError
	}
	if !s.Log.Enabled(s.handling, level) {
		return
	}
	attrs := []slog.Attr{slog.Any("peer", v.peer), slog.String("outcome", outcome)}
	var bad *ParseError
	switch {
	case m != nil:
		attrs = append(attrs, slog.String("uuid", m.UUID.String()), slog.String("message", m.String()))
	case errors.As(err, &bad) && bad.Header != nil:
		attrs = append(attrs, slog.String("uuid", bad.Header.UUID.String()), slog.Int("version", int(bad.Header.Version)))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	s.log(level, msg, attrs...)
}
