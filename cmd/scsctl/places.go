package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// findPlaces reads the files once more for the places of refused rows that the
// server does not remember: it remembers those of the first 200,000 rows. What
// stays unknown is said so.
func (im *importer) findPlaces(ctx context.Context, resp *scsv1.ImportKeysResponse) {
	at := map[string][]string{} // places by PID
	for _, r := range resp.GetRejected() {
		if r.GetPlace() == "" && r.GetPid() != "" {
			at[r.GetPid()] = nil
		}
	}
	if len(at) == 0 {
		return
	}
	once := ""
	for _, f := range im.files {
		if !f.again() {
			once = f.name
			continue
		}
		if err := im.placesIn(ctx, f, at); err != nil {
			im.say("note: reading again for the places of rows: %v", err)
			break
		}
	}
	give(resp.GetRejected(), at, once)
}

// give takes places of at, which are in the order of the list, for rows without
// one. once is a file that could not be read again, if any.
func give(rows []*scsv1.RejectedRow, at map[string][]string, once string) {
	told := map[string]bool{}
	for _, r := range rows {
		told[r.GetPlace()+" "+r.GetPid()] = true
	}
	for _, r := range rows {
		if r.GetPlace() != "" {
			continue
		}
		left := at[r.GetPid()]
		for len(left) > 0 && told[left[0]+" "+r.GetPid()] {
			left = left[1:]
		}
		switch {
		case len(left) > 0:
			r.Place, left = left[0], left[1:]
		case once != "":
			r.Message += "; its line is not known, as " + once + " can be read only once"
		default:
			r.Message += "; its line is not known"
		}
		at[r.GetPid()] = left
	}
}

// again reports whether the file can be read a second time.
func (f *listFile) again() bool {
	if f.path == "-" {
		return f.held != nil
	}
	fi, err := os.Stat(f.path)
	return err == nil && fi.Mode().IsRegular()
}

// placesIn adds where the PIDs of at stand in one file, at most maxTold of each.
func (im *importer) placesIn(ctx context.Context, f *listFile, at map[string][]string) error {
	sum := f.sum.Sum(nil)
	f.close()
	if err := im.openFile(ctx, f, f.held); err != nil {
		return err
	}
	err := batch.ReadAs(f.format, f.name, f.r, batch.Options{Layout: im.layout}, func(row batch.Row) error {
		pid := row.Pair.PID.String()
		if places, ok := at[pid]; ok && len(places) < maxTold {
			at[pid] = append(places, fmt.Sprintf("%s:%d", f.name, row.Line))
		}
		return nil
	})
	if bad := (*batch.RowErrors)(nil); err != nil && !errors.As(err, &bad) {
		return err
	}
	now, err := f.sha256()
	if err != nil {
		return err
	}
	if !bytes.Equal(now, sum) {
		clear(at)
		return fmt.Errorf("%s has changed meanwhile", f.name)
	}
	return nil
}

// maxAlike is how many bad rows of one kind are told in full.
const maxAlike = 20

// kinds counts what is told by its kind, and says when one was told often enough.
type kinds struct {
	list []*kindOf
}

type kindOf struct {
	key, text string // text of the first of the kind
	n         int
}

// maxKinds bounds the kinds; what is of none of them counts as of the last.
const maxKinds = 100

// note counts a text and reports whether to tell it. Texts that differ in
// numbers alone are of one kind.
func (k *kinds) note(text string) bool {
	key := numberless(text)
	i := slices.IndexFunc(k.list, func(o *kindOf) bool { return o.key == key })
	if i < 0 && len(k.list) == maxKinds {
		i = maxKinds - 1
	}
	if i < 0 {
		i = len(k.list)
		k.list = append(k.list, &kindOf{key: key, text: text})
	}
	k.list[i].n++
	return k.list[i].n <= maxAlike
}

// numberless has one # for every number.
func numberless(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch digit := s[i] >= '0' && s[i] <= '9'; {
		case !digit:
			out = append(out, s[i])
		case len(out) == 0 || out[len(out)-1] != '#':
			out = append(out, '#')
		}
	}
	return string(out)
}

// end tells what note kept back, and how many there are of each kind.
func (k *kinds) end(say func(format string, args ...any)) {
	all := 0
	for _, o := range k.list {
		all += o.n
		if more := o.n - maxAlike; more > 0 {
			say("and %d more like this: %s", more, o.text)
		}
	}
	if all <= maxAlike {
		return
	}
	slices.SortStableFunc(k.list, func(a, b *kindOf) int { return b.n - a.n })
	for _, o := range k.list {
		say("%s: %s", plural(o.n, "bad row"), o.text)
	}
}
