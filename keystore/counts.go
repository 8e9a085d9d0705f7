package keystore

import (
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// shards spreads a count over several rows, so that on a store that locks rows
// two moves seldom meet. A row may be negative, their sum not.
const shards = 8

// Counts are kept for two scopes: all pairs, and each batch. A row's key is the
// scope's prefix, the state, the shard.
func allScope() []byte { return []byte("a") }

func batchScope(batch string) []byte { return append([]byte("b"+batch), 0) }

// tally is a change of counts on its way into one transaction.
type tally map[tallyKey]int64

type tallyKey struct {
	batch string // empty: of no batch
	state State
	shard byte
}

func (t tally) add(k *scsstorev1.Key, s State, n int64) {
	if s == 0 {
		return
	}
	t[tallyKey{k.GetBatch(), s, shardOf(k)}] += n
}

// shardOf takes the last free character of the PID: the eighth is a checksum.
func shardOf(k *scsstorev1.Key) byte { return pidOf(k)[6] % shards }

// store writes the changed counts.
func (t tally) store(tx kv.Tx) error {
	for k, n := range t {
		if n == 0 {
			continue
		}
		scopes := [][]byte{allScope()}
		if k.batch != "" {
			scopes = append(scopes, batchScope(k.batch))
		}
		for _, scope := range scopes {
			row := append(scope, byte(k.state), k.shard)
			old, err := number(tx, row)
			if err != nil {
				return err
			}
			if err := setNumber(tx, row, old+n); err != nil {
				return err
			}
		}
	}
	return nil
}

// recount moves k, which was in state before (0: new), to its present state.
func recount(tx kv.Tx, k *scsstorev1.Key, before State) error {
	if before == State(k.GetState()) {
		return nil
	}
	t := tally{}
	t.add(k, before, -1)
	t.add(k, State(k.GetState()), 1)
	return t.store(tx)
}

// countScope sums the rows of a scope. All states are in the result.
func countScope(r kv.Reader, scope []byte) (map[State]int, error) {
	counts := map[State]int{}
	for _, s := range States() {
		counts[s] = 0
	}
	err := r.Scan(countTable, kv.Prefix(scope), func(key, value []byte) error {
		if len(key) != len(scope)+2 {
			return fmt.Errorf("table %s, key %x: %w: its length is wrong", countTable, key, kv.ErrDamaged)
		}
		n, err := decodeNumber(key, value)
		counts[State(key[len(scope)])] += int(n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting pairs: %w", err)
	}
	return counts, nil
}

// Counts returns the number of pairs by state. All states are in it.
func (s *Store) Counts(r kv.Reader) (map[State]int, error) { return countScope(r, allScope()) }
