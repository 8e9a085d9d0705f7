package kv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Collection is a table of messages and the indexes over it. Its zero Indexes
// is a plain table. It holds no state: one package-level value per table.
type Collection[M proto.Message] struct {
	Table   Table
	Indexes []Index[M]
}

// Index is a table with one row per (Keys value, primary key).
type Index[M proto.Message] struct {
	Table Table
	// Keys derives the index keys of a message from the message alone, in any
	// order and without repeats. A key must either be free of zero bytes or be
	// of one length throughout the index: a zero byte ends it in the row.
	Keys func(m M) [][]byte
}

// Errors of collections, which only damage or a fault of the program brings.
var (
	// ErrDamaged is returned when a stored record does not decode. Put and
	// Delete refuse to touch it where there are indexes, since its rows there
	// are unknown: to give it up, delete it by Tx.Delete and Rebuild.
	ErrDamaged = errors.New("damaged record")
	// ErrIndex is returned when an index and its table disagree.
	ErrIndex = errors.New("index does not match its table")
)

var marshal = proto.MarshalOptions{Deterministic: true}

func (c *Collection[M]) decode(key, value []byte) (M, error) {
	var zero M
	m := zero.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(value, m); err != nil {
		return zero, fmt.Errorf("table %s, key %x: %w: %w", c.Table, key, ErrDamaged, err)
	}
	return m, nil
}

// Get returns the message at key, or an error that is ErrNotFound.
func (c *Collection[M]) Get(r Reader, key []byte) (M, error) {
	v, err := r.Get(c.Table, key)
	if err != nil {
		var zero M
		return zero, err
	}
	return c.decode(key, v)
}

// Put stores m at key and brings the indexes up to date.
func (c *Collection[M]) Put(tx Tx, key []byte, m M) error {
	old, err := c.old(tx, key)
	if err != nil {
		return err
	}
	return c.put(tx, key, old, m)
}

func (c *Collection[M]) put(tx Tx, key []byte, old *M, m M) error {
	v, err := marshal.Marshal(m)
	if err != nil {
		return fmt.Errorf("table %s: encoding a record: %w", c.Table, err)
	}
	for i := range c.Indexes {
		if err := c.Indexes[i].update(tx, key, old, c.Indexes[i].keys(m)); err != nil {
			return err
		}
	}
	return tx.Put(c.Table, key, v)
}

// Create is Put for a key where the caller has just found nothing: it does not
// look again.
func (c *Collection[M]) Create(tx Tx, key []byte, m M) error {
	return c.put(tx, key, nil, m)
}

// Placement is where the indexes have messages that differ in nothing that an
// index looks at: for each index, how the rows of such a message begin.
type Placement [][][]byte

// Place returns the placement of m.
func (c *Collection[M]) Place(m M) Placement {
	p := make(Placement, len(c.Indexes))
	for i := range c.Indexes {
		for _, k := range c.Indexes[i].keys(m) {
			p[i] = append(p[i], indexRow(k, nil))
		}
	}
	return p
}

// CreateAll is Create for messages of one placement that are encoded already;
// keys[i] has values[i]. It goes table by table, since stores are fast at
// neighbouring rows: keys should be in ascending order.
func (c *Collection[M]) CreateAll(tx Tx, p Placement, keys, values [][]byte) error {
	for i, key := range keys {
		if err := tx.Put(c.Table, key, values[i]); err != nil {
			return err
		}
	}
	var row []byte
	for i := range p {
		for _, begin := range p[i] {
			for _, key := range keys {
				row = append(append(row[:0], begin...), key...)
				if err := tx.Put(c.Indexes[i].Table, row, key); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Delete removes the message at key and its index rows.
func (c *Collection[M]) Delete(tx Tx, key []byte) error {
	old, err := c.old(tx, key)
	if err != nil {
		return err
	}
	for i := range c.Indexes {
		if err := c.Indexes[i].update(tx, key, old, nil); err != nil {
			return err
		}
	}
	return tx.Delete(c.Table, key)
}

// old returns the stored message for the indexes' sake, nil when there is none
// or there are no indexes.
func (c *Collection[M]) old(r Reader, key []byte) (*M, error) {
	if len(c.Indexes) == 0 {
		return nil, nil
	}
	old, err := c.Get(r, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return &old, err
}

// keys returns the index keys of m in order and without repeats.
func (ix *Index[M]) keys(m M) [][]byte {
	keys := ix.Keys(m)
	if len(keys) > 1 {
		keys = slices.Clone(keys)
		slices.SortFunc(keys, bytes.Compare)
		keys = slices.CompactFunc(keys, bytes.Equal)
	}
	return keys
}

// update removes the rows that old had and next has not, and adds those that
// only next has. Rows that stay are not written.
func (ix *Index[M]) update(tx Tx, key []byte, old *M, next [][]byte) error {
	var before [][]byte
	if old != nil {
		before = ix.keys(*old)
	}
	for _, k := range before {
		if !contains(next, k) {
			if err := tx.Delete(ix.Table, indexRow(k, key)); err != nil {
				return err
			}
		}
	}
	for _, k := range next {
		if !contains(before, k) {
			if err := tx.Put(ix.Table, indexRow(k, key), key); err != nil {
				return err
			}
		}
	}
	return nil
}

// contains looks k up in sorted keys.
func contains(keys [][]byte, k []byte) bool {
	_, found := slices.BinarySearchFunc(keys, k, bytes.Compare)
	return found
}

func indexRow(indexKey, key []byte) []byte {
	row := make([]byte, 0, len(indexKey)+1+len(key))
	row = append(row, indexKey...)
	row = append(row, 0)
	return append(row, key...)
}

// Scan calls fn with each message of the range.
func (c *Collection[M]) Scan(r Reader, rg Range, fn func(key []byte, m M) error) error {
	return r.Scan(c.Table, rg, func(k, v []byte) error {
		m, err := c.decode(k, v)
		if err != nil {
			return err
		}
		return fn(k, m)
	})
}

// IndexKey selects the rows of an index whose key is exactly k, for ScanIndex.
func IndexKey(k []byte) Range { return Prefix(indexRow(k, nil)) }

// ScanIndex calls fn with the messages that the rows of an index point at, in
// the order of the index. rg selects index rows (IndexKey, or a range of your
// own); row is the index row's key, from which a later page can go on.
func (c *Collection[M]) ScanIndex(r Reader, index Table, rg Range, fn func(row, key []byte, m M) error) error {
	return r.Scan(index, rg, func(row, key []byte) error {
		m, err := c.Get(r, key)
		if errors.Is(err, ErrNotFound) { // not the caller's key: not ErrNotFound
			return fmt.Errorf("index %s: row %x points at nothing: %w", index, row, ErrIndex)
		}
		if err != nil {
			return err
		}
		return fn(row, key, m)
	})
}

// Check compares the indexes with the table. The error is ErrIndex or
// ErrDamaged.
func (c *Collection[M]) Check(r Reader) error {
	rows := make([]int, len(c.Indexes)) // how many each index must have
	err := c.Scan(r, Range{}, func(key []byte, m M) error {
		for i := range c.Indexes {
			ix := &c.Indexes[i]
			for _, k := range ix.keys(m) {
				rows[i]++
				row := indexRow(k, key)
				got, err := r.Get(ix.Table, row)
				if errors.Is(err, ErrNotFound) {
					return fmt.Errorf("index %s: row %x is missing: %w", ix.Table, row, ErrIndex)
				}
				if err != nil {
					return err
				}
				if !bytes.Equal(got, key) {
					return fmt.Errorf("index %s: row %x points at %x: %w", ix.Table, row, got, ErrIndex)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range c.Indexes {
		if err := c.Indexes[i].checkExtra(r, c, rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkExtra looks for rows that no message has, where all that messages have,
// want in number, are there.
func (ix *Index[M]) checkExtra(r Reader, c *Collection[M], want int) error {
	rows := 0
	err := r.Scan(ix.Table, Range{}, func(_, _ []byte) error {
		rows++
		return nil
	})
	if err != nil || rows == want {
		return err
	}
	err = r.Scan(ix.Table, Range{}, func(row, key []byte) error {
		m, err := c.Get(r, key)
		if err == nil && slices.ContainsFunc(ix.keys(m), func(k []byte) bool { return bytes.Equal(indexRow(k, key), row) }) {
			return nil
		}
		return fmt.Errorf("index %s: row %x should not be there: %w", ix.Table, row, ErrIndex)
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("index %s has %d rows, want %d: %w", ix.Table, rows, want, ErrIndex)
}

// Rebuild makes every index what the table says. It writes only what differs,
// in the order of the rows. A damaged record ends it with ErrDamaged.
func (c *Collection[M]) Rebuild(tx Tx) error {
	for i := range c.Indexes {
		if err := c.Indexes[i].rebuild(tx, c); err != nil {
			return err
		}
	}
	return nil
}

func (ix *Index[M]) rebuild(tx Tx, c *Collection[M]) error {
	type pair struct{ row, key []byte }
	var want []pair
	err := c.Scan(tx, Range{}, func(key []byte, m M) error {
		for _, k := range ix.keys(m) {
			want = append(want, pair{indexRow(k, key), key})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(want, func(a, b pair) int { return bytes.Compare(a.row, b.row) })
	var extra [][]byte
	var missing []pair
	next := 0 // want[next:] are behind the rows seen
	err = tx.Scan(ix.Table, Range{}, func(row, key []byte) error {
		for next < len(want) && bytes.Compare(want[next].row, row) < 0 {
			missing = append(missing, want[next])
			next++
		}
		switch {
		case next == len(want) || !bytes.Equal(want[next].row, row):
			extra = append(extra, row)
		case bytes.Equal(want[next].key, key):
			next++
		} // else the row is right and its value wrong: missing
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range extra {
		if err := tx.Delete(ix.Table, row); err != nil {
			return err
		}
	}
	for _, w := range append(missing, want[next:]...) {
		if err := tx.Put(ix.Table, w.row, w.key); err != nil {
			return err
		}
	}
	return nil
}
