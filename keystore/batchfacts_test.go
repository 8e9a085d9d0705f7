package keystore_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// getBatch reads a batch.
func (f fixture) getBatch(t testing.TB, name string) (b keystore.Batch) {
	t.Helper()
	f.view(t, func(r kv.Reader) (err error) { b, err = f.Batch(r, name); return err })
	return b
}

func (f fixture) secretsOf(t testing.TB, pid amt.PID) (s keystore.Secrets) {
	t.Helper()
	f.view(t, func(r kv.Reader) (err error) { s, err = f.Secrets(r, pid); return err })
	return s
}

// rawBatch is a batch's record as it is stored.
func (f fixture) rawBatch(t testing.TB, name string) (raw []byte) {
	t.Helper()
	f.view(t, func(r kv.Reader) error {
		b, err := r.Get("batches", []byte(name))
		raw = bytes.Clone(b)
		return err
	})
	return raw
}

func TestBatchFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B", amt.OEM)
	one := keystore.BatchFile{Name: "a.csv", SHA256: []byte{1, 2}, At: today, Who: "petra", Added: 7}
	f.update(t, func(tx kv.Tx) error { return f.AddBatchFiles(tx, "B", one) })
	if got := f.getBatch(t, "B").Files; len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(one) {
		t.Errorf("got %v", got)
	}
	many := make([]keystore.BatchFile, 100)
	for i := range many {
		many[i] = keystore.BatchFile{Name: fmt.Sprint(i), At: today}
	}
	f.update(t, func(tx kv.Tx) error { return f.AddBatchFiles(tx, "B", many...) })
	if got := f.getBatch(t, "B").Files; len(got) != 100 || got[0].Name != "0" {
		t.Errorf("got %d files from %v", len(got), got[0])
	}
	// A change of the batch leaves them.
	f.update(t, func(tx kv.Tx) error { return f.UpdateBatch(tx, keystore.Batch{Name: "B", Notes: "x"}) })
	if got := f.getBatch(t, "B"); len(got.Files) != 100 || got.Notes != "x" {
		t.Errorf("got %+v", got)
	}
	if err := f.try(func(tx kv.Tx) error { return f.AddBatchFiles(tx, "none", one) }); !errors.Is(err, keystore.ErrNoBatch) {
		t.Errorf("got %v", err)
	}
}

// TestBatchPassword: pairs without a current password have their batch's, also on
// a USB key, and what a list says of a pair counts more.
func TestBatchPassword(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.update(t, func(tx kv.Tx) error {
		return f.CreateBatch(tx, keystore.Batch{Name: "B", Model: amt.OEM, CurrentPassword: amt.NewSecretString("F@ctory-1")})
	})
	recs, err := f.Draw(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	recs[0].CurrentPassword = amt.Secret{}
	recs[1].CurrentPassword = amt.NewSecretString("0wn-P@ss")
	f.update(t, func(tx kv.Tx) error {
		_, err := f.Add(tx, "B", f.prepare(t, recs...), by("petra", ""))
		return err
	})
	want := func(first string) {
		t.Helper()
		for i, want := range []string{first, "0wn-P@ss"} {
			if got := string(f.secretsOf(t, recs[i].Pair.PID).CurrentPassword.Reveal()); got != want {
				t.Errorf("pair %d: got another current password than %q", i, want)
			}
		}
	}
	want("F@ctory-1")
	f.update(t, func(tx kv.Tx) error {
		x, err := f.BeginExport(tx, "B", false, by("sue", ""))
		if err != nil {
			return err
		}
		list, err := f.ExportNext(tx, x.ID, 10)
		for _, p := range list {
			if p.PID == recs[0].Pair.PID && string(p.Secrets.CurrentPassword.Reveal()) != "F@ctory-1" {
				t.Error("an export lacks the batch's password")
			}
		}
		return err
	})
	// The same list again is known still, without a difference.
	f.update(t, func(tx kv.Tx) error {
		rep, err := f.Add(tx, "B", f.prepare(t, recs...), by("petra", ""))
		if rep.Known != 2 || len(rep.Differ) != 0 {
			t.Errorf("got %+v", rep)
		}
		return err
	})
	f.update(t, func(tx kv.Tx) error { return f.SetBatchPassword(tx, "B", amt.NewSecretString("F@ctory-2")) })
	want("F@ctory-2")
	f.view(t, func(r kv.Reader) error {
		got, err := f.BatchPassword(r, "B")
		if !got.Equal(amt.NewSecretString("F@ctory-2")) {
			t.Error("another password came back")
		}
		return err
	})
	if b := f.getBatch(t, "B"); !b.HasCurrentPassword || !b.CurrentPassword.IsZero() {
		t.Errorf("got %+v", b)
	}
	f.update(t, func(tx kv.Tx) error { return f.SetBatchPassword(tx, "B", amt.Secret{}) })
	want("")
	long := amt.NewSecret(make([]byte, 257))
	for name, want := range map[string]error{"none": keystore.ErrNoBatch, "B": keystore.ErrRecord} {
		if err := f.try(func(tx kv.Tx) error { return f.SetBatchPassword(tx, name, long) }); !errors.Is(err, want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestExpiry: only what no device holds is touched, nothing is moved, and a later
// date takes it back.
func TestExpiry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B", amt.OEM)
	recs, _ := f.Draw(3, nil)
	f.update(t, func(tx kv.Tx) error {
		_, err := f.Add(tx, "B", f.prepare(t, recs[:2]...), by("petra", ""))
		return err
	})
	claim := func(i int, board amt.UUID) error {
		return f.try(func(tx kv.Tx) error { return f.Claim(tx, recs[i].Pair.PID, board, by("scsd", "")) })
	}
	expire := func(at time.Time) {
		f.update(t, func(tx kv.Tx) error {
			return f.UpdateBatch(tx, keystore.Batch{Name: "B", Model: amt.OEM, ExpiresAt: at})
		})
	}
	expire(today.Add(time.Second))
	if err := claim(0, board1); err != nil {
		t.Errorf("before the date: %v", err)
	}
	f.update(t, func(tx kv.Tx) error {
		return f.Reserve(tx, board1, f.prepare(t, recs[2])[0], "B", by("scsd", ""))
	})
	expire(today)
	if err := claim(1, board2); !errors.Is(err, keystore.ErrBatchExpired) {
		t.Errorf("an available pair: got %v", err)
	}
	for i, what := range map[int]string{0: "a claimed pair", 2: "a reserved pair"} {
		if err := claim(i, board1); err != nil {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if k := f.get(t, recs[1].Pair.PID); k.State != keystore.Available || !k.ExpiresAt.Equal(today) {
		t.Errorf("got %+v", k)
	}
	err := f.try(func(tx kv.Tx) error { _, err := f.BeginExport(tx, "B", true, by("sue", "")); return err })
	if !errors.Is(err, keystore.ErrBatchExpired) {
		t.Errorf("an export: got %v", err)
	}
	expire(time.Time{})
	if err := claim(1, board2); err != nil {
		t.Errorf("a later date: got %v", err)
	}
}

// TestRetiredAtOnce: from the transaction that retires a batch its pairs are
// refused, though another one moves them.
func TestRetiredAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B", amt.OEM)
	pid := f.add(t, "B", 1)[0]
	retired := f.add(t, "B", 1)[0]
	f.update(t, func(tx kv.Tx) error { return f.Retire(tx, retired, by("anna", "")) })
	f.update(t, func(tx kv.Tx) error { return f.RetireBatch(tx, "B", by("anna", "")) })
	if k := f.get(t, pid); k.State != keystore.Retired {
		t.Errorf("got %v", k.State)
	}
	if err := f.try(func(tx kv.Tx) error { return f.Claim(tx, pid, board1, by("scsd", "")) }); !errors.Is(err, keystore.ErrRetired) {
		t.Errorf("claim: got %v", err)
	}
	if err := f.try(func(tx kv.Tx) error { return f.Restore(tx, retired, by("anna", "")) }); !errors.Is(err, keystore.ErrBatchRetired) {
		t.Errorf("restore: got %v", err)
	}
}

func TestMappings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dell := keystore.Mapping{
		Name: "dell", Columns: []keystore.MappingColumn{{Field: "pid", Position: 3}, {Field: "pps", Name: "Pass Phrase"}},
		Separator: ';', Skip: 2, Notes: "May 2026",
	}
	set := func(m keystore.Mapping) error {
		return f.try(func(tx kv.Tx) error { _, err := f.SetMapping(tx, m, by("petra", "")); return err })
	}
	for _, name := range []string{"hp", "acer.2", "dell"} {
		m := dell
		if m.Name = name; set(m) != nil {
			t.Errorf("%s: refused", name)
		}
	}
	dell.ChangedAt, dell.ChangedBy = today, "petra"
	f.view(t, func(r kv.Reader) error {
		got, err := f.Mapping(r, "dell")
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", dell) {
			t.Errorf("got %+v", got)
		}
		var names []string
		for token, more := "", true; more && err == nil; more = token != "" {
			var list []keystore.Mapping
			list, token, err = f.Mappings(r, keystore.Page{Size: 2, Token: token})
			for _, m := range list {
				names = append(names, m.Name)
			}
		}
		if !slices.Equal(names, []string{"acer.2", "dell", "hp"}) {
			t.Errorf("got %v", names)
		}
		return err
	})
	for _, name := range []string{"", "a b", "ä", string(make([]byte, 65))} {
		if err := set(keystore.Mapping{Name: name}); !errors.Is(err, keystore.ErrMappingName) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	f.update(t, func(tx kv.Tx) error { return f.DeleteMapping(tx, "hp") })
	if err := f.try(func(tx kv.Tx) error { return f.DeleteMapping(tx, "hp") }); !errors.Is(err, keystore.ErrNoMapping) {
		t.Errorf("got %v", err)
	}
}
