package rpc

import (
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// places remembers where the first rows of a list stand, at most maxPlaces.
type places struct {
	first map[amt.PID]string
	again map[amt.PID][]string // of further rows of a PID
	n     int
}

func newPlaces() *places {
	return &places{first: map[amt.PID]string{}, again: map[amt.PID][]string{}}
}

func (p *places) add(pid amt.PID, place string) {
	if p.n == maxPlaces {
		return
	}
	p.n++
	if _, ok := p.first[pid]; ok {
		p.again[pid] = append(p.again[pid], place)
		return
	}
	p.first[pid] = place
}

// at is where the row n of a PID stands, from 0; "" when it is not known.
func (p *places) at(pid amt.PID, n int) string {
	if n == 0 {
		return p.first[pid]
	}
	if again := p.again[pid]; n <= len(again) {
		return again[n-1]
	}
	return ""
}

func firstPIDs(pids []amt.PID, n int) []string {
	return each(pids[:min(len(pids), n)], amt.PID.String)
}

// Messages of rows that contradict others of their list.
const (
	twoPPSs      = "the PID stands in the list twice with different PPSs; find out which of them the PC has"
	twoPasswords = "the PID stands in the list twice with different passwords; find out which of them the PC has"
)

// rejectConflicts puts the conflicting rows behind the bad ones. It may be called
// again.
func (im *importing) rejectConflicts(report keystore.AddReport) {
	kept := slices.DeleteFunc(slices.Clone(im.resp.GetRejected()), func(r *scsv1.RejectedRow) bool { return r.GetReason() != "BadRow" })
	add := func(pid amt.PID, n int, reason, message string) {
		if len(kept) < maxRejected {
			kept = append(kept, &scsv1.RejectedRow{Place: im.places.at(pid, n), Pid: pid.String(), Reason: reason, Message: message})
		}
	}
	for _, c := range report.Contradictions {
		message := twoPPSs
		if c.SamePPS {
			message = twoPasswords
		}
		for n := range min(c.Rows, maxRejected) {
			add(c.PID, n, "PairTwice", message)
		}
		if len(kept) == maxRejected {
			break
		}
	}
	for i, n := 0, 0; i < len(report.Conflicts) && len(kept) < maxRejected; i++ {
		if pid := report.Conflicts[i]; i > 0 && pid == report.Conflicts[i-1] {
			n++ // once more in the list
		} else {
			n = 0
		}
		add(report.Conflicts[i], n, "PairConflict", keystore.ErrConflict.Error())
	}
	im.resp.Rejected = kept
}
