package settings

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// Device is what a profile does not say of one device.
type Device struct {
	// FQDN is the name it shall have: host name, dot, domain.
	FQDN string
	// Version is its firmware; zero means unknown, and nothing is skipped.
	Version amt.Version
	// Passwords holds the digest users' passwords to set, by user name. They
	// cannot be read back, so each is written at every Apply; a user without one
	// must exist and keeps what it has.
	Passwords map[string]amt.Secret
	// Prune removes digest users that the profile does not name; the firmware's
	// own ($$...) always stay. Without it they are noted.
	Prune bool
	// LocalTLS also switches TLS on for the host's own interface. Off by default:
	// see docs/decisions.
	LocalTLS bool
}

// Setting is one part of a profile for one device.
type Setting interface {
	// Name is the part's name, such as "redirection".
	Name() string
	// Compare reads the device and reports the differences. It writes nothing.
	Compare(ctx context.Context, c *wsman.Client) (Result, error)
	// Apply makes the device as the profile says. Its error wraps wsman's, or is
	// ErrNotTaken. j may be nil.
	Apply(ctx context.Context, c *wsman.Client, j Journal) (Result, error)
}

// Journal stores an intention before each call that must not be repeated blindly
// (AddUserAclEntryEx, RemoveUserAclEntry), and its result after it.
type Journal interface {
	// Intend stores that call is about to be made. done stores how it went: a nil
	// error, a refusal, or wsman.ErrLost.
	Intend(ctx context.Context, call string) (done func(ctx context.Context, err error) error, err error)
}

// Outcome is how a part of the profile and the device stand.
type Outcome uint8

// The outcomes.
const (
	Same        Outcome = 1 // the device was as the profile says
	Changed     Outcome = 2 // it was made so
	Differs     Outcome = 3 // it is not so (Compare only)
	Unsupported Outcome = 4 // the firmware lacks it; Note says what
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case Same:
		return "Same"
	case Changed:
		return "Changed"
	case Differs:
		return "Differs"
	case Unsupported:
		return "Unsupported"
	}
	return fmt.Sprintf("unknown outcome (%d)", uint8(o))
}

// Difference is one field on which profile and device disagree.
type Difference struct{ Field, Want, Got string }

// String is "HostName: want pc1, got pc2".
func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s", d.Field, orNone(d.Want), orNone(d.Got))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// Result is what one setting found or did.
type Result struct {
	Name        string
	Outcome     Outcome
	Differences []Difference // before the change, if there was one
	Note        string       // for people
}

// ErrNotTaken is returned when the device reported success and still differs.
var ErrNotTaken = errors.New("the device did not take it")

// For returns the settings of p for d in the order to apply them: features
// first, users late because each change of them costs a login, and the address
// last because the device may move there at once.
func For(p *profile.Profile, d Device) []Setting {
	list := []Setting{general(p, d), redirection(p, d), kvm(p, d), consent(p, d)}
	if !p.Power.IsZero() {
		list = append(list, power(p))
	}
	list = append(list, remoteTLS(p))
	if d.LocalTLS {
		list = append(list, localTLS(p))
	}
	return append(list, users(p, d), ethernet(p))
}

// part is a Setting over a state S.
type part[S any] struct {
	name string
	// read may return unsupported.
	read func(ctx context.Context, c *wsman.Client) (S, error)
	// diff compares; note is for people.
	diff func(S) (d []Difference, note string)
	// write makes the state as the profile says; it may change the state it gets.
	write func(ctx context.Context, c *wsman.Client, j Journal, s S, d []Difference) error
	// always, if not nil, says that write is called without a difference too: for
	// what cannot be read.
	always func(S) bool
	// pending, if not "", says why reading again proves nothing.
	pending string
}

// Name is the part's name.
func (p *part[S]) Name() string { return p.name }

// Compare reads the device and reports the differences.
func (p *part[S]) Compare(ctx context.Context, c *wsman.Client) (Result, error) {
	_, r, err := p.compare(ctx, c)
	return r, err
}

// compare also returns the state read.
func (p *part[S]) compare(ctx context.Context, c *wsman.Client) (S, Result, error) {
	r := Result{Name: p.name, Outcome: Same}
	s, err := p.read(ctx, c)
	if u, ok := errors.AsType[unsupported](err); ok {
		r.Outcome, r.Note = Unsupported, string(u)
		return s, r, nil
	}
	if err != nil {
		return s, r, fmt.Errorf("%s: reading: %w", p.name, err)
	}
	r.Differences, r.Note = p.diff(s)
	if len(r.Differences) > 0 {
		r.Outcome = Differs
	}
	return s, r, nil
}

// rounds is how often Apply writes when the answer to a write is lost.
const rounds = 2

// Apply reads, compares, writes, reads again and compares again. A write whose
// answer was lost counts as done if the second reading shows it; otherwise, and
// if what was written cannot be read, there is a second round.
func (p *part[S]) Apply(ctx context.Context, c *wsman.Client, j Journal) (Result, error) {
	s, r, err := p.compare(ctx, c)
	if err != nil || r.Outcome == Unsupported || r.Outcome == Same && !p.blind(s) {
		return r, err
	}
	if j == nil {
		j = noJournal{}
	}
	for round, diff := 1, r.Differences; ; round++ {
		werr := p.write(ctx, c, j, s, diff)
		if werr != nil && !errors.Is(werr, wsman.ErrLost) {
			return r, fmt.Errorf("%s: writing: %w", p.name, werr)
		}
		if p.pending != "" {
			r.Outcome, r.Note = Changed, p.pending
			return r, nil
		}
		after, ar, err := p.compare(ctx, c)
		switch {
		case err != nil:
			return r, errors.Join(werr, err)
		case len(ar.Differences) == 0 && (werr == nil || !p.blind(s)):
			r.Outcome, r.Note = Changed, ar.Note
			return r, nil
		case werr == nil:
			return r, fmt.Errorf("%s: %w: %s", p.name, ErrNotTaken, list(ar.Differences))
		case round == rounds || ctx.Err() != nil:
			return r, fmt.Errorf("%s: writing: %w", p.name, werr)
		}
		s, diff = after, ar.Differences
	}
}

// blind reports whether something in s is written that cannot be read back.
func (p *part[S]) blind(s S) bool { return p.always != nil && p.always(s) }

func list(d []Difference) string {
	s := make([]string, len(d))
	for i := range d {
		s[i] = d[i].String()
	}
	return strings.Join(s, "; ")
}

// unsupported is the error of a read that the firmware cannot serve.
type unsupported string

// Error says what the firmware lacks.
func (u unsupported) Error() string { return string(u) }

// noJournal is for callers that keep none.
type noJournal struct{}

// Intend stores nothing.
func (noJournal) Intend(context.Context, string) (func(context.Context, error) error, error) {
	return func(context.Context, error) error { return nil }, nil
}

// journaled makes one call that must not be repeated between its intention and
// its result. The result is stored even if ctx has ended meanwhile.
func journaled(ctx context.Context, j Journal, call string, f func() error) error {
	done, err := j.Intend(ctx, call)
	if err != nil {
		return fmt.Errorf("storing the intention of %s: %w", call, err)
	}
	err = f()
	if derr := done(context.WithoutCancel(ctx), err); derr != nil {
		return errors.Join(err, fmt.Errorf("storing the result of %s: %w", call, derr))
	}
	return err
}

// compareField appends a difference. got comes from the device.
func compareField(d *[]Difference, field, want, got string) {
	if want != got {
		*d = append(*d, Difference{field, want, printable(got)})
	}
}

// printable quotes a device's text that a terminal would not show as it is, and
// bounds it.
func printable(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(s)
	}
	return s
}
