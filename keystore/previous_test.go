package keystore_test

import (
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

// TestPreviousPassword: the password that a person replaces is kept until another
// takes its place; what is set once more displaces nothing.
func TestPreviousPassword(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B", amt.OEM)
	recs := f.records(t, 2)
	recs[0].CurrentPassword, recs[1].CurrentPassword = amt.NewSecretString("own-1"), amt.Secret{}
	f.update(t, func(tx kv.Tx) error {
		_, err := f.Add(tx, "B", f.prepare(t, recs...), by("anna", ""))
		return err
	})
	own, plain := recs[0].Pair.PID, recs[1].Pair.PID
	wants := func(when string, pid amt.PID, current, previous string) {
		t.Helper()
		s := f.secretsOf(t, pid)
		if got := string(s.CurrentPassword.Reveal()); got != current {
			t.Errorf("%s: the password is %q, want %q", when, got, current)
		}
		if got := string(s.PreviousPassword.Reveal()); got != previous {
			t.Errorf("%s: the previous password is %q, want %q", when, got, previous)
		}
	}
	key := func(pid amt.PID, password string) {
		t.Helper()
		f.update(t, func(tx kv.Tx) error {
			return f.SetCurrentPassword(tx, pid, amt.NewSecretString(password), by("anna", "mixed up"))
		})
	}
	batch := func(password string) {
		t.Helper()
		f.update(t, func(tx kv.Tx) error { return f.SetBatchPassword(tx, "B", amt.NewSecretString(password)) })
	}
	wants("as it came", own, "own-1", "")
	key(own, "own-2")
	wants("set", own, "own-2", "own-1")
	key(own, "own-2")
	wants("set once more", own, "own-2", "own-1")
	key(own, "own-3")
	wants("set anew", own, "own-3", "own-2")

	batch("all-1")
	wants("of the batch", plain, "all-1", "")
	batch("all-2")
	wants("of the batch, set", plain, "all-2", "all-1")
	batch("all-2")
	wants("of the batch, once more", plain, "all-2", "all-1")
	batch("")
	wants("of the batch, removed", plain, "", "all-2")
	batch("all-3")
	wants("of the batch, set after that", plain, "all-3", "all-2")
	wants("that has its own", own, "own-3", "own-2")
	key(plain, "own-4")
	wants("its own after the batch's", plain, "own-4", "all-3")

	f.view(t, func(r kv.Reader) error { return f.CheckInvariants(r) })
}
