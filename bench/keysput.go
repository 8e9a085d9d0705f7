package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// putResult is what the role keysput prints.
type putResult struct {
	Encode, Put float64 // seconds
}

// runKeysPut is the role keysput: FROM TO PER: it encodes the imported pairs of
// the store FROM as they would be unsealed, and puts them with their index rows
// into the store TO by bare bbolt, PER pairs in a transaction, sorted and packed
// as tightly as those of an import. That the pairs are in memory and in order is
// not counted.
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
	p := &barePut{to: to, per: per}
	err = from.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte("keys")).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := p.add(v); err != nil {
				return err
			}
		}
		return p.flush()
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(putResult{p.encoding.Seconds(), p.putting.Seconds()})
}

// barePut puts pairs, some at a time.
type barePut struct {
	to                *bbolt.DB
	per               int
	held              []*scsstorev1.Key
	encoding, putting time.Duration
}

// sealLen is what sealing adds: a head of 5 bytes, a nonce of 12, a tag of 16.
const sealLen = 33

// add takes a pair as it is stored, if it was imported.
func (p *barePut) add(value []byte) error {
	k := &scsstorev1.Key{}
	if err := proto.Unmarshal(value, k); err != nil || k.GetBatch() != keysBatch {
		return err
	}
	for _, field := range []*[]byte{&k.Pps, &k.CurrentPassword, &k.NewPassword} {
		*field = (*field)[min(sealLen, len(*field)):]
	}
	if p.held = append(p.held, k); len(p.held) < p.per {
		return nil
	}
	return p.flush()
}

// flush puts what is held.
func (p *barePut) flush() error {
	began := time.Now()
	var tables [3][]bareRow
	for _, k := range p.held {
		if err := appendRows(&tables, k); err != nil {
			return err
		}
	}
	middle := time.Now()
	err := putRows(p.to, tables[:])
	p.encoding += middle.Sub(began)
	p.putting += time.Since(middle)
	p.held = p.held[:0]
	return err
}

type bareRow struct{ key, value []byte }

// bareTables are the tables of rows.
var bareTables = []string{"keys", "keys_by_state", "keys_by_batch"}

// appendRows encodes one pair and its index rows.
func appendRows(rows *[3][]bareRow, k *scsstorev1.Key) error {
	v, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
	if err != nil {
		return err
	}
	pid := k.GetPid()
	state := append([]byte{byte(k.GetState()), 0}, pid...)
	inBatch := append(append([]byte(k.GetBatch()), 1, byte(k.GetState()), 1, 0), pid...)
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
