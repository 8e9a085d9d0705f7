package wsman

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of calls; test with errors.Is.
var (
	// ErrUnauthorized is returned when the device refuses the credentials. The
	// client then sends nothing more until SetCredentials, so that firmware does
	// not lock the account.
	ErrUnauthorized = errors.New("the device refuses the user name or password")
	// ErrUnexpectedReply is returned for an answer that is no WS-Man reply to the
	// call: another body, no ReturnValue, HTML, nothing, too long, or not XML. For
	// a call that must not be repeated the error is ErrLost as well.
	ErrUnexpectedReply = errors.New("unexpected reply")
	// ErrLost is returned when a call that must not be repeated was sent and no
	// usable answer came: its effect is unknown. It wraps the cause too.
	ErrLost = errors.New("the call was sent and its effect is unknown")
	// ErrUnreachable is returned when no connection could be had or no answer came
	// on it, after the allowed repetitions. It wraps the cause too.
	ErrUnreachable = errors.New("no answer from the device")
	// ErrBusy is returned when the device still answers HTTP 503 after the allowed
	// repetitions.
	ErrBusy = errors.New("the device is busy (HTTP 503)")
	// ErrNoWSMan is returned when the device does not serve WS-Man: POST /wsman
	// gives 404, or the device closes each connection without an answer before it
	// has ever given one. AMT 2.x, which speaks only SOAP, does that.
	ErrNoWSMan = errors.New("the device serves no WS-Man")
	// ErrArgument is returned, before anything is sent, for an argument that
	// cannot stand in a request.
	ErrArgument = errors.New("bad argument")
	// ErrClosed is returned by calls on a closed client.
	ErrClosed = errors.New("client is closed")
)

// Fault is a SOAP fault. Intrinsic operations (Get, Put, Create, Delete,
// Enumerate, Pull) fail by fault; so does a call on a class that the firmware
// lacks.
type Fault struct {
	Call     string   // such as "AMT_TLSSettingData.Put"
	Status   int      // HTTP status: 400 for a Sender fault, 500 for a Receiver fault
	Code     string   // local name of the code: "Sender" or "Receiver"
	Subcode  string   // local name of the subcode: "AlreadyExists", "DestinationUnreachable"
	Reason   string   // the device's text, at most 200 bytes
	PTStatus PTStatus // from a detail "AMT-STATUS n"; 0 if there is none
}

// Error names the call, the subcode and the device's reason.
func (f *Fault) Error() string {
	s := fmt.Sprintf("%s: fault %q %q on HTTP %d: %q", f.Call, f.Code, f.Subcode, f.Status, f.Reason)
	if f.PTStatus != 0 {
		s += ": " + f.PTStatus.String()
	}
	return s
}

// StatusError is a ReturnValue other than 0.
type StatusError struct {
	Call   string   // such as "AMT_SetupAndConfigurationService.CommitChanges"
	Status PTStatus // without the 32768 of vendor values
	// Vendor says that the device answered 32768+Status, as standard CIM methods
	// do for a PT status.
	Vendor bool
	// Standard says that Status is a value of the CIM method itself (1 not
	// supported, 2 failed, 4096 job started) and no PT status.
	Standard bool
}

// Error names the call and the status.
func (e *StatusError) Error() string {
	if e.Standard {
		return fmt.Sprintf("%s: CIM return value %d", e.Call, uint32(e.Status))
	}
	return e.Call + ": " + e.Status.String()
}

// statusError makes the error of a ReturnValue. Standard CIM methods, of which
// set-up uses RequestStateChange alone, give PT statuses as 32768+n (Intel,
// errors and return values).
func statusError(call string, value uint32) *StatusError {
	if value > 32768 && value < 65536 {
		return &StatusError{Call: call, Status: PTStatus(value - 32768), Vendor: true}
	}
	standard := strings.HasPrefix(call, "CIM_") || strings.HasSuffix(call, ".RequestStateChange")
	return &StatusError{Call: call, Status: PTStatus(value), Standard: standard}
}

// StatusOf returns the PT status that err carries, if any.
func StatusOf(err error) (PTStatus, bool) {
	if s, ok := errors.AsType[*StatusError](err); ok {
		return s.Status, !s.Standard
	}
	if f, ok := errors.AsType[*Fault](err); ok && f.PTStatus != 0 {
		return f.PTStatus, true
	}
	return 0, false
}

// IsTemporary reports whether the same call may succeed later: ErrUnreachable,
// ErrBusy, or a status of class Retry. ErrLost is not temporary: read the state
// back first. What Dial returned counts only if it is a network error.
func IsTemporary(err error) bool {
	if errors.Is(err, ErrLost) || errors.Is(err, ErrNoWSMan) {
		return false
	}
	if s, ok := StatusOf(err); ok {
		return s.Class() == Retry
	}
	if d, ok := errors.AsType[*dialError](err); ok {
		return d.temporary
	}
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy)
}

// IsDuplicate reports whether err says that the thing is there already: fault
// AlreadyExists or status 2058. The caller verifies.
func IsDuplicate(err error) bool {
	if s, ok := StatusOf(err); ok && s.Class() == AlreadyDone {
		return true
	}
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Subcode == "AlreadyExists"
}

// IsAbsent reports whether err says that the firmware has no such class, method
// or instance: status 2066 or 2068, or a fault on HTTP 400 without a status that
// is not AlreadyExists or AccessDenied. Old firmware answers HTTP 400 with
// several subcodes for a class it lacks.
func IsAbsent(err error) bool {
	if s, ok := StatusOf(err); ok {
		return s == 2066 || s == 2068
	}
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Status == 400 && f.Subcode != "AlreadyExists" && f.Subcode != "AccessDenied"
}
