package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// reads measures look-ups and lists of the store after the import.
func (k *keysRun) reads(ctx context.Context) ([]row, error) {
	var res readResult
	if err := k.role(ctx, &res, "keysread", k.path("imported.db"), k.path("small.db"), k.path("kek")); err != nil {
		return nil, err
	}
	rows := []row{{
		what: "look-ups among " + fmt.Sprint(res.Pairs) + " pairs under load: p99", figure: res.Lookups.P99, unit: "ms", aim: atMost(1),
		note: res.Lookups.note() + ", eight callers, a writer beside them",
	}}
	for _, l := range res.Lists {
		rows = append(rows, row{
			what: "page 1 of them beside page 1 of 1000, " + l.Filter + ": time", figure: l.Large / l.Small, unit: "x", aim: atMost(1.5),
			note: fmt.Sprintf("%.2f ms for %d pairs, %.2f ms for %d; medians", l.Large, l.LargePairs, l.Small, l.SmallPairs),
		})
	}
	return rows, nil
}

// readResult is what the role keysread prints.
type readResult struct {
	Pairs   int
	Lookups waits
	Lists   []listResult
}

// listResult is how long the first page takes in a large and a small store, in
// milliseconds, and how many pairs it has.
type listResult struct {
	Filter                 string
	Large, Small           float64
	LargePairs, SmallPairs int
}

// keysStore is an open store for reading roles.
type keysStore struct {
	db   kv.Store
	keys *keystore.Store
	pids []amt.PID // some of its pairs, from all over it
	n    int       // how many it has
}

// runKeysRead is the role keysread: LARGE SMALL KEK.
func runKeysRead(ctx context.Context, args []string, stdout io.Writer) (err error) {
	if len(args) != 3 {
		return errors.New("want LARGE SMALL KEK")
	}
	debug.SetGCPercent(200)
	var stores [2]*keysStore
	for i := range stores {
		s, err := prepareReads(ctx, args[i], args[2])
		if err != nil {
			return err
		}
		defer func() { _ = s.db.Close() }() // a measurement, of a copy
		stores[i] = s
	}
	res := readResult{Pairs: stores[0].n}
	if res.Lookups, err = lookUps(ctx, stores[0]); err != nil {
		return err
	}
	if res.Lists, err = lists(ctx, stores[0], stores[1]); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(res)
}

// benchDevice holds a pair of each store.
var benchDevice = amt.UUID{0x88, 1}

// prepareReads opens a store, claims a pair of it and revokes another.
func prepareReads(ctx context.Context, path, kek string) (*keysStore, error) {
	db, keys, err := openKeys(ctx, path, kek)
	if err != nil {
		return nil, err
	}
	s := &keysStore{db: db, keys: keys}
	err = db.View(ctx, func(r kv.Reader) error {
		return r.Scan("keys_by_state", kv.Range{}, func(_, pid []byte) error {
			if s.n++; s.n%97 == 0 {
				s.pids = append(s.pids, amt.PID(pid))
			}
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	err = db.Update(ctx, func(tx kv.Tx) error {
		m := keystore.Move{Who: "bench", Why: "measuring"}
		return errors.Join(keys.Claim(tx, s.pids[1], benchDevice, m), keys.Revoke(tx, s.pids[2], m))
	})
	return s, err
}

// lookUps looks pairs up for some seconds from eight goroutines while another
// one revokes pairs.
func lookUps(ctx context.Context, s *keysStore) (waits, error) {
	c := &crowd{db: s.db, keys: s.keys, pids: s.pids}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	const callers = 8
	times, errs := make([][]time.Duration, callers), make([]error, callers+1)
	for i := range callers {
		c.work.Go(func() {
			times[i], errs[i] = every(ctx, time.Millisecond, func(ctx context.Context, n int) error { return c.lookUp(ctx, n+i*1013) })
		})
	}
	c.work.Go(func() {
		_, errs[callers] = every(ctx, time.Millisecond, func(ctx context.Context, n int) error {
			return s.db.Update(ctx, func(tx kv.Tx) error {
				return s.keys.Revoke(tx, s.pids[3+n%(len(s.pids)-3)], keystore.Move{Who: "bench", Why: "measuring"})
			})
		})
	})
	c.work.Wait()
	var all []time.Duration
	for _, t := range times {
		all = append(all, t...)
	}
	return summary(all), errors.Join(errs...)
}

// lists times the first page of each filter in both stores, in turn.
func lists(ctx context.Context, large, small *keysStore) ([]listResult, error) {
	yes := true
	var out []listResult
	for _, f := range []struct {
		name   string
		filter keystore.Filter
	}{
		{"no filter", keystore.Filter{}},
		{"by state", keystore.Filter{State: keystore.Available}},
		{"by a rare state", keystore.Filter{State: keystore.Claimed}},
		{"by batch", keystore.Filter{Batch: keysBatch}},
		{"by batch and state", keystore.Filter{Batch: keysBatch, State: keystore.Available}},
		{"by age, all", keystore.Filter{CreatedAfter: time.Unix(0, 0)}},
		{"by age, none", keystore.Filter{CreatedBefore: time.Unix(0, 0)}},
		{"by export", keystore.Filter{Exported: &yes}},
		{"by device", keystore.Filter{UUID: benchDevice}},
	} {
		r := listResult{Filter: f.name}
		var times [2][]float64
		for range 201 {
			for i, s := range []*keysStore{large, small} {
				n, took, err := firstPage(ctx, s, f.filter)
				if err != nil {
					return nil, fmt.Errorf("list %s: %w", f.name, err)
				}
				times[i] = append(times[i], float64(took.Nanoseconds())/1e6)
				*[]*int{&r.LargePairs, &r.SmallPairs}[i] = n
			}
		}
		r.Large, r.Small = median(times[0]...), median(times[1]...)
		out = append(out, r)
	}
	return out, nil
}

// firstPage lists the first hundred pairs.
func firstPage(ctx context.Context, s *keysStore, f keystore.Filter) (n int, took time.Duration, err error) {
	began := time.Now()
	err = s.db.View(ctx, func(r kv.Reader) error {
		keys, _, err := s.keys.List(r, f, keystore.Page{Size: 100})
		n = len(keys)
		return err
	})
	return n, time.Since(began), err
}
