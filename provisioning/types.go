package provisioning

import (
	"errors"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// Errors of operators' calls.
var (
	// ErrNoDevice is returned when no device has this UUID.
	ErrNoDevice = errors.New("no device has this UUID")
	// ErrNoWorkflow is returned when there is no such workflow.
	ErrNoWorkflow = errors.New("no such workflow")
	// ErrNoInboxRow is returned when the inbox has no such row.
	ErrNoInboxRow = errors.New("no such row in the inbox")
	// ErrNoProfile is returned when there is no such profile.
	ErrNoProfile = errors.New("no such profile")
	// ErrState is returned when a workflow's status does not allow the call.
	ErrState = errors.New("the workflow's status does not allow this")
	// ErrPairNeeded is returned when a device stands in the inbox with several new
	// pairs: a person has to name the one that is let in.
	ErrPairNeeded = errors.New("several new pairs of the device wait in the inbox")
	// ErrNameTaken is returned when another device has the FQDN.
	ErrNameTaken = errors.New("another device has this FQDN")
	// ErrName is returned for text that is no FQDN a device can have.
	ErrName = errors.New("not a host name with its domain")
	// ErrUUID is returned for a UUID of all zeros or all ones.
	ErrUUID = errors.New("this UUID means that the PC has none")
	// ErrPageToken is returned for a token that no List gave out.
	ErrPageToken = errors.New("not a page token")
	// ErrEventsGone is returned when events behind the sequence asked for were
	// pruned: list, and go on behind EventBounds' last.
	ErrEventsGone = errors.New("the events behind this sequence are no longer kept")
	// ErrProfile is returned for a profile that cannot be applied; the error
	// names place and field.
	ErrProfile = errors.New("profile refused")
)

// Errors of the engine's own work.
var (
	// ErrFenced is returned to a worker whose workflow was taken by another.
	ErrFenced = errors.New("another worker has taken this workflow")
	// ErrNotIssued is to be wrapped by an Issuer that refuses a request for good:
	// asking again is of no use.
	ErrNotIssued = errors.New("the certificate is refused")
	// ErrStopped is returned by Hello when the engine has stopped.
	ErrStopped = errors.New("the engine has stopped")
)

// Act says who wants a change and why. Also, if set, runs in the transaction of
// the change, behind it: an audit entry belongs there. It may run several times,
// and its error undoes the change.
type Act struct {
	Who, Why string
	Also     func(tx kv.Tx) error
}

// Page asks for a part of a list. Size 0 means 100, and 1000 is the most. Token
// is what the page before returned, empty for the first. A page may be short,
// even empty, and still have a token behind it.
type Page struct {
	Size  int
	Token string
}

// Device is a PC, with how far its latest workflow has come.
type Device struct {
	UUID      amt.UUID
	CreatedAt time.Time
	ChangedAt time.Time

	FQDN            string // what it has, else what it was assigned
	AssignedFQDN    string // by a person
	Profile         string // what it has, else what it was assigned
	AssignedProfile string // by a person
	AssignedBatch   string // by a person
	ProfileVersion  uint64

	PID            amt.PID // the pair it holds or used last; zero for none
	NextPID        amt.PID // of its next set-up; zero for none
	NextPIDInDoubt bool    // the answer to SetTLSPSK was lost
	NeedsVisit     bool    // it took no pair for its next set-up

	Address     string // that answered last, with its port
	Realm       string
	Version     amt.Version
	HelloAt     time.Time  // of the latest hello that was let in
	Certificate []byte     // in use, DER; nil for none
	Serial      amt.Serial // of Certificate
	NotAfter    time.Time  // of Certificate

	Operational   bool // proven so, and nothing since has shown it in set-up
	OperationalAt time.Time

	Workflow string // ID of its latest workflow; empty for none
	State    State  // of that workflow; 0 for none
	Status   Status // of that workflow
	Step     string // that it is at
	Reason   Reason // why it waits or failed
	Detail   string // what was seen
	Since    time.Time
	NextTry  time.Time // zero: a hello or a person wakes it
}

// DeviceFilter selects devices; zero fields select all. State, Status and
// FQDNPrefix are indexed; Profile is applied to what they select.
type DeviceFilter struct {
	State      State
	Status     Status
	Profile    string
	FQDNPrefix string // in any case; the list is then in the order of names
}

// Workflow is one set-up of a device.
type Workflow struct {
	ID        string // UUID, a slash, Number
	UUID      amt.UUID
	Number    uint64 // counts the device's workflows from 1
	Kind      amt.Kind
	State     State
	Status    Status
	Step      string // that it is at, as in docs/lifecycle.md
	Reason    Reason
	Detail    string
	NextTry   time.Time // zero: a hello or a person wakes it
	Tries     int       // of the present step that failed
	CreatedAt time.Time
	ChangedAt time.Time
	Since     time.Time // since when state and status are so
	EndedAt   time.Time // zero: it has not
	PID       amt.PID
	Profile   string
	FQDN      string
	Rewinds   int
	Who, Why  string // of the latest pause, cancellation or retry
	Calls     []Intention
}

// Intention is a call that cannot be repeated blindly, and what is known of it.
type Intention struct {
	Step    string
	Call    string
	State   string // "pending", "done", "refused", "lost" or "resolved"
	At      time.Time
	Outcome string
}

// WorkflowFilter selects workflows; zero fields select all. UUID, State and
// Status are indexed; with UUID the others are applied to what it selects.
type WorkflowFilter struct {
	UUID   amt.UUID
	State  State
	Status Status
}

// InboxRow is a hello, or many alike, that led to no workflow, or a device whose
// workflow waits for a person.
type InboxRow struct {
	ID      string
	UUID    amt.UUID // as it was named: anyone can name any
	PID     amt.PID  // as it was named; zero in a PKI hello
	Reason  Reason
	Detail  string
	Peer    string // of the latest
	Count   uint64
	FirstAt time.Time
	LastAt  time.Time
	Retry   uint32 // of the latest hello
}

// InboxFilter selects rows; Reason is applied to all rows.
type InboxFilter struct{ Reason Reason }

// EventType says what happened.
type EventType string

// The types of events. They are stored and part of the API: do not rename them.
const (
	StateChanged      EventType = "StateChanged"      // a workflow came to a state
	StatusChanged     EventType = "StatusChanged"     // it waits, failed, goes on, ended
	SetupStarted      EventType = "SetupStarted"      // a workflow began
	PairClaimed       EventType = "PairClaimed"       // the device proved to hold a pair
	PairSpent         EventType = "PairSpent"         // its set-up is done
	NextPairStored    EventType = "NextPairStored"    // before it is sent
	NextPairSet       EventType = "NextPairSet"       // the device took it
	NextPairRefused   EventType = "NextPairRefused"   // the next set-up needs a visit
	DuplicatePairSeen EventType = "DuplicatePairSeen" // a second PC proved to hold a pair
	PasswordStored    EventType = "PasswordStored"    // before it is sent
	PasswordSet       EventType = "PasswordSet"       // the device has it
	MEBxPasswordKept  EventType = "MEBxPasswordKept"  // the device's policy kept the old one
	CertificateIssued EventType = "CertificateIssued" // and stored
	// CertificatesSuperseded tells that those of earlier set-ups were revoked.
	CertificatesSuperseded EventType = "CertificatesSuperseded"
	Rewound                EventType = "Rewound"        // a workflow went back to an earlier step
	DeviceAssigned         EventType = "DeviceAssigned" // a person gave it name or profile
	PairAdmitted           EventType = "PairAdmitted"   // a person lets an Operational device in with a new pair
	ProfileApplied         EventType = "ProfileApplied" // a new version of a profile
)

// Event is one entry of the event log.
type Event struct {
	Sequence uint64
	At       time.Time
	Type     EventType
	UUID     amt.UUID // zero for an event of the server
	Workflow string   // its ID; empty for none
	FQDN     string
	PID      amt.PID // if one matters, else zero
	State    State
	Status   Status
	Step     string
	Reason   Reason
	Message  string
	Who      string // the person who caused it; empty for the server itself
}

// EventFilter selects events; a zero UUID selects all. It is indexed.
type EventFilter struct{ UUID amt.UUID }

// Password is a password that may log in to a device.
type Password struct {
	Account  string // "admin", "MEBx", or a digest user's name
	Version  string // "current", "pending" or "previous"
	Password amt.Secret
	At       time.Time // when it was stored
	// Doubtful says that the device may have this one or another of the account:
	// one of them is in use.
	Doubtful bool
}

// ProfileVersion is one version of a profile as it is kept.
type ProfileVersion struct {
	Name        string
	Version     uint64 // 0 for the built-in default
	Description string
	Document    []byte // YAML with its defaults, without passwords
	At          time.Time
	Who, Why    string
}
