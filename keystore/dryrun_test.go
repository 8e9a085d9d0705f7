package keystore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// TestImportOfNothingNew: a list that brings no pair leaves no batch, and yet is
// finished.
func TestImportOfNothingNew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	recs := f.records(t, 700)
	if _, err := f.Import(t.Context(), f.db, into("B1"), seq(recs...)); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]keystore.Record{"empty": nil, "known": recs} {
		finished := false
		im := into(name)
		im.Finish = func(tx kv.Tx, rep keystore.AddReport) error { finished = rep.Known == len(list); return nil }
		rep, err := f.Import(t.Context(), f.db, im, seq(list...))
		if err != nil || rep.Added != 0 || rep.Known != len(list) || !finished {
			t.Errorf("%s: got %+v, %v, finished %v", name, rep, err, finished)
		}
		f.view(t, func(r kv.Reader) error {
			if _, err := f.Batch(r, name); !errors.Is(err, keystore.ErrNoBatch) {
				t.Errorf("%s: the batch is there: %v", name, err)
			}
			return nil
		})
	}
	f.wantNothingLeft(t)
}

// TestImportDryRun: the report is that of the import, and nothing changes.
func TestImportDryRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keystore.SetRun(f.Store, 20_000, 200)
	known := f.records(t, 300)
	if _, err := f.Import(t.Context(), f.db, into("B1"), seq(known...)); err != nil {
		t.Fatal(err)
	}
	list := append(append(f.records(t, 900), known[:5]...), known[6:]...)
	list[5].Pair.PID = known[5].Pair.PID // conflict with the store
	list[6].Pair.PID = list[7].Pair.PID  // and within the list
	list[9].NewPassword = amt.NewSecretString("one")
	list = append(list, list[8], list[9])                            // twice
	list[len(list)-1].NewPassword = amt.NewSecretString("different") // with another password
	list[900].CurrentPassword = amt.NewSecretString("different")
	im := into("B2")
	im.SkipConflicts = true
	asked, calls := 0, 0
	im.DryRun = func() bool { return asked == len(list) }
	im.Finish = func(tx kv.Tx, rep keystore.AddReport) error {
		calls++
		return tx.Put("audit", []byte("import"), nil)
	}
	counting := func(yield func(keystore.Record, error) bool) {
		for _, rec := range list {
			asked++
			if !yield(rec, nil) {
				return
			}
		}
	}
	dry, err := f.Import(t.Context(), f.db, im, counting)
	if err != nil || calls == 0 || f.rows(t, "audit") != 0 || f.rows(t, "keys") != 300 || f.rows(t, "batches") != 1 {
		t.Errorf("dry run: %+v, %v; Finish was called %d times, %d rows are left of it", dry, err, calls, f.rows(t, "audit"))
	}
	im.DryRun = nil
	wet, err := f.Import(t.Context(), f.db, im, counting)
	if err != nil || fmt.Sprint(dry) != fmt.Sprint(wet) || // in order of the PIDs
		wet.Added != 896 || wet.Known != 300 || len(wet.Differ) != 1 || len(wet.Conflicts) != 1 || wet.LeftOut() != 5 {
		t.Errorf("the import says %+v, %v; the dry run said %+v", wet, err, dry)
	}
	f.wantContradictions(t, wet, list[7].Pair.PID, list[9].Pair.PID)
	im.DryRun, im.SkipConflicts = func() bool { return true }, false
	if _, err := f.Import(t.Context(), f.db, im, seq(list...)); !errors.Is(err, keystore.ErrConflict) {
		t.Errorf("with conflicts: got error %v", err)
	}
	errOwn := errors.New("no")
	im.SkipConflicts, im.Finish = true, func(kv.Tx, keystore.AddReport) error { return errOwn }
	if _, err := f.Import(t.Context(), f.db, im, seq(list...)); !errors.Is(err, errOwn) {
		t.Errorf("refused by Finish: got error %v", err)
	}
	f.wantNothingLeft(t)
}
