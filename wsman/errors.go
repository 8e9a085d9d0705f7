package wsman

import (
	"errors"
	"fmt"
)

// Errors of calls; test with errors.Is.
var (
	// ErrUnauthorized is returned when the device refuses the credentials. The
	// client then sends nothing more until SetCredentials, so that firmware does
	// not lock the account.
	ErrUnauthorized = errors.New("the device refuses the user name or password")
	// ErrUnexpectedReply is returned for an answer that is no WS-Man reply to the
	// call: another body, no ReturnValue, HTML, nothing, too long, or not XML.
	ErrUnexpectedReply = errors.New("unexpected reply")
	// ErrLost is returned when a call that must not be repeated was sent and no
	// usable answer came: its effect is unknown.
	ErrLost = errors.New("the call was sent and its effect is unknown")
	// ErrNoWSMan is returned when the device does not serve WS-Man at /wsman:
	// AMT 2.x speaks only SOAP.
	ErrNoWSMan = errors.New("the device serves no WS-Man")
	// ErrArgument is returned, before anything is sent, for an argument that
	// cannot stand in a request.
	ErrArgument = errors.New("bad argument")
	// ErrClosed is returned by calls on a closed client.
	ErrClosed = errors.New("client is closed")
)

// Fault is a SOAP fault. Intrinsic operations (Get, Put, Create, Delete,
// Enumerate, Pull) fail by fault; a call on a class that the firmware lacks too.
type Fault struct {
	Call     string   // such as "AMT_TLSSettingData.Put"
	Status   int      // HTTP status: 400 for a Sender fault, 500 for a Receiver fault
	Code     string   // local name of the code: "Sender" or "Receiver"
	Subcode  string   // local name of the subcode: "AlreadyExists", "DestinationUnreachable"
	Reason   string   // the device's text
	PTStatus PTStatus // from a detail "AMT-STATUS n"; 0 if there is none
}

// Error names the call, the subcode and the device's reason.
func (f *Fault) Error() string {
	s := fmt.Sprintf("%s: fault %s/%s (HTTP %d): %q", f.Call, f.Code, f.Subcode, f.Status, f.Reason)
	if f.PTStatus != 0 {
		s += ": " + f.PTStatus.String()
	}
	return s
}

// StatusError is a ReturnValue other than 0.
type StatusError struct {
	Call   string   // such as "AMT_SetupAndConfigurationService.CommitChanges"
	Status PTStatus // without the 32768 of standard CIM methods
	Vendor bool     // the device answered 32768+Status
}

// Error names the call and the status.
func (e *StatusError) Error() string { return e.Call + ": " + e.Status.String() }

// IsTemporary reports whether the same call may succeed later: a transport
// error, HTTP 503, or a status of class Retry. ErrLost is not temporary: read
// the state back first.
func IsTemporary(err error) bool { panic("not yet") }

// IsDuplicate reports whether err says that the thing is there already: fault
// AlreadyExists or status 2058. The caller verifies.
func IsDuplicate(err error) bool { panic("not yet") }

// IsAbsent reports whether err says that the firmware has no such class, method
// or instance: faults DestinationUnreachable, ActionNotSupported,
// InvalidSelectors and any other Sender fault on HTTP 400 without a status.
func IsAbsent(err error) bool { panic("not yet") }

// StatusOf returns the PT status that err carries, if any.
func StatusOf(err error) (PTStatus, bool) { panic("not yet") }
