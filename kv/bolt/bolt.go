// Package bolt is the default kv.Store: one bbolt file, one process, group
// commit.
//
// Layout of the file: each table is a top-level bucket of its name. The bucket
// "\x00format" holds the version of this layout under the key "version", in
// decimal digits; Open refuses a file without it or with a later one.
//
// Order of an Update, which one writer goroutine conducts:
//
//  1. The caller queues a request. While it waits, a done context takes it out.
//  2. The writer begins a bbolt transaction and takes all that is queued, one
//     after the other. Each closure runs on its caller's goroutine, so that a
//     panic or runtime.Goexit is the caller's own; the writer waits for it.
//  3. A closure that fails, panics or exits has its writes undone. The others
//     of the group stay.
//  4. One commit, with its fsync, for the group; none if nothing was written.
//  5. All callers of the group get the outcome. A closure that failed gets the
//     error of the commit instead of its own when the commit fails, since it
//     may have failed on something that is not there now.
//
// It knows nothing of the records, encrypts nothing (seal does) and does not
// share its file: a second process is refused.
package bolt

import (
	"context"
	"errors"
	"io"
	"time"

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
	// ErrFailed is returned by every Update after a commit failed in a way that
	// leaves open what is on disk.
	ErrFailed = errors.New("an earlier write to the store failed: check the disk and restart")
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
}

// DB is a kv.Store in one file.
type DB struct{}

var _ kv.Store = (*DB)(nil)

// Open opens the store at path, made when it is missing: mode 0600, its entry in
// the directory synced. The error is ErrLocked when another process has it open
// and ErrFormat when the file is something else.
func Open(path string, opts Options) (*DB, error) { panic("not yet") }

// View implements kv.Store.
func (db *DB) View(ctx context.Context, fn func(kv.Reader) error) error { panic("not yet") }

// Update implements kv.Store.
func (db *DB) Update(ctx context.Context, fn func(kv.Tx) error) error { panic("not yet") }

// Changed implements kv.Store.
func (db *DB) Changed(ctx context.Context) <-chan struct{} { panic("not yet") }

// Close implements kv.Store.
func (db *DB) Close() error { panic("not yet") }

// Backup writes a consistent copy of the store to w, itself a store that Open
// reads, and returns its size. Writers go on meanwhile.
func (db *DB) Backup(ctx context.Context, w io.Writer) (int64, error) { panic("not yet") }
