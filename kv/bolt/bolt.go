// Package bolt is the default kv.Store: one bbolt file, one process, group
// commit.
//
// Layout of the file: each table is a top-level bucket of its name. The bucket
// "\x00format" holds the version of this layout under the key "version", in
// decimal digits; Open refuses a file without it or with a later one.
//
// Order of an Update:
//
//  1. Who finds nobody at work leads a group; others queue. While one queues, a
//     done context takes it out.
//  2. The leader begins a bbolt transaction, runs its closure, and then gives
//     the transaction to all that are queued, one after the other. Each closure
//     runs on its caller's goroutine, so that a panic or runtime.Goexit is the
//     caller's own; the leader waits for it.
//  3. A closure that fails, panics or exits has its writes undone. The others
//     of the group stay.
//  4. One commit, with its fsync, for the group; none if nothing was written.
//  5. All callers of the group get the outcome. A closure that failed gets the
//     error of the commit instead of its own when the commit fails, since it
//     may have failed on something that is not there now. Who queued first
//     leads next.
//
// It knows nothing of the records, encrypts nothing (seal does) and does not
// share its file: a second process is refused.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/amtscs/amtscs/kv"
)

// Errors of Open.
var (
	// ErrLocked is returned when another process has the store open.
	ErrLocked = errors.New("another scsd has this store open")
	// ErrFormat is returned for a file that is not a store, or not one of a
	// version this program reads.
	ErrFormat = errors.New("not a store that this program reads")
)

// Errors of transactions, besides those of kv.
var (
	// ErrReadOnly is returned by Update on a store that was opened to be read.
	ErrReadOnly = errors.New("the store is open for reading only")
	// ErrFailed is kv's.
	ErrFailed = kv.ErrFailed
)

// Options of Open. The zero value is right for a server.
type Options struct {
	// ReadOnly opens the file under a shared lock and changes nothing.
	ReadOnly bool
	// LockTimeout is how long Open waits for another process to let go of the
	// file; 0 means one second.
	LockTimeout time.Duration
	// NoSync leaves out every fsync: what Update reported as done is lost with
	// the power. For tests only.
	NoSync bool
	// MaxSize bounds the file, in bytes; an Update beyond it fails and changes
	// nothing. 0 means no bound.
	MaxSize int

	openFile  func(string, int, os.FileMode) (*os.File, error) // for tests that break it
	groupTime time.Duration                                    // for tests; 0 means groupTime
}

// formatVersion is the layout that this program writes. Version 1 is the first.
const formatVersion = 1

var (
	formatBucket = []byte("\x00format")
	formatKey    = []byte("version")
)

// DB is a kv.Store in one file.
type DB struct {
	path    string
	bolt    *bbolt.DB
	opts    Options
	queue   queue
	changes changes
	failed  error // for good, when it is unknown what is on disk; the leader's
	crowd   bool  // the last group had several; the leader's

	mu     sync.Mutex     // guards closed, and active against growing once it is set
	closed bool           // no new transaction begins
	active sync.WaitGroup // transactions, running and queued

	closing  sync.Once
	closeErr error // of the one close; read after closing
}

var _ kv.Store = (*DB)(nil)

// Open opens the store at path, made when it is missing: mode 0600, its entry in
// the directory synced. The error is ErrLocked when another process has it open
// and ErrFormat when the file is something else.
func Open(path string, opts Options) (*DB, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh && opts.ReadOnly {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	if opts.groupTime == 0 {
		opts.groupTime = groupTime
	}
	b, err := openBolt(path, opts)
	if err != nil {
		return nil, openError(path, err)
	}
	db := &DB{path: path, bolt: b, opts: opts}
	if err := db.prepare(fresh); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("opening store %s: %w", path, err)
	}
	return db, nil
}

func openBolt(path string, opts Options) (*bbolt.DB, error) {
	o := &bbolt.Options{
		Timeout:      opts.LockTimeout,
		NoSync:       opts.NoSync,
		NoGrowSync:   opts.NoSync,
		ReadOnly:     opts.ReadOnly,
		MaxSize:      opts.MaxSize,
		OpenFile:     opts.openFile,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		// While a reader is at work, bbolt cannot enlarge its map of the file
		// and a writer that needs it would wait for the reader. The address
		// space costs nothing.
		InitialMmapSize: mapSize(path),
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	for {
		b, err := bbolt.Open(path, 0o600, o)
		if !errors.Is(err, syscall.ENOMEM) || o.InitialMmapSize == 0 {
			return b, err
		}
		// Less will do under ulimit -v.
		if o.InitialMmapSize /= 4; o.InitialMmapSize < 64<<20 {
			o.InitialMmapSize = 0
		}
	}
}

// mapSize is 16 GiB, or double the file, where addresses have 64 bits and the
// map of a file may be larger than the file.
func mapSize(path string) int {
	if strconv.IntSize < 64 || runtime.GOOS == "windows" {
		return 0
	}
	size := int64(16 << 30)
	if info, err := os.Stat(path); err == nil {
		size = max(size, 2*info.Size())
	}
	return int(size)
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("opening store %s: %w", path, ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return fmt.Errorf("opening store %s: %w: %w", path, ErrFormat, err)
	}
	return fmt.Errorf("opening store %s: %w", path, err)
}

// prepare checks the format, writes it into a file without tables, and syncs the
// directory of a fresh one.
func (db *DB) prepare(fresh bool) error {
	empty, version := true, ""
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		k, _ := tx.Cursor().First()
		empty = k == nil
		if b := tx.Bucket(formatBucket); b != nil {
			version = string(b.Get(formatKey))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !empty || db.opts.ReadOnly {
		return checkFormat(version)
	}
	err = db.bolt.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(formatBucket)
		if err != nil {
			return err
		}
		return b.Put(formatKey, []byte(strconv.Itoa(formatVersion)))
	})
	if err != nil || !fresh || db.opts.NoSync {
		return err
	}
	return syncDir(filepath.Dir(db.path))
}

func checkFormat(version string) error {
	n, err := strconv.Atoi(version)
	switch {
	case version == "":
		return fmt.Errorf("%w: it is a bbolt file of another program", ErrFormat)
	case err != nil || n < 1:
		return fmt.Errorf("%w: its version is %q", ErrFormat, version)
	case n > formatVersion:
		return fmt.Errorf("%w: it has version %d and this program knows versions up to %d: use a newer program", ErrFormat, n, formatVersion)
	}
	return nil
}

// syncDir makes the entry of a new file in its directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// enter begins a use of the store that Close waits for; end it by
// db.active.Done.
func (db *DB) enter() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return kv.ErrClosed
	}
	db.active.Add(1)
	return nil
}

// Close implements kv.Store. It must not be called within a transaction.
//
// The chain: no transaction begins any more; those running and queued end; the
// waiters of Changed wake; bbolt lets go of the file.
func (db *DB) Close() error {
	db.closing.Do(func() {
		db.mu.Lock()
		db.closed = true
		db.mu.Unlock()
		db.active.Wait()
		db.changes.close()
		if err := db.bolt.Close(); err != nil {
			db.closeErr = fmt.Errorf("closing store %s: %w", db.path, err)
		}
	})
	return db.closeErr
}

// View implements kv.Store.
func (db *DB) View(ctx context.Context, fn func(kv.Reader) error) error {
	return db.view(ctx, func(tx *bbolt.Tx) error {
		r := reader{ctx: ctx, bolt: tx}
		defer r.end()
		return fn(&r)
	})
}

func (db *DB) view(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.enter(); err != nil {
		return err
	}
	defer db.active.Done()
	tx, err := db.bolt.Begin(false)
	if err != nil {
		return fmt.Errorf("reading store: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // a read transaction: nothing to lose
	return fn(tx)
}

// Backup writes a consistent copy of the store to w, itself a store that Open
// reads, and returns its size. Writers go on meanwhile.
func (db *DB) Backup(ctx context.Context, w io.Writer) (int64, error) {
	var n int64
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		var err error
		n, err = tx.WriteTo(&contextWriter{ctx, w})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("backing up the store: %w", err)
	}
	return n, nil
}

// contextWriter ends a copy when its context is done.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c *contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// Check reads the whole file and reports damage to its structure.
func (db *DB) Check(ctx context.Context) error {
	return db.view(ctx, func(tx *bbolt.Tx) error {
		var found error
		for err := range tx.Check() { // to its end, or its goroutine stays
			if found == nil {
				found = fmt.Errorf("store %s is damaged: %w", db.path, err)
			}
		}
		return found
	})
}

// Changed implements kv.Store.
func (db *DB) Changed(ctx context.Context) <-chan struct{} { return db.changes.next(ctx) }
