package keystore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// export begins an export and takes all its pairs, n at a time.
func (f fixture) export(t testing.TB, batch string, again bool, n int) (uint64, []keystore.Exported) {
	t.Helper()
	var e keystore.Export
	f.update(t, func(tx kv.Tx) (err error) {
		e, err = f.BeginExport(tx, batch, again, by("anna", "stick 7"))
		return err
	})
	var pairs []keystore.Exported
	for {
		var some []keystore.Exported
		f.update(t, func(tx kv.Tx) (err error) { some, err = f.ExportNext(tx, e.ID, n); return err })
		if len(some) == 0 {
			return e.ID, pairs
		}
		pairs = append(pairs, some...)
	}
}

func end(written bool, m keystore.Move) keystore.Ending {
	return keystore.Ending{Written: written, Move: m}
}

func (f fixture) exports(t testing.TB) []keystore.Export {
	t.Helper()
	var open []keystore.Export
	f.view(t, func(r kv.Reader) (err error) { open, err = f.Exports(r); return err })
	return open
}

func TestExport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Generate(t.Context(), f.db, into("B1"), 25, func() (amt.Secret, error) { return amt.NewSecretString("P@ssw0rd"), nil }); err != nil {
		t.Fatal(err)
	}
	f.batch(t, "B2", amt.OEM)
	f.add(t, "B2", 3)
	bring(t, f, "Claimed") // of B1: not for export
	keys, _ := f.all(t, keystore.Filter{Batch: "B1", State: keystore.Available}, 100)

	id, pairs := f.export(t, "B1", false, 10)
	if len(pairs) != 25 {
		t.Fatalf("got %d pairs, want 25", len(pairs))
	}
	for i, p := range pairs {
		if p.PID != keys[i].PID {
			t.Errorf("pair %d is %v, want %v: by PID", i, p.PID, keys[i].PID)
		}
		if p.Secrets.PPS.Len() != amt.PPSLen || string(p.Secrets.NewPassword.Reveal()) != "P@ssw0rd" || string(p.Secrets.CurrentPassword.Reveal()) != "admin" {
			t.Errorf("pair %d has other secrets", i)
		}
	}
	open := f.exports(t)
	if len(open) != 1 || open[0].ID != id || open[0].Pairs != 25 || open[0].BegunBy != "anna" || open[0].Batch != "B1" || open[0].Why != "stick 7" || !open[0].BegunAt.Equal(today) {
		t.Errorf("got exports %+v", open)
	}
	if k := f.get(t, pairs[0].PID); k.Exported {
		t.Error("a pair is exported before the file lies on disk")
	}
	n, err := f.FinishExport(t.Context(), f.db, id, end(true, by("anna", "stick 7")))
	if err != nil || n != 25 {
		t.Errorf("finished with %d pairs, %v", n, err)
	}
	for _, p := range pairs {
		if k := f.get(t, p.PID); !k.Exported || k.State != keystore.Available || k.Why != "stick 7" {
			t.Errorf("got %+v after an export", k)
		}
	}
	if n, err := f.FinishExport(t.Context(), f.db, id, end(true, by("anna", ""))); n != 25 || err != nil {
		t.Errorf("finished again: %d pairs, %v", n, err)
	}
	f.wantNothingLeft(t)

	err = f.try(func(tx kv.Tx) error { _, err := f.BeginExport(tx, "B1", false, by("anna", "")); return err })
	if !errors.Is(err, keystore.ErrNothingToExport) {
		t.Errorf("a second export: got error %v", err)
	}
	late := f.add(t, "B1", 2)
	id, pairs = f.export(t, "B1", false, 1000)
	if got := exported(pairs); !slices.Equal(got, late) {
		t.Errorf("an export of late pairs has %v, want %v", got, late)
	}
	if _, err := f.FinishExport(t.Context(), f.db, id, end(false, by("anna", "no space"))); err != nil {
		t.Error(err)
	}
	if k := f.get(t, late[0]); k.Exported {
		t.Error("an export that was given up marked its pairs")
	}
	if _, pairs = f.export(t, "B1", true, 7); len(pairs) != 27 {
		t.Errorf("an export again has %d pairs, want 27", len(pairs))
	}
}

func exported(pairs []keystore.Exported) []amt.PID {
	out := make([]amt.PID, len(pairs))
	for i, p := range pairs {
		out[i] = p.PID
	}
	return out
}

func TestExportRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	f.batch(t, "empty", amt.USBKey)
	f.add(t, "B1", 2)
	begin := func(batch string, again bool, who string) error {
		return f.try(func(tx kv.Tx) error { _, err := f.BeginExport(tx, batch, again, by(who, "")); return err })
	}
	for _, c := range []struct {
		batch, who string
		want       error
	}{{"none", "anna", keystore.ErrNoBatch}, {"empty", "anna", keystore.ErrNothingToExport}, {"B1", "", keystore.ErrMove}} {
		if err := begin(c.batch, false, c.who); !errors.Is(err, c.want) {
			t.Errorf("%+v: got error %v", c, err)
		}
	}
	id, _ := f.export(t, "B1", false, 10)
	// It was not finished: its pairs may be in a file.
	err := begin("B1", false, "ben")
	if !errors.Is(err, keystore.ErrExportOpen) || !strings.Contains(err.Error(), "anna began it at 2026-11-21 09:00:00 and took 2 pairs") {
		t.Errorf("while one is open: got error %v", err)
	}
	if err := begin("B1", true, "ben"); err != nil {
		t.Errorf("again while one is open: got error %v", err)
	}
	err = f.try(func(tx kv.Tx) error { _, err := f.ExportNext(tx, id+7, 1); return err })
	if !errors.Is(err, keystore.ErrNoJob) {
		t.Errorf("pairs of no export: got error %v", err)
	}
	if n, err := f.FinishExport(t.Context(), f.db, id+7, end(true, by("anna", ""))); n != 0 || !errors.Is(err, keystore.ErrNoJob) {
		t.Errorf("the end of no export: got %d, %v", n, err)
	}
}

// TestExportMeanwhile: pairs that are claimed, revoked or exported otherwise
// while the file is written do not stop its end.
func TestExportMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	all := f.add(t, "B1", 5)
	id, _ := f.export(t, "B1", false, 2)
	f.update(t, func(tx kv.Tx) error {
		return errors.Join(f.Claim(tx, all[0], board1, by("scsd", "")), f.Spend(tx, all[0], by("scsd", "")),
			f.Revoke(tx, all[1], by("ben", "")), f.MarkExported(tx, all[2], by("ben", "")), f.Claim(tx, all[3], board2, by("scsd", "")))
	})
	if n, err := f.FinishExport(t.Context(), f.db, id, end(true, by("anna", ""))); n != 2 || err != nil {
		t.Errorf("finished with %d pairs, %v, want 2", n, err)
	}
	f.wantNothingLeft(t)
}

// TestExportOnFailingStore fails each update of a FinishExport. A sweep, or the
// call again, must come to the end.
func TestExportOnFailingStore(t *testing.T) {
	t.Parallel()
	for n := 1; n < 7; n++ {
		for _, after := range []bool{false, true} {
			for _, sweep := range []bool{false, true} {
				f := newFixture(t)
				f.batch(t, "B1", amt.USBKey)
				f.add(t, "B1", 6)
				id, _ := f.export(t, "B1", false, 2)
				s := &flaky{Store: f.db, left: n, after: after, stuck: true}
				_, err := f.FinishExport(t.Context(), s, id, end(true, by("anna", "")))
				began := err == nil || n > 1 || after
				if sweep {
					_, err = f.Sweep(t.Context(), f.db, true)
				} else {
					_, err = f.FinishExport(t.Context(), f.db, id, end(true, by("anna", "")))
				}
				if err != nil {
					t.Error(err)
				}
				yes := true
				keys, _ := f.all(t, keystore.Filter{Exported: &yes}, 100)
				if want := map[bool]int{true: 6}[began || !sweep]; len(keys) != want {
					t.Errorf("update %d, after %v, sweep %v: %d pairs are marked, want %d", n, after, sweep, len(keys), want)
				}
				if began || !sweep {
					f.wantNothingLeft(t)
				}
			}
		}
	}
}
