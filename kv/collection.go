package kv

import (
	"bytes"
	"errors"
	"fmt"

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

var marshal = proto.MarshalOptions{Deterministic: true}

func (c *Collection[M]) decode(key, value []byte) (M, error) {
	var zero M
	m := zero.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(value, m); err != nil {
		return zero, fmt.Errorf("table %s, key %x: damaged record: %w", c.Table, key, err)
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
	if err := c.unindex(tx, key, m); err != nil {
		return err
	}
	for _, ix := range c.Indexes {
		for _, k := range ix.Keys(m) {
			if err := tx.Put(ix.Table, indexRow(k, key), key); err != nil {
				return err
			}
		}
	}
	v, err := marshal.Marshal(m)
	if err != nil {
		return fmt.Errorf("table %s: encoding a record: %w", c.Table, err)
	}
	return tx.Put(c.Table, key, v)
}

// Delete removes the message at key and its index rows.
func (c *Collection[M]) Delete(tx Tx, key []byte) error {
	var none M
	if err := c.unindex(tx, key, none); err != nil {
		return err
	}
	return tx.Delete(c.Table, key)
}

// unindex removes the index rows of the stored message that next (nil when it
// is to be deleted) has no longer.
func (c *Collection[M]) unindex(tx Tx, key []byte, next M) error {
	if len(c.Indexes) == 0 {
		return nil
	}
	old, err := c.Get(tx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, ix := range c.Indexes {
		keep := map[string]bool{}
		if proto.Message(next).ProtoReflect().IsValid() {
			for _, k := range ix.Keys(next) {
				keep[string(k)] = true
			}
		}
		for _, k := range ix.Keys(old) {
			if keep[string(k)] {
				continue
			}
			if err := tx.Delete(ix.Table, indexRow(k, key)); err != nil {
				return err
			}
		}
	}
	return nil
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
		if err != nil {
			return fmt.Errorf("index %s points at %x: %w", index, key, err)
		}
		return fn(row, key, m)
	})
}

// ErrIndex is returned by Check when an index and its table disagree.
var ErrIndex = errors.New("index does not match its table")

// Check compares the indexes with the table.
func (c *Collection[M]) Check(r Reader) error {
	want := map[Table]map[string][]byte{}
	for _, ix := range c.Indexes {
		want[ix.Table] = map[string][]byte{}
	}
	err := c.Scan(r, Range{}, func(key []byte, m M) error {
		for _, ix := range c.Indexes {
			for _, k := range ix.Keys(m) {
				want[ix.Table][string(indexRow(k, key))] = key
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, ix := range c.Indexes {
		rows := want[ix.Table]
		err := r.Scan(ix.Table, Range{}, func(row, key []byte) error {
			if k, ok := rows[string(row)]; !ok || !bytes.Equal(k, key) {
				return fmt.Errorf("%s row %x: %w", ix.Table, row, ErrIndex)
			}
			delete(rows, string(row))
			return nil
		})
		if err != nil {
			return err
		}
		for row := range rows {
			return fmt.Errorf("%s: row %x is missing: %w", ix.Table, row, ErrIndex)
		}
	}
	return nil
}

// Rebuild writes every index anew from the table.
func (c *Collection[M]) Rebuild(tx Tx) error {
	for _, ix := range c.Indexes {
		var rows [][]byte
		err := tx.Scan(ix.Table, Range{}, func(row, _ []byte) error {
			rows = append(rows, row)
			return nil
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := tx.Delete(ix.Table, row); err != nil {
				return err
			}
		}
	}
	type row struct {
		table    Table
		row, key []byte
	}
	var rows []row
	err := c.Scan(tx, Range{}, func(key []byte, m M) error {
		for _, ix := range c.Indexes {
			for _, k := range ix.Keys(m) {
				rows = append(rows, row{ix.Table, indexRow(k, key), key})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range rows {
		if err := tx.Put(w.table, w.row, w.key); err != nil {
			return err
		}
	}
	return nil
}
