package audit

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/kv"
)

// Append writes e behind the last entry, in the caller's transaction; its
// Sequence and Hash are set here, whatever they hold. ErrText, ErrBroken.
func (l *Log) Append(tx kv.Tx, e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	head, err := l.Head(tx)
	if err != nil {
		return err
	}
	e.At = e.At.UTC().Round(0)
	e.Sequence = head.Sequence + 1
	e.Hash = e.hash(head.Hash)
	if err := entries.Put(tx, sequenceKey(e.Sequence), recordOf(e, head.Hash)); err != nil {
		return err
	}
	return l.putHead(tx, Head{Sequence: e.Sequence, Hash: e.Hash})
}

// check applies the rules of Entry.
func (e *Entry) check() error {
	for _, f := range []struct{ name, text string }{
		{"who", e.Who}, {"role", e.Role}, {"method", e.Method}, {"object", e.Object}, {"reason", e.Reason},
	} {
		if err := CheckText(f.text); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	switch {
	case e.Who == "":
		return fmt.Errorf("%w: it does not say who", ErrText)
	case e.Method == "":
		return fmt.Errorf("%w: it does not say what", ErrText)
	case e.At.IsZero() || !timestamppb.New(e.At).IsValid():
		return fmt.Errorf("%w: it does not say when", ErrText)
	case e.Outcome < Done || e.Outcome > Failed:
		return fmt.Errorf("%w: %v", ErrText, e.Outcome)
	}
	return nil
}

// CheckText reports, as ErrText, why a text cannot stand in an entry: more than
// MaxText bytes, not UTF-8, or a control character, by which one entry could
// look like two. The error does not repeat the text.
func CheckText(s string) error {
	if len(s) > MaxText {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrText, len(s), MaxText)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: it is not UTF-8", ErrText)
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return fmt.Errorf("%w: it holds the control character %U", ErrText, c)
		}
	}
	return nil
}
