package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func parseTime(s string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, s); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, s)
}

// report prints what became of the rows and chooses the exit status.
func (im *importer) report(ctx context.Context, resp *scsv1.ImportKeysResponse) error {
	im.findPlaces(ctx, resp)
	im.tellRejected(resp)
	im.tellKnown(resp)
	if b := resp.GetBatch(); b.GetExpired() {
		im.say("warning: batch %s has expired: its unused pairs are refused", b.GetName())
	}
	left := im.merge(resp)
	conflicts := im.conflicts(resp)
	if err := im.app.print(resp, func(w io.Writer) { im.summary(w, resp) }); err != nil {
		return err
	}
	dry := im.header.GetDryRun()
	switch {
	case dry && left == 0:
		return nil
	case dry:
		return failed("", "%s would not be imported", plural(left, "row"))
	case !resp.GetStored():
		return failed("mend the rows, or import the others with --skip-bad", "%s cannot be imported: nothing was imported", plural(left, "row"))
	}
	if err := im.keepRejects(ctx, left, conflicts); err != nil {
		return err
	}
	if left > 0 {
		return partly("mend what is left out and import the file again", "%s left out", plural(left, "row"))
	}
	return nil
}

// tellRejected tells of the rows that the server refused, the first of each kind.
func (im *importer) tellRejected(resp *scsv1.ImportKeysResponse) {
	told := map[string]int64{} // by reason
	alike, last := map[string]int{}, map[string]string{}
	for _, r := range resp.GetRejected() {
		last[r.GetReason()] = r.GetMessage()
		if alike[r.GetMessage()]++; alike[r.GetMessage()] > maxAlike {
			continue
		}
		told[r.GetReason()]++
		place := r.GetPlace()
		if place == "" {
			place = "place not known"
		}
		im.say("%s: %s: %s", place, r.GetPid(), r.GetMessage())
	}
	for _, k := range []struct {
		reason string
		all    int64
	}{
		{"BadRow", resp.GetBad()},
		{"PairTwice", resp.GetContradicting()},
		{"PairConflict", resp.GetConflicts() - resp.GetContradicting()},
	} {
		if more := k.all - told[k.reason]; more > 0 && last[k.reason] != "" {
			im.say("and %d more like this: %s", more, last[k.reason])
		} else if more > 0 {
			im.say("and %d more conflicting rows", more)
		}
	}
}

// tellKnown tells what is to be known of pairs that were in the store before.
func (im *importer) tellKnown(resp *scsv1.ImportKeysResponse) {
	for i, pid := range resp.GetDifferingPids() {
		if i == maxAlike {
			im.say("note: and more pairs are known with other passwords; -o json has the first %d", len(resp.GetDifferingPids()))
			break
		}
		im.say("note: %s is known with other passwords; they stay as they are", pid)
	}
	for i, pid := range resp.GetBarePids() {
		if i == maxAlike {
			im.say("note: and more pairs are known without passwords that this list has; -o json has the first %d", len(resp.GetBarePids()))
			break
		}
		im.say("note: %s is known without a password that this list has, and stays so; scsctl keys password %s sets that of MEBx", pid, pid)
	}
	for i, pid := range resp.GetUsedAvailablePids() {
		if i == maxAlike {
			im.say("note: and more pairs are used in this list; -o json has the first %d", len(resp.GetUsedAvailablePids()))
			break
		}
		im.say("note: %s is used in this list, but Available in the store; it stays so", pid)
	}
}

// merge adds the rows that never were sent, and returns how many are left out.
func (im *importer) merge(resp *scsv1.ImportKeysResponse) int64 {
	n := int64(im.badRows)
	resp.Rows, resp.Bad = resp.GetRows()+n, resp.GetBad()+n
	resp.BadChecksums += int64(im.bad.Checksums)
	resp.BadPasswords += int64(im.bad.Passwords)
	resp.Rejected = append(im.rejected, resp.GetRejected()...)
	return resp.GetConflicts() + resp.GetBad()
}

// conflicts picks the rows for the file of rejects that the server refused. The
// PIDs leave the answer: there may be many.
func (im *importer) conflicts(resp *scsv1.ImportKeysResponse) func(*listFile, batch.Options, *rejected) error {
	why := map[string]string{} // by place
	for _, r := range resp.GetRejected() {
		why[r.GetPlace()] = r.GetMessage()
	}
	twice := map[string]string{} // messages by PID
	for _, r := range resp.GetRejected() {
		if r.GetReason() == "PairTwice" {
			twice[r.GetPid()] = r.GetMessage()
		}
	}
	pids := make(map[string]bool, len(resp.GetConflictingPids()))
	for _, pid := range resp.GetConflictingPids() {
		pids[pid] = true
	}
	resp.ConflictingPids = nil
	return func(f *listFile, opts batch.Options, out *rejected) error {
		return batch.ReadAs(f.format, f.name, f.r, opts, func(row batch.Row) error {
			place := fmt.Sprintf("%s:%d", f.name, row.Line)
			switch {
			case twice[row.Pair.PID.String()] != "":
				out.add(place+": pid: "+twice[row.Pair.PID.String()], row.Raw.Reveal())
			case pids[row.Pair.PID.String()]:
				out.add(place+": pid: the PID is in the store, or in this list, with another PPS; find out which of the two the PC has", row.Raw.Reveal())
			case why[place] != "":
				out.add(place+": "+why[place], row.Raw.Reveal())
			}
			return nil
		})
	}
}

// summary is the report for people. Its first line never changes its form.
func (im *importer) summary(w io.Writer, r *scsv1.ImportKeysResponse) {
	_, _ = fmt.Fprintf(w, "%s: %d new, %d known, %d conflicting, %d bad\n",
		plural(r.GetRows(), "row"), r.GetAdded(), r.GetKnown(), r.GetConflicts(), r.GetBad())
	other := r.GetBad() - r.GetBadChecksums() - r.GetBadPasswords()
	for _, f := range []struct {
		n    int64
		text string
	}{
		{r.GetContradicting(), "conflicting: the list contradicts itself"},
		{r.GetUsed(), "marked as used"},
		{r.GetUsedAvailable(), "used in this list, but Available in the store: left as they are"},
		{r.GetBadChecksums(), "bad: a check character does not match"},
		{r.GetBadPasswords(), "bad: a password that no device can have"},
		{other, "bad in another way"},
	} {
		if f.n > 0 {
			_, _ = fmt.Fprintf(w, "%d %s\n", f.n, f.text)
		}
	}
	im.whither(w, r)
	switch {
	case im.header.GetDryRun():
		_, _ = fmt.Fprintln(w, "dry run: nothing was stored")
	case r.GetStored() && r.GetAdded() == 0:
		_, _ = fmt.Fprintln(w, "nothing was changed")
	}
}

// whither says which batch took the new pairs, and where the known ones are.
func (im *importer) whither(w io.Writer, r *scsv1.ImportKeysResponse) {
	if r.GetStored() && r.GetAdded() > 0 {
		mark := ""
		if r.GetNewBatch() {
			mark = " (new)"
		}
		_, _ = fmt.Fprintf(w, "into batch %s%s\n", im.header.GetBatch(), mark)
	}
	if in := r.GetKnownBatches(); len(in) > 0 {
		_, _ = fmt.Fprintf(w, "known pairs are in %s\n", batchNames(in))
	}
}

// batchNames names some batches; the server tells the first 20.
func batchNames(in []string) string {
	word := "batch "
	if len(in) > 1 {
		word = "batches "
	}
	s := word + strings.Join(in, ", ")
	if len(in) >= 20 {
		s += " and perhaps others"
	}
	return s
}
