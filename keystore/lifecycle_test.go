package keystore_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// holderWords are how docs/lifecycle.md tells the rules for holders.
var holderWords = map[string]keystore.Holder{
	"stays": keystore.HolderKept, "becomes the device": keystore.HolderTakes,
	"is the device": keystore.HolderSame, "never was": keystore.HolderNever,
}

// documentedRules reads the table of moves from docs/lifecycle.md.
func documentedRules(t *testing.T) []keystore.Rule {
	t.Helper()
	doc, err := os.ReadFile("../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(doc), "| act | from | to | holder | who | when, why |\n|---|---|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/lifecycle.md has no table of moves")
	}
	var rules []keystore.Rule
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			break
		}
		for i := range cells {
			if cells[i] = strings.TrimSpace(cells[i]); cells[i] == "" {
				t.Errorf("an empty cell: %s", line)
			}
		}
		to, done := strings.CutSuffix(cells[2], " (again)")
		r := keystore.Rule{Act: keystore.Act(cells[0]), Done: done}
		if r.To, err = keystore.ParseState(to); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		var ok bool
		if r.Holder, ok = holderWords[cells[3]]; !ok {
			t.Errorf("holder %q: %s", cells[3], line)
		}
		for _, from := range strings.Split(cells[1], ", ") {
			if r.From = 0; from != "(new)" {
				if r.From, err = keystore.ParseState(from); err != nil {
					t.Errorf("%v: %s", err, line)
				}
			}
			rules = append(rules, r)
		}
	}
	return rules
}

// TestDocumentedMoves: the table in docs/lifecycle.md is the table in moves.go.
func TestDocumentedMoves(t *testing.T) {
	t.Parallel()
	doc, code := documentedRules(t), keystore.Rules()
	for _, r := range doc {
		if !slices.Contains(code, r) {
			t.Errorf("docs/lifecycle.md has %+v and moves.go has not", r)
		}
	}
	for _, r := range code {
		if !slices.Contains(doc, r) {
			t.Errorf("moves.go has %+v and docs/lifecycle.md has not", r)
		}
	}
	if len(doc) != len(code) {
		t.Errorf("docs/lifecycle.md has %d moves, moves.go has %d", len(doc), len(code))
	}
}

// kinds are pairs in each state that an act of a rule is tried on, by the words
// of bring.
var kinds = map[keystore.State][]string{
	keystore.Available: {"Available", "exported"}, keystore.Reserved: {"Reserved"}, keystore.Claimed: {"Claimed"},
	keystore.Spent: {"Spent", "used"}, keystore.Revoked: {"Revoked", "Revoked held"}, keystore.Retired: {"Retired"},
}

// TestEveryMoveSaysWhoWhenWhy does each act of the table to a pair of each kind,
// once without who and once with all of it.
func TestEveryMoveSaysWhoWhenWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.OEM)
	at := today.Add(time.Hour)
	said := keystore.Move{Who: "berta", Why: "ticket 4711", At: at}
	seen := map[keystore.Rule]bool{}
	for _, r := range keystore.Rules() {
		for _, how := range kinds[r.From] {
			pid := bring(t, f, how)
			before := f.story(t, pid)
			for _, m := range []keystore.Move{{Why: "somebody"}, {Who: strings.Repeat("x", 201)}, {Who: "x", Why: strings.Repeat("x", 1001)}} {
				if err := f.try(func(tx kv.Tx) error { return f.act(tx, r.Act, pid, board1, m) }); !errors.Is(err, keystore.ErrMove) {
					t.Errorf("%s of %s by %d bytes for %d bytes: got error %v", r.Act, how, len(m.Who), len(m.Why), err)
				}
			}
			if after := f.story(t, pid); len(after) != len(before) {
				t.Errorf("%s of %s by nobody changed it", r.Act, how)
			}
			err := f.try(func(tx kv.Tx) error { return f.act(tx, r.Act, pid, board1, said) })
			after := f.story(t, pid)
			switch {
			case err != nil && len(after) != len(before):
				t.Errorf("%s of %s was refused, %v, and yet is in the story", r.Act, how, err)
			case err == nil && r.Done && len(after) != len(before):
				t.Errorf("%s of %s had happened already, and yet is in the story", r.Act, how)
			case err == nil && !r.Done:
				last := after[len(after)-1]
				if last.Who != "berta" || last.Why != "ticket 4711" || !last.At.Equal(at) || last.From != r.From || last.To != r.To || len(after) != len(before)+1 {
					t.Errorf("%s of %s is told as %+v", r.Act, how, last)
				}
				if k := f.get(t, pid); k.Who != "berta" || k.Why != "ticket 4711" || !k.ChangedAt.Equal(at) {
					t.Errorf("%s of %s is shown as %+v", r.Act, how, k)
				}
			}
			seen[r] = seen[r] || err == nil
		}
	}
	for _, r := range keystore.Rules() {
		if r.From != 0 && !seen[r] {
			t.Errorf("%s from %v never happened", r.Act, r.From)
		}
	}
}

// story is a pair's changes.
func (f fixture) story(t testing.TB, pid amt.PID) (changes []keystore.Change) {
	t.Helper()
	f.view(t, func(r kv.Reader) (err error) {
		changes, _, err = f.History(r, pid)
		return err
	})
	if len(changes) == 0 {
		t.Fatal(fmt.Sprint("no story of ", pid))
	}
	return changes
}
