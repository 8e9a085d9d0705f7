package provisioning

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

// failure is an error with the reason that stands in the table of reasons.
type failure struct {
	reason Reason
	// retry says that the same thing may succeed later.
	retry bool
	// silent says that the device did not answer: waiting for it has no bound.
	silent bool
	// after, if not zero, is how long to wait instead of the usual back-off; such
	// waiting has no bound either.
	after time.Duration
	// proven says that the peer that gave rise to it proved to be the device.
	proven bool
	err    error
}

// Error is the text of what happened; the reason is told apart from it.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap is what happened.
func (f *failure) Unwrap() error { return f.err }

// because gives err a reason for which trying again is of no use.
func because(reason Reason, err error) error { return &failure{reason: reason, err: err} }

// perhaps gives err a reason for which trying again may help.
func perhaps(reason Reason, err error) error { return &failure{reason: reason, retry: true, err: err} }

// silence gives err the reason of a device that does not answer.
func silence(err error) error {
	return &failure{reason: NoAnswer, retry: true, silent: true, err: err}
}

// refused sorts the error of a call that a step makes: what the firmware says
// no to has the step's reason, the rest its own.
func refused(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	f := classify(err)
	if f.reason == UnexpectedAnswer || f.reason == NotPermitted && reason != "" {
		f.reason = reason
	}
	return f
}

// classify finds the reason in err, or the reason for it.
func classify(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		same := *f
		same.err = err
		return &same
	}
	switch {
	case errors.Is(err, wsman.ErrUnauthorized):
		return &failure{reason: PasswordNotProven, err: err}
	case errors.Is(err, wsman.ErrNoWSMan):
		return &failure{reason: FirmwareSpeaksSOAPOnly, err: err}
	case errors.Is(err, kv.ErrClosed), errors.Is(err, kv.ErrDamaged), errors.Is(err, kv.ErrIndex):
		return &failure{reason: StoreFailed, retry: true, err: err}
	}
	if s, ok := wsman.StatusOf(err); ok {
		return classifyStatus(s, err)
	}
	if r, ok := pskReason(err); ok {
		return &failure{reason: r, retry: true, silent: true, err: err}
	}
	if errors.Is(err, wsman.ErrLost) || wsman.IsTemporary(err) || isNetwork(err) {
		return &failure{reason: NoAnswer, retry: true, silent: true, err: err}
	}
	return &failure{reason: UnexpectedAnswer, err: err}
}

// classifyStatus sorts a PT status: see wsman.Class.
func classifyStatus(s wsman.PTStatus, err error) *failure {
	switch s {
	case 38:
		return &failure{reason: FlashWriteLimit, err: err}
	case 2075, 2076:
		return &failure{reason: AuditBlocked, err: err}
	}
	switch wsman.Class(s) {
	case wsman.Retry:
		return &failure{reason: DeviceBusy, retry: true, err: err}
	case wsman.Operator:
		return &failure{reason: NotPermitted, err: err}
	default:
		return &failure{reason: UnexpectedAnswer, err: err}
	}
}

// pskReason finds what a failed TLS-PSK handshake means.
func pskReason(err error) (Reason, bool) {
	switch {
	case errors.Is(err, tlspsk.ErrKeyMismatch), errors.Is(err, tlspsk.ErrRefused):
		return KeyMismatch, true
	case errors.Is(err, tlspsk.ErrUnknownIdentity):
		return PIDUnknownToDevice, true
	case errors.Is(err, tlspsk.ErrNoPSK), errors.Is(err, tlspsk.ErrNotTLS), errors.Is(err, tlspsk.ErrNoSharedSuite):
		return NoPSK, true
	case errors.Is(err, tlspsk.ErrNoSharedVersion), errors.Is(err, tlspsk.ErrProtocol), errors.Is(err, tlspsk.ErrRecord):
		return TLSFailed, true
	}
	return "", false
}

// isNetwork reports whether err comes from the network rather than the device.
func isNetwork(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, context.DeadlineExceeded)
}
