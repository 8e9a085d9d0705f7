package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/amtscs/amtscs/kv"
)

// Errors of misuse of a transaction: faults of the program.
var (
	errEnded    = errors.New("the transaction has ended")
	errEmptyKey = errors.New("empty keys cannot be stored")
	errTable    = errors.New("a table's name must not be empty or begin with a zero byte")
	errScanned  = errors.New("a table cannot be written while it is scanned")
)

// reader reads one bbolt transaction.
type reader struct {
	ctx    context.Context
	bolt   *bbolt.Tx // nil when the transaction has ended
	tables []table   // looked up so far: few, so searched one by one
}

type table struct {
	name   kv.Table
	bucket *bbolt.Bucket // nil: there is none
}

var _ kv.Reader = (*reader)(nil)

func (r *reader) end() { r.bolt, r.tables = nil, nil }

func (r *reader) bucket(name kv.Table) *bbolt.Bucket {
	for _, t := range r.tables {
		if t.name == name {
			return t.bucket
		}
	}
	b := r.bolt.Bucket([]byte(name))
	r.tables = append(r.tables, table{name, b})
	return b
}

// Get implements kv.Reader.
func (r *reader) Get(t kv.Table, key []byte) ([]byte, error) {
	if r.bolt == nil {
		return nil, errEnded
	}
	b := r.bucket(t)
	if b == nil {
		return nil, kv.ErrNotFound
	}
	v := b.Get(key)
	if v == nil {
		return nil, kv.ErrNotFound
	}
	return bytes.Clone(v), nil
}

// Scan implements kv.Reader. It returns the error of a done context within 128
// pairs.
func (r *reader) Scan(t kv.Table, rg kv.Range, fn func(key, value []byte) error) error {
	if r.bolt == nil {
		return errEnded
	}
	b := r.bucket(t)
	if b == nil {
		return nil
	}
	w := walk{bucket: b, cursor: b.Cursor(), Range: rg}
	n := 0
	for k, v := w.first(); k != nil; k, v = w.next(k) {
		if n%128 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		n++
		if err := fn(bytes.Clone(k), bytes.Clone(v)); errors.Is(err, kv.ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
		if r.bolt == nil {
			return errEnded
		}
		if n == rg.Limit {
			return nil
		}
	}
	return nil
}

// walk steps through a range of a bucket.
type walk struct {
	kv.Range
	bucket *bbolt.Bucket
	cursor *bbolt.Cursor
	lowest []byte // the first key of the bucket; set when going in reverse
}

// first returns the first pair of the range, nil when there is none.
func (w *walk) first() (k, v []byte) {
	if w.Reverse {
		return w.last()
	}
	if w.From == nil {
		k, v = w.cursor.First()
	} else {
		k, v = w.cursor.Seek(w.From)
	}
	return w.within(k, v)
}

// last returns the last pair of the range. Cursor.Last of bbolt 1.5.0 does not
// end on a bucket of several pages that were all emptied in this transaction,
// so that it is asked only when there is a first key.
func (w *walk) last() (k, v []byte) {
	w.lowest, _ = w.cursor.First()
	if w.lowest == nil {
		return nil, nil
	}
	if w.To != nil {
		if k, _ = w.cursor.Seek(w.To); k != nil {
			return w.prev(k)
		}
	}
	return w.within(w.cursor.Last())
}

// next returns the pair behind k, on which the cursor stands.
func (w *walk) next(k []byte) ([]byte, []byte) {
	if w.Reverse {
		return w.prev(k)
	}
	return w.within(w.cursor.Next())
}

// prev returns the pair before k. Cursor.Prev of bbolt 1.5.0 answers nil on a
// page that was emptied in this transaction as it does before the first key;
// called again, it goes on.
func (w *walk) prev(k []byte) ([]byte, []byte) {
	if bytes.Equal(k, w.lowest) {
		return nil, nil
	}
	for {
		if k, v := w.cursor.Prev(); k != nil {
			return w.within(k, v)
		}
	}
}

func (w *walk) within(k, v []byte) ([]byte, []byte) {
	if k == nil || w.From != nil && bytes.Compare(k, w.From) < 0 || w.To != nil && bytes.Compare(k, w.To) >= 0 {
		return nil, nil
	}
	return k, v
}

// tx is the transaction of one closure within a group's bbolt transaction.
type tx struct {
	reader
	scanned  []kv.Table // being scanned now
	keepUndo bool       // earlier closures of the group wrote: a failure is undone, not rolled back
	undo     []write    // the opposite of each write, when keepUndo is set
	wrote    bool
	bulk     bool // see kv.Bulk
}

// bulkFill is how full bulk writes make pages: the rows come in ascending order,
// so that little is put between them later.
const bulkFill = 0.9

// write is a put, or with a nil value a delete.
type write struct {
	bucket     *bbolt.Bucket
	key, value []byte
}

var _ kv.Tx = (*tx)(nil)

// Scan implements kv.Reader.
func (t *tx) Scan(name kv.Table, rg kv.Range, fn func(key, value []byte) error) error {
	n := len(t.scanned)
	t.scanned = append(t.scanned, name)
	defer func() { t.scanned = t.scanned[:n] }()
	return t.reader.Scan(name, rg, fn)
}

// writable returns the table's bucket, made when missing and asked for.
func (t *tx) writable(name kv.Table, create bool) (*bbolt.Bucket, error) {
	if t.bolt == nil {
		return nil, errEnded
	}
	if name == "" || name[0] == 0 {
		return nil, fmt.Errorf("table %q: %w", string(name), errTable)
	}
	for _, s := range t.scanned {
		if s == name {
			return nil, fmt.Errorf("table %s: %w", name, errScanned)
		}
	}
	if b := t.bucket(name); b != nil || !create {
		return b, nil
	}
	b, err := t.bolt.CreateBucket([]byte(name))
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	for i := range t.tables {
		if t.tables[i].name == name {
			t.tables[i].bucket = b
		}
	}
	return b, nil
}

// Put implements kv.Tx.
func (t *tx) Put(name kv.Table, key, value []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("table %s: %w", name, errEmptyKey)
	}
	b, err := t.writable(name, true)
	if err != nil {
		return err
	}
	t.remember(b, key)
	// bbolt keeps the value until the commit; nil would read as missing.
	if t.bulk && value != nil {
		b.FillPercent = bulkFill
	} else {
		value = append(make([]byte, 0, len(value)), value...)
	}
	if err := b.Put(key, value); err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	t.wrote = true
	return nil
}

// Delete implements kv.Tx.
func (t *tx) Delete(name kv.Table, key []byte) error {
	b, err := t.writable(name, false)
	if err != nil || b == nil || b.Get(key) == nil {
		return err
	}
	t.remember(b, key)
	if err := b.Delete(key); err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	t.wrote = true
	return nil
}

// remember notes what is at key before it is written.
func (t *tx) remember(b *bbolt.Bucket, key []byte) {
	if t.keepUndo {
		t.undo = append(t.undo, write{b, bytes.Clone(key), bytes.Clone(b.Get(key))})
	}
}

// undoAll takes the writes back, the last first.
func (t *tx) undoAll() error {
	for i := len(t.undo) - 1; i >= 0; i-- {
		w := t.undo[i]
		var err error
		if w.value == nil {
			err = w.bucket.Delete(w.key)
		} else {
			err = w.bucket.Put(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
