package keystore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// behind does something before some of the updates, counted from 1.
type behind struct {
	kv.Store
	do map[int]func()
	n  int
}

func (s *behind) Update(ctx context.Context, fn func(kv.Tx) error) error {
	s.n++
	if do := s.do[s.n]; do != nil {
		do()
	}
	return s.Store.Update(ctx, fn)
}

func (f fixture) next(id uint64, n int) (pairs []keystore.Exported, err error) {
	err = f.try(func(tx kv.Tx) error { pairs, err = f.ExportNext(tx, id, n); return err })
	return pairs, err
}

// TestFinishOtherwise: who says that a discarded export is written hears that its
// pairs are free for others, and the other way round; the end stays as it was.
func TestFinishOtherwise(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		f := newFixture(t)
		f.batch(t, "B1", amt.USBKey)
		f.add(t, "B1", 3)
		id, pairs := f.export(t, "B1", false, 2)
		want, marked := keystore.ErrExportDiscarded, 0
		if first {
			want, marked = keystore.ErrExportWritten, 3
		}
		for range 2 {
			n, err := f.FinishExport(t.Context(), f.db, id, end(first, by("ben", "")))
			if n != marked || err != nil {
				t.Errorf("written %t: got %d, %v, want %d", first, n, err, marked)
			}
			n, err = f.FinishExport(t.Context(), f.db, id, end(!first, by("anna", "")))
			if n != 0 || !errors.Is(err, want) || !strings.Contains(err.Error(), "by ben at 2026-11-21 09:00:00") {
				t.Errorf("written %t, then otherwise: got %d, %v", first, n, err)
			}
			if some, err := f.next(id, 10); len(some) != 0 || !errors.Is(err, want) {
				t.Errorf("written %t: %d more pairs, %v", first, len(some), err)
			}
		}
		for _, p := range pairs {
			if k := f.get(t, p.PID); k.Exported != first {
				t.Errorf("written %t: %v exported %t", first, p.PID, k.Exported)
			}
		}
		f.wantNothingLeft(t)
	}
}

// TestExportEndedMidway: an export that another ends while its pairs are on their
// way is not taken for a whole one.
func TestExportEndedMidway(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{true, false} {
		for _, late := range []bool{true, false} { // the marking goes on still
			f := newFixture(t)
			f.batch(t, "B1", amt.USBKey)
			f.add(t, "B1", 4)
			var e keystore.Export
			f.update(t, func(tx kv.Tx) (err error) {
				e, err = f.BeginExport(tx, "B1", false, by("anna", ""))
				return err
			})
			if some, err := f.next(e.ID, 2); len(some) != 2 || err != nil {
				t.Fatal(len(some), err)
			}
			var db kv.Store = f.db
			if late {
				db = &flaky{Store: f.db, left: 2, stuck: true}
			}
			_, _ = f.FinishExport(t.Context(), db, e.ID, end(written, by("ben", "")))
			some, err := f.next(e.ID, 2)
			want := map[bool]error{true: keystore.ErrExportWritten, false: keystore.ErrExportDiscarded}[written]
			if len(some) != 0 || !errors.Is(err, want) {
				t.Errorf("written %t, late %t: got %d pairs, %v", written, late, len(some), err)
			}
			if _, err := f.Sweep(t.Context(), f.db, true); err != nil {
				t.Error(err)
			}
			yes := true
			keys, _ := f.all(t, keystore.Filter{Exported: &yes}, 100)
			if n := map[bool]int{true: 2}[written]; len(keys) != n {
				t.Errorf("written %t, late %t: %d pairs are exported, want %d", written, late, len(keys), n)
			}
			f.wantNothingLeft(t)
		}
	}
}

// TestFinishExportAlso: the audit entry and the end are one.
func TestFinishExportAlso(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	f.add(t, "B1", 3)
	id, _ := f.export(t, "B1", false, 10)
	errAudit := errors.New("audit cannot be written")
	for _, written := range []bool{true, false} {
		_, err := f.FinishExport(t.Context(), f.db, id, keystore.Ending{
			Written: written, Move: by("ben", ""), Also: func(kv.Tx, keystore.Export) error { return errAudit },
		})
		if !errors.Is(err, errAudit) || len(f.exports(t)) != 1 || f.rows(t, "key_export_ends") != 0 {
			t.Fatalf("written %t: got %v, and %d exports are open", written, err, len(f.exports(t)))
		}
	}
	var seen []keystore.Export
	for range 2 {
		n, err := f.FinishExport(t.Context(), f.db, id, keystore.Ending{
			Written: true, Move: by("ben", ""), Also: func(tx kv.Tx, e keystore.Export) error {
				seen = append(seen, e)
				return tx.Put("audit", []byte{byte(len(seen))}, nil)
			},
		})
		if n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	first, again := seen[0], seen[len(seen)-1]
	if first.Ended || first.BegunBy != "anna" || first.Pairs != 3 || first.Marked != 0 || !again.Ended || again.Marked != 3 || again.Batch != "B1" || !again.BegunAt.Equal(today) {
		t.Errorf("got %+v", seen)
	}
	if n := f.rows(t, "audit"); n != 2 {
		t.Errorf("%d entries of two calls", n)
	}
}

// TestEndsAreForgotten: the ends of exports do not pile up.
func TestEndsAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := today
	f.Now = func() time.Time { return now }
	f.batch(t, "B1", amt.USBKey)
	f.add(t, "B1", 1)
	var ids []uint64
	discard := func() {
		id, _ := f.export(t, "B1", false, 10)
		if _, err := f.FinishExport(t.Context(), f.db, id, end(false, by("anna", ""))); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for range 30 {
		discard()
	}
	now = now.AddDate(0, 0, 30)
	discard()
	if n := f.rows(t, "key_export_ends"); n != 31 {
		t.Errorf("after 30 days %d ends are known, want all", n)
	}
	now = now.Add(time.Second)
	for _, want := range []int{12, 3} {
		discard()
		if n := f.rows(t, "key_export_ends"); n != want {
			t.Errorf("%d ends are known, want %d", n, want)
		}
	}
	for _, c := range []struct {
		id   uint64
		want error
	}{{ids[0], keystore.ErrNoJob}, {ids[30], keystore.ErrExportDiscarded}} {
		if _, err := f.FinishExport(t.Context(), f.db, c.id, end(true, by("anna", ""))); !errors.Is(err, c.want) {
			t.Errorf("export %d: got %v, want %v", c.id, err, c.want)
		}
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids %v", ids)
	}
}
