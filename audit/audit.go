// Package audit is the log of what people and programs did through the API: who,
// in which role, called what, on what, why, and how it ended.
//
// Entries are numbered without gaps and chained: each carries the SHA-256 hash
// of the one before it and of itself. The number and hash of the last entry are
// kept apart, sealed with the store's keyset. So an entry that was changed,
// taken out, put in or moved is found by Verify, and who has the file but not
// the key-encryption key cannot forge the log's end either. Append takes the
// caller's transaction: a change and its entry are one commit.
//
// What the chain cannot show is a store that was put back whole to an earlier
// state: write down Head now and then, elsewhere, and compare. Nothing is ever
// removed from the log. It holds no secrets, because callers name objects and
// never their contents; it does not log what the engine does by itself, which
// is an event of package provisioning.
package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Errors of the log.
var (
	// ErrText is returned by Append for a field that is too long, is not UTF-8,
	// holds control characters, or is missing; the entry is not written.
	ErrText = errors.New("audit entry refused")
	// ErrBroken is returned by Verify; the error names the entry.
	ErrBroken = errors.New("the audit log is broken")
)

// MaxText is the most bytes a field of an entry has.
const MaxText = 1024

// Outcome is how a call ended.
type Outcome uint8

// The outcomes, by their stored values.
const (
	Done    Outcome = 1
	Refused Outcome = 2 // the caller was not allowed to
	Failed  Outcome = 3 // allowed, but it did not succeed
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case Done:
		return "done"
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("unknown outcome (%d)", uint8(o))
}

// ParseOutcome reads what String writes.
func ParseOutcome(s string) (Outcome, error) {
	for _, o := range []Outcome{Done, Refused, Failed} {
		if s == o.String() {
			return o, nil
		}
	}
	return 0, fmt.Errorf("outcome %q: want done, refused or failed", s)
}

// Entry is one line of the log. The texts have at most MaxText bytes and no
// control characters; Who and Method must be there.
type Entry struct {
	Sequence uint64    // from 1, set by Append
	At       time.Time // when
	Who      string    // user name, or the program
	Role     string    // the user's role at that time
	Method   string    // what was called
	Object   string    // on what: a PID, a UUID, a name; never a secret
	Reason   string    // in the caller's words, or why it failed
	Outcome  Outcome
	// Hash chains the entry to all before it; set by Append.
	Hash Hash
}

// Hash is a SHA-256 sum.
type Hash [32]byte

// String is 64 hexadecimal digits.
func (h Hash) String() string { return fmt.Sprintf("%x", h[:]) }

// Head is the end of the log.
type Head struct {
	Sequence uint64 // of the last entry; 0 when there is none
	Hash     Hash   // of the last entry
}

// Sealer seals the head; *seal.Keyset is the one in use.
type Sealer interface {
	// Seal encrypts s, bound to id.
	Seal(s amt.Secret, id string) ([]byte, error)
	// Open decrypts what Seal made with the same id and fails on any other.
	Open(sealed []byte, id string) (amt.Secret, error)
}

// Log appends to and reads the log of a store. It holds no store: every call
// takes a kv.Reader or kv.Tx. It is safe for concurrent use.
type Log struct{ sealer Sealer }

// New returns the log that seals its head with sealer.
func New(sealer Sealer) *Log { return &Log{sealer: sealer} }
