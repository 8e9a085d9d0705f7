package keystore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// maxFiles is how many files a batch remembers.
const maxFiles = 100

// BatchFile is a list that brought pairs into a batch.
type BatchFile struct {
	Name   string // without folders
	SHA256 []byte // of it as it was delivered
	At     time.Time
	Who    string
	Added  int // pairs, together with the files of the same At
}

func viewFiles(files []*scsstorev1.KeyBatchFile) []BatchFile {
	var out []BatchFile
	for _, f := range files {
		out = append(out, BatchFile{Name: f.GetName(), SHA256: f.GetSha256(), At: moment(f.GetAt()), Who: f.GetWho(), Added: int(f.GetAdded())})
	}
	return out
}

// AddBatchFiles notes which files brought pairs. The error is ErrNoBatch.
func (s *Store) AddBatchFiles(tx kv.Tx, name string, files ...BatchFile) error {
	b, err := loadBatch(tx, name)
	if err != nil {
		return err
	}
	for _, f := range files {
		b.Files = append(b.Files, &scsstorev1.KeyBatchFile{Name: f.Name, Sha256: f.SHA256, At: stamp(f.At), Who: f.Who, Added: uint64(f.Added)})
	}
	b.Files = slices.Delete(b.Files, 0, max(0, len(b.Files)-maxFiles))
	return batchTable.Put(tx, []byte(name), b)
}

// batchIdentity is what a batch's password is sealed for.
func batchIdentity(name string) string { return "batches/" + name + "/" + currentField }

// batchPreviousIdentity is what the password before it is sealed for.
func batchPreviousIdentity(name string) string { return "batches/" + name + "/" + previousField }

// sealBatch puts a password into a batch's record; the empty one takes it out.
func (s *Store) sealBatch(b *scsstorev1.KeyBatch, password amt.Secret) error {
	if password.Len() > maxPassword {
		return fmt.Errorf("batch %q: %w: a password is longer than %d bytes", b.GetName(), ErrRecord, maxPassword)
	}
	var err error
	b.CurrentPassword, err = s.sealer.Seal(password, batchIdentity(b.GetName()))
	return err
}

// SetBatchPassword replaces the MEBx password of PCs whose pair has none of its
// own; empty: it is not known. One that it takes the place of is kept as the
// previous one. Errors: ErrNoBatch, ErrRecord.
func (s *Store) SetBatchPassword(tx kv.Tx, name string, password amt.Secret) error {
	b, err := loadBatch(tx, name)
	if err != nil {
		return err
	}
	old, err := s.BatchPassword(tx, name)
	if err != nil {
		return err
	}
	if !old.IsZero() && !old.Equal(password) {
		if b.PreviousPassword, err = s.sealer.Seal(old, batchPreviousIdentity(name)); err != nil {
			return err
		}
	}
	if err := s.sealBatch(b, password); err != nil {
		return err
	}
	return batchTable.Put(tx, []byte(name), b)
}

// BatchPassword opens the MEBx password of a batch, empty when it has none. The
// error is ErrNoBatch.
func (s *Store) BatchPassword(r kv.Reader, name string) (amt.Secret, error) {
	b, err := loadBatch(r, name)
	if err != nil {
		return amt.Secret{}, err
	}
	return s.sealer.Open(b.GetCurrentPassword(), batchIdentity(name))
}

// openWhole opens the secrets of a pair and fills in its batch's.
func (s *Store) openWhole(r kv.Reader, k *scsstorev1.Key) (Secrets, error) {
	secrets, err := s.open(k)
	if err != nil || !secrets.CurrentPassword.IsZero() || k.GetBatch() == "" {
		return secrets, err
	}
	b, err := loadBatch(r, k.GetBatch())
	if err != nil {
		return Secrets{}, err
	}
	if secrets.CurrentPassword, err = s.sealer.Open(b.GetCurrentPassword(), batchIdentity(b.GetName())); err != nil {
		return Secrets{}, err
	}
	if secrets.PreviousPassword.IsZero() {
		secrets.PreviousPassword, err = s.sealer.Open(b.GetPreviousPassword(), batchPreviousIdentity(b.GetName()))
	}
	return secrets, err
}

// batchOf is the batch of a pair, nil for none.
func batchOf(r kv.Reader, k *scsstorev1.Key) (*scsstorev1.KeyBatch, error) {
	if k.GetBatch() == "" {
		return nil, nil
	}
	return loadBatch(r, k.GetBatch())
}

// at is the time of a move.
func (s *Store) at(m Move) time.Time {
	if m.At.IsZero() {
		return s.Now()
	}
	return m.At
}

// checkClaim refuses an Available pair of a batch whose time is over. Pairs that
// devices hold go their way.
func (s *Store) checkClaim(r kv.Reader, pid amt.PID, m Move) error {
	k, err := load(r, pid)
	if err != nil || State(k.GetState()) != Available {
		return err
	}
	b, err := batchOf(r, k)
	switch {
	case err != nil:
		return err
	case b.GetRetiredAt() != nil:
		return fmt.Errorf("PID %v: %w", pid, ErrRetired)
	case b != nil && viewBatch(b).Expired(s.at(m)):
		return fmt.Errorf("PID %v: batch %q: %w", pid, b.GetName(), ErrBatchExpired)
	}
	return nil
}

// checkRestore refuses pairs of a retired batch.
func (s *Store) checkRestore(r kv.Reader, pid amt.PID) error {
	k, err := load(r, pid)
	if err != nil {
		return err
	}
	b, err := batchOf(r, k)
	if err == nil && b.GetRetiredAt() != nil {
		err = fmt.Errorf("PID %v: batch %q: %w", pid, b.GetName(), ErrBatchRetired)
	}
	return err
}

// checkExport refuses a batch whose pairs would be of no use.
func (s *Store) checkExport(r kv.Reader, name string, m Move) error {
	b, err := loadBatch(r, name)
	if err == nil && viewBatch(b).Expired(s.at(m)) {
		err = fmt.Errorf("batch %q: %w", name, ErrBatchExpired)
	}
	return err
}

// resealBatches brings the passwords of all batches under the newest key.
func (s *Store) resealBatches(ctx context.Context, db kv.Store) error {
	var names []string
	err := db.View(ctx, func(r kv.Reader) error {
		names = nil
		return batchTable.Scan(r, kv.Range{}, func(_ []byte, b *scsstorev1.KeyBatch) error {
			if len(b.GetCurrentPassword())+len(b.GetPreviousPassword()) > 0 {
				names = append(names, b.GetName())
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(names, pieceLen) {
		err := db.Update(ctx, func(tx kv.Tx) error {
			for _, name := range piece {
				if err := s.resealBatch(tx, name); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) resealBatch(tx kv.Tx, name string) error {
	b, err := loadBatch(tx, name)
	if err != nil {
		return err
	}
	var current, previous bool
	if b.CurrentPassword, current, err = s.sealer.Reseal(b.GetCurrentPassword(), batchIdentity(name)); err != nil {
		return err
	}
	b.PreviousPassword, previous, err = s.sealer.Reseal(b.GetPreviousPassword(), batchPreviousIdentity(name))
	if err != nil || !current && !previous {
		return err
	}
	return batchTable.Put(tx, []byte(name), b)
}

// checkBatches looks at the records of batches and mappings.
func (s *Store) checkBatches(r kv.Reader) error {
	err := batchTable.Scan(r, kv.Range{}, func(key []byte, b *scsstorev1.KeyBatch) error {
		if !bytes.Equal(key, []byte(b.GetName())) {
			return fmt.Errorf("%w: batch %q lies under %q", ErrInvariant, b.GetName(), key)
		}
		_, err := s.sealer.Open(b.GetCurrentPassword(), batchIdentity(b.GetName()))
		if err == nil {
			_, err = s.sealer.Open(b.GetPreviousPassword(), batchPreviousIdentity(b.GetName()))
		}
		if err != nil {
			return fmt.Errorf("%w: batch %q: %w", ErrInvariant, b.GetName(), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return mappingTable.Scan(r, kv.Range{}, func(key []byte, m *scsstorev1.KeyMapping) error {
		if err := CheckMappingName(m.GetName()); err != nil || !bytes.Equal(key, []byte(m.GetName())) {
			return fmt.Errorf("%w: mapping %q lies under %q", ErrInvariant, m.GetName(), key)
		}
		return nil
	})
}
