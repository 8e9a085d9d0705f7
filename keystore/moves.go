package keystore

import (
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Act names what is done to a pair. It is stored in the pair's story.
type Act string

// The acts.
const (
	ActAdd      Act = "add"          // comes into the store
	ActAddUsed  Act = "add used"     // comes into the store with its set-up done
	ActReserve  Act = "reserve"      // comes into the store for one device's next set-up
	ActExport   Act = "export"       // is handed out
	ActReexport Act = "export again" // is handed out once more
	ActClaim    Act = "claim"        // its device proved to hold it
	ActSpend    Act = "spend"        // its set-up is done
	ActRevoke   Act = "revoke"       // a person withdraws it
	ActRetire   Act = "retire"       // its batch or device is gone
	ActRestore  Act = "restore"      // a withdrawal is taken back
	ActPassword Act = "set password" // what MEBx has is corrected
)

// Holder says what a move asks of a pair's holder and does to it.
type Holder uint8

// The rules for holders.
const (
	HolderKept  Holder = 1 // stays as it is
	HolderTakes Holder = 2 // the pair has none: the device of the move becomes it
	HolderSame  Holder = 3 // it is the device of the move: else ErrHeld
	HolderNever Holder = 4 // no device ever held the pair: else ErrHeld
)

// Rule is one row of the table of moves.
type Rule struct {
	Act      Act
	From, To State // From 0: the pair is new
	Holder   Holder
	// Done says that the act has happened already: nothing is written.
	Done bool
}

// rules is the table of moves. Whatever it does not have is refused.
var rules = []Rule{
	{Act: ActAdd, From: 0, To: Available, Holder: HolderKept},
	{Act: ActAddUsed, From: 0, To: Spent, Holder: HolderKept},
	{Act: ActReserve, From: 0, To: Reserved, Holder: HolderTakes},

	{Act: ActExport, From: Available, To: Available, Holder: HolderKept},
	{Act: ActReexport, From: Available, To: Available, Holder: HolderKept},

	{Act: ActClaim, From: Available, To: Claimed, Holder: HolderTakes},
	{Act: ActClaim, From: Reserved, To: Claimed, Holder: HolderSame},
	{Act: ActClaim, From: Claimed, To: Claimed, Holder: HolderSame, Done: true},

	{Act: ActSpend, From: Claimed, To: Spent, Holder: HolderKept},
	{Act: ActSpend, From: Spent, To: Spent, Holder: HolderKept, Done: true},
	// A person revoked it while its set-up went on to its end.
	{Act: ActSpend, From: Revoked, To: Revoked, Holder: HolderKept, Done: true},

	{Act: ActRevoke, From: Available, To: Revoked, Holder: HolderKept},
	{Act: ActRevoke, From: Reserved, To: Revoked, Holder: HolderKept},
	{Act: ActRevoke, From: Claimed, To: Revoked, Holder: HolderKept},
	{Act: ActRevoke, From: Retired, To: Revoked, Holder: HolderKept},
	{Act: ActRevoke, From: Revoked, To: Revoked, Holder: HolderKept, Done: true},

	{Act: ActRetire, From: Available, To: Retired, Holder: HolderKept},
	{Act: ActRetire, From: Reserved, To: Retired, Holder: HolderKept},
	{Act: ActRetire, From: Retired, To: Retired, Holder: HolderKept, Done: true},

	{Act: ActPassword, From: Available, To: Available, Holder: HolderKept},
	{Act: ActPassword, From: Reserved, To: Reserved, Holder: HolderKept},

	{Act: ActRestore, From: Retired, To: Available, Holder: HolderNever},
	{Act: ActRestore, From: Spent, To: Available, Holder: HolderNever}, // it came as used
}

// Rules returns the table of moves.
func Rules() []Rule { return slices.Clone(rules) }

// find returns the rule for an act, or why there is none.
func find(act Act, from State) (Rule, error) {
	for _, r := range rules {
		if r.Act == act && r.From == from {
			return r, nil
		}
	}
	switch from {
	case Spent:
		return Rule{}, ErrSpent
	case Revoked:
		return Rule{}, ErrRevoked
	case Retired:
		return Rule{}, ErrRetired
	}
	return Rule{}, fmt.Errorf("%w: no %s from %v", ErrMove, act, from)
}

// checkHolder applies the rule's demand on the holder and returns the holder
// after the move.
func (r Rule) checkHolder(holder, device amt.UUID) (amt.UUID, error) {
	none := amt.UUID{}
	switch r.Holder {
	case HolderTakes:
		if holder != none {
			return none, fmt.Errorf("%w: %v", ErrHeld, holder)
		}
		if !device.Present() {
			return none, ErrUUID
		}
		return device, nil
	case HolderSame:
		if !device.Present() {
			return none, ErrUUID
		}
		if holder != device {
			return none, fmt.Errorf("%w: %v", ErrHeld, holder)
		}
	case HolderNever:
		if holder != none {
			return none, fmt.Errorf("%w: %v held it", ErrHeld, holder)
		}
	}
	return holder, nil
}

// maxWho and maxWhy bound what a move says, in bytes.
const (
	maxWho = 200
	maxWhy = 1000
)

// maxHistory is how many changes a pair remembers.
const maxHistory = 32

// dated checks m and fills its time in.
func (s *Store) dated(m Move) (Move, error) {
	if m.Who == "" || len(m.Who) > maxWho || len(m.Why) > maxWhy {
		return m, fmt.Errorf("%w: it must say who (1 to %d bytes) and why (at most %d bytes)", ErrMove, maxWho, maxWhy)
	}
	if m.At.IsZero() {
		m.At = s.Now()
	}
	return m, nil
}

// move does act to a visible pair and stores it. device matters where the table
// asks for it.
func (s *Store) move(tx kv.Tx, pid amt.PID, act Act, device amt.UUID, m Move) error {
	m, err := s.dated(m)
	if err != nil {
		return err
	}
	k, err := load(tx, pid)
	if err != nil {
		return err
	}
	switch {
	case act == ActExport && k.GetExported():
		return fmt.Errorf("PID %v: %w", pid, ErrExported)
	case act == ActReexport && !k.GetExported():
		act = ActExport
	}
	before := State(k.GetState())
	changed, err := apply(k, act, device, m)
	if err != nil {
		return fmt.Errorf("PID %v: %w", pid, err)
	}
	if !changed {
		return nil
	}
	if err := keysTable.Put(tx, pid[:], k); err != nil {
		return err
	}
	return recount(tx, k, before)
}

// apply changes the record, or says that the act has happened already.
func apply(k *scsstorev1.Key, act Act, device amt.UUID, m Move) (changed bool, err error) {
	from := State(k.GetState())
	r, err := find(act, from)
	if err != nil {
		return false, err
	}
	holder, err := r.checkHolder(uuidFrom(k.GetUuid()), device)
	if err != nil || r.Done {
		return false, err
	}
	k.State = scsstorev1.KeyState(r.To)
	k.Uuid = uuidBytes(holder)
	k.Exported = k.GetExported() || act == ActExport || act == ActReexport
	k.ChangedAt = stamp(m.At)
	k.History = append(k.History, &scsstorev1.KeyMove{
		At: stamp(m.At), Who: m.Who, Why: m.Why, Act: string(act),
		From: scsstorev1.KeyState(from), To: k.GetState(), Uuid: k.GetUuid(),
	})
	if over := len(k.History) - maxHistory; over > 0 {
		k.History = slices.Delete(k.History, 1, 1+over)
		k.DroppedMoves += uint32(over)
	}
	return true, nil
}

// Claim gives the pair to the device uuid, which has proved to hold it:
// Available, or Reserved for uuid, becomes Claimed. It is idempotent for the
// same device. An Available pair of an expired or retired batch is refused.
// Errors: ErrUnknownPID, ErrHeld, ErrSpent, ErrRevoked, ErrRetired,
// ErrBatchExpired, ErrUUID.
func (s *Store) Claim(tx kv.Tx, pid amt.PID, uuid amt.UUID, m Move) error {
	if err := s.checkClaim(tx, pid, m); err != nil {
		return err
	}
	return s.move(tx, pid, ActClaim, uuid, m)
}

// Spend ends the use of a claimed pair after its set-up. It is idempotent, and
// leaves a pair alone that was revoked meanwhile.
func (s *Store) Spend(tx kv.Tx, pid amt.PID, m Move) error {
	return s.move(tx, pid, ActSpend, amt.UUID{}, m)
}

// Revoke withdraws any pair that is not spent, exported or not. It is idempotent.
func (s *Store) Revoke(tx kv.Tx, pid amt.PID, m Move) error {
	return s.move(tx, pid, ActRevoke, amt.UUID{}, m)
}

// Retire withdraws an Available pair with its batch, or a Reserved one with its
// device. It is idempotent.
func (s *Store) Retire(tx kv.Tx, pid amt.PID, m Move) error {
	return s.move(tx, pid, ActRetire, amt.UUID{}, m)
}

// Restore makes a Retired pair, or one that came as used, Available again. The
// error is ErrHeld when a device ever held it, ErrBatchRetired when its batch is
// retired.
func (s *Store) Restore(tx kv.Tx, pid amt.PID, m Move) error {
	if err := s.checkRestore(tx, pid); err != nil {
		return err
	}
	return s.move(tx, pid, ActRestore, amt.UUID{}, m)
}

// MarkExported records that an Available pair was handed out. The error is
// ErrExported when it was handed out before.
func (s *Store) MarkExported(tx kv.Tx, pid amt.PID, m Move) error {
	return s.move(tx, pid, ActExport, amt.UUID{}, m)
}

// MarkExportedAgain is MarkExported for a pair that may have been handed out
// before.
func (s *Store) MarkExportedAgain(tx kv.Tx, pid amt.PID, m Move) error {
	return s.move(tx, pid, ActReexport, amt.UUID{}, m)
}
