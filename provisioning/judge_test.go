package provisioning

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

func TestJudgeKnown(t *testing.T) {
	t.Parallel()
	own, next, other := amt.PID{1}, amt.PID{2}, amt.PID{3}
	holds := []amt.PID{own, next}
	tests := []struct {
		name string
		d    facts
		pid  amt.PID
		want verdict
	}{
		{"named only", facts{}, own, verdict{}},
		{"running, its pair", facts{status: Running, holds: holds}, own, verdict{known: true}},
		{"running, its next pair", facts{status: Running, holds: holds}, next, verdict{known: true}},
		{"running, another pair", facts{status: Running, holds: holds}, other, verdict{known: true}},
		{"waiting for the device, its pair", facts{status: Waiting, holds: holds, reason: NoAnswer}, own, verdict{known: true, wake: true}},
		{"its commit unproven, its next pair", facts{status: Waiting, holds: holds, reason: CommitUnproven}, next, verdict{known: true, wake: true}},
		{"waiting for a busy firmware, its pair", facts{status: Waiting, holds: holds, reason: DeviceBusy}, own, verdict{known: true}},
		{"waiting for a name, its pair", facts{status: Waiting, holds: holds, reason: NameNeeded}, own, verdict{known: true}},
		{"waiting for a profile, its pair", facts{status: Waiting, holds: holds, reason: ProfileMissing}, own, verdict{known: true}},
		{"waiting, another pair", facts{status: Waiting, holds: holds}, other, verdict{}},
		{"paused, another pair", facts{status: Paused, holds: holds}, other, verdict{known: true}},
		{"failed, its pair", facts{status: Failed, holds: holds}, own, verdict{known: true}},
		{"failed, another pair", facts{status: Failed, holds: holds}, other, verdict{}},
		{"cancelled", facts{status: Cancelled, reason: ByOperator, holds: holds}, own, verdict{reason: SetupCancelled}},
		{"cancelled, another pair", facts{status: Cancelled, reason: ByOperator, holds: holds}, other, verdict{reason: SetupCancelled}},
		{"Operational, its next pair", facts{status: Done, operational: true, holds: holds}, next, verdict{}},
		{"Operational, another pair", facts{status: Done, operational: true, holds: holds}, other, verdict{reason: AlreadyOperational}},
		{"Operational, an admitted pair", facts{status: Done, operational: true, holds: holds, admitted: other}, other, verdict{}},
	}
	for _, tt := range tests {
		if got := judgeKnown(tt.d, keystore.Key{}, tt.pid); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	status := func(n wsman.PTStatus) error { return &wsman.StatusError{Call: "C.M", Status: n} }
	refusedDial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	tests := []struct {
		err    error
		reason Reason
		retry  bool
	}{
		{because(KeyRefused, io.EOF), KeyRefused, false},
		{perhaps(KeyRefused, io.EOF), KeyRefused, true},
		{fmt.Errorf("around: %w", silence(io.EOF)), NoAnswer, true},
		{wsman.ErrUnauthorized, PasswordNotProven, false},
		{wsman.ErrNoWSMan, FirmwareSpeaksSOAPOnly, false},
		{wsman.ErrUnexpectedReply, UnexpectedAnswer, false},
		{wsman.ErrLost, NoAnswer, true},
		{kv.ErrClosed, StoreFailed, true},
		{status(2), DeviceBusy, true},
		{status(2082), DeviceBusy, true},
		{status(16), NotPermitted, false},
		{status(38), FlashWriteLimit, false},
		{status(2075), AuditBlocked, false},
		{status(2076), AuditBlocked, false},
		{status(36), UnexpectedAnswer, false},
		{tlspsk.ErrKeyMismatch, KeyMismatch, true},
		{tlspsk.ErrUnknownIdentity, PIDUnknownToDevice, true},
		{tlspsk.ErrNoSharedSuite, NoPSK, true},
		{tlspsk.ErrProtocol, TLSFailed, true},
		{refusedDial, NoAnswer, true},
		{context.DeadlineExceeded, NoAnswer, true},
		{errors.New("anything"), UnexpectedAnswer, false},
	}
	for _, tt := range tests {
		f := classify(fmt.Errorf("doing it: %w", tt.err))
		if f.reason != tt.reason || f.retry != tt.retry || !errors.Is(f, tt.err) {
			t.Errorf("%v: got %s, retry %t, want %s, %t", tt.err, f.reason, f.retry, tt.reason, tt.retry)
		}
		if _, ok := reasonIndex[f.reason]; !ok {
			t.Errorf("%v: %s is not in the table", tt.err, f.reason)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	status := func(n wsman.PTStatus) error { return &wsman.StatusError{Call: "C.M", Status: n} }
	for _, tt := range []struct {
		err  error
		want Reason
	}{
		{status(36), KeyRefused},
		{status(16), KeyRefused},
		{status(2), DeviceBusy},
		{status(38), FlashWriteLimit},
		{wsman.ErrLost, NoAnswer},
		{wsman.ErrUnauthorized, PasswordNotProven},
		{because(KeyGenerationBusy, io.EOF), KeyGenerationBusy},
	} {
		if got := classify(refused(KeyRefused, tt.err)).reason; got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.err, got, tt.want)
		}
	}
	if refused(KeyRefused, nil) != nil {
		t.Error("no error became one")
	}
}

func TestTLSFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err    error
		reason Reason
		psk    bool // worth asking over TLS-PSK
	}{
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, DeviceCertificateWrong, false},
		{tls.AlertError(40), CommitUnproven, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, CommitUnproven, true},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, CommitUnproven, true},
		{io.EOF, CommitUnproven, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, NoAnswer, false},
		{context.DeadlineExceeded, NoAnswer, false},
	}
	for _, tt := range tests {
		err := tlsFailure(netip.AddrPort{}, fmt.Errorf("handshake: %w", tt.err))
		f := classify(err)
		if f.reason != tt.reason || errors.Is(err, errNoCertificateTLS) != tt.psk || !f.retry {
			t.Errorf("%v: got %s, retry %t, PSK %t", tt.err, f.reason, f.retry, errors.Is(err, errNoCertificateTLS))
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	e := &Engine{cfg: Config{Timing: Timing{RetryMin: time.Second, RetryMax: time.Minute}}}
	for n, least := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 7: time.Minute, 1000: time.Minute} {
		for range 50 {
			if got := e.backoff(n); got < least || got > least+least/4 {
				t.Errorf("try %d: got %v, want %v to a quarter more", n, got, least)
			}
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		if got, err := ParseState(strings.ToUpper(s.String())); err != nil || got != s {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	for _, s := range Statuses() {
		if got, err := ParseStatus(strings.ToLower(s.String())); err != nil || got != s {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	if _, err := ParseState("Nowhere"); err == nil || !strings.Contains(err.Error(), "Certified") {
		t.Errorf("got %v, want the list of states", err)
	}
	if State(99).String() != "unknown state (99)" || Status(99).String() != "unknown status (99)" || State(0).String() != "None" || Status(0).String() != "None" {
		t.Error("a state without a name")
	}
}

func TestInboxIDs(t *testing.T) {
	t.Parallel()
	key := rowKey{randomUUID(), amt.PID{'A', 0, 0xff}}
	if got, err := parseRowID(rowID(key)); err != nil || got != key {
		t.Errorf("got %v, %v", got, err)
	}
	for _, id := range []string{"", "x", rowID(key)[1:], rowID(key) + "0", strings.Replace(rowID(key), "/", "-", 1), rowID(key)[:50] + "zzz"} {
		if _, err := parseRowID(id); !errors.Is(err, ErrNoInboxRow) {
			t.Errorf("%q: got %v", id, err)
		}
	}
}
