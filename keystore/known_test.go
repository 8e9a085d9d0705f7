package keystore_test

import (
	"errors"
	"testing"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

func TestCheckExport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check := func(id uint64) error {
		return f.db.View(t.Context(), func(r kv.Reader) error { return f.CheckExport(r, id) })
	}
	for _, id := range []uint64{0, 1, 1 << 63} {
		if err := check(id); !errors.Is(err, keystore.ErrNoJob) {
			t.Errorf("export %d, which nobody began: got %v", id, err)
		}
	}
}

// TestCheckExportTellsImports wants an import, whose list of pairs FinishExport
// would remove, told from an export, and an export known after its end, too.
func TestCheckExportTellsImports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check := func(id uint64) error {
		return f.db.View(t.Context(), func(r kv.Reader) error { return f.CheckExport(r, id) })
	}
	recs := f.records(t, 3)
	var during error
	_, err := f.Import(t.Context(), f.db, into("B1"), func(yield func(keystore.Record, error) bool) {
		for _, r := range recs {
			if !yield(r, nil) {
				return
			}
		}
		during = check(1)
	})
	if err != nil || !errors.Is(during, keystore.ErrNoJob) {
		t.Errorf("while an import is under way: got %v, %v", err, during)
	}
	id, _ := f.export(t, "B1", false, 10)
	for _, want := range []int{3, 0} { // under way, and ended
		if err := check(id); err != nil {
			t.Errorf("export %d: %v", id, err)
		}
		n, err := f.FinishExport(t.Context(), f.db, id, true, by("anna", ""))
		if err != nil || n != want {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
	if err := check(id + 1); !errors.Is(err, keystore.ErrNoJob) {
		t.Errorf("the next one: got %v", err)
	}
}
