package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// prejudge looks pairs, which are in order, up outside of the transaction that
// would store them. What it finds visible stays: a pair is never deleted and
// never gets another PPS. What it does not find, or what another import hides, is
// for the transaction to judge.
func (imp *importer) prejudge(ctx context.Context, pairs []candidate) error {
	return imp.db.View(ctx, func(r kv.Reader) error {
		known, err := imp.known(r, pairs)
		if err != nil {
			return err
		}
		for i := range pairs {
			raw := pairs[i].raw
			if !known(raw.pid()) {
				continue
			}
			v, err := imp.judge(r, raw, nil)
			if err != nil {
				return err
			}
			if v != isNew && v != isBusy {
				pairs[i].verdict = v
			}
		}
		return nil
	})
}

// known returns a function that says of the pairs' PIDs, asked in order, whether
// the store had them when known was called. Where the store has few pairs
// beside many on the list, going along its rows is faster than looking up each.
func (imp *importer) known(r kv.Reader, pairs []candidate) (func(pid amt.PID) bool, error) {
	first, last := pairs[0].raw.pid(), pairs[len(pairs)-1].raw.pid()
	rg := kv.Range{From: first[:], To: behind(last[:]), Limit: len(pairs)/2 + 1}
	var rows []amt.PID
	err := r.Scan(keysTable.Table, rg, func(key, _ []byte) error {
		rows = append(rows, pidFrom(key))
		return nil
	})
	all := len(rows) < rg.Limit
	return func(pid amt.PID) bool {
		for len(rows) > 0 && bytes.Compare(rows[0][:], pid[:]) < 0 {
			rows = rows[1:]
		}
		if len(rows) > 0 || all {
			return len(rows) > 0 && rows[0] == pid
		}
		_, err := r.Get(keysTable.Table, pid[:])
		return !errors.Is(err, kv.ErrNotFound) // judge meets any other error
	}, err
}

// judge looks at a record of which the PID may be in the store, or is that of
// last, which is to be stored.
func (imp *importer) judge(r kv.Reader, raw, last rawRecord) (verdict, error) {
	old, err := stored(r, raw.pid())
	if err != nil {
		return 0, err
	}
	if old == nil && (last == nil || last.pid() != raw.pid()) {
		return isNew, nil
	}
	come, err := imp.s.secretsOf(raw)
	if err != nil {
		return 0, err
	}
	if old != nil {
		v, err := imp.s.judge(r, old, come, imp.id)
		if err == nil && (v == isKnown || v == isDiffer || v == isBare) && (imp.id == 0 || old.GetImportId() != imp.id) {
			imp.findings.note(old)
			if raw[flagsAt]&flagUsed != 0 && State(old.GetState()) == Available {
				v |= ofUsed
			}
		}
		return v, err
	}
	first, err := imp.s.secretsOf(last)
	return compare(first, come), err
}

// count notes a verdict, unless judging failed.
func (imp *importer) count(rep *AddReport, v verdict, pid amt.PID, err error) error {
	if err != nil {
		return err
	}
	if v == isBusy && imp.redraw != nil {
		v = isKnown // another one is drawn
	}
	if v == isBusy {
		return fmt.Errorf("PID %v: %w", pid, ErrBusy)
	}
	rep.count(v, pid)
	return nil
}
