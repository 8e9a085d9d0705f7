package keystore

import (
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// ErrBatchDiffers is returned when a batch is not the one that pairs are to go
// into.
var ErrBatchDiffers = errors.New("the batch exists and is another")

// lookUp notes the batch as it is before the list is read.
func (imp *importer) lookUp(r kv.Reader) error {
	b, err := openBatch(r, imp.im.Batch.Name)
	if err != nil && !errors.Is(err, ErrNoBatch) {
		return err
	}
	imp.seen = b
	if err != nil {
		imp.seen = nil
	}
	return imp.check(r)
}

func (imp *importer) check(r kv.Reader) error {
	if imp.im.Check == nil {
		return nil
	}
	return imp.im.Check(r)
}

// keepBatch makes the batch if there is none, when pairs have come for it. One
// that is there must be what it was before the list was read or, if it was not
// there, what the import would have made: its password and profile are those of
// pairs that have none of their own.
func (imp *importer) keepBatch(tx kv.Tx, some bool) error {
	b, err := openBatch(tx, imp.im.Batch.Name)
	switch {
	case errors.Is(err, ErrNoBatch) && some:
		if err := imp.check(tx); err != nil {
			return err
		}
		return imp.s.CreateBatch(tx, imp.im.Batch)
	case errors.Is(err, ErrNoBatch):
		return nil
	case err != nil || !some:
		return err
	}
	is, err := imp.s.facts(b)
	if err != nil {
		return err
	}
	was, since := batchFacts{Batch: imp.im.Batch, password: imp.im.Batch.CurrentPassword}, "was made by somebody else"
	if imp.seen != nil {
		since = "was changed"
		if was, err = imp.s.facts(imp.seen); err != nil {
			return err
		}
	}
	if f := was.differs(is); f != "" {
		return fmt.Errorf("batch %q: %w: it %s while the list was read, and has another %s now", b.GetName(), ErrBatchDiffers, since, f)
	}
	return imp.check(tx)
}

// batchFacts are what holds for all pairs of a batch.
type batchFacts struct {
	Batch
	password amt.Secret
}

func (s *Store) facts(b *scsstorev1.KeyBatch) (batchFacts, error) {
	password, err := s.sealer.Open(b.GetCurrentPassword(), batchIdentity(b.GetName()))
	return batchFacts{Batch: viewBatch(b), password: password}, err
}

// differs names the first fact in which two batches differ, empty for none. Where
// they came from, and when, is not one.
func (f batchFacts) differs(o batchFacts) string {
	same := func(a, b time.Time) bool { return a.Equal(b) || a.IsZero() && b.IsZero() }
	for _, c := range []struct {
		fact string
		same bool
	}{
		{"model", f.Model == o.Model},
		{"profile", f.Profile == o.Profile},
		{"vendor", f.Vendor == o.Vendor},
		{"order number", f.OrderNumber == o.OrderNumber},
		{"notes", f.Notes == o.Notes},
		{"expiry", same(f.ExpiresAt, o.ExpiresAt)},
		{"current password", f.password.Equal(o.password)},
	} {
		if !c.same {
			return c.fact
		}
	}
	return ""
}
