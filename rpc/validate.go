package rpc

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
)

// Bounds of fields that have no narrower ones of their own.
const (
	maxText     = 256 // bytes of a name, source or place
	maxNotes    = 1024
	maxPage     = 1000
	maxDocument = 256 << 10 // of a profile
	maxCSR      = 16 << 10
)

// violations collects what is wrong with a request, by the path of the field. No
// description repeats a value that may be a secret.
type violations struct {
	list []*errdetails.BadRequest_FieldViolation
}

func (v *violations) add(field, format string, args ...any) {
	v.list = append(v.list, &errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// err is v if it holds anything.
func (v *violations) err() error {
	if len(v.list) == 0 {
		return nil
	}
	return v
}

// Error lists the fields and what is wrong with them.
func (v *violations) Error() string {
	parts := make([]string, len(v.list))
	for i, f := range v.list {
		parts[i] = f.GetField() + ": " + f.GetDescription()
	}
	return strings.Join(parts, "; ")
}

func (v *violations) status() *status.Status {
	return withDetails(status.New(codes.InvalidArgument, v.Error()),
		&errdetails.ErrorInfo{Reason: "InvalidRequest", Domain: Domain, Metadata: map[string]string{}},
		&errdetails.BadRequest{FieldViolations: v.list})
}

func (v *violations) pid(field, s string) amt.PID {
	pid, err := amt.ParsePID(clip(s))
	if err != nil {
		v.add(field, "%v", err)
	}
	return pid
}

func (v *violations) uuid(field, s string) amt.UUID {
	u, err := amt.ParseUUID(clip(s))
	if err != nil {
		v.add(field, "%v", err)
	}
	return u
}

// uuidFilter is uuid for a field that may be empty.
func (v *violations) uuidFilter(field, s string) amt.UUID {
	if s == "" {
		return amt.UUID{}
	}
	return v.uuid(field, s)
}

func (v *violations) serial(field, s string) amt.Serial {
	n, err := amt.ParseSerial(clip(s))
	if err != nil {
		v.add(field, "%v", err)
	}
	return n
}

// text wants printable UTF-8 of at most most bytes; empty is good.
func (v *violations) text(field, s string, most int) string {
	switch {
	case len(s) > most:
		v.add(field, "%d bytes, want at most %d", len(s), most)
	case !utf8.ValidString(s):
		v.add(field, "not UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		v.add(field, "has control characters")
	}
	return s
}

// name is text that must be there.
func (v *violations) name(field, s string) string {
	if s == "" {
		v.add(field, "is missing")
	}
	return v.text(field, s, maxText)
}

// reason is a caller's reason for the audit log.
func (v *violations) reason(s string) { v.text("reason", s, 1024) }

// moment is a time, zero for none.
func (v *violations) moment(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil || t.AsTime().Unix() <= 0 {
		v.add(field, "want a time from 1970 to 9999")
		return time.Time{}
	}
	return t.AsTime()
}

// future is a time that is to come, zero for none.
func (v *violations) future(field string, t *timestamppb.Timestamp, now time.Time) time.Time {
	at := v.moment(field, t)
	if !at.IsZero() && !at.After(now) {
		v.add(field, "the time has passed")
	}
	return at
}

// currentPassword is what MEBx may have: any 32 printable characters.
func (v *violations) currentPassword(field, s string) amt.Secret {
	if len(s) > amt.PasswordMax || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.add(field, "want at most %d printable characters of 7-bit ASCII, and no space first or last", amt.PasswordMax)
	}
	return amt.NewSecretString(s)
}

// page wants a page size from 0 to 1000 and a token of a possible length.
func (v *violations) page(size int32, token string) {
	if size < 0 || size > maxPage {
		v.add("page_size", "%d, want 0 to %d", size, maxPage)
	}
	v.text("page_token", token, 1024)
}

// between wants a number in a range.
func (v *violations) between(field string, n, low, high int64) {
	if n < low || n > high {
		v.add(field, "%d, want %d to %d", n, low, high)
	}
}

// requestID wants 8 to 64 characters of A-Z a-z 0-9 - and _.
func (v *violations) requestID(field, s string) string {
	ok := len(s) >= 8 && len(s) <= 64
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	if !ok {
		v.add(field, "want 8 to 64 characters of A-Z a-z 0-9 - and _")
	}
	return s
}

// known wants an enum value that the .proto file has; 0 is good.
func known[E interface {
	~int32
	fmt.Stringer
}](v *violations, field string, e E, names map[int32]string) E {
	if _, ok := names[int32(e)]; !ok {
		v.add(field, "%d is no value of it", int32(e))
	}
	return e
}
