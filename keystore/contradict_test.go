package keystore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// TestImportTakesTheFuller: of rows of one pair the one with passwords comes in,
// whichever stands first, and as used if one of them says so.
func TestImportTakesTheFuller(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{20_000, 2_000} { // the second goes by a file
		f := newFixture(t)
		keystore.SetRun(f.Store, limit, 200)
		recs := f.records(t, 50)
		list := slices.Clone(recs)
		for i, rec := range recs {
			rec.NewPassword, rec.Used = amt.Secret{}, true
			list = slices.Insert(list, (i%2)*len(list), rec)
		}
		rep, err := f.Import(t.Context(), f.db, into("B1"), seq(list...))
		if err != nil || shown(rep) != "{50 50 [] []}" || rep.Contradictions != nil {
			t.Fatalf("got %+v, %v", rep, err)
		}
		for _, rec := range recs {
			if got := f.secretsOf(t, rec.Pair.PID); !got.NewPassword.Equal(rec.NewPassword) || !got.PPS.Equal(rec.Pair.PPS) {
				t.Errorf("PID %v lost its password", rec.Pair.PID)
			}
		}
		if got := f.counts(t); got[keystore.Spent] != 50 {
			t.Errorf("counts %v", got)
		}
	}
}

// TestImportTellsOfKnown: what is known without passwords, or is used by the list
// and available in the store, is told and left as it is.
func TestImportTellsOfKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := keystore.Record{Pair: pair(t, "0000-037M", ppsA)}, keystore.Record{Pair: pair(t, "ABCD-EFG8", ppsB), Used: true}
	for _, rec := range []keystore.Record{a, b} {
		if _, err := f.Import(t.Context(), f.db, into("of "+rec.Pair.PID.String()), seq(rec)); err != nil {
			t.Fatal(err)
		}
	}
	before := f.get(t, a.Pair.PID)
	a.CurrentPassword, a.Used = amt.NewSecretString("admin"), true
	for _, dry := range []bool{true, false} {
		im := into("B2")
		im.DryRun = func() bool { return dry }
		rep, err := f.Import(t.Context(), f.db, im, seq(a, b))
		got := fmt.Sprint(rep.Known, rep.Bare, rep.Unused, rep.Differ, rep.KnownIn)
		if err != nil || got != "2 [0000-037M] [0000-037M] [] [of 0000-037M of ABCD-EFG8]" {
			t.Errorf("dry run %t: got %s, %v", dry, got, err)
		}
	}
	if got := f.get(t, a.Pair.PID); got != before {
		t.Errorf("the pair is now %+v, was %+v", got, before)
	}
}

// wantContradictions wants two PIDs to stand in the list twice, the second with
// another password only, and neither in the store.
func (f fixture) wantContradictions(t *testing.T, rep keystore.AddReport, ppss, passwords amt.PID) {
	t.Helper()
	want := map[keystore.Contradiction]bool{{PID: ppss, Rows: 2}: true, {PID: passwords, Rows: 2, SamePPS: true}: true}
	for _, c := range rep.Contradictions {
		delete(want, c)
	}
	if len(want) != 0 || len(rep.Contradictions) != 2 || fmt.Sprint(rep.KnownIn) != "[B1]" {
		t.Errorf("contradictions %v, known in %v; missing %v", rep.Contradictions, rep.KnownIn, want)
	}
	f.view(t, func(r kv.Reader) error {
		for _, pid := range []amt.PID{ppss, passwords} {
			if _, err := f.Get(r, pid); !errors.Is(err, keystore.ErrUnknownPID) {
				t.Errorf("a row that contradicts another is in: %v", err)
			}
		}
		return nil
	})
}
