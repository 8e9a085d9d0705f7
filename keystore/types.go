package keystore

import (
	"errors"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Errors of looking up and moving a pair.
var (
	// ErrUnknownPID is returned when the store has no such pair.
	ErrUnknownPID = errors.New("no pair with this PID is in the store")
	// ErrHeld is returned when another device holds the pair, or it is reserved
	// for another device.
	ErrHeld = errors.New("another device holds this pair")
	// ErrSpent is returned when the set-up that used the pair is done.
	ErrSpent = errors.New("the pair is spent: its set-up is done")
	// ErrRevoked is returned when a person withdrew the pair.
	ErrRevoked = errors.New("the pair is revoked")
	// ErrRetired is returned when the pair was withdrawn with its batch or device.
	ErrRetired = errors.New("the pair is retired")
	// ErrMove is returned for any other move that the table of moves does not have.
	ErrMove = errors.New("the pair cannot be moved so")
	// ErrExported is returned when the pair was exported before.
	ErrExported = errors.New("the pair was exported before")
	// ErrUUID is returned for a holder without a UUID.
	ErrUUID = errors.New("a device without a UUID cannot hold a pair")
)

// Errors of adding pairs.
var (
	// ErrConflict is returned when a PID is in the store with another PPS.
	ErrConflict = errors.New("the PID is in the store with another PPS")
	// ErrContradiction is returned when a list has a PID with different secrets.
	ErrContradiction = errors.New("the PID stands in the list more than once, with different secrets")
	// ErrBusy is returned when a pair belongs to an import that is under way.
	ErrBusy = errors.New("the PID belongs to an import that is under way")
	// ErrRecord is returned for a pair that cannot be stored; the error says why.
	ErrRecord = errors.New("the pair cannot be stored")
)

// Errors of batches.
var (
	// ErrNoBatch is returned when the store has no such batch.
	ErrNoBatch = errors.New("no batch of this name is in the store")
	// ErrBatchExists is returned when the store has a batch of this name.
	ErrBatchExists = errors.New("a batch of this name is in the store already")
	// ErrBatchName is returned for a name that a batch cannot have.
	ErrBatchName = errors.New("batch name refused")
	// ErrBatchExpired is returned when an Available pair of an expired batch is
	// claimed or exported.
	ErrBatchExpired = errors.New("the batch has expired")
	// ErrBatchRetired is returned when pairs are added to a retired batch.
	ErrBatchRetired = errors.New("the batch is retired")
)

// Key is a pair without its secrets. Key.LogValue is its PID.
type Key struct {
	PID       amt.PID
	State     State
	Exported  bool      // it was handed out on a USB key, a sheet or a list
	Batch     string    // empty when it was drawn for a next set-up without one
	Profile   string    // of its batch
	ExpiresAt time.Time // of its batch; filled by Get
	Model     amt.Model // how it reaches its PC
	UUID      amt.UUID  // the holder, zero if none
	CreatedAt time.Time
	ChangedAt time.Time
	Who       string // made the last change
	Why       string // of the last change

	HasCurrentPassword bool // Secrets has CurrentPassword
	HasNewPassword     bool // Secrets has NewPassword
}

// Change is one entry of a pair's story.
type Change struct {
	Move
	Act      Act
	From, To State    // From is 0 in the first
	UUID     amt.UUID // the holder after it
}

// Secrets are what a pair keeps secret.
type Secrets struct {
	PPS amt.Secret // 32 characters without dashes
	// CurrentPassword is what MEBx has before set-up: "admin" on a USB key for
	// new PCs, the list's for OEM batches. Empty when it is not known.
	CurrentPassword amt.Secret
	// NewPassword is what the record sets and what logs in during set-up; for
	// the Manual model the password as it was entered. Empty when not known.
	NewPassword amt.Secret
	// PreviousPassword is the CurrentPassword before a person last set or removed
	// it, which may have been right. Empty when there was none.
	PreviousPassword amt.Secret
}

// Record is a pair on its way into the store.
type Record struct {
	Pair            amt.Pair
	CurrentPassword amt.Secret // see Secrets
	NewPassword     amt.Secret // see Secrets
	// Used says that a set-up with the pair was done elsewhere: it is stored as
	// Spent.
	Used bool
	// Exported says that the pair is in a PC or on a medium already: it is
	// stored as Available, and left out of exports.
	Exported bool
}

// Prepared is a checked Record, sealed for its place in the store.
type Prepared struct {
	pid      amt.PID
	secrets  Secrets
	pps      []byte // sealed
	current  []byte // sealed, nil if empty
	next     []byte // sealed, nil if empty
	used     bool
	exported bool
}

// PID is the public half of the pair.
func (p Prepared) PID() amt.PID { return p.pid }

// Batch is a named lot of pairs.
type Batch struct {
	Name      string
	Profile   string // of devices that were not assigned one of their own
	Source    string // a file's name, "generated"
	Model     amt.Model
	CreatedAt time.Time
	CreatedBy string

	Vendor      string
	OrderNumber string
	Notes       string
	ExpiresAt   time.Time // from then on no Available pair is claimed or exported; zero: never
	RetiredAt   time.Time // zero: it is not

	// CurrentPassword is what MEBx has in PCs whose pair has no CurrentPassword of
	// its own. CreateBatch takes it; it is never filled in: see Store.Secrets.
	CurrentPassword    amt.Secret
	HasCurrentPassword bool
	Files              []BatchFile // that brought pairs, oldest first

	Counts map[State]int // its pairs; filled by Batch and Batches
}

// Expired reports whether the batch's time has come.
func (b Batch) Expired(now time.Time) bool {
	return !b.ExpiresAt.IsZero() && !now.Before(b.ExpiresAt)
}

// Count is the number of pairs of the batch.
func (b Batch) Count() int {
	n := 0
	for _, c := range b.Counts {
		n += c
	}
	return n
}

// Move says who changes something, why and when. Who is required.
type Move struct {
	Who string
	Why string
	At  time.Time // zero: now
}

// AddReport says what became of records.
type AddReport struct {
	Added     int
	Known     int       // in the store already with the same PPS; nothing changed
	Differ    []amt.PID // those of the known whose passwords differ; nothing changed
	Conflicts []amt.PID // in the store with another PPS
	// Those of the known that lack passwords in the store which the list has, and
	// have no other; nothing changed. They are not in Differ.
	Bare []amt.PID
	// Those of the known that are used by the list and available in the store;
	// nothing changed.
	Unused []amt.PID
	// Of an Import: PIDs that the list itself has with different secrets. Their
	// rows are counted nowhere else.
	Contradictions []Contradiction
	// Of an Import: the batches that known pairs are in, in order, at most 20.
	KnownIn []string
}

// LeftOut is how many rows conflicted with the store or with one another.
func (rep AddReport) LeftOut() int {
	n := len(rep.Conflicts)
	for _, c := range rep.Contradictions {
		n += c.Rows
	}
	return n
}

// Page asks for a part of a list.
type Page struct {
	Size  int    // at most so many; 0 means 100, more than 1000 means 1000
	Token string // what the previous page returned; empty for the first
}

// ErrPageToken is returned for a page token that does not belong to the list.
var ErrPageToken = errors.New("the page token does not belong to this list: begin with the first page")

// Filter selects pairs. One index is used: of UUID, else of Batch (with State
// and Exported), else of State. The other fields are compared row by row: since
// a List looks at 1,000 rows or ten times the page's size at most, whichever is
// more, a page may be short, even empty, and yet have a token.
type Filter struct {
	State         State     // 0: any
	Batch         string    // "": any
	UUID          amt.UUID  // zero: any
	Exported      *bool     // nil: any
	CreatedBefore time.Time // zero: any
	CreatedAfter  time.Time // zero: any
	ChangedBefore time.Time // zero: any
	ChangedAfter  time.Time // zero: any
}
