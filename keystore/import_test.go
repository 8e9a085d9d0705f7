package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// weak is a fast random source with a fixed seed.
func weak(seed int64) io.Reader { return rand.New(rand.NewSource(seed)) }

func seq(recs ...keystore.Record) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for _, rec := range recs {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (f fixture) records(t testing.TB, n int) []keystore.Record {
	t.Helper()
	recs, err := f.Draw(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func into(batch string) keystore.Import {
	return keystore.Import{Batch: keystore.Batch{Name: batch, Profile: "profile of " + batch, Model: amt.OEM, Source: "list.csv"}, Move: by("anna", "import")}
}

// rows counts the rows of a table.
func (f fixture) rows(t testing.TB, table kv.Table) int {
	t.Helper()
	n := 0
	f.view(t, func(r kv.Reader) error {
		n = 0
		return r.Scan(table, kv.Range{}, func(_, _ []byte) error { n++; return nil })
	})
	return n
}

// wantNothingLeft: no job and no list of a job remains.
func (f fixture) wantNothingLeft(t testing.TB) {
	t.Helper()
	if jobs, chunks := f.rows(t, "key_jobs"), f.rows(t, "key_job_chunks"); jobs+chunks != 0 {
		t.Errorf("%d jobs and %d chunks are left", jobs, chunks)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	recs := f.records(t, 3000)
	for i := range recs {
		recs[i].Used, recs[i].Exported = i%10 == 0, i%10 == 1
	}
	finished := 0
	im := into("B1")
	im.Finish = func(tx kv.Tx, rep keystore.AddReport) error {
		finished = rep.Added
		return tx.Put("audit", []byte("import"), nil)
	}
	rep, err := f.Import(t.Context(), f.db, im, seq(recs...))
	if err != nil || rep.Added != 3000 || finished != 3000 {
		t.Fatalf("got %+v, %v; Finish saw %d", rep, err, finished)
	}
	if got := f.counts(t); got[keystore.Available] != 2700 || got[keystore.Spent] != 300 {
		t.Errorf("counts %v", got)
	}
	if k := f.get(t, recs[1].Pair.PID); !k.Exported || k.State != keystore.Available || k.Profile != "profile of B1" || k.Model != amt.OEM {
		t.Errorf("got %+v of a pair that lies in a PC", k)
	}
	if k := f.get(t, recs[0].Pair.PID); k.State != keystore.Spent || k.Who != "anna" || k.Why != "import" {
		t.Errorf("got %+v of a used pair", k)
	}
	f.view(t, func(r kv.Reader) error {
		b, err := f.Batch(r, "B1")
		if b.Count() != 3000 || b.CreatedBy != "anna" || b.Source != "list.csv" || !b.CreatedAt.Equal(today) {
			t.Errorf("got batch %+v", b)
		}
		return err
	})
	f.wantNothingLeft(t)

	// Again: nothing changes. Into the same batch: it grows.
	rep, err = f.Import(t.Context(), f.db, into("B1"), seq(recs...))
	if err != nil || rep.Added != 0 || rep.Known != 3000 || rep.Differ != nil || rep.Conflicts != nil {
		t.Errorf("again: got %+v, %v", rep, err)
	}
	rep, err = f.Import(t.Context(), f.db, into("B1"), seq(append(f.records(t, 5), recs[:2]...)...))
	if err != nil || rep.Added != 5 || rep.Known != 2 {
		t.Errorf("more: got %+v, %v", rep, err)
	}
	f.wantNothingLeft(t)
}

// TestImportFails ends imports in each way: nothing of them may stay.
func TestImportFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "old", amt.OEM)
	f.update(t, func(tx kv.Tx) error { return f.RetireBatch(tx, "old", by("anna", "")) })
	if _, err := f.Import(t.Context(), f.db, into("B1"), seq(keystore.Record{Pair: pair(t, "0000-037M", ppsA)})); err != nil {
		t.Fatal(err)
	}
	good := f.records(t, 1500)
	conflict := keystore.Record{Pair: pair(t, "0000-037M", ppsB)}
	bad := keystore.Record{Pair: amt.Pair{PID: amt.PID([]byte("0000037N")), PPS: good[0].Pair.PPS}}
	twice := keystore.Record{Pair: amt.Pair{PID: good[7].Pair.PID, PPS: good[8].Pair.PPS}}
	errOwn := errors.New("line 17 is odd")
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		name string
		im   keystore.Import
		seq  iter.Seq2[keystore.Record, error]
		want error
	}{
		{"error of the list", into("B2"), func(yield func(keystore.Record, error) bool) {
			for _, rec := range good {
				yield(rec, nil)
			}
			yield(keystore.Record{}, errOwn)
		}, errOwn},
		{"conflict", into("B2"), seq(append(slices.Clone(good), conflict)...), keystore.ErrConflict},
		{"conflict within the list", into("B2"), seq(append(slices.Clone(good), twice)...), keystore.ErrContradiction},
		{"bad record", into("B2"), seq(append(slices.Clone(good), bad)...), keystore.ErrRecord},
		{"batch name", into(" B2"), seq(good...), keystore.ErrBatchName},
		{"retired batch", into("old"), seq(good...), keystore.ErrBatchRetired},
		{"nobody", keystore.Import{Batch: keystore.Batch{Name: "B2"}}, seq(good...), keystore.ErrMove},
		{"finish", keystore.Import{Batch: keystore.Batch{Name: "B2"}, Move: by("anna", ""), Finish: func(kv.Tx, keystore.AddReport) error { return errOwn }}, seq(good...), errOwn},
		{"cancelled", into("B2"), func(yield func(keystore.Record, error) bool) {
			for _, rec := range good {
				yield(rec, nil)
			}
			cancel()
		}, context.Canceled},
	} {
		_, err := f.Import(ctx, f.db, c.im, c.seq)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
		if n := f.rows(t, "keys"); n != 1 {
			t.Errorf("%s: %d keys are in the store, want 1", c.name, n)
		}
		if n := f.rows(t, "batches"); n != 2 {
			t.Errorf("%s: %d batches are in the store, want 2", c.name, n)
		}
		f.wantNothingLeft(t)
	}
}

func TestImportSkipsConflicts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := keystore.Record{Pair: pair(t, "0000-037M", ppsA)}
	if _, err := f.Import(t.Context(), f.db, into("B1"), seq(a)); err != nil {
		t.Fatal(err)
	}
	im := into("B1")
	im.SkipConflicts = true
	differ := a
	differ.NewPassword = amt.NewSecretString("other")
	conflict := keystore.Record{Pair: pair(t, "0000-037M", ppsB)}
	rep, err := f.Import(t.Context(), f.db, im, seq(append(f.records(t, 10), conflict, conflict, f.records(t, 1)[0])...))
	if got := shown(rep); err != nil || got != "{11 0 [] [0000-037M 0000-037M]}" {
		t.Errorf("got %s, %v", got, err)
	}
	rep, err = f.Import(t.Context(), f.db, im, seq(append(f.records(t, 10), conflict, a, differ)...))
	if got := shown(rep); err != nil || got != "{10 0 [] []}" || fmt.Sprint(rep.Contradictions) != "[{0000-037M 3 false}]" || rep.LeftOut() != 3 {
		t.Errorf("a list that contradicts itself and the store: got %s %v, %v", got, rep.Contradictions, err)
	}
}

// spy calls after behind each update, with its number from 1.
type spy struct {
	kv.Store
	after func(n int)
	n     int
}

func (s *spy) Update(ctx context.Context, fn func(kv.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	s.n++
	s.after(s.n)
	return err
}

// byPID sorts records as an import does.
func byPID(recs []keystore.Record) []keystore.Record {
	slices.SortFunc(recs, func(a, b keystore.Record) int { return bytes.Compare(a.Pair.PID[:], b.Pair.PID[:]) })
	return recs
}

// TestImportHidden looks at the store from outside while an import is under way.
func TestImportHidden(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	visible := f.add(t, "B1", 3)
	keystore.SetRun(f.Store, 20_000, 200)
	recs := byPID(f.records(t, 3000))
	look := func(n int) {
		if n != 5 {
			return
		}
		pid := recs[0].Pair.PID
		if n := f.rows(t, "keys"); n <= len(visible) || n >= 3000 {
			t.Fatalf("%d keys are written: the test looks too early or too late", n)
		}
		f.view(t, func(r kv.Reader) error {
			if _, err := f.Get(r, pid); !errors.Is(err, keystore.ErrUnknownPID) {
				t.Errorf("Get: got error %v", err)
			}
			if _, err := f.Secrets(r, pid); !errors.Is(err, keystore.ErrUnknownPID) {
				t.Errorf("Secrets: got error %v", err)
			}
			if err := f.CheckInvariants(r); err != nil {
				t.Error(err)
			}
			return nil
		})
		prepared := f.prepare(t, recs[0])
		for name, c := range map[string]struct {
			fn   func(tx kv.Tx) error
			want error
		}{
			"claim":   {func(tx kv.Tx) error { return f.Claim(tx, pid, board1, by("scsd", "")) }, keystore.ErrUnknownPID},
			"add":     {func(tx kv.Tx) error { _, err := f.Add(tx, "B1", prepared, by("ben", "")); return err }, keystore.ErrBusy},
			"reserve": {func(tx kv.Tx) error { return f.Reserve(tx, board1, prepared[0], "", by("ben", "")) }, keystore.ErrConflict},
		} {
			if err := f.try(c.fn); !errors.Is(err, c.want) {
				t.Errorf("%s: got error %v, want %v", name, err, c.want)
			}
		}
		if _, err := f.Import(t.Context(), f.db, into("B1"), seq(recs[0])); !errors.Is(err, keystore.ErrBusy) {
			t.Errorf("a second import of the same pair: got error %v", err)
		}
		if rep, err := f.Import(t.Context(), f.db, into("B2"), seq(f.records(t, 2)...)); err != nil || rep.Added != 2 {
			t.Errorf("a second import of other pairs: got %+v, %v", rep, err)
		}
		if n, err := f.Sweep(t.Context(), f.db, false); n != 0 || err != nil {
			t.Errorf("a sweep took %d imports, %v", n, err)
		}
		if got := f.counts(t)[keystore.Available]; got != 5 {
			t.Errorf("%d pairs are counted, want 5", got)
		}
		got, _ := f.all(t, keystore.Filter{Batch: "B1"}, 100)
		if !slices.Equal(listed(got), visible) {
			t.Errorf("%d pairs are listed, want 3", len(got))
		}
	}
	rep, err := f.Import(t.Context(), &spy{Store: f.db, after: look}, into("B1"), seq(recs...))
	if err != nil || rep.Added != 3000 {
		t.Fatalf("got %+v, %v", rep, err)
	}
	if got := f.counts(t)[keystore.Available]; got != 3005 {
		t.Errorf("%d pairs are counted, want 3005", got)
	}
	f.wantNothingLeft(t)
}

// flaky fails chosen updates, before or after they happened.
type flaky struct {
	kv.Store
	mu    sync.Mutex
	left  int  // updates until the failure
	after bool // the update happens and its answer is lost
	stuck bool // all later ones fail too
}

var errFlaky = errors.New("the store failed")

func (s *flaky) Update(ctx context.Context, fn func(kv.Tx) error) error {
	s.mu.Lock()
	s.left--
	now, dead := s.left == 0, s.left < 0 && s.stuck
	s.mu.Unlock()
	switch {
	case dead, now && !s.after:
		return errFlaky
	case now:
		if err := s.Store.Update(ctx, fn); err != nil {
			return err
		}
		return errFlaky
	}
	return s.Store.Update(ctx, fn)
}

// TestImportOnFailingStore fails each update of an import in each way. When the
// store is dead from then on, as after a crash, a sweep must find all.
func TestImportOnFailingStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	recs := f.records(t, 600) // two chunks
	for n := 1; n < 8; n++ {
		for _, after := range []bool{false, true} {
			for _, stuck := range []bool{false, true} {
				name := fmt.Sprintf("update %d, after %v, stuck %v", n, after, stuck)
				s := &flaky{Store: f.db, left: n, after: after, stuck: stuck}
				rep, err := f.Import(t.Context(), s, into("B1"), seq(recs...))
				before := f.counts(t)[keystore.Available]
				if stuck {
					if _, err := f.Sweep(t.Context(), f.db, true); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				visible := f.counts(t)[keystore.Available]
				if visible != before || visible != 0 && visible != 600 || err == nil && visible != 600 || err == nil && rep.Added != 600 {
					t.Errorf("%s: got %+v, %v; %d pairs are visible, %d before the sweep", name, rep, err, visible, before)
				}
				if rows := f.rows(t, "keys"); rows != visible {
					t.Errorf("%s: %d pairs are in the store and %d visible", name, rows, visible)
				}
				if s.left > 0 && n < 5 {
					t.Errorf("%s: the import made no such update", name)
				}
				if stuck {
					f.wantNothingLeft(t)
				}
				f.wipe(t)
			}
		}
	}
}

// wipe removes all pairs and what is kept of them.
func (f fixture) wipe(t testing.TB) {
	t.Helper()
	f.update(t, func(tx kv.Tx) error {
		for _, table := range []kv.Table{"keys", "keys_by_state", "keys_by_batch", "keys_by_uuid", "key_counts", "key_jobs", "key_job_chunks"} {
			var keys [][]byte
			err := tx.Scan(table, kv.Range{}, func(k, _ []byte) error { keys = append(keys, k); return nil })
			for _, k := range keys {
				err = errors.Join(err, tx.Delete(table, k))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// TestSweepLease: an import that stood still is swept, and then ends itself.
func TestSweepLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := today
	f.Now = func() time.Time { return now }
	keystore.SetRun(f.Store, 20_000, 200)
	recs := f.records(t, 3000)
	other := keystore.New(nil) // another server on the same store
	s := &spy{Store: f.db, after: func(n int) {
		if n != 5 {
			return
		}
		for _, c := range []struct {
			at   time.Duration
			want int
		}{{59 * time.Second, 0}, {61 * time.Second, 1}, {62 * time.Second, 0}} {
			other.Now = func() time.Time { return today.Add(c.at) }
			if n, err := other.Sweep(t.Context(), f.db, false); n != c.want || err != nil {
				t.Errorf("at %v: swept %d, %v, want %d", c.at, n, err, c.want)
			}
		}
	}}
	_, err := f.Import(t.Context(), s, into("B1"), seq(recs...))
	if !errors.Is(err, keystore.ErrImportLost) {
		t.Errorf("got error %v", err)
	}
	if n := f.rows(t, "keys"); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	f.wantNothingLeft(t)
}

// TestSweepBeside: an import that renews its lease is left alone, however long
// it takes; one whose sweep broke off half way ends itself.
func TestSweepBeside(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := today
	f.Now = func() time.Time { now = now.Add(10 * time.Second); return now }
	keystore.SetRun(f.Store, 20_000, 200) // ten chunks and more
	recs := f.records(t, 3000)
	during := func(sweep func()) error {
		s := &spy{Store: f.db, after: func(n int) {
			if n == 14 {
				sweep()
			}
		}}
		_, err := f.Import(t.Context(), s, into("B1"), seq(recs...))
		return err
	}
	err := during(func() {
		other := keystore.New(nil)
		other.Now = func() time.Time { return now }
		if n, err := other.Sweep(t.Context(), f.db, false); n != 0 || err != nil || now.Sub(today) < 2*time.Minute {
			t.Errorf("after %v: swept %d, %v", now.Sub(today), n, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	f.wipe(t)
	err = during(func() {
		broken := &flaky{Store: f.db, left: 3, stuck: true}
		if _, err := f.Sweep(t.Context(), broken, true); !errors.Is(err, errFlaky) {
			t.Errorf("a sweep that breaks off: got error %v", err)
		}
	})
	if !errors.Is(err, keystore.ErrImportLost) {
		t.Errorf("got error %v", err)
	}
	if n := f.rows(t, "keys"); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	f.wantNothingLeft(t)
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	password := func() (amt.Secret, error) { return amt.NewSecretString("P@ssw0rd"), nil }
	rep, err := f.Generate(t.Context(), f.db, into("B1"), 2500, password)
	if err != nil || rep.Added != 2500 || rep.Known != 0 {
		t.Fatalf("got %+v, %v", rep, err)
	}
	keys, _ := f.all(t, keystore.Filter{Batch: "B1"}, 1000)
	if len(keys) != 2500 || !keys[7].HasNewPassword || !keys[7].HasCurrentPassword {
		t.Errorf("got %d keys, %+v", len(keys), keys[7])
	}
	for _, n := range []int{0, 1} {
		if rep, err := f.Generate(t.Context(), f.db, into("B1"), n, nil); err != nil || rep.Added != n {
			t.Errorf("%d: got %+v, %v", n, rep, err)
		}
	}
	f.wantNothingLeft(t)
}

// TestGenerateTakenPIDs draws from a source that repeats itself: PIDs that are
// taken, visible or hidden, are drawn again.
func TestGenerateTakenPIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Rand = weak(1)
	if rep, err := f.Generate(t.Context(), f.db, into("B1"), 700, nil); err != nil || rep.Added != 700 {
		t.Fatalf("got %+v, %v", rep, err)
	}
	f.Rand = weak(1)
	rep, err := f.Generate(t.Context(), f.db, into("B1"), 700, nil)
	if err != nil || rep.Added != 700 || rep.Conflicts != nil {
		t.Fatalf("the second time: got %+v, %v", rep, err)
	}
	if got := f.counts(t)[keystore.Available]; got != 1400 {
		t.Errorf("%d pairs, want 1400", got)
	}
	f.Rand = stuck{}
	if _, err := f.Generate(t.Context(), f.db, into("B1"), 1, nil); err != nil {
		t.Errorf("the first of a stuck source: got error %v", err)
	}
	if _, err := f.Generate(t.Context(), f.db, into("B1"), 1, nil); err == nil {
		t.Error("a stuck source goes unnoticed")
	}
	f.wantNothingLeft(t)
}

// stuck gives ones for ever.
type stuck struct{}

func (stuck) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}
