package keystore

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/amtscs/amtscs/amt"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Contradiction is a PID that stands in one list several times, with different
// PPSs or different passwords; a missing password is not different. None of its rows is taken: which is right, the list
// cannot tell.
type Contradiction struct {
	PID     amt.PID
	Rows    int  // how often it stands there, at least 2
	SamePPS bool // the passwords differ and nothing else
}

// maxKnownIn bounds the names in AddReport.KnownIn.
const maxKnownIn = 20

// findings are what an import notes beside its verdicts, from several goroutines.
type findings struct {
	mu      sync.Mutex
	twice   []Contradiction
	batches map[string]bool // of known pairs
}

// note remembers the batch of a known pair.
func (f *findings) note(k *scsstorev1.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.batches == nil {
		f.batches = map[string]bool{}
	}
	if len(f.batches) < maxKnownIn {
		f.batches[k.GetBatch()] = true
	}
}

// tell puts what was noted into the report.
func (f *findings) tell(rep *AddReport) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rep.Contradictions, rep.KnownIn = slices.Clone(f.twice), nil
	for name := range f.batches {
		rep.KnownIn = append(rep.KnownIn, name)
	}
	slices.Sort(rep.KnownIn)
}

// agreeing is a sorted source without the rows that contradict one another.
// Rows that agree come as often as they stand in the list.
type agreeing struct {
	src     source
	imp     *importer
	first   rawRecord // of the PID at hand; its bytes are this source's own
	left    int       // how often it is still to be given
	ahead   rawRecord // the first record of the next PID
	err     error     // behind ahead
	started bool
}

// agreed leaves contradicting rows of src out and notes them. Pairs that were
// drawn here are left to the verdicts: what meets another is drawn again.
func (imp *importer) agreed(src source) source {
	if imp.redraw != nil {
		return src
	}
	return &agreeing{src: src, imp: imp}
}

func (a *agreeing) next() (rawRecord, error) {
	if !a.started {
		a.started = true
		a.advance()
	}
	for a.left == 0 {
		if a.ahead == nil {
			return nil, a.err
		}
		if err := a.group(); err != nil {
			return nil, err
		}
	}
	a.left--
	return a.first, nil
}

// advance reads the next record into ahead.
func (a *agreeing) advance() {
	a.ahead, a.err = a.src.next()
	if a.err != nil {
		a.ahead = nil
	}
}

// group reads all records of the next PID.
func (a *agreeing) group() error {
	a.take()
	c := Contradiction{PID: a.first.pid(), Rows: 1, SamePPS: true}
	agree := true
	for a.advance(); a.ahead != nil && a.ahead.pid() == c.PID; a.advance() {
		c.Rows++
		same, samePPS, err := a.compare()
		if err != nil {
			return err
		}
		agree, c.SamePPS = agree && same, c.SamePPS && samePPS
	}
	if a.err != nil && !errors.Is(a.err, io.EOF) {
		return a.err
	}
	if agree {
		a.left = c.Rows
		return nil
	}
	f := &a.imp.findings
	f.mu.Lock()
	f.twice = append(f.twice, c)
	f.mu.Unlock()
	return nil
}

// take makes ahead the first.
func (a *agreeing) take() { a.first = append(a.first[:0], a.ahead...) }

// compare says how ahead, which has the PID of first, differs from it. A row that
// has less to say agrees: the fuller one stays, used if one of them is.
func (a *agreeing) compare() (same, samePPS bool, err error) {
	one, err := a.imp.s.secretsOf(a.first)
	if err != nil {
		return false, false, err
	}
	other, err := a.imp.s.secretsOf(a.ahead)
	if err != nil {
		return false, false, err
	}
	used := (a.first[flagsAt] | a.ahead[flagsAt]) & flagUsed
	samePPS = one.PPS.Equal(other.PPS)
	switch {
	case other.within(one):
		same = samePPS
	case one.within(other):
		same = samePPS
		a.take()
	}
	a.first[flagsAt] |= used
	return same, samePPS, nil
}

// within reports whether o has every password that s has.
func (s Secrets) within(o Secrets) bool {
	return fills(s.CurrentPassword, o.CurrentPassword) && fills(s.NewPassword, o.NewPassword)
}
