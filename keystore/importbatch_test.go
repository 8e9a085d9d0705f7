package keystore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// meanwhile is a list during which something happens.
func meanwhile(do func(), recs ...keystore.Record) func(func(keystore.Record, error) bool) {
	return func(yield func(keystore.Record, error) bool) {
		for i, r := range recs {
			if i == 1 {
				do()
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// TestImportsMakeOneBatch: of two imports that make the same new batch, the
// second is kept if it means the same batch, and leaves nothing if not.
func TestImportsMakeOneBatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		differs string
		change  func(b *keystore.Batch)
	}{
		{"", func(*keystore.Batch) {}},
		{"", func(b *keystore.Batch) { b.Source = "second.csv" }},
		{"model", func(b *keystore.Batch) { b.Model = amt.Manual }},
		{"profile", func(b *keystore.Batch) { b.Profile = "" }},
		{"vendor", func(b *keystore.Batch) { b.Vendor = "HP" }},
		{"order number", func(b *keystore.Batch) { b.OrderNumber = "2" }},
		{"notes", func(b *keystore.Batch) { b.Notes = "hall 4" }},
		{"expiry", func(b *keystore.Batch) { b.ExpiresAt = today.AddDate(2, 0, 0) }},
		{"expiry", func(b *keystore.Batch) { b.ExpiresAt = time.Time{} }},
		{"current password", func(b *keystore.Batch) { b.CurrentPassword = amt.NewSecretString("F@ctory-2") }},
		{"current password", func(b *keystore.Batch) { b.CurrentPassword = amt.Secret{} }},
	} {
		f := newFixture(t)
		first, second := into("dell"), into("dell")
		first.Batch = keystore.Batch{
			Name: "dell", Model: amt.OEM, Profile: "lab", Vendor: "Dell", OrderNumber: "1", Notes: "hall 3", Source: "first.csv",
			ExpiresAt: today.AddDate(1, 0, 0), CurrentPassword: amt.NewSecretString("F@ctory-1"),
		}
		second.Batch = first.Batch
		c.change(&second.Batch)
		_, err := f.Import(t.Context(), f.db, second, meanwhile(func() {
			if _, err := f.Import(t.Context(), f.db, first, seq(f.records(t, 2)...)); err != nil {
				t.Fatal(err)
			}
		}, f.records(t, 3)...))
		want := 5
		if c.differs != "" {
			want = 2
			if !errors.Is(err, keystore.ErrBatchDiffers) || !strings.Contains(err.Error(), "has another "+c.differs+" now") || strings.Contains(err.Error(), "F@ctory") {
				t.Errorf("another %s: got %v", c.differs, err)
			}
		} else if err != nil {
			t.Errorf("the same batch: %v", err)
		}
		if got := f.rows(t, "keys"); got != want {
			t.Errorf("%q: %d pairs are stored, want %d", c.differs, got, want)
		}
		if b := f.getBatch(t, "dell"); b.Source != "first.csv" || b.Vendor != "Dell" {
			t.Errorf("%q: the batch is %+v", c.differs, b)
		}
		f.wantNothingLeft(t)
	}
}

// TestImportIntoChangedBatch: a batch that a person changes while a list is read
// is looked at again.
func TestImportIntoChangedBatch(t *testing.T) {
	t.Parallel()
	changes := map[string]func(f fixture, tx kv.Tx) error{
		"": func(fixture, kv.Tx) error { return nil },
		"current password": func(f fixture, tx kv.Tx) error {
			return f.SetBatchPassword(tx, "B1", amt.NewSecretString("F@ctory-2"))
		},
		"profile": func(f fixture, tx kv.Tx) error {
			return f.UpdateBatch(tx, keystore.Batch{Name: "B1", Profile: "lab"})
		},
	}
	for fact, change := range changes {
		f := newFixture(t)
		f.batch(t, "B1", amt.USBKey)
		// It names nothing of the batch, and so takes it as it is.
		_, err := f.Import(t.Context(), f.db, into("B1"), meanwhile(func() {
			f.update(t, func(tx kv.Tx) error { return change(f, tx) })
		}, f.records(t, 2)...))
		differs := errors.Is(err, keystore.ErrBatchDiffers) && strings.Contains(err.Error(), "it was changed while the list was read, and has another "+fact)
		if got := f.rows(t, "keys"); fact == "" && (err != nil || got != 2) || fact != "" && (!differs || got != 0) {
			t.Errorf("%q: got %v, and %d pairs", fact, err, got)
		}
		f.wantNothingLeft(t)
	}
}

// TestImportCheck: what the caller wants of a batch is asked before the list is
// read, and again when it becomes visible.
func TestImportCheck(t *testing.T) {
	t.Parallel()
	errNo := errors.New("not this batch")
	for _, when := range []string{"before", "after", "never"} {
		f := newFixture(t)
		im := into("B1")
		read := false
		im.Check = func(kv.Reader) error {
			if when == "before" && !read || when == "after" && read {
				return errNo
			}
			return nil
		}
		_, err := f.Import(t.Context(), f.db, im, meanwhile(func() { read = true }, f.records(t, 2)...))
		kept := when == "never"
		if errors.Is(err, errNo) == kept || read == (when == "before") || (f.rows(t, "keys") == 2) != kept || (f.rows(t, "batches") == 1) != kept {
			t.Errorf("refused %s the list: got %v, read %t, %d pairs", when, err, read, f.rows(t, "keys"))
		}
		f.wantNothingLeft(t)
	}
}

// sweeping sweeps as another import would, behind an update that failed with err.
type sweeping struct {
	kv.Store
	err   error
	sweep func()
}

func (s *sweeping) Update(ctx context.Context, fn func(kv.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if errors.Is(err, s.err) {
		s.sweep()
	}
	return err
}

// TestFailedImportIsSweptByAnother: an import that was refused at its end says so,
// even when another one has cleared up after it already.
func TestFailedImportIsSweptByAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := today
	f.Now = func() time.Time { return now }
	errAudit := errors.New("audit cannot be written")
	swept := 0
	db := &sweeping{f.db, errAudit, func() {
		now = now.Add(2 * time.Minute) // the clock is set right
		n, err := f.Sweep(t.Context(), f.db, false)
		if err != nil {
			t.Error(err)
		}
		swept += n
	}}
	im := into("B1")
	im.Finish = func(kv.Tx, keystore.AddReport) error { return errAudit }
	_, err := f.Import(t.Context(), db, im, seq(f.records(t, 5)...))
	if !errors.Is(err, errAudit) || swept != 1 || f.rows(t, "keys") != 0 {
		t.Errorf("got %v, swept %d, %d pairs", err, swept, f.rows(t, "keys"))
	}
}
