package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
)

var (
	board1 = amt.UUID{0: 0x11, 15: 1}
	board2 = amt.UUID{0: 0x22, 15: 2}
	today  = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
)

func by(who, why string) keystore.Move { return keystore.Move{Who: who, Why: why} }

// fixture is a store whose invariants are checked at the end of the test.
type fixture struct {
	*keystore.Store
	db kv.Store
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	s := keystore.New(sealtest.New(t))
	s.Now = func() time.Time { return today }
	return fixture{s, bolttest.New(t, s.CheckInvariants)}
}

func (f fixture) update(t testing.TB, fn func(tx kv.Tx) error) {
	t.Helper()
	if err := f.db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// try returns the error of an update.
func (f fixture) try(fn func(tx kv.Tx) error) error { return f.db.Update(context.Background(), fn) }

func (f fixture) view(t testing.TB, fn func(r kv.Reader) error) {
	t.Helper()
	if err := f.db.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// batch makes a batch.
func (f fixture) batch(t testing.TB, name string, model amt.Model) {
	t.Helper()
	f.update(t, func(tx kv.Tx) error {
		return f.CreateBatch(tx, keystore.Batch{Name: name, Profile: "profile of " + name, Model: model, CreatedBy: "anna"})
	})
}

// draw draws and seals records.
func (f fixture) draw(t testing.TB, n int) []keystore.Prepared {
	t.Helper()
	recs, err := f.Draw(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.prepare(t, recs...)
}

func (f fixture) prepare(t testing.TB, recs ...keystore.Record) []keystore.Prepared {
	t.Helper()
	prepared, err := f.Prepare(recs)
	if err != nil {
		t.Fatal(err)
	}
	return prepared
}

// add puts n fresh pairs into a batch and returns their PIDs in order.
func (f fixture) add(t testing.TB, batch string, n int) []amt.PID {
	t.Helper()
	prepared := f.draw(t, n)
	f.update(t, func(tx kv.Tx) error {
		rep, err := f.Add(tx, batch, prepared, by("anna", "new"))
		if rep.Added != n {
			t.Errorf("added %d of %d", rep.Added, n)
		}
		return err
	})
	return pids(prepared)
}

func pids(prepared []keystore.Prepared) []amt.PID {
	out := make([]amt.PID, len(prepared))
	for i, p := range prepared {
		out[i] = p.PID()
	}
	slices.SortFunc(out, func(a, b amt.PID) int { return slices.Compare(a[:], b[:]) })
	return out
}

func (f fixture) get(t testing.TB, pid amt.PID) keystore.Key {
	t.Helper()
	var k keystore.Key
	f.view(t, func(r kv.Reader) (err error) { k, err = f.Get(r, pid); return err })
	return k
}

func (f fixture) counts(t testing.TB) map[keystore.State]int {
	t.Helper()
	var c map[keystore.State]int
	f.view(t, func(r kv.Reader) (err error) { c, err = f.Counts(r); return err })
	return c
}

func pair(t testing.TB, pid, pps string) amt.Pair {
	t.Helper()
	p, err := amt.ParsePID(pid)
	if err != nil {
		t.Fatal(err)
	}
	s, err := amt.ParsePPS(pps)
	if err != nil {
		t.Fatal(err)
	}
	return amt.Pair{PID: p, PPS: s}
}

const (
	ppsA = "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"
	ppsB = "AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-NKLD-NKLD"
)

func TestAddGet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	rec := keystore.Record{
		Pair:            pair(t, "0000-037M", ppsA),
		CurrentPassword: amt.NewSecretString("admin"), NewPassword: amt.NewSecretString("P@ssw0rd"),
	}
	other := keystore.Record{Pair: pair(t, "ABCD-EFG8", ppsB)}
	prepared := f.prepare(t, rec, other)
	f.update(t, func(tx kv.Tx) error {
		_, err := f.Add(tx, "B1", prepared, by("anna", "order 42"))
		return err
	})
	want := keystore.Key{
		PID: rec.Pair.PID, State: keystore.Available, Batch: "B1", Profile: "profile of B1", Model: amt.OEM,
		CreatedAt: today, ChangedAt: today, Who: "anna", Why: "order 42", HasCurrentPassword: true, HasNewPassword: true,
	}
	if got := f.get(t, rec.Pair.PID); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := f.get(t, rec.Pair.PID).LogValue().String(); got != "0000-037M" {
		t.Errorf("a key logs as %q", got)
	}
	f.view(t, func(r kv.Reader) error {
		got, err := f.Secrets(r, rec.Pair.PID)
		if !got.PPS.Equal(rec.Pair.PPS) || !got.CurrentPassword.Equal(rec.CurrentPassword) || !got.NewPassword.Equal(rec.NewPassword) {
			t.Error("other secrets came back")
		}
		if err != nil {
			return err
		}
		got, err = f.Secrets(r, other.Pair.PID)
		if !got.PPS.Equal(other.Pair.PPS) || !got.CurrentPassword.IsZero() || !got.NewPassword.IsZero() {
			t.Error("other secrets came back for the second")
		}
		return err
	})
	if got := f.get(t, other.Pair.PID); got.HasCurrentPassword || got.HasNewPassword {
		t.Errorf("got %+v of a pair without passwords", got)
	}
	f.view(t, func(r kv.Reader) error {
		unknown := amt.PID([]byte("00000000"))
		if _, err := f.Get(r, unknown); !errors.Is(err, keystore.ErrUnknownPID) {
			t.Errorf("Get of an unknown PID: got error %v", err)
		}
		if _, err := f.Secrets(r, unknown); !errors.Is(err, keystore.ErrUnknownPID) {
			t.Errorf("Secrets of an unknown PID: got error %v", err)
		}
		if _, _, err := f.History(r, unknown); !errors.Is(err, keystore.ErrUnknownPID) {
			t.Errorf("History of an unknown PID: got error %v", err)
		}
		return nil
	})
}

// shown is the report's main part.
func shown(rep keystore.AddReport) string {
	return fmt.Sprintf("{%d %d %v %v}", rep.Added, rep.Known, rep.Differ, rep.Conflicts)
}

// TestAddAgain adds what is there: the same, with other passwords, with another
// PPS, and twice in one call.
func TestAddAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	a, b := pair(t, "0000-037M", ppsA), pair(t, "ABCD-EFG8", ppsB)
	first := f.prepare(t, keystore.Record{Pair: a}, keystore.Record{Pair: b})
	f.update(t, func(tx kv.Tx) error { _, err := f.Add(tx, "B1", first, by("anna", "")); return err })
	before := f.get(t, a.PID)
	for _, c := range []struct {
		name string
		recs []keystore.Record
		want string
		err  error
	}{
		{"the same", []keystore.Record{{Pair: a}, {Pair: b}}, "{0 2 [] []}", nil},
		{"a password where there is none", []keystore.Record{{Pair: a, NewPassword: amt.NewSecretString("x")}}, "{0 1 [] []}", nil},
		{"other PPS", []keystore.Record{{Pair: pair(t, "0000-037M", ppsB)}}, "{0 0 [] [0000-037M]}", keystore.ErrConflict},
		{"new beside conflicts", []keystore.Record{{Pair: pair(t, "9999-9993", ppsA)}, {Pair: pair(t, "0000-037M", ppsB)}, {Pair: pair(t, "ABCD-EFG8", ppsA)}}, "{1 0 [] [0000-037M ABCD-EFG8]}", keystore.ErrConflict},
		{"twice in a call", []keystore.Record{{Pair: pair(t, "9999-9993", ppsA)}, {Pair: pair(t, "9999-9993", ppsA)}}, "{1 1 [] []}", nil},
		{"twice with another PPS", []keystore.Record{{Pair: pair(t, "1234-5674", ppsA)}, {Pair: pair(t, "1234-5674", ppsB)}}, "{1 0 [] [1234-5674]}", keystore.ErrConflict},
		{"none", nil, "{0 0 [] []}", nil},
	} {
		prepared := f.prepare(t, c.recs...)
		var rep keystore.AddReport
		err := f.try(func(tx kv.Tx) (err error) { rep, err = f.Add(tx, "B1", prepared, by("ben", "")); return err })
		if got := shown(rep); !errors.Is(err, c.err) || got != c.want {
			t.Errorf("%s: got %s, %v, want %s, %v", c.name, got, err, c.want, c.err)
		}
	}
	if got := f.get(t, a.PID); got != before {
		t.Errorf("the pair is now %+v, was %+v", got, before)
	}
	if got := f.counts(t)[keystore.Available]; got != 3 {
		t.Errorf("%d pairs, want 3", got)
	}
}

func TestAddRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	f.batch(t, "old", amt.OEM)
	f.update(t, func(tx kv.Tx) error { return f.RetireBatch(tx, "old", by("anna", "")) })
	prepared := f.draw(t, 1)
	for _, c := range []struct {
		batch string
		move  keystore.Move
		want  error
	}{
		{"B2", by("anna", ""), keystore.ErrNoBatch},
		{"", by("anna", ""), keystore.ErrBatchName},
		{"old", by("anna", ""), keystore.ErrBatchRetired},
		{"B1", by("", "nobody"), keystore.ErrMove},
		{"B1", by("anna", string(make([]byte, 2000))), keystore.ErrMove},
	} {
		err := f.try(func(tx kv.Tx) error { _, err := f.Add(tx, c.batch, prepared, c.move); return err })
		if !errors.Is(err, c.want) {
			t.Errorf("batch %q by %q: got error %v, want %v", c.batch, c.move.Who, err, c.want)
		}
	}
}

func TestPrepareRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := pair(t, "0000-037M", ppsA)
	bare := string(good.PPS.Reveal())
	for name, rec := range map[string]keystore.Record{
		"no PID":        {Pair: amt.Pair{PPS: good.PPS}},
		"bad PID":       {Pair: amt.Pair{PID: amt.PID([]byte("0000037N")), PPS: good.PPS}},
		"no PPS":        {Pair: amt.Pair{PID: good.PID}},
		"dashed PPS":    {Pair: amt.Pair{PID: good.PID, PPS: amt.NewSecretString(ppsA)}},
		"bad PPS":       {Pair: amt.Pair{PID: good.PID, PPS: amt.NewSecretString(bare[:31] + "K")}},
		"short PPS":     {Pair: amt.Pair{PID: good.PID, PPS: amt.NewSecretString(bare[:28])}},
		"long password": {Pair: good, NewPassword: amt.NewSecret(make([]byte, 257))},
	} {
		_, err := f.Prepare([]keystore.Record{{Pair: good}, rec})
		if !errors.Is(err, keystore.ErrRecord) {
			t.Errorf("%s: got error %v", name, err)
		} else if got := err.Error(); len(got) < 6 || got[:6] != "pair 2" {
			t.Errorf("%s: the error does not name the place: %v", name, err)
		}
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	n := 0
	recs, err := f.Draw(500, func() (amt.Secret, error) { n++; return amt.NewSecretString(fmt.Sprint("password ", n)), nil })
	if err != nil || len(recs) != 500 || n != 500 {
		t.Fatalf("got %d pairs with %d passwords, %v", len(recs), n, err)
	}
	seen := map[amt.PID]bool{}
	for i, rec := range recs {
		if seen[rec.Pair.PID] {
			t.Errorf("PID %v came twice", rec.Pair.PID)
		}
		seen[rec.Pair.PID] = true
		if string(rec.NewPassword.Reveal()) != fmt.Sprint("password ", i+1) || string(rec.CurrentPassword.Reveal()) != amt.FactoryPassword {
			t.Errorf("pair %d has other passwords", i)
		}
	}
	if _, err := f.Prepare(recs); err != nil {
		t.Error(err)
	}
	errOwn := errors.New("no password")
	if _, err := f.Draw(2, func() (amt.Secret, error) { return amt.Secret{}, errOwn }); !errors.Is(err, errOwn) {
		t.Errorf("got error %v", err)
	}
	f.Rand = &few{bytes: 4096}
	if _, err := f.Draw(100, nil); err == nil {
		t.Error("drew 100 pairs from 4 KiB")
	}
}

// few is a random source that ends, of the bytes 0, 1, 2...
type few struct{ bytes, at int }

func (r *few) Read(p []byte) (int, error) {
	if r.bytes == 0 {
		return 0, errors.New("out of random bytes")
	}
	n := min(len(p), r.bytes)
	for i := range n {
		p[i] = byte(r.at)
		r.at++
	}
	r.bytes -= n
	return n, nil
}

func TestReserve(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	prepared := f.draw(t, 3)
	f.update(t, func(tx kv.Tx) error {
		return errors.Join(f.Reserve(tx, board1, prepared[0], "B1", by("scsd", "next")), f.Reserve(tx, board2, prepared[1], "", by("scsd", "next")))
	})
	k := f.get(t, prepared[0].PID())
	if k.State != keystore.Reserved || k.UUID != board1 || k.Batch != "B1" || k.Model != amt.OEM {
		t.Errorf("got %+v", k)
	}
	if k := f.get(t, prepared[1].PID()); k.UUID != board2 || k.Batch != "" || k.Profile != "" || k.Model != amt.ModelUnknown {
		t.Errorf("got %+v", k)
	}
	for _, c := range []struct {
		uuid  amt.UUID
		rec   keystore.Prepared
		batch string
		want  error
	}{
		{board1, prepared[0], "", keystore.ErrConflict},
		{amt.UUID{}, prepared[2], "", keystore.ErrUUID},
		{board1, prepared[2], "B9", keystore.ErrNoBatch},
	} {
		err := f.try(func(tx kv.Tx) error { return f.Reserve(tx, c.uuid, c.rec, c.batch, by("scsd", "")) })
		if !errors.Is(err, c.want) {
			t.Errorf("got error %v, want %v", err, c.want)
		}
	}
	if got := f.counts(t); got[keystore.Reserved] != 2 || got[keystore.Available] != 0 {
		t.Errorf("counts %v", got)
	}
}

func TestReseal(t *testing.T) {
	t.Parallel()
	db, kek := bolttest.New(t), sealtest.KEK(t)
	keyset, err := seal.Init(t.Context(), db, kek)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{keystore.New(keyset), db}
	recs := f.records(t, 1100)
	recs[0].CurrentPassword = amt.Secret{} // the batch's
	if _, err := f.Import(t.Context(), db, into("B1"), seq(recs...)); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"F@ctory-0", "F@ctory-1"} {
		f.update(t, func(tx kv.Tx) error { return f.SetBatchPassword(tx, "B1", amt.NewSecretString(password)) })
	}
	old := f.rawBatch(t, "B1")
	before := f.get(t, recs[0].Pair.PID)
	for _, want := range []int{0, 1100, 0} {
		if n, err := f.Reseal(t.Context(), db); n != want || err != nil {
			t.Errorf("sealed %d anew, %v, want %d", n, err, want)
		}
		if want == 0 {
			if err := keyset.Rotate(t.Context(), db, kek); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := f.get(t, recs[0].Pair.PID); got != before {
		t.Errorf("the pair is now %+v, was %+v", got, before)
	}
	if bytes.Equal(f.rawBatch(t, "B1"), old) {
		t.Error("the batch's password was not sealed anew")
	}
	f.view(t, func(r kv.Reader) error {
		if p, err := f.BatchPassword(r, "B1"); err != nil || !p.Equal(amt.NewSecretString("F@ctory-1")) {
			t.Errorf("the batch has another password: %v", err)
		}
		got, err := f.Secrets(r, recs[0].Pair.PID)
		if !got.PPS.Equal(recs[0].Pair.PPS) {
			t.Error("another PPS came back")
		}
		if string(got.PreviousPassword.Reveal()) != "F@ctory-0" {
			t.Error("another previous password came back")
		}
		return errors.Join(err, f.CheckInvariants(r))
	})
}

// TestNoSecretOnDisk searches the file for secrets: of pairs that were added,
// moved, exported and swept.
func TestNoSecretOnDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := keystore.New(sealtest.New(t))
	f := fixture{s, bolttest.Open(t, path)}
	recs := f.records(t, 20)
	for i := range recs {
		recs[i].NewPassword = amt.NewSecretString(fmt.Sprintf("Hush-%02d-secret", i))
	}
	if _, err := f.Import(t.Context(), f.db, into("B1"), seq(recs[:10]...)); err != nil {
		t.Fatal(err)
	}
	broken := &flaky{Store: f.db, left: 3, stuck: true}
	if _, err := f.Import(t.Context(), broken, into("B1"), seq(recs[10:]...)); err == nil {
		t.Fatal("the import went through")
	}
	f.export(t, "B1", false, 100)
	f.update(t, func(tx kv.Tx) error { return f.Claim(tx, recs[0].Pair.PID, board1, by("scsd", "")) })
	file, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(file, []byte(recs[0].Pair.PID.Wire())) || !bytes.Contains(file, []byte(recs[19].Pair.PID.Wire())) {
		t.Fatalf("the file does not have the pairs, or %v", err)
	}
	for _, rec := range recs {
		for _, secret := range []amt.Secret{rec.Pair.PPS, rec.NewPassword} {
			if bytes.Contains(file, secret.Reveal()) || bytes.Contains(file, []byte(amt.RevealPPS(secret))) {
				t.Errorf("a secret of %v is in the file", rec.Pair.PID)
			}
		}
	}
}
