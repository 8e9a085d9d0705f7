package keystore_test

import (
	"errors"
	"testing"

	"github.com/amtscs/amtscs/keystore"
)

// TestFinishExportOfNone wants an import, whose list of pairs FinishExport would
// remove, told from an export, and ids that nobody has refused.
func TestFinishExportOfNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	finish := func(id uint64, want error) {
		t.Helper()
		for _, written := range []bool{true, false} {
			if n, err := f.FinishExport(t.Context(), f.db, id, end(written, by("anna", ""))); n != 0 || !errors.Is(err, want) {
				t.Errorf("export %d, written %t: got %d, %v, want %v", id, written, n, err, want)
			}
		}
	}
	for _, id := range []uint64{0, 1, 1 << 63} {
		finish(id, keystore.ErrNoJob)
	}
	recs := f.records(t, 3)
	// The job is stored once the list is read: look behind its first chunk.
	db := &behind{Store: f.db, do: map[int]func(){3: func() {
		if f.rows(t, "key_jobs") != 1 || f.rows(t, "key_job_chunks") != 1 {
			t.Fatal("the import is not under way")
		}
		finish(1, keystore.ErrNoJob)
		if f.rows(t, "key_job_chunks") != 1 {
			t.Error("the list of what the import wrote is gone")
		}
	}}}
	if _, err := f.Import(t.Context(), db, into("B1"), seq(recs...)); err != nil || db.n < 3 {
		t.Fatalf("after %d updates: %v", db.n, err)
	}
	finish(1, keystore.ErrNoJob)
}
