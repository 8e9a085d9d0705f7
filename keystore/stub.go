package keystore

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/seal"
)

// Act names a move, as in the table of moves.
type Act string

// Store draws, seals and moves pairs. It holds no database and is safe for
// concurrent use once its fields are set.
type Store struct {
	Now    func() time.Time // the clock; New sets time.Now
	Rand   io.Reader        // cryptographically strong; New sets crypto/rand.Reader
	sealer *seal.Keyset
}

// New makes a Store over a keyset.
func New(sealer *seal.Keyset) *Store { panic("not yet") }

// Draw draws n pairs with different PIDs, and for each a password by calling
// password (nil: none). CurrentPassword is amt.FactoryPassword. Whether the PIDs
// are new is for Add to say.
func (s *Store) Draw(n int, password func() (amt.Secret, error)) ([]Record, error) { panic("not yet") }

// Prepare checks and seals records: the costly part, outside of transactions.
// The error is ErrRecord.
func (s *Store) Prepare(recs []Record) ([]Prepared, error) { panic("not yet") }

// CreateBatch stores a new batch. CreatedAt zero means now.
func (s *Store) CreateBatch(tx kv.Tx, b Batch) error { panic("not yet") }

// UpdateBatch replaces what is stored of a batch, except its name, CreatedAt,
// CreatedBy and RetiredAt.
func (s *Store) UpdateBatch(tx kv.Tx, b Batch) error { panic("not yet") }

// Batch returns a batch with its counts, or ErrNoBatch.
func (s *Store) Batch(r kv.Reader, name string) (Batch, error) { panic("not yet") }

// Batches lists batches by name and returns the token of the next page, empty
// after the last.
func (s *Store) Batches(r kv.Reader, p Page) ([]Batch, string, error) { panic("not yet") }

// RetireBatch marks the batch as retired, so that nothing is added any more. Its
// pairs are retired one by one: see RetirePairs.
func (s *Store) RetireBatch(tx kv.Tx, name string, m Move) error { panic("not yet") }

// Add stores records in an existing batch. A known pair is left as it is. With
// any conflict the error is ErrConflict and the report names the PIDs: return
// the error to keep nothing of the call, then draw them again or leave them out.
func (s *Store) Add(tx kv.Tx, batch string, recs []Prepared, m Move) (AddReport, error) {
	panic("not yet")
}

// Reserve stores a fresh pair for the next set-up of the device uuid. batch may be empty.
// The error is ErrConflict when the PID is in the store, with whatever PPS.
func (s *Store) Reserve(tx kv.Tx, uuid amt.UUID, rec Prepared, batch string, m Move) error {
	panic("not yet")
}

// Get returns a pair without its secrets, or ErrUnknownPID.
func (s *Store) Get(r kv.Reader, pid amt.PID) (Key, error) { panic("not yet") }

// Secrets opens the secrets of a pair, in whatever state, or returns ErrUnknownPID.
func (s *Store) Secrets(r kv.Reader, pid amt.PID) (Secrets, error) { panic("not yet") }

// History returns the story of a pair, oldest first: the first change and the
// latest 30; dropped says how many are gone between them.
func (s *Store) History(r kv.Reader, pid amt.PID) (changes []Change, dropped int, err error) {
	panic("not yet")
}

// List returns the pairs that f selects, by PID, and the token of the next
// page, empty after the last.
func (s *Store) List(r kv.Reader, f Filter, p Page) ([]Key, string, error) { panic("not yet") }

// Counts returns the number of pairs by state. All states are in it.
func (s *Store) Counts(r kv.Reader) (map[State]int, error) { panic("not yet") }

// Claim gives the pair to the device uuid, which has proved to hold it:
// Available, or Reserved for uuid, becomes Claimed. It is idempotent for the
// same device. Errors: ErrUnknownPID, ErrHeld, ErrSpent, ErrRevoked, ErrRetired, ErrUUID.
func (s *Store) Claim(tx kv.Tx, pid amt.PID, uuid amt.UUID, m Move) error { panic("not yet") }

// Spend ends the use of a claimed pair after its set-up. Idempotent.
func (s *Store) Spend(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// Revoke withdraws an Available, Reserved or Claimed pair, exported or not. Idempotent.
func (s *Store) Revoke(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// Retire withdraws an Available pair with its batch, or a Reserved one with its
// device. Idempotent.
func (s *Store) Retire(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// Restore makes a Retired pair, or one that came as used, Available again,
// unless a device ever held it.
func (s *Store) Restore(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// MarkExported records that an Available pair was handed out; ErrExported when it was
// before.
func (s *Store) MarkExported(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// MarkExportedAgain is MarkExported for a pair that may have been handed out before.
func (s *Store) MarkExportedAgain(tx kv.Tx, pid amt.PID, m Move) error { panic("not yet") }

// CheckInvariants reports the first thing that is wrong with the tables: an
// index or a count, a pair without a required holder, a secret that does not
// open.
func (s *Store) CheckInvariants(r kv.Reader) error { panic("not yet") }

// Import is a list of pairs on its way into a batch.
type Import struct {
	Batch Batch // made when there is none of this name
	Move  Move
	// Finish, if set, runs in the transaction that makes the import visible;
	// its error undoes the import.
	Finish func(tx kv.Tx, report AddReport) error
	// Conflicts says what a conflict does: false ends the import with
	// ErrConflict and nothing is kept, true leaves the pair out.
	SkipConflicts bool
}

// Import stores the records of seq, any number of them, all or nothing: other
// readers see none before they see all. An error of seq ends it with that error. After a crash Sweep
// removes what was written.
func (s *Store) Import(ctx context.Context, db kv.Store, im Import, seq iter.Seq2[Record, error]) (AddReport, error) {
	panic("not yet")
}

// Generate draws n pairs and stores them as Import does; PIDs that are taken
// are drawn again. password is as in Draw.
func (s *Store) Generate(ctx context.Context, db kv.Store, im Import, n int, password func() (amt.Secret, error)) (AddReport, error) {
	panic("not yet")
}

// Sweep removes what aborted imports left: all of them with all, which is right
// when nothing else works on the store, else those whose lease ran out.
func (s *Store) Sweep(ctx context.Context, db kv.Store, all bool) (removed int, err error) {
	panic("not yet")
}

// Exported is a pair as an export hands it out.
type Exported struct {
	PID     amt.PID
	Secrets Secrets
}

// Export is an export under way.
type Export struct {
	ID      uint64
	Batch   string
	Again   bool // with pairs that were exported before
	Pairs   int  // handed out so far
	BegunAt time.Time
	BegunBy string
	Why     string
}

// Errors of exports.
var (
// (in export.go)
)

// BeginExport stores the intention to export the Available pairs of a batch.
func (s *Store) BeginExport(tx kv.Tx, batch string, again bool, m Move) (Export, error) {
	panic("not yet")
}

// ExportNext hands out the next n (at most 1000) pairs of an export by PID, none after the
// last. They are noted in the store, so use them after the commit only.
func (s *Store) ExportNext(tx kv.Tx, id uint64, n int) ([]Exported, error) { panic("not yet") }

// FinishExport ends an export: with written its pairs count as exported, else they are as
// before. It works in several transactions and is idempotent; it returns the number of pairs marked.
func (s *Store) FinishExport(ctx context.Context, db kv.Store, id uint64, written bool, m Move) (int, error) {
	panic("not yet")
}

// Exports lists the exports that were begun and not finished.
func (s *Store) Exports(r kv.Reader) ([]Export, error) { panic("not yet") }
