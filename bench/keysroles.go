package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/keystore/batch"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

// waits says how long calls took, in milliseconds.
type waits struct {
	Calls    int
	P99, Max float64
}

// summary sorts the times.
func summary(times []time.Duration) waits {
	if len(times) == 0 {
		return waits{}
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return waits{len(times), ms(times[(len(times)-1)*99/100]), ms(times[len(times)-1])}
}

func (w waits) note() string { return fmt.Sprintf("%d calls; longest %.1f ms", w.Calls, w.Max) }

// importResult is what the role keysimport prints.
type importResult struct {
	Pairs, Updates  int
	Seconds         float64
	Lookups, Writes waits
	memory          int64 // added by who ran it
}

// PerUpdate is how many pairs a transaction of the import had.
func (r importResult) PerUpdate() int { return r.Pairs / max(r.Updates, 1) }

func (r *importResult) setMemory(bytes int64) { r.memory = bytes }

// rows are the waits of others during an import, beside those without one.
func (r importResult) rows(idle importResult) []row {
	var rows []row
	for _, w := range []struct {
		what       string
		with, none waits
		p99        aim
	}{
		{"look-ups", r.Lookups, idle.Lookups, atMost(1)},
		{"small updates", r.Writes, idle.Writes, atMost(50)},
	} {
		rows = append(rows,
			row{
				what: w.what + " during the import: p99", figure: w.with.P99, unit: "ms", aim: w.p99,
				note: fmt.Sprintf("%d calls; without an import %.2f ms", w.with.Calls, w.none.P99),
			},
			row{what: "… longest", figure: w.with.Max, unit: "ms", aim: atMost(50), note: fmt.Sprintf("without an import %.1f ms", w.none.Max)})
	}
	return rows
}

// counted counts the updates of a store.
type counted struct {
	kv.Store
	updates atomic.Int64
}

// Update implements kv.Store.
func (c *counted) Update(ctx context.Context, fn func(kv.Tx) error) error {
	c.updates.Add(1)
	return c.Store.Update(ctx, fn)
}

// openKeys opens a store and its keys.
func openKeys(ctx context.Context, path, kekPath string) (*bolt.DB, *keystore.Store, error) {
	db, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return nil, nil, err
	}
	kek, err := seal.FileKEK(kekPath)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	sealer, err := seal.Load(ctx, db, kek)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	keys := keystore.New(sealer)
	keys.TempDir = filepath.Dir(path)
	return db, keys, nil
}

// idleTime is how long others are watched without an import.
const idleTime = 5 * time.Second

// runKeysImport is the role keysimport: STORE KEK CSV alone|loaded|idle [PROFILE].
// Loaded and idle, others look up and write; idle imports nothing.
func runKeysImport(ctx context.Context, args []string, stdout io.Writer) (err error) {
	if len(args) < 4 {
		return errors.New("want STORE KEK CSV alone|loaded|idle [PROFILE]")
	}
	debug.SetGCPercent(200) // as scsd does
	db, keys, err := openKeys(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	profile := ""
	if len(args) > 4 {
		profile = args[4]
	}
	var others *crowd
	if args[3] != "alone" {
		if others, err = newCrowd(ctx, db, keys); err != nil {
			return err
		}
	}
	c := &counted{Store: db}
	var rep keystore.AddReport
	began := time.Now()
	if args[3] == "idle" {
		time.Sleep(idleTime)
	} else {
		err = profiled(profile, func() (err error) {
			rep, err = importCSV(ctx, c, keys, args[2])
			return err
		})
	}
	res := importResult{Pairs: rep.Added, Updates: int(c.updates.Load()), Seconds: time.Since(began).Seconds()}
	if others != nil {
		var werr error
		res.Lookups, res.Writes, werr = others.leave()
		err = errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(res)
}

// importCSV imports a list as scsd does.
func importCSV(ctx context.Context, db kv.Store, keys *keystore.Store, path string) (keystore.AddReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return keystore.AddReport{}, err
	}
	defer func() { _ = f.Close() }() // read only
	errEnough := errors.New("the import ended")
	return keys.Import(ctx, db, keysImport(keysBatch), func(yield func(keystore.Record, error) bool) {
		err := batch.Read(path, f, func(r batch.Row) error {
			rec := keystore.Record{Pair: r.Pair, CurrentPassword: r.CurrentPassword, NewPassword: r.NewPassword, Used: r.Used}
			if !yield(rec, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(keystore.Record{}, err)
		}
	})
}

// crowd looks pairs up and writes as the hellos of a large site do, and notes
// how long each call takes.
type crowd struct {
	db      kv.Store
	keys    *keystore.Store
	pids    []amt.PID
	stop    context.CancelFunc
	work    sync.WaitGroup
	lookups []time.Duration // the looker's until it ends
	writes  []time.Duration // the writer's until it ends
	err     [2]error
}

func newCrowd(ctx context.Context, db kv.Store, keys *keystore.Store) (*crowd, error) {
	c := &crowd{db: db, keys: keys}
	err := db.View(ctx, func(r kv.Reader) error {
		list, _, err := keys.List(r, keystore.Filter{}, keystore.Page{Size: 1000})
		for _, k := range list {
			c.pids = append(c.pids, k.PID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, c.stop = context.WithCancel(ctx)
	c.work.Go(func() { c.lookups, c.err[0] = every(ctx, time.Millisecond, c.lookUp) })
	c.work.Go(func() { c.writes, c.err[1] = every(ctx, 20*time.Millisecond, c.write) })
	return c, nil
}

// every calls do again and again, with a pause between, and times the calls.
func every(ctx context.Context, pause time.Duration, do func(ctx context.Context, n int) error) (times []time.Duration, err error) {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		if err := do(context.WithoutCancel(ctx), n); err != nil {
			return times, err
		}
		times = append(times, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return times, nil
}

func (c *crowd) lookUp(ctx context.Context, n int) error {
	return c.db.View(ctx, func(r kv.Reader) error {
		_, err := c.keys.Get(r, c.pids[n*7919%len(c.pids)])
		return err
	})
}

func (c *crowd) write(ctx context.Context, n int) error {
	return c.db.Update(ctx, func(tx kv.Tx) error {
		return tx.Put("bench", []byte(strconv.Itoa(n)), make([]byte, 200))
	})
}

// leave ends the calls and says how long they took.
func (c *crowd) leave() (lookups, writes waits, err error) {
	c.stop()
	c.work.Wait()
	return summary(c.lookups), summary(c.writes), errors.Join(c.err[0], c.err[1])
}
