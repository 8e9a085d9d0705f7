package keystore

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal"
)

// Store draws, seals and moves pairs. It holds no database, and is safe for
// concurrent use once its fields are set.
type Store struct {
	Now  func() time.Time // the clock; New sets time.Now
	Rand io.Reader        // cryptographically strong; New sets crypto/rand.Reader
	// TempDir is where an import of a long list keeps its temporary file, which is
	// sealed and has no name; empty: os.TempDir.
	TempDir  string
	sealer   *seal.Keyset
	runLen   int // of imports, in bytes; tests make it short
	maxChunk int // of imports, in pairs; tests make it short
}

// New makes a Store over a keyset.
func New(sealer *seal.Keyset) *Store {
	return &Store{Now: time.Now, Rand: rand.Reader, sealer: sealer, runLen: runLen, maxChunk: maxChunk}
}

// maxAgain bounds how often PIDs are drawn again: of 36^7 even a million would
// meet a dozen times.
const maxAgain = 1000

var errRandom = errors.New("drawing new PIDs: they come again and again: is the random source broken?")

// Draw draws n pairs with different PIDs, and for each a password by calling
// password (nil: none). CurrentPassword is amt.FactoryPassword. Whether the PIDs
// are new is for Add to say.
func (s *Store) Draw(n int, password func() (amt.Secret, error)) ([]Record, error) {
	random := bufio.NewReaderSize(s.Rand, 4096)
	seen := make(map[amt.PID]bool, n)
	recs := make([]Record, 0, n)
	for again := 0; len(recs) < n; {
		pair, err := amt.DrawPair(random)
		if err != nil {
			return nil, err
		}
		if seen[pair.PID] {
			if again++; again > maxAgain {
				return nil, errRandom
			}
			continue
		}
		seen[pair.PID] = true
		rec := Record{Pair: pair, CurrentPassword: amt.NewSecretString(amt.FactoryPassword)}
		if password != nil {
			if rec.NewPassword, err = password(); err != nil {
				return nil, err
			}
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// maxPassword bounds a password of a record, in bytes. Whether AMT would take
// it is not asked: a list says what a PC has.
const maxPassword = 256

// Prepare checks and seals records: the costly part, outside of transactions.
// The error is ErrRecord and names the record by its place and PID.
func (s *Store) Prepare(recs []Record) ([]Prepared, error) {
	out := make([]Prepared, len(recs))
	for i, rec := range recs {
		p, err := Prepared{}, rec.Check()
		if err == nil {
			p, err = s.prepare(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("pair %d (PID %v): %w", i+1, rec.Pair.PID, err)
		}
		out[i] = p
	}
	return out, nil
}

// Check says whether a record can be stored. The error is ErrRecord.
func (rec Record) Check() error {
	if err := rec.Pair.PID.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if err := amt.CheckPPS(rec.Pair.PPS); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if rec.CurrentPassword.Len() > maxPassword || rec.NewPassword.Len() > maxPassword {
		return fmt.Errorf("%w: a password is longer than %d bytes", ErrRecord, maxPassword)
	}
	return nil
}

// prepare seals a record that Check lets pass.
func (s *Store) prepare(rec Record) (Prepared, error) {
	p := Prepared{
		pid: rec.Pair.PID, used: rec.Used, exported: rec.Exported,
		secrets: Secrets{PPS: rec.Pair.PPS, CurrentPassword: rec.CurrentPassword, NewPassword: rec.NewPassword},
	}
	for _, f := range []struct {
		field  string
		secret amt.Secret
		sealed *[]byte
	}{
		{ppsField, p.secrets.PPS, &p.pps},
		{currentField, p.secrets.CurrentPassword, &p.current},
		{newField, p.secrets.NewPassword, &p.next},
	} {
		var err error
		if *f.sealed, err = s.sealer.Seal(f.secret, identity(p.pid, f.field)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// LogValue logs a key by its PID.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.PID.String()) }

// view is the record without its secrets. Profile is still empty.
func view(k *scsstorev1.Key) Key {
	out := Key{
		PID: pidOf(k), State: State(k.GetState()), Exported: k.GetExported(),
		Batch: k.GetBatch(), Model: amt.Model(k.GetModel()), UUID: uuidFrom(k.GetUuid()),
		CreatedAt: moment(k.GetCreatedAt()), ChangedAt: moment(k.GetChangedAt()),
		HasCurrentPassword: len(k.GetCurrentPassword()) > 0, HasNewPassword: len(k.GetNewPassword()) > 0,
	}
	if n := len(k.GetHistory()); n > 0 {
		out.Who, out.Why = k.GetHistory()[n-1].GetWho(), k.GetHistory()[n-1].GetWhy()
	}
	return out
}

// Get returns a pair without its secrets, or ErrUnknownPID.
func (s *Store) Get(r kv.Reader, pid amt.PID) (Key, error) {
	k, err := load(r, pid)
	if err != nil {
		return Key{}, err
	}
	out := view(k)
	if out.Batch != "" {
		b, err := loadBatch(r, out.Batch)
		if err != nil {
			return Key{}, err
		}
		out.Profile, out.ExpiresAt = b.GetProfile(), moment(b.GetExpiresAt())
		if out.State == Available && b.GetRetiredAt() != nil {
			out.State = Retired // RetireUnused is about to say so
		}
	}
	return out, nil
}

// Secrets opens the secrets of a pair in whatever state, or returns
// ErrUnknownPID. A CurrentPassword that the pair has not is its batch's,
// and so is a PreviousPassword then.
func (s *Store) Secrets(r kv.Reader, pid amt.PID) (Secrets, error) {
	k, err := load(r, pid)
	if err != nil {
		return Secrets{}, err
	}
	return s.openWhole(r, k)
}

func (s *Store) open(k *scsstorev1.Key) (Secrets, error) {
	var out Secrets
	for _, f := range []struct {
		field  string
		sealed []byte
		secret *amt.Secret
	}{
		{ppsField, k.GetPps(), &out.PPS},
		{currentField, k.GetCurrentPassword(), &out.CurrentPassword},
		{newField, k.GetNewPassword(), &out.NewPassword},
		{previousField, k.GetPreviousPassword(), &out.PreviousPassword},
	} {
		var err error
		if *f.secret, err = s.sealer.Open(f.sealed, identity(pidOf(k), f.field)); err != nil {
			return Secrets{}, err
		}
	}
	return out, nil
}

// History returns the story of a pair, oldest first: its first change and the
// latest 31. dropped says how many are gone between them.
func (s *Store) History(r kv.Reader, pid amt.PID) (changes []Change, dropped int, err error) {
	k, err := load(r, pid)
	if err != nil {
		return nil, 0, err
	}
	changes = make([]Change, len(k.GetHistory()))
	for i, m := range k.GetHistory() {
		changes[i] = Change{
			Move: Move{Who: m.GetWho(), Why: m.GetWhy(), At: moment(m.GetAt())},
			Act:  Act(m.GetAct()), From: State(m.GetFrom()), To: State(m.GetTo()), UUID: uuidFrom(m.GetUuid()),
		}
	}
	return changes, int(k.GetDroppedMoves()), nil
}
