package keystore_test

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"pgregory.net/rapid"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
)

// What of a model takes several transactions, and what ends between two of them.

// dying is the store as a server sees it that is killed behind some updates; the
// update at which it happens is lost, or only its answer. Now and then it lives.
func (m *machine) dying(rt *rapid.T, updates int) *flaky {
	s := &flaky{Store: m.db, left: rapid.IntRange(0, updates).Draw(rt, "failing update"), stuck: true, after: rapid.Bool().Draw(rt, "after")}
	if s.left == 0 {
		s.left = 1 << 30
	}
	return s
}

// reopen closes the store and opens it again.
func (m *machine) reopen(*rapid.T) {
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.db = bolttest.Open(m.t, m.path)
}

// crash leaves the store as it lies on the disk between two transactions, goes on
// with a copy of that, and does what a start of the server does.
func (m *machine) crash(rt *rapid.T) {
	b, err := os.ReadFile(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.files++
	next := fmt.Sprint(m.path, "-", m.files)
	if err := errors.Join(os.Remove(m.path), os.WriteFile(next, b, 0o600)); err != nil {
		m.t.Fatal(err)
	}
	m.path = next
	m.db = bolttest.Open(m.t, m.path)
	if _, err := m.Sweep(m.t.Context(), m.db, true); err != nil {
		rt.Fatal(err)
	}
}

// importing imports in several chunks, into a store that may die; then all of
// the list is there or nothing.
func (m *machine) importing(rt *rapid.T) {
	batch, recs := batchNames.Draw(rt, "batch"), m.take(rt)
	s := m.dying(rt, 8)
	before := m.rows(m.t, "keys")
	_, err := m.Import(m.t.Context(), s, into(batch), seq(recs...))
	if s.left <= 0 {
		m.crash(rt)
	}
	added := m.rows(m.t, "keys") - before
	if err == nil || added > 0 {
		if want := m.learn(recs, batch); added != want {
			rt.Fatalf("an import of %d records added %d, want %d", len(recs), added, want)
		}
	}
	if n := m.rows(m.t, "key_jobs"); n != 0 {
		rt.Fatalf("%d jobs are left", n)
	}
}

// pidsOf lists the pairs of the model that are as wanted, in order.
func (m *machine) pidsOf(wanted func(k modelKey) bool) []amt.PID {
	var pids []amt.PID
	for pid, k := range m.model {
		if wanted(k) {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b amt.PID) int { return slices.Compare(a[:], b[:]) })
	return pids
}

// exporting exports a batch, which ends well, or not, or in a crash. A crash once
// the end was told changes nothing; before, somebody tells it again.
func (m *machine) exporting(rt *rapid.T) {
	batch := batchNames.Draw(rt, "batch")
	want := m.pidsOf(func(k modelKey) bool { return k.batch == batch && k.state == keystore.Available && !k.exported })
	if len(want) == 0 {
		return
	}
	id, pairs := m.export(m.t, batch, false, rapid.IntRange(1, 4).Draw(rt, "at a time"))
	if got := exported(pairs); !slices.Equal(got, want) {
		rt.Fatalf("exported %v, want %v", got, want)
	}
	written := rapid.Bool().Draw(rt, "written")
	s := m.dying(rt, 5)
	_, err := m.FinishExport(m.t.Context(), s, id, end(written, by("rapid", "")))
	if s.left <= 0 {
		m.crash(rt)
	} else if err != nil {
		rt.Fatal(err)
	}
	if _, err := m.FinishExport(m.t.Context(), m.db, id, end(written, by("rapid", ""))); err != nil {
		rt.Fatal(err)
	}
	if n := m.rows(m.t, "key_jobs") + m.rows(m.t, "key_job_chunks"); n != 0 {
		rt.Fatalf("%d rows of jobs are left", n)
	}
	for _, pid := range want {
		k := m.model[pid]
		k.exported = written
		m.model[pid] = k
	}
}

// retiring retires what nobody has used of a batch. After a crash it is begun
// again.
func (m *machine) retiring(rt *rapid.T) {
	batch := batchNames.Draw(rt, "batch")
	want := m.pidsOf(func(k modelKey) bool { return k.batch == batch && k.state == keystore.Available })
	s := m.dying(rt, 3)
	n, err := m.RetireUnused(m.t.Context(), s, batch, by("rapid", "batch"))
	if s.left <= 0 && err != nil {
		m.crash(rt)
		rest, err := m.RetireUnused(m.t.Context(), m.db, batch, by("rapid", "batch"))
		if n = rest; err != nil || rest != 0 && rest != len(want) {
			rt.Fatalf("begun again: %d pairs retired, %v, want %d or none", rest, err, len(want))
		}
	} else if err != nil || n != len(want) {
		rt.Fatalf("%d pairs retired, %v, want %d", n, err, len(want))
	}
	for _, pid := range want {
		k := m.model[pid]
		k.state = keystore.Retired
		m.model[pid] = k
	}
	m.view(m.t, func(r kv.Reader) error {
		keys, _, err := m.List(r, keystore.Filter{Batch: batch, State: keystore.Available}, keystore.Page{})
		if len(keys) != 0 {
			rt.Fatalf("%d pairs of batch %s are Available still", len(keys), batch)
		}
		return err
	})
}
