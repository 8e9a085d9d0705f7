package provisioning

import (
	"context"
	"net"
	"net/netip"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

func systemAddresses() ([]netip.Addr, error) { _, err := net.InterfaceAddrs(); return nil, err }

// Engine takes devices from their hellos to Operational. Its methods are safe
// for concurrent use. Lists and changes work without Run; hellos are followed
// and workflows advance only while Run runs.
type Engine struct{ cfg Config }

// New checks c and reads the store; nothing is dialled before Run.
func New(c Config) (*Engine, error) { panic("not yet") }

// Run works until ctx is done: it follows hellos, takes up the workflows that
// the store holds, prunes events. Steps under way then get Timing.Stop to end.
func (e *Engine) Run(ctx context.Context) error { panic("not yet") }

// Hello takes a hello in: it is a hello.Handler. It returns as soon as the
// hello is queued; it is stored within 50 ms on a working disk. The error is
// hello.ErrBusy when the queue is full.
func (e *Engine) Hello(ctx context.Context, peer netip.AddrPort, m *hello.Message) error {
	panic("not yet")
}

// Flush waits until every hello that was queued before the call is stored.
func (e *Engine) Flush(ctx context.Context) error { panic("not yet") }

// Device returns a device, or ErrNoDevice.
func (e *Engine) Device(ctx context.Context, uuid amt.UUID) (Device, error) { panic("not yet") }

// DevicePage is a page of devices.
type DevicePage struct {
	Devices  []Device
	Next     string // token of the next page; empty after the last
	Sequence uint64 // of the last event when the page was read
}

// Devices lists devices by UUID (by FQDN when FQDNPrefix is set).
func (e *Engine) Devices(ctx context.Context, f DeviceFilter, p Page) (DevicePage, error) {
	panic("not yet")
}

// Assignment is what a person decides for a device; empty fields leave it to
// the profile, the batch, the default.
type Assignment struct{ FQDN, Profile string }

// Assign replaces a device's assignment, before or after its first hello, and
// wakes a workflow that waits for it. An Operational device gets it at its next
// set-up. Errors: ErrUUID, ErrName, ErrNameTaken, ErrNoProfile.
func (e *Engine) Assign(ctx context.Context, act Act, uuid amt.UUID, as Assignment) (Device, error) {
	panic("not yet")
}

// Retry puts a waiting, paused, failed or cancelled workflow back to work with
// the profile and name as they are now, or lets in the new pair of a device that
// stands in the inbox as AlreadyOperational. Errors: ErrNoDevice, ErrState.
func (e *Engine) Retry(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	panic("not yet")
}

// Pause holds a running or waiting workflow back once its present call is done.
// Errors: ErrNoDevice, ErrState.
func (e *Engine) Pause(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	panic("not yet")
}

// Cancel ends an open workflow once its present call is done; the device stays
// as it is then, and its next hello waits in the inbox. Errors: ErrNoDevice, ErrState.
func (e *Engine) Cancel(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	panic("not yet")
}

// Passwords opens every password that may log in to the device; act.Also is
// where the revealing is audited, and nothing is returned unless it commits.
func (e *Engine) Passwords(ctx context.Context, act Act, uuid amt.UUID) ([]Password, error) {
	panic("not yet")
}

// Workflow returns a workflow by its ID, or a device's latest by its UUID.
// Errors: ErrNoWorkflow.
func (e *Engine) Workflow(ctx context.Context, id string) (Workflow, error) { panic("not yet") }

// Workflows lists workflows by UUID and number.
func (e *Engine) Workflows(ctx context.Context, f WorkflowFilter, p Page) ([]Workflow, string, error) {
	panic("not yet")
}

// Inbox lists the inbox, the latest first.
func (e *Engine) Inbox(ctx context.Context, f InboxFilter, p Page) ([]InboxRow, string, error) {
	panic("not yet")
}

// Dismiss removes a row of the inbox; the next such hello makes a new one.
// Errors: ErrNoInboxRow.
func (e *Engine) Dismiss(ctx context.Context, act Act, id string) error { panic("not yet") }

// Events lists events behind the sequence after, at most limit (0: 100), in
// their order. scanned is the sequence up to which the log was looked at, to be
// the next after. ErrEventsGone says that some behind after are kept no longer.
func (e *Engine) Events(ctx context.Context, after uint64, f EventFilter, limit int) (events []Event, scanned uint64, err error) {
	panic("not yet")
}

// EventBounds returns the sequences of the oldest kept event and of the last
// one; oldest is last+1 when none is kept.
func (e *Engine) EventBounds(ctx context.Context) (oldest, last uint64, err error) {
	panic("not yet")
}

// Changed is kv.Store's: ask for it, read, then wait.
func (e *Engine) Changed(ctx context.Context) <-chan struct{} { return e.cfg.Store.Changed(ctx) }

// ApplyProfile checks a document and stores it as the next version of the
// profile name (empty: the name in the document) unless it says what is stored
// already, or dryRun is set. source is what messages call the document.
// Errors: ErrProfile.
func (e *Engine) ApplyProfile(ctx context.Context, act Act, doc ProfileDocument) (p ProfileVersion, changed bool, err error) {
	panic("not yet")
}

// ProfileDocument is a profile to be applied.
type ProfileDocument struct {
	Name   string // empty: the one in the document
	Source string // what messages call it, such as a file's name
	YAML   []byte // or JSON
	DryRun bool   // check, and store nothing
}

// Profile returns a profile's version in force; "default" is built in until it
// is applied. Errors: ErrNoProfile.
func (e *Engine) Profile(ctx context.Context, name string) (ProfileVersion, error) {
	panic("not yet")
}

// Profiles lists the profiles' versions in force by name, without documents.
func (e *Engine) Profiles(ctx context.Context, p Page) ([]ProfileVersion, string, error) {
	panic("not yet")
}

// Statistics are numbers for metrics.
type Statistics struct {
	HelloQueue    int // hellos that wait to be stored
	Attempts      int // kept
	AttemptQueue  int // of them waiting for a worker
	Inbox         int // rows
	Workers       int // workflows being worked on
	WorkflowQueue int // due workflows that wait for a worker
	Devices       map[State]map[Status]int
	LastEvent     uint64
}

// Statistics counts; it reads index rows of all devices, so do not call it more
// often than every few seconds.
func (e *Engine) Statistics(ctx context.Context) (Statistics, error) { panic("not yet") }

// CheckInvariants reports the first thing that is wrong with the engine's
// tables, by themselves and beside the pairs.
func CheckInvariants(r kv.Reader, keys *keystore.Store) error { panic("not yet") }
