package audit

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Bounds of List.
const (
	PageLimit = 100
	MaxPage   = 1000
	maxScan   = 10_000 // entries looked at for one page
)

// Filter selects entries; its zero value selects all. Object and Who are
// indexed, Object first; the others only leave entries out, so that a page may
// be short and have a next one all the same.
type Filter struct {
	Object  string
	Who     string
	Role    string
	Method  string
	Outcome Outcome
	From    time.Time // at or after
	To      time.Time // before
}

// Page asks for Limit entries (0: PageLimit) behind the sequence After, or with
// Newest for those before it, going back in time; 0 is the start, or the end.
type Page struct {
	After  uint64
	Limit  int
	Newest bool
}

// List returns a page and the sequence to go on from, 0 at the end.
func (l *Log) List(r kv.Reader, f Filter, p Page) (list []Entry, next uint64, err error) {
	limit := min(p.Limit, MaxPage)
	if limit <= 0 {
		limit = PageLimit
	}
	seen, more := 0, false
	err = f.scan(r, p, func(m *scsstorev1.AuditEntry) error {
		if more = len(list) == limit || seen == maxScan; more {
			return kv.ErrStop
		}
		seen, next = seen+1, m.Sequence
		if e := entryOf(m); f.selects(&e) {
			list = append(list, e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, kv.ErrStop) {
		return nil, 0, err
	}
	if !more {
		next = 0
	}
	return list, next, nil
}

// scan goes over the entries, or over the index that f names.
func (f Filter) scan(r kv.Reader, p Page, fn func(*scsstorev1.AuditEntry) error) error {
	var prefix []byte // of the rows; the sequence follows it
	index := kv.Table("")
	switch {
	case f.Object != "":
		index, prefix = indexObject, kv.IndexKey([]byte(f.Object)).From
	case f.Who != "":
		index, prefix = indexWho, kv.IndexKey([]byte(f.Who)).From
	}
	rg := kv.Range{From: prefix, To: kv.PrefixEnd(prefix), Reverse: p.Newest}
	switch {
	case p.After == 0:
	case p.Newest:
		rg.To = binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), p.After)
	default:
		rg.From = append(binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), p.After), 0)
	}
	if index == "" {
		return entries.Scan(r, rg, func(_ []byte, m *scsstorev1.AuditEntry) error { return fn(m) })
	}
	return entries.ScanIndex(r, index, rg, func(_, _ []byte, m *scsstorev1.AuditEntry) error { return fn(m) })
}

func (f Filter) selects(e *Entry) bool {
	switch {
	case f.Object != "" && e.Object != f.Object,
		f.Who != "" && e.Who != f.Who,
		f.Role != "" && e.Role != f.Role,
		f.Method != "" && e.Method != f.Method,
		f.Outcome != 0 && e.Outcome != f.Outcome,
		!f.From.IsZero() && e.At.Before(f.From),
		!f.To.IsZero() && !e.At.Before(f.To):
		return false
	}
	return true
}
