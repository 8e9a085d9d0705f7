package keystore

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// minScan is how many rows a page looks at, at least.
	minScan = 1000
)

func (p Page) size() int {
	if p.Size <= 0 {
		return defaultPage
	}
	return min(p.Size, maxPage)
}

// A token is base64url of 0x01, 4 bytes that stand for the list and its filter,
// and the last key that was looked at.
const tokenVersion = 1

func listSum(list string) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(list)) // never fails
	return h.Sum(nil)
}

func token(list string, last []byte) string {
	b := append([]byte{tokenVersion}, listSum(list)...)
	return base64.RawURLEncoding.EncodeToString(append(b, last...))
}

// after returns the key behind which the page begins, nil for the first.
func (p Page) after(list string) ([]byte, error) {
	if p.Token == "" {
		return nil, nil
	}
	head := append([]byte{tokenVersion}, listSum(list)...)
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Token)
	if err != nil || !bytes.HasPrefix(b, head) || len(b) == len(head) {
		return nil, ErrPageToken
	}
	return b[len(head):], nil
}

// list names the filter for tokens.
func (f Filter) list() string {
	exported := "any"
	if f.Exported != nil {
		exported = fmt.Sprint(*f.Exported)
	}
	list := fmt.Sprintf("keys %d %q %v %s", f.State, f.Batch, f.UUID, exported)
	for _, t := range []time.Time{f.CreatedAfter, f.CreatedBefore, f.ChangedAfter, f.ChangedBefore} {
		list += t.UTC().Format(" " + time.RFC3339Nano)
	}
	return list
}

// match compares all of the filter with a record.
func (f Filter) match(k *scsstorev1.Key) bool {
	created, changed := moment(k.GetCreatedAt()), moment(k.GetChangedAt())
	switch {
	case f.State != 0 && State(k.GetState()) != f.State,
		f.Batch != "" && k.GetBatch() != f.Batch,
		f.UUID != (amt.UUID{}) && uuidFrom(k.GetUuid()) != f.UUID,
		f.Exported != nil && k.GetExported() != *f.Exported,
		!f.CreatedAfter.IsZero() && !created.After(f.CreatedAfter),
		!f.CreatedBefore.IsZero() && !created.Before(f.CreatedBefore),
		!f.ChangedAfter.IsZero() && !changed.After(f.ChangedAfter),
		!f.ChangedBefore.IsZero() && !changed.Before(f.ChangedBefore):
		return false
	}
	return true
}

// List returns the pairs that f selects, by PID, and the token of the next
// page, empty after the last. The error is ErrPageToken for a token of another
// list.
func (s *Store) List(r kv.Reader, f Filter, p Page) ([]Key, string, error) {
	after, err := p.after(f.list())
	if err != nil {
		return nil, "", err
	}
	recs, last, err := s.page(r, f, after, p.size())
	if err != nil {
		return nil, "", fmt.Errorf("listing pairs: %w", err)
	}
	profiles := map[string]string{"": ""}
	keys := make([]Key, len(recs))
	for i, k := range recs {
		keys[i] = view(k)
		profile, ok := profiles[k.GetBatch()]
		if !ok {
			b, err := loadBatch(r, k.GetBatch())
			if err != nil {
				return nil, "", err
			}
			profile = b.GetProfile()
			profiles[k.GetBatch()] = profile
		}
		keys[i].Profile = profile
	}
	if last == nil {
		return keys, "", nil
	}
	return keys, token(f.list(), last), nil
}

// page collects at most size visible records behind after. last is where the
// next page begins, nil when there is none.
func (s *Store) page(r kv.Reader, f Filter, after []byte, size int) (recs []*scsstorev1.Key, last []byte, err error) {
	next := s.source(r, f)
	hidden := map[uint64]bool{}
	for looked, budget := 0, max(minScan, 10*size); looked < budget; {
		want := size + 1 - len(recs)
		some, err := next(after, want)
		if err != nil {
			return nil, nil, err
		}
		for _, k := range some {
			looked++
			hide, known := hidden[k.GetImportId()]
			if !known {
				if hide, err = isHidden(r, k); err != nil {
					return nil, nil, err
				}
				hidden[k.GetImportId()] = hide
			}
			if !hide && f.match(k) {
				if len(recs) == size {
					return recs, after, nil
				}
				recs = append(recs, k)
			}
			after = k.GetPid()
		}
		if len(some) < want {
			return recs, nil, nil
		}
	}
	return recs, after, nil
}

// source returns a function that reads the next n records behind a PID (nil:
// from the first), by PID, from the best index for the filter. They may not
// match all of it, and may be hidden.
func (s *Store) source(r kv.Reader, f Filter) func(after []byte, n int) ([]*scsstorev1.Key, error) {
	ranges := f.indexRanges()
	if ranges == nil {
		return func(after []byte, n int) ([]*scsstorev1.Key, error) {
			rg := kv.Range{Limit: n}
			if after != nil {
				rg.From = behind(after)
			}
			var recs []*scsstorev1.Key
			err := keysTable.Scan(r, rg, func(_ []byte, k *scsstorev1.Key) error {
				recs = append(recs, k)
				return nil
			})
			return recs, err
		}
	}
	return func(after []byte, n int) ([]*scsstorev1.Key, error) {
		pids, err := mergeRanges(r, ranges, after, n)
		if err != nil {
			return nil, err
		}
		recs := make([]*scsstorev1.Key, len(pids))
		for i, pid := range pids {
			if recs[i], err = keysTable.Get(r, pid); err != nil {
				return nil, fmt.Errorf("an index points at PID %s: %w", pid, err)
			}
		}
		return recs, nil
	}
}

// indexRange is the rows of an index with one key, in the order of their PIDs.
type indexRange struct {
	index kv.Table
	key   []byte
}

// indexRanges is nil when no index helps.
func (f Filter) indexRanges() []indexRange {
	switch {
	case f.UUID != (amt.UUID{}):
		return []indexRange{{uuidIndex, f.UUID[:]}}
	case f.Batch != "":
		var ranges []indexRange
		for _, state := range States() {
			for _, exported := range []bool{false, true} {
				if (f.State == 0 || f.State == state) && (f.Exported == nil || *f.Exported == exported) {
					ranges = append(ranges, indexRange{batchIndex, batchKey(f.Batch, state, exported)})
				}
			}
		}
		return ranges
	case f.State != 0:
		return []indexRange{{stateIndex, stateKey(f.State)}}
	}
	return nil
}

// mergeRanges returns the first n PIDs behind after of all the ranges, in order.
func mergeRanges(r kv.Reader, ranges []indexRange, after []byte, n int) ([][]byte, error) {
	var pids [][]byte
	for _, ir := range ranges {
		rg := kv.IndexKey(ir.key)
		rg.Limit = n
		if after != nil {
			rg.From = behind(append(rg.From, after...))
		}
		err := r.Scan(ir.index, rg, func(_, pid []byte) error {
			pids = append(pids, pid)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(ranges) > 1 {
		slices.SortFunc(pids, bytes.Compare)
	}
	return pids[:min(n, len(pids))], nil
}
