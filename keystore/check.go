package keystore

import (
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// ErrInvariant is returned by CheckInvariants.
var ErrInvariant = errors.New("the key store is not consistent")

// CheckInvariants reports the first thing that is wrong with the tables: an
// index or a count, a pair in a state it cannot be in or without the holder that
// the state needs, a story that does not end in the state, a hidden pair that no
// sweep would find, a secret that does not open, a
// pair of another model than its batch. It reads everything.
func (s *Store) CheckInvariants(r kv.Reader) error {
	if err := keysTable.Check(r); err != nil {
		return err
	}
	listed, imports, err := s.listedByImports(r)
	if err != nil {
		return err
	}
	counts := map[string]map[State]int{"": {}} // by batch; "" is all pairs
	err = keysTable.Scan(r, kv.Range{}, func(key []byte, k *scsstorev1.Key) error {
		if err := s.checkKey(r, key, k); err != nil {
			return fmt.Errorf("%w: PID %s: %w", ErrInvariant, key, err)
		}
		if id := k.GetImportId(); imports[id] {
			if listed[pidOf(k)] != id {
				return fmt.Errorf("%w: PID %s: import %d has not listed it", ErrInvariant, key, id)
			}
			return nil
		}
		counts[""][State(k.GetState())]++
		if b := k.GetBatch(); b != "" {
			if counts[b] == nil {
				counts[b] = map[State]int{}
			}
			counts[b][State(k.GetState())]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(s.checkBatches(r), checkEnds(r)); err != nil {
		return err
	}
	return checkCounts(r, counts)
}

// listedByImports returns which import lists which PID, and the imports under way.
func (s *Store) listedByImports(r kv.Reader) (map[amt.PID]uint64, map[uint64]bool, error) {
	listed, imports := map[amt.PID]uint64{}, map[uint64]bool{}
	open, err := jobs(r, scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT)
	if err != nil {
		return nil, nil, err
	}
	for _, j := range open {
		imports[j.GetId()] = true
		err := chunkTable.Scan(r, kv.Prefix(jobKey(j.GetId())), func(_ []byte, c *scsstorev1.KeyJobChunk) error {
			for b := c.GetPids(); len(b) >= amt.PIDLen; b = b[amt.PIDLen:] {
				listed[pidFrom(b[:amt.PIDLen])] = j.GetId()
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return listed, imports, nil
}

// checkKey looks at one record.
func (s *Store) checkKey(r kv.Reader, key []byte, k *scsstorev1.Key) error {
	pid := pidOf(k)
	if len(k.GetPid()) != amt.PIDLen || string(key) != string(k.GetPid()) {
		return fmt.Errorf("the record is of PID %q", k.GetPid())
	}
	if err := pid.Check(); err != nil {
		return err
	}
	if n := len(k.GetUuid()); n != 0 && n != len(amt.UUID{}) {
		return fmt.Errorf("the holder has %d bytes", n)
	}
	if err := checkStory(k); err != nil {
		return err
	}
	if hidden, err := isHidden(r, k); err != nil {
		return err
	} else if k.GetBatch() != "" && !hidden {
		b, err := loadBatch(r, k.GetBatch())
		if err != nil {
			return err
		}
		if k.GetModel() != b.GetModel() {
			return fmt.Errorf("its model is %v, and that of batch %q %v", amt.Model(k.GetModel()), b.GetName(), amt.Model(b.GetModel()))
		}
	}
	secrets, err := s.open(k)
	if err != nil {
		return err
	}
	if secrets.PPS.Len() != amt.PPSLen {
		return fmt.Errorf("the PPS has %d characters", secrets.PPS.Len())
	}
	return nil
}

// checkStory looks at state, holder and history together.
func checkStory(k *scsstorev1.Key) error {
	held := len(k.GetUuid()) > 0
	switch state := State(k.GetState()); state {
	case Available:
		if held {
			return fmt.Errorf("%v and yet it has a holder", state)
		}
	case Reserved, Claimed:
		if !held {
			return fmt.Errorf("%v and yet it has no holder", state)
		}
	case Spent, Revoked, Retired:
	default:
		return fmt.Errorf("%v", state)
	}
	n := len(k.GetHistory())
	if n == 0 || n > maxHistory {
		return fmt.Errorf("its story has %d changes", n)
	}
	for i, m := range k.GetHistory() {
		r, err := find(Act(m.GetAct()), State(m.GetFrom()))
		if err != nil || r.Done || r.To != State(m.GetTo()) {
			return fmt.Errorf("change %d of its story, %s from %v to %v, is not in the table of moves", i+1, m.GetAct(), m.GetFrom(), m.GetTo())
		}
		joined := i == 0 || i == 1 && k.GetDroppedMoves() > 0 || m.GetFrom() == k.GetHistory()[i-1].GetTo()
		if !joined {
			return fmt.Errorf("change %d of its story begins at %v, where it was not", i+1, m.GetFrom())
		}
	}
	last := k.GetHistory()[n-1]
	if k.GetHistory()[0].GetFrom() != 0 || last.GetTo() != k.GetState() || string(last.GetUuid()) != string(k.GetUuid()) {
		return errors.New("its story does not lead to its state")
	}
	return nil
}

// checkCounts compares the counted with the kept numbers, for all batches.
func checkCounts(r kv.Reader, counted map[string]map[State]int) error {
	err := batchTable.Scan(r, kv.Range{}, func(key []byte, _ *scsstorev1.KeyBatch) error {
		if counted[string(key)] == nil {
			counted[string(key)] = map[State]int{}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for batch, want := range counted {
		scope := batchScope(batch)
		if batch == "" {
			scope = allScope()
		}
		got, err := countScope(r, scope)
		if err != nil {
			return err
		}
		for _, state := range States() {
			if got[state] != want[state] {
				return fmt.Errorf("%w: batch %q (empty: all pairs): %d pairs are %v, and %d are counted", ErrInvariant, batch, want[state], state, got[state])
			}
		}
	}
	return nil
}
