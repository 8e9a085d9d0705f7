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

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/keystore/batch"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
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

// rows are the waits of others during an import.
func (r importResult) rows() []row {
	return []row{
		{what: "look-ups during the import: p99", figure: r.Lookups.P99, unit: "ms", aim: atMost(1), note: r.Lookups.note()},
		{what: "… longest", figure: r.Lookups.Max, unit: "ms", aim: atMost(50)},
		{what: "small updates during the import: p99", figure: r.Writes.P99, unit: "ms", aim: atMost(50), note: r.Writes.note()},
		{what: "… longest", figure: r.Writes.Max, unit: "ms", aim: atMost(50)},
	}
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

// runKeysImport is the role keysimport: STORE KEK CSV alone|loaded [PROFILE].
func runKeysImport(ctx context.Context, args []string, stdout io.Writer) (err error) {
	if len(args) < 4 {
		return errors.New("want STORE KEK CSV alone|loaded [PROFILE]")
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
	if args[3] == "loaded" {
		if others, err = newCrowd(ctx, db, keys); err != nil {
			return err
		}
	}
	c := &counted{Store: db}
	var rep keystore.AddReport
	began := time.Now()
	err = profiled(profile, func() (err error) {
		rep, err = importCSV(ctx, c, keys, args[2])
		return err
	})
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

// putResult is what the role keysput prints.
type putResult struct{ Seconds float64 }

// runKeysPut is the role keysput: FROM TO PER: it puts the rows of the imported
// pairs of the store FROM, as long as they would be unsealed, into the store TO
// by bare bbolt, PER pairs in a transaction, sorted. It times the transactions
// and nothing else.
func runKeysPut(_ context.Context, args []string, stdout io.Writer) (err error) {
	if len(args) != 3 {
		return errors.New("want FROM TO PER")
	}
	per, err := strconv.Atoi(args[2])
	if err != nil || per < 1 {
		return fmt.Errorf("%q pairs in a transaction", args[2])
	}
	debug.SetGCPercent(200)
	from, err := bbolt.Open(args[0], 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := bbolt.Open(args[1], 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, InitialMmapSize: 16 << 30})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	var took time.Duration
	var rows [3][]bareRow
	put := func() error {
		began := time.Now()
		err := putRows(to, rows[:])
		took += time.Since(began)
		for i := range rows {
			rows[i] = rows[i][:0]
		}
		return err
	}
	err = from.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte("keys")).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := appendRows(&rows, k, v); err != nil {
				return err
			}
			if len(rows[0]) == per {
				if err := put(); err != nil {
					return err
				}
			}
		}
		return put()
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(putResult{took.Seconds()})
}

type bareRow struct{ key, value []byte }

// bareTables are the tables of rows.
var bareTables = []string{"keys", "keys_by_state", "keys_by_batch"}

// sealLen is what sealing adds: a head of 5 bytes, a nonce of 12, a tag of 16.
const sealLen = 33

// appendRows adds the rows of one pair, if it was imported.
func appendRows(rows *[3][]bareRow, pid, value []byte) error {
	k := &scsstorev1.Key{}
	if err := proto.Unmarshal(value, k); err != nil {
		return err
	}
	if k.GetBatch() != keysBatch {
		return nil
	}
	for _, field := range []*[]byte{&k.Pps, &k.CurrentPassword, &k.NewPassword} {
		*field = (*field)[min(sealLen, len(*field)):]
	}
	v, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
	if err != nil {
		return err
	}
	pid = slices.Clone(pid)
	state := append([]byte{byte(k.GetState()), 0}, pid...)
	inBatch := append(append([]byte(keysBatch), 1, byte(k.GetState()), 1, 0), pid...)
	rows[0] = append(rows[0], bareRow{pid, v})
	rows[1] = append(rows[1], bareRow{state, pid})
	rows[2] = append(rows[2], bareRow{inBatch, pid})
	return nil
}

func putRows(db *bbolt.DB, tables [][]bareRow) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for i, rows := range tables {
			bucket, err := tx.CreateBucketIfNotExists([]byte(bareTables[i]))
			if err != nil {
				return err
			}
			bucket.FillPercent = bareFill
			for _, r := range rows {
				if err := bucket.Put(r.key, r.value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

const bareFill = 0.9

func (k *keysRun) reads(ctx context.Context) ([]row, error) { return nil, nil }
