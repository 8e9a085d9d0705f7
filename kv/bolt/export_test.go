package bolt

import (
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// Patient opens a store whose groups take all that wait, however long they take.
func Patient(path string, opts Options) (*DB, error) {
	opts.groupTime = time.Hour
	return Open(path, opts)
}

// AwaitQueue returns when n updates wait for their turn.
func AwaitQueue(db *DB, n int) {
	for waiting := 0; waiting < n; time.Sleep(time.Millisecond) {
		db.queue.mu.Lock()
		waiting = len(db.queue.waiting)
		db.queue.mu.Unlock()
	}
}

// Commits is the number of commits so far.
func Commits(db *DB) int {
	n := 0
	_ = db.bolt.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	return n
}

// OpenBreakable opens a store whose file brk breaks: every write fails from then on.
func OpenBreakable(path string) (db *DB, brk func() error, err error) {
	var file *os.File
	db, err = Open(path, Options{NoSync: true, openFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		file = f
		return f, err
	}})
	return db, func() error { return file.Close() }, err
}
