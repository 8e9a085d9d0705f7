package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// maxBatchName bounds the name of a batch, in bytes.
const maxBatchName = 100

// CheckBatchName refuses names that are empty, longer than 100 bytes, not
// printable, or have blanks around them. The error is ErrBatchName.
func CheckBatchName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrBatchName)
	case len(name) > maxBatchName:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrBatchName, len(name), maxBatchName)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%w: %q has blanks around it", ErrBatchName, name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: %q has characters that do not print", ErrBatchName, name)
	}
	return nil
}

// record is the stored form.
func (b Batch) record() *scsstorev1.KeyBatch {
	return &scsstorev1.KeyBatch{
		Name: b.Name, Profile: b.Profile, Source: b.Source, Model: scsstorev1.KeyModel(b.Model),
		CreatedAt: stamp(b.CreatedAt), CreatedBy: b.CreatedBy, Vendor: b.Vendor, OrderNumber: b.OrderNumber,
		Notes: b.Notes, ExpiresAt: stamp(b.ExpiresAt),
	}
}

func viewBatch(b *scsstorev1.KeyBatch) Batch {
	return Batch{
		Name: b.GetName(), Profile: b.GetProfile(), Source: b.GetSource(), Model: amt.Model(b.GetModel()),
		CreatedAt: moment(b.GetCreatedAt()), CreatedBy: b.GetCreatedBy(), Vendor: b.GetVendor(), OrderNumber: b.GetOrderNumber(),
		Notes: b.GetNotes(), ExpiresAt: moment(b.GetExpiresAt()), RetiredAt: moment(b.GetRetiredAt()),
		HasCurrentPassword: len(b.GetCurrentPassword()) > 0, Files: viewFiles(b.GetFiles()),
	}
}

func loadBatch(r kv.Reader, name string) (*scsstorev1.KeyBatch, error) {
	b, err := batchTable.Get(r, []byte(name))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("batch %q: %w", name, ErrNoBatch)
	}
	return b, err
}

// openBatch is loadBatch for adding pairs.
func openBatch(r kv.Reader, name string) (*scsstorev1.KeyBatch, error) {
	if err := CheckBatchName(name); err != nil {
		return nil, err
	}
	b, err := loadBatch(r, name)
	if err == nil && b.GetRetiredAt() != nil {
		err = fmt.Errorf("batch %q: %w", name, ErrBatchRetired)
	}
	return b, err
}

// CreateBatch stores a new batch; CreatedAt zero means now. Its CurrentPassword
// is sealed, its Files are not stored. Errors: ErrBatchName, ErrBatchExists.
func (s *Store) CreateBatch(tx kv.Tx, b Batch) error {
	if err := CheckBatchName(b.Name); err != nil {
		return err
	}
	switch _, err := loadBatch(tx, b.Name); {
	case err == nil:
		return fmt.Errorf("batch %q: %w", b.Name, ErrBatchExists)
	case !errors.Is(err, ErrNoBatch):
		return err
	}
	if b.CreatedAt.IsZero() {
		b.CreatedAt = s.Now()
	}
	rec := b.record()
	if err := s.sealBatch(rec, b.CurrentPassword); err != nil {
		return err
	}
	return batchTable.Put(tx, []byte(b.Name), rec)
}

// UpdateBatch replaces what is stored of a batch, except its name, Model (which
// its pairs have), CreatedAt, CreatedBy, RetiredAt, passwords and Files. The error
// is ErrNoBatch.
func (s *Store) UpdateBatch(tx kv.Tx, b Batch) error {
	old, err := loadBatch(tx, b.Name)
	if err != nil {
		return err
	}
	rec := b.record()
	rec.CreatedAt, rec.CreatedBy, rec.RetiredAt = old.GetCreatedAt(), old.GetCreatedBy(), old.GetRetiredAt()
	rec.CurrentPassword, rec.PreviousPassword = old.GetCurrentPassword(), old.GetPreviousPassword()
	rec.Model, rec.Files = old.GetModel(), old.GetFiles()
	return batchTable.Put(tx, []byte(b.Name), rec)
}

// Batch returns a batch with its counts, or ErrNoBatch.
func (s *Store) Batch(r kv.Reader, name string) (Batch, error) {
	rec, err := loadBatch(r, name)
	if err != nil {
		return Batch{}, err
	}
	return withCounts(r, rec)
}

func withCounts(r kv.Reader, rec *scsstorev1.KeyBatch) (Batch, error) {
	b := viewBatch(rec)
	var err error
	b.Counts, err = countScope(r, batchScope(b.Name))
	return b, err
}

// Batches lists batches by name, with their counts, and returns the token of
// the next page, empty after the last.
func (s *Store) Batches(r kv.Reader, p Page) ([]Batch, string, error) {
	recs, next, err := byName(r, batchTable, p)
	if err != nil {
		return nil, "", err
	}
	out := make([]Batch, len(recs))
	for i, rec := range recs {
		if out[i], err = withCounts(r, rec); err != nil {
			return nil, "", err
		}
	}
	return out, next, nil
}

// named is a stored record whose key is its name.
type named interface {
	proto.Message
	GetName() string
}

// byName reads a page of a table of such records, and returns the token of the
// next one, empty after the last.
func byName[M named](r kv.Reader, table kv.Collection[M], p Page) (recs []M, next string, err error) {
	list, size := string(table.Table), p.size()
	after, err := p.after(list)
	if err != nil {
		return nil, "", err
	}
	rg := kv.Range{Limit: size + 1}
	if after != nil {
		rg.From = behind(after)
	}
	err = table.Scan(r, rg, func(_ []byte, m M) error {
		recs = append(recs, m)
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing %s: %w", list, err)
	}
	if len(recs) > size {
		recs = recs[:size]
		next = token(list, []byte(recs[size-1].GetName()))
	}
	return recs, next, nil
}

// behind is the first key after key.
func behind(key []byte) []byte { return append(bytes.Clone(key), 0) }

// RetireBatch marks the batch as retired: nothing can be added, claimed or
// restored any more. RetireUnused withdraws its pairs. It is idempotent; the error is ErrNoBatch.
func (s *Store) RetireBatch(tx kv.Tx, name string, m Move) error {
	m, err := s.dated(m)
	if err != nil {
		return err
	}
	b, err := loadBatch(tx, name)
	if err != nil || b.GetRetiredAt() != nil {
		return err
	}
	b.RetiredAt = stamp(m.At)
	return batchTable.Put(tx, []byte(name), b)
}

// RetireUnused retires the Available pairs of a batch, some hundred in each of
// its transactions, and returns their number. It may be called again after an
// error.
func (s *Store) RetireUnused(ctx context.Context, db kv.Store, batch string, m Move) (int, error) {
	total := 0
	var after []byte // the PIDs up to here are done
	for more := true; more; {
		n, last := 0, after
		err := db.Update(ctx, func(tx kv.Tx) error {
			if _, err := loadBatch(tx, batch); err != nil {
				return err
			}
			recs, next, err := s.page(tx, Filter{Batch: batch, State: Available}, after, pieceLen)
			if err != nil {
				return err
			}
			for _, k := range recs {
				if err := s.Retire(tx, pidOf(k), m); err != nil {
					return err
				}
			}
			n, last, more = len(recs), next, next != nil
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("retiring batch %q: %w", batch, err)
		}
		total += n
		after = last
	}
	return total, nil
}
