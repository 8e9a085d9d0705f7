package keystore_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// modelKey is what the model knows of a pair.
type modelKey struct {
	state    keystore.State
	uuid     amt.UUID
	held     bool // a device held it once
	exported bool
	batch    string
	pps      string
}

// machine is the key store beside a model of it. Rapid calls its methods at
// random.
type machine struct {
	fixture
	path  string
	t     *testing.T
	model map[amt.PID]modelKey
	spare []keystore.Record // drawn, not yet added
	files int               // names of stores used up by crashes
}

// refusal is the error that the state of a pair brings.
func refusal(s keystore.State) error {
	switch s {
	case keystore.Spent:
		return keystore.ErrSpent
	case keystore.Revoked:
		return keystore.ErrRevoked
	case keystore.Retired:
		return keystore.ErrRetired
	}
	return keystore.ErrMove
}

// step says what an act does to a pair: the rules of the field, not the table of
// moves.
func (k modelKey) step(act keystore.Act, uuid amt.UUID) (modelKey, error) {
	switch s := k.state; act {
	case keystore.ActExport:
		if s == keystore.Available && k.exported {
			return k, keystore.ErrExported
		}
		if s == keystore.Available {
			k.exported = true
			return k, nil
		}
		if k.exported { // looked at first
			return k, keystore.ErrExported
		}
	case keystore.ActReexport:
		if s == keystore.Available {
			k.exported = true
			return k, nil
		}
	case keystore.ActClaim:
		if s == keystore.Available || (s == keystore.Reserved || s == keystore.Claimed) && k.uuid == uuid {
			k.state, k.uuid, k.held = keystore.Claimed, uuid, true
			return k, nil
		}
		if s == keystore.Reserved || s == keystore.Claimed {
			return k, keystore.ErrHeld
		}
	case keystore.ActSpend:
		if s == keystore.Claimed {
			k.state = keystore.Spent
		}
		if s == keystore.Claimed || s == keystore.Spent || s == keystore.Revoked {
			return k, nil
		}
	case keystore.ActRevoke:
		if s != keystore.Spent {
			k.state = keystore.Revoked
			return k, nil
		}
	case keystore.ActRetire:
		if s == keystore.Available || s == keystore.Reserved || s == keystore.Retired {
			k.state = keystore.Retired
			return k, nil
		}
	case keystore.ActRestore:
		if s == keystore.Retired || s == keystore.Spent {
			if k.held {
				return k, keystore.ErrHeld
			}
			k.state = keystore.Available
			return k, nil
		}
	}
	return k, refusal(k.state)
}

// acts does a few acts in one transaction, which sometimes fails at the end.
func (m *machine) acts(rt *rapid.T) {
	if len(m.model) == 0 {
		return
	}
	pids := slices.SortedFunc(maps.Keys(m.model), func(a, b amt.PID) int { return slices.Compare(a[:], b[:]) })
	type todo struct {
		act  keystore.Act
		pid  amt.PID
		uuid amt.UUID
	}
	var todos []todo
	for range rapid.IntRange(1, 6).Draw(rt, "acts") {
		todos = append(todos, todo{
			rapid.SampledFrom([]keystore.Act{keystore.ActExport, keystore.ActReexport, keystore.ActClaim, keystore.ActClaim, keystore.ActSpend, keystore.ActRevoke, keystore.ActRetire, keystore.ActRestore}).Draw(rt, "act"),
			rapid.SampledFrom(pids).Draw(rt, "pid"), rapid.SampledFrom([]amt.UUID{board1, board2}).Draw(rt, "uuid"),
		})
	}
	fail := rapid.IntRange(0, 4).Draw(rt, "fail") == 0
	errUndo := errors.New("undo")
	var next map[amt.PID]modelKey
	err := m.try(func(tx kv.Tx) error {
		next = maps.Clone(m.model)
		for _, d := range todos {
			want, wantErr := next[d.pid].step(d.act, d.uuid)
			if err := m.act(tx, d.act, d.pid, d.uuid, by("rapid", string(d.act))); !errors.Is(err, wantErr) {
				return fmt.Errorf("%s of %+v by %v: got %w, want %w", d.act, next[d.pid], d.uuid, err, wantErr)
			}
			if wantErr == nil {
				next[d.pid] = want
			}
		}
		if fail {
			return errUndo
		}
		return nil
	})
	switch {
	case err == nil:
		m.model = next
	case !errors.Is(err, errUndo):
		rt.Fatal(err)
	}
}

// take removes some records from the spare ones; now and then one is kept, to
// come again.
func (m *machine) take(rt *rapid.T) []keystore.Record {
	n := min(rapid.IntRange(1, 14).Draw(rt, "records"), len(m.spare))
	recs := slices.Clone(m.spare[:n])
	keep := 0
	if n > 1 && rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
		keep = 1
	}
	m.spare = m.spare[n-keep:]
	for i := range recs {
		if recs[i].Used = rapid.IntRange(0, 4).Draw(rt, "used") == 0; !recs[i].Used {
			recs[i].Exported = rapid.IntRange(0, 4).Draw(rt, "exported") == 0
		}
	}
	return recs
}

func (m *machine) learn(recs []keystore.Record, batch string) (added int) {
	for _, rec := range recs {
		if _, known := m.model[rec.Pair.PID]; known {
			continue
		}
		added++
		k := modelKey{state: keystore.Available, exported: rec.Exported, batch: batch, pps: string(rec.Pair.PPS.Reveal())}
		if rec.Used {
			k.state = keystore.Spent
		}
		m.model[rec.Pair.PID] = k
	}
	return added
}

var batchNames = rapid.SampledFrom([]string{"B", "B1"})

func (m *machine) add(rt *rapid.T) {
	batch, recs := batchNames.Draw(rt, "batch"), m.take(rt)
	prepared, err := m.Prepare(recs)
	if err != nil {
		rt.Fatal(err)
	}
	var rep keystore.AddReport
	if err := m.try(func(tx kv.Tx) (err error) { rep, err = m.Add(tx, batch, prepared, by("rapid", "add")); return err }); err != nil {
		rt.Fatal(err)
	}
	if want := m.learn(recs, batch); rep.Added != want || rep.Known != len(recs)-want {
		rt.Fatalf("got %+v of %d records, want %d added", rep, len(recs), want)
	}
}

func (m *machine) reserve(rt *rapid.T) {
	recs := m.take(rt)
	if len(recs) == 0 {
		rt.Skip("no record is left")
	}
	rec := recs[0]
	rec.Exported = false
	prepared, err := m.Prepare([]keystore.Record{rec})
	if err != nil {
		rt.Fatal(err)
	}
	batch := rapid.SampledFrom([]string{"", "B"}).Draw(rt, "batch")
	uuid := rapid.SampledFrom([]amt.UUID{board1, board2}).Draw(rt, "uuid")
	err = m.try(func(tx kv.Tx) error { return m.Reserve(tx, uuid, prepared[0], batch, by("rapid", "next")) })
	_, known := m.model[rec.Pair.PID]
	if known != errors.Is(err, keystore.ErrConflict) || !known && err != nil {
		rt.Fatalf("reserving a pair, known %v: %v", known, err)
	}
	if !known {
		m.model[rec.Pair.PID] = modelKey{state: keystore.Reserved, uuid: uuid, held: true, batch: batch, pps: string(rec.Pair.PPS.Reveal())}
	}
}

// check compares the store with the model.
func (m *machine) check(rt *rapid.T) {
	err := m.db.View(m.t.Context(), func(r kv.Reader) error {
		if err := m.CheckInvariants(r); err != nil {
			return err
		}
		keys, _, err := m.List(r, keystore.Filter{}, keystore.Page{Size: 1000})
		if len(keys) != len(m.model) {
			return fmt.Errorf("%d pairs, %w, want %d", len(keys), err, len(m.model))
		}
		counts := map[keystore.State]int{}
		for _, k := range keys {
			counts[k.State]++
			got := modelKey{k.State, k.UUID, m.model[k.PID].held, k.Exported, k.Batch, ""}
			secrets, err := m.Secrets(r, k.PID)
			if got.pps = string(secrets.PPS.Reveal()); got != m.model[k.PID] {
				return fmt.Errorf("pair %v is %+v, %w, want %+v", k.PID, got, err, m.model[k.PID])
			}
		}
		got, err := m.Counts(r)
		for _, s := range keystore.States() {
			if got[s] != counts[s] {
				return fmt.Errorf("%d pairs are %v, %w, want %d", got[s], s, err, counts[s])
			}
		}
		return err
	})
	if err != nil {
		rt.Fatal(err)
	}
}

// TestModel lives random lives of pairs, with the store opened again between.
func TestModel(t *testing.T) {
	t.Parallel()
	keyset := sealtest.New(t)
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		s := keystore.New(keyset)
		s.Rand = weak(int64(round))
		keystore.SetRun(s, 700, 3) // several runs and chunks
		s.TempDir = dir
		m := &machine{path: filepath.Join(dir, fmt.Sprint(round)), t: t, model: map[amt.PID]modelKey{}}
		m.fixture = fixture{s, bolttest.Open(t, m.path)}
		defer func() { _ = m.db.Close() }()
		m.spare = m.records(t, 200)
		m.batch(t, "B", amt.OEM)
		m.batch(t, "B1", amt.USBKey)
		rt.Repeat(map[string]func(*rapid.T){
			"acts": m.acts, "acts 2": m.acts, "acts 3": m.acts, "add": m.add, "import": m.importing,
			"reserve": m.reserve, "export": m.exporting, "retire": m.retiring, "reopen": m.reopen, "crash": m.crash, "": m.check,
		})
	})
}
