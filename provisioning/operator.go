package provisioning

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Assignment is what a person decides for a device; empty fields leave it to
// the profile, the batch, the default. Batch is whose profile the device gets when
// Profile is empty; empty: its pair's.
type Assignment struct{ FQDN, Profile, Batch string }

// change runs a person's change of a device in one transaction with its events
// and act.Also, and returns the device as it is then. With create a device that
// is not there is made.
func (e *Engine) change(ctx context.Context, act Act, uuid amt.UUID, create bool, do func(ed *edit) error) (Device, error) {
	var dev Device
	err := e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		now := e.cfg.Now()
		d, err := getDevice(tx, uuid)
		if err != nil {
			return err
		}
		if d == nil && !create {
			return ErrNoDevice
		}
		if d == nil {
			d = &pb.Device{Uuid: uuid[:], CreatedAt: stamp(now)}
		}
		w, err := getWorkflow(tx, uuid, d.GetWorkflow())
		if err != nil {
			return err
		}
		ed := &edit{tx: tx, d: d, w: w, now: now}
		if err := do(ed); err != nil {
			return err
		}
		if w != nil {
			err = putWorkflow(tx, d, w, now)
		} else {
			err = putDevice(tx, d, now)
		}
		if err != nil {
			return err
		}
		for _, ev := range ed.evs {
			ev.Who = act.Who
		}
		if err := appendEvents(tx, now, ed.evs...); err != nil {
			return err
		}
		dev = deviceOf(d)
		return act.also(tx)
	})
	return dev, err
}

// Assign replaces a device's assignment, before or after its first hello, and
// wakes a workflow that waits for it. An Operational device gets it at its next
// set-up. Errors: ErrUUID, ErrName, ErrNameTaken, ErrNoProfile,
// keystore.ErrNoBatch.
func (e *Engine) Assign(ctx context.Context, act Act, uuid amt.UUID, as Assignment) (Device, error) {
	fail := func(err error) (Device, error) { return Device{}, fmt.Errorf("assigning device %v: %w", uuid, err) }
	if !uuid.Present() {
		return fail(ErrUUID)
	}
	as, err := as.checked()
	if err != nil {
		return fail(err)
	}
	var wake bool
	dev, err := e.change(ctx, act, uuid, true, func(ed *edit) error {
		if err := e.assignable(ed.tx, uuid, as); err != nil {
			return err
		}
		wake = ed.assign(as)
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if wake {
		e.queue.at(uuid, e.cfg.Now())
	}
	return dev, nil
}

// checked is the assignment with its name in the form of all names.
func (as Assignment) checked() (Assignment, error) {
	as.FQDN = strings.ToLower(strings.TrimSuffix(as.FQDN, "."))
	if as.FQDN == "" {
		return as, nil
	}
	if err := profile.CheckFQDN(as.FQDN); err != nil {
		return as, fmt.Errorf("%w: %w", ErrName, err)
	}
	return as, nil
}

// assignable reports why a device cannot have an assignment.
func (e *Engine) assignable(r kv.Reader, uuid amt.UUID, as Assignment) error {
	if as.FQDN != "" {
		if err := nameFree(r, uuid, as.FQDN); err != nil {
			return err
		}
	}
	if as.Profile != "" {
		if _, _, err := e.openProfile(r, as.Profile, 0); err != nil {
			return err
		}
	}
	if as.Batch == "" {
		return nil
	}
	_, err := e.cfg.Keys.Batch(r, as.Batch)
	return err
}

// assign puts an assignment into the record; wake says that a workflow waits for it.
func (ed *edit) assign(as Assignment) (wake bool) {
	ed.d.AssignedFqdn, ed.d.AssignedProfile, ed.d.AssignedBatch = as.FQDN, as.Profile, as.Batch
	if as.Batch == "" {
		ed.tell(DeviceAssigned, "name %q, profile %q", as.FQDN, as.Profile)
	} else {
		ed.tell(DeviceAssigned, "name %q, profile %q, batch %q", as.FQDN, as.Profile, as.Batch)
	}
	return Status(ed.w.GetStatus()) == Waiting && inboxReasons[Reason(ed.w.GetReason())]
}

// Retry puts a waiting, paused, failed or cancelled workflow back to work with
// the profile and name as they are now, or lets in the new pair of a device that
// stands in the inbox as AlreadyOperational. Errors: ErrNoDevice, ErrState, and
// ErrPairNeeded when it stands there with several.
func (e *Engine) Retry(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	return e.retry(ctx, act, uuid, amt.PID{})
}

// Admit lets in the pair with which an Operational device stands in the inbox as
// AlreadyOperational, for Timing.Admission. Errors: ErrNoDevice, ErrState.
func (e *Engine) Admit(ctx context.Context, act Act, uuid amt.UUID, pid amt.PID) (Device, error) {
	return e.retry(ctx, act, uuid, pid)
}

// retry is Retry with a zero pid, else Admit.
func (e *Engine) retry(ctx context.Context, act Act, uuid amt.UUID, pid amt.PID) (Device, error) {
	var admitted []*pb.InboxRow
	dev, err := e.change(ctx, act, uuid, false, func(ed *edit) error {
		admitted = nil
		w, status := ed.w, Status(ed.w.GetStatus())
		if ed.d.GetOperational() {
			row, err := waitingPair(ed.tx, uuid, pid)
			if err != nil {
				return err
			}
			admitted = append(admitted, row)
			ed.d.AdmittedPid, ed.d.AdmittedAt = row.GetPid(), stamp(ed.now)
			ed.tellPair(PairAdmitted, pidOf(row.GetPid()), "")
			return inbox.Delete(ed.tx, inboxKey(uuid, pidOf(row.GetPid())))
		}
		if pid != (amt.PID{}) {
			return fmt.Errorf("a pair is let in by its PID only for a device that is Operational: %w", ErrState)
		}
		superseded := status == Cancelled && Reason(w.GetReason()) == Superseded
		if w == nil || status == Running || status == Done || superseded {
			return nothingToRetry(w, status)
		}
		fenceOff(w)
		if State(w.GetState()) < CommitSent && !commitUnknown(w) {
			w.Step = 1 // profile and name are chosen anew; what is done is found done
			w.State = pb.WorkflowState(Authenticated)
			if w.GetKeyHandle() == "" && w.GetCertificateHandle() == "" {
				beginAnew(ed.d, w) // nothing would tell that the device was reset
			}
		}
		w.Status, w.Reason, w.Detail, w.FailedStep = pb.WorkflowStatus(Running), "", "", ""
		tryAnew(w)
		w.Rewinds, w.NextTryAt, w.EndedAt, w.Since = 0, nil, nil, stamp(ed.now)
		w.Who, w.Why = act.Who, act.Why
		ed.tell(StatusChanged, "retried by an operator").Reason = string(ByOperator)
		return nil
	})
	if err != nil {
		return Device{}, fmt.Errorf("retrying device %v: %w", uuid, err)
	}
	for _, row := range admitted {
		e.admit(row)
	}
	e.queue.at(uuid, e.cfg.Now())
	return dev, nil
}

// fenceOff keeps a worker that is still at a call from writing the workflow: its
// call counts as lost.
func fenceOff(w *pb.Workflow) {
	w.Epoch++
	for _, in := range w.GetIntentions() {
		if in.GetState() == intentionPending {
			in.State, in.Outcome = intentionLost, "an operator retried meanwhile"
		}
	}
}

// commitUnknown reports whether CommitChanges may have taken effect: only step 16
// may look then.
func commitUnknown(w *pb.Workflow) bool {
	for _, in := range w.GetIntentions() {
		if in.GetCall() == callCommit && (in.GetState() == intentionPending || in.GetState() == intentionLost) {
			return true
		}
	}
	return false
}

// waitingPair is the inbox row of a device that is AlreadyOperational: the one
// with the PID, or, for a zero PID, the only one.
func waitingPair(r kv.Reader, uuid amt.UUID, pid amt.PID) (*pb.InboxRow, error) {
	var found []*pb.InboxRow
	err := inbox.Scan(r, kv.Prefix(uuid[:]), func(_ []byte, m *pb.InboxRow) error {
		if Reason(m.GetReason()) == AlreadyOperational && (pid == amt.PID{} || pid == pidOf(m.GetPid())) {
			found = append(found, m)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("the device is Operational and no such new pair of it waits in the inbox: %w", ErrState)
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %d", ErrPairNeeded, len(found))
	}
	return found[0], nil
}

// admit makes an attempt of a hello that stood in the inbox.
func (e *Engine) admit(row *pb.InboxRow) {
	peer, err := netip.ParseAddrPort(row.GetPeer())
	if err != nil {
		return // the next hello makes the attempt
	}
	h := arrival{peer: peer, msg: helloOf(row), count: 1}
	e.soft.ask(func(soft *softState, ch *changes) {
		soft.dropInbox(ch, rowKey{h.msg.UUID, h.msg.PID})
		en := soft.noteAttempt(ch, h, e.cfg.Now())
		e.dials.at(en.key, e.cfg.Now())
	})
}

// Pause holds a running or waiting workflow back once its present call is done.
// Errors: ErrNoDevice, ErrState.
func (e *Engine) Pause(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	dev, err := e.change(ctx, act, uuid, false, func(ed *edit) error {
		if status := Status(ed.w.GetStatus()); !status.due() {
			return fmt.Errorf("it cannot be paused in status %v: %w", status, ErrState)
		}
		ed.w.Status, ed.w.Reason = pb.WorkflowStatus(Paused), string(ByOperator)
		ed.w.NextTryAt, ed.w.Since = nil, stamp(ed.now)
		ed.w.Who, ed.w.Why = act.Who, act.Why
		ed.tell(StatusChanged, "paused: %s", act.Why)
		return nil
	})
	if err != nil {
		return Device{}, fmt.Errorf("pausing device %v: %w", uuid, err)
	}
	return dev, nil
}

// Cancel ends an open workflow once its present call is done; the device stays
// as it is then, and its next hello waits in the inbox. Errors: ErrNoDevice, ErrState.
func (e *Engine) Cancel(ctx context.Context, act Act, uuid amt.UUID) (Device, error) {
	dev, err := e.change(ctx, act, uuid, false, func(ed *edit) error {
		if status := Status(ed.w.GetStatus()); !status.open() {
			return fmt.Errorf("there is nothing to cancel in status %v: %w", status, ErrState)
		}
		end(ed.w, Cancelled, ByOperator, ed.now)
		ed.w.Who, ed.w.Why = act.Who, act.Why
		ed.tell(StatusChanged, "cancelled: %s", act.Why)
		return nil
	})
	if err != nil {
		return Device{}, fmt.Errorf("cancelling device %v: %w", uuid, err)
	}
	return dev, nil
}

// Passwords opens every password that may log in to the device; act.Also is
// where the revealing is audited, and nothing is returned unless it commits.
// Errors: ErrNoDevice.
func (e *Engine) Passwords(ctx context.Context, act Act, uuid amt.UUID) ([]Password, error) {
	var list []Password
	err := e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		list = nil
		d, err := getDevice(tx, uuid)
		if err != nil {
			return err
		}
		if d == nil {
			return ErrNoDevice
		}
		for _, p := range d.GetPasswords() {
			s, err := e.openPassword(d, p)
			if err != nil {
				return err
			}
			list = append(list, Password{
				Account: shownAccount(p.GetAccount()), Version: roleNames[p.GetRole()], Password: s,
				At: instant(p.GetAt()), Doubtful: p.GetDoubtful(),
			})
		}
		return act.also(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the passwords of %v: %w", uuid, err)
	}
	sortPasswords(list)
	return list, nil
}

// sortPasswords puts the administrator's first, then users by name, then MEBx,
// each with the present version before the others.
func sortPasswords(list []Password) {
	rank := func(p Password) int {
		switch p.Account {
		case accountAdmin:
			return 0
		case accountMEBx:
			return 2
		}
		return 1
	}
	versions := map[string]int{roleNames[current]: 0, roleNames[pending]: 1, roleNames[previous]: 2}
	slices.SortStableFunc(list, func(a, b Password) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Account, b.Account),
			cmp.Compare(versions[a.Version], versions[b.Version]))
	})
}

// helloOf is the hello of an inbox row.
func helloOf(row *pb.InboxRow) *hello.Message {
	return &hello.Message{
		Version: hello.Version(row.GetVersion()), UUID: uuidOf(row.GetUuid()), PID: pidOf(row.GetPid()),
		Retry: row.GetRetry(), CredentialsSet: row.GetCredentialsSet(),
	}
}

// nothingToRetry says why a device is not retried.
func nothingToRetry(w *pb.Workflow, status Status) error {
	switch {
	case w == nil:
		return fmt.Errorf("its set-up has not begun: it waits for the device's hello: %w", ErrState)
	case status == Running:
		return fmt.Errorf("its set-up is running: %w", ErrState)
	case status == Done:
		return fmt.Errorf("its set-up is done, and no pair of it waits in the inbox: %w", ErrState)
	}
	return fmt.Errorf("another set-up took the place of this one: %w", ErrState)
}
