package provisioning

import (
	"context"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Listed is a device of a list: what it is assigned and which passwords it has.
// Empty fields leave what is there.
type Listed struct {
	UUID amt.UUID
	Assignment
	MEBxPassword  amt.Secret
	AdminPassword amt.Secret
}

// ListOptions say what AssignMany does with rows that cannot be taken.
type ListOptions struct {
	DryRun  bool // store nothing
	SkipBad bool // leave them out; else one of them makes it store nothing
	Replace bool // what was assigned before; else it is ErrAssigned
}

// ListedOutcome is what became of one row.
type ListedOutcome struct {
	Err     error // it was refused; the others say nothing then
	Added   bool  // nothing was known of the device before
	Changed bool  // what was assigned before was replaced or completed
	// Kept says that the row's passwords were passed over: the device was set up
	// here and has others.
	Kept bool
}

// Known reports whether the row said nothing new.
func (o ListedOutcome) Known() bool { return o.Err == nil && !o.Added && !o.Changed }

// MaxListed is how many devices one list may have: they are one transaction, for
// which other writers wait.
const MaxListed = 10_000

var (
	// ErrAssigned is returned for a device that has another assignment or password
	// than its row says.
	ErrAssigned = errors.New("the device has another assignment")
	// ErrTwice is returned for a device that two rows name.
	ErrTwice = errors.New("an earlier row names this device")

	errNotStored = errors.New("the list is not to be stored")
)

// AssignMany is Assign for a list of devices, in one transaction: all or nothing,
// or with SkipBad all that can be taken. The outcomes are in the order of the rows;
// stored says whether they came to be. A row's error is one of Assign's, ErrAssigned
// or ErrTwice. Passwords are taken for devices that were never set up here.
func (e *Engine) AssignMany(ctx context.Context, act Act, rows []Listed, opts ListOptions) (outcomes []ListedOutcome, stored bool, err error) {
	if len(rows) > MaxListed {
		return nil, false, fmt.Errorf("assigning %d devices: at most %d in one list", len(rows), MaxListed)
	}
	var wake []amt.UUID
	err = e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		outcomes, wake = make([]ListedOutcome, len(rows)), nil
		seen := make(map[amt.UUID]bool, len(rows))
		bad := false
		for i, row := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			o, woken, err := e.assignListed(tx, act, row, seen, opts)
			if err != nil {
				return err
			}
			if woken {
				wake = append(wake, row.UUID)
			}
			outcomes[i], bad = o, bad || o.Err != nil
		}
		if opts.DryRun || bad && !opts.SkipBad {
			return errNotStored
		}
		return act.also(tx)
	})
	if errors.Is(err, errNotStored) {
		return outcomes, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("assigning %d devices: %w", len(rows), err)
	}
	for _, uuid := range wake {
		e.queue.at(uuid, e.cfg.Now())
	}
	return outcomes, true, nil
}

// assignListed takes one row. The error is the store's; the row's own is in the
// outcome, and then nothing of it was written.
func (e *Engine) assignListed(tx kv.Tx, act Act, row Listed, seen map[amt.UUID]bool, opts ListOptions) (o ListedOutcome, wake bool, err error) {
	refuse := func(err error) (ListedOutcome, bool, error) {
		if fatal(err) {
			return ListedOutcome{}, false, err
		}
		return ListedOutcome{Err: err}, false, nil
	}
	switch {
	case !row.UUID.Present():
		return refuse(ErrUUID)
	case seen[row.UUID]:
		return refuse(ErrTwice)
	}
	seen[row.UUID] = true
	if row.Assignment, err = row.checked(); err != nil {
		return refuse(err)
	}
	now := e.cfg.Now()
	d, err := getDevice(tx, row.UUID)
	if err != nil {
		return refuse(err)
	}
	if o.Added = d == nil; o.Added {
		d = &pb.Device{Uuid: row.UUID[:], CreatedAt: stamp(now)}
	}
	w, err := getWorkflow(tx, row.UUID, d.GetWorkflow())
	if err != nil {
		return refuse(err)
	}
	ed := &edit{tx: tx, d: d, w: w, now: now}
	if wake, err = e.mergeListed(ed, row, opts, &o); err != nil {
		return refuse(err)
	}
	if o.Known() {
		return o, false, nil
	}
	for _, ev := range ed.evs {
		ev.Who = act.Who
	}
	return o, wake, errors.Join(putDevice(tx, d, now), appendEvents(tx, now, ed.evs...))
}

// fatal reports whether an error is not the row's.
func fatal(err error) bool {
	for _, own := range []error{ErrUUID, ErrName, ErrNameTaken, ErrNoProfile, ErrAssigned, ErrTwice, keystore.ErrNoBatch} {
		if errors.Is(err, own) {
			return false
		}
	}
	return true
}

// mergeListed puts what the row says that is new into the record.
func (e *Engine) mergeListed(ed *edit, row Listed, opts ListOptions, o *ListedOutcome) (wake bool, err error) {
	as := Assignment{FQDN: ed.d.GetAssignedFqdn(), Profile: ed.d.GetAssignedProfile(), Batch: ed.d.GetAssignedBatch()}
	before := as
	for _, f := range []struct {
		field    string
		old      *string
		new, now string // now: what the device has beside its assignment
	}{
		{"name", &as.FQDN, row.FQDN, ed.d.GetFqdn()},
		{"profile", &as.Profile, row.Profile, ""},
		{"batch", &as.Batch, row.Batch, ""},
	} {
		had := *f.old
		if had == "" {
			had = f.now
		}
		if f.new != "" && had != "" && f.new != had && !opts.Replace {
			return false, fmt.Errorf("%w: %s %q", ErrAssigned, f.field, had)
		}
		if f.new != "" {
			*f.old = f.new
		}
	}
	learned, err := e.listedPasswords(ed, row, opts, o)
	if err != nil {
		return false, err
	}
	if as == before && !learned && !o.Added {
		return false, nil
	}
	if err := e.assignable(ed.tx, row.UUID, as); err != nil {
		return false, err
	}
	o.Changed = !o.Added
	return ed.assign(as), nil
}

// listedPasswords takes the passwords of a device that was never set up here.
func (e *Engine) listedPasswords(ed *edit, row Listed, opts ListOptions, o *ListedOutcome) (learned bool, err error) {
	for _, p := range []struct {
		account string
		secret  amt.Secret
	}{{accountMEBx, row.MEBxPassword}, {accountAdmin, row.AdminPassword}} {
		if p.secret.IsZero() {
			continue
		}
		old, err := e.openPassword(ed.d, password(ed.d, p.account, current))
		if err != nil {
			return false, err
		}
		switch {
		case old.Equal(p.secret):
			continue
		case ed.d.GetWorkflow() != 0:
			o.Kept = true
			continue
		case !old.IsZero() && !opts.Replace:
			return false, fmt.Errorf("%w: another password of %s", ErrAssigned, p.account)
		}
		if err := e.storePassword(ed.d, p.account, current, p.secret, ed.now); err != nil {
			return false, err
		}
		learned = true
	}
	return learned, nil
}
