package provisioning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

// run is one worker's hold on a workflow, from taking it up to putting it down.
type run struct {
	e     *Engine
	log   *slog.Logger
	uuid  amt.UUID
	epoch uint64
	stop  context.Context // done when the engine stops: no new step or wait then

	// wf and dev are the records as they were committed last.
	wf  *pb.Workflow
	dev *pb.Device
	// at is the number of the last step done: that of wf, or a later one whose
	// step leaves nothing in the store.
	at int

	sess   *session
	logins *logins // of all that this run tries
	// resumed says that the session was opened by this run, so that the device's
	// state may differ from the record's.
	resumed bool
	// seen are the device's key pairs as step 4 left them; nil: not looked at.
	seen []wsman.KeyPair
	// results are outcomes of calls that the next commit stores.
	results []result
	profile *profile.Profile // of wf.Profile, once loaded
	relogin bool             // the session was opened again for the present step
	// reopened says that this run has gone back because a session was opened again.
	reopened bool
}

// writeTimeout bounds the transactions of a workflow, which are not given up at a
// stop: what a device answered is to be stored.
const writeTimeout = 30 * time.Second

// Errors that end a run without a failure of the workflow.
var (
	errHeld = errors.New("the workflow was paused or ended meanwhile")
	errStop = errors.New("the engine is stopping")
)

// rewind is an error that sends the workflow back behind step to.
type rewind struct {
	to  int
	why string
	// anew says that the device may have lost what it had: what is recorded of it
	// goes.
	anew bool
	// free says that it is not counted: it tells nothing of the device.
	free bool
}

// Error says why.
func (r *rewind) Error() string { return "back to step " + fmt.Sprint(r.to+1) + ": " + r.why }

// work takes a due workflow up and does its steps until it is done, waits,
// fails, or stop is done. It returns when it is due again; zero: not by itself.
func (e *Engine) work(stop, ctx context.Context, uuid amt.UUID) (next time.Time) {
	if stop.Err() != nil {
		return time.Time{}
	}
	r, err := e.takeUp(ctx, uuid)
	if err != nil {
		e.log.Error("taking a workflow up", "uuid", uuid.String(), "err", err)
		return e.cfg.Now().Add(e.cfg.Timing.RetryMin)
	}
	if r == nil {
		e.handed.take(uuid).close()
		return time.Time{}
	}
	defer func() { r.sess.close() }()
	defer func() {
		if v := recover(); v != nil {
			next = r.finish(ctx, e.panicked(uuid, v))
		}
	}()
	r.sess, r.stop = e.handed.take(uuid), stop
	return r.finish(ctx, r.steps(ctx))
}

// takeUp raises the workflow's epoch, so that no other worker can write it any
// more. It returns nil for a workflow that is not to be worked on.
func (e *Engine) takeUp(ctx context.Context, uuid amt.UUID) (*run, error) {
	var r *run
	err := e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		r = nil
		d, err := getDevice(tx, uuid)
		if err != nil || d == nil {
			return err
		}
		w, err := getWorkflow(tx, uuid, d.GetWorkflow())
		if err != nil || w == nil || !Status(w.GetStatus()).due() {
			return err
		}
		w.Epoch++
		r = &run{e: e, uuid: uuid, epoch: w.GetEpoch(), wf: w, dev: d, at: int(w.GetStep()), logins: newLogins(e.cfg.Limits.Logins)}
		return workflows.Put(tx, workflowKey(uuid, w.GetNumber()), w)
	})
	if err != nil || r == nil {
		return nil, err
	}
	r.log = e.log.With("uuid", uuid.String(), "pid", pidOf(r.wf.GetPid()).String(), "workflow", r.wf.GetNumber())
	return r, nil
}

// edit is a transaction on a workflow and its device.
type edit struct {
	tx  kv.Tx
	w   *pb.Workflow
	d   *pb.Device
	now time.Time
	evs []*pb.Event
}

// tell adds an event to the transaction.
func (ed *edit) tell(t EventType, format string, args ...any) *pb.Event {
	ev := deviceEvent(t, ed.d, ed.w, fmt.Sprintf(format, args...))
	ed.evs = append(ed.evs, ev)
	return ev
}

// tellPair adds an event about a pair.
func (ed *edit) tellPair(t EventType, pid amt.PID, format string, args ...any) {
	ed.tell(t, format, args...).Pid = pidBytes(pid)
}

// toState moves the workflow to a state, with its event.
func (ed *edit) toState(s State) {
	if State(ed.w.GetState()) == s {
		return
	}
	ed.w.State, ed.w.Since = pb.WorkflowState(s), stamp(ed.now)
	ed.tell(StateChanged, "")
}

// update changes workflow and device in one transaction, unless another worker
// has taken the workflow: ErrFenced. With goOn the error is errHeld, and nothing
// changes, when an operator held the workflow meanwhile; without it results are
// stored all the same and errHeld comes afterwards.
func (r *run) update(ctx context.Context, goOn bool, change func(ed *edit) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	var done *edit
	held := false
	err := r.e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		done, held = nil, false
		w, err := getWorkflow(tx, r.uuid, r.wf.GetNumber())
		if err != nil {
			return err
		}
		if w == nil || w.GetEpoch() != r.epoch {
			return ErrFenced
		}
		d, err := getDevice(tx, r.uuid)
		if err != nil {
			return err
		}
		held = !Status(w.GetStatus()).due()
		if held && goOn {
			return nil
		}
		ed := &edit{tx: tx, w: w, d: d, now: r.e.cfg.Now()}
		r.applyResults(ed)
		if err := change(ed); err != nil {
			return err
		}
		if err := putWorkflow(tx, d, w, ed.now); err != nil {
			return err
		}
		done = ed
		return appendEvents(tx, ed.now, ed.evs...)
	})
	if err != nil {
		return err
	}
	if done != nil {
		r.wf, r.dev, r.results = done.w, done.d, nil
	}
	if held {
		return errHeld
	}
	return nil
}

// finish stores how a run ended and says when the workflow is due again.
func (r *run) finish(ctx context.Context, err error) time.Time {
	switch {
	case err == nil, errors.Is(err, errHeld), errors.Is(err, ErrFenced):
		return time.Time{}
	case errors.Is(err, errStop), ctx.Err() != nil:
		r.storeResults(ctx)
		return time.Time{}
	}
	f := r.sort(err)
	name := r.stepName()
	r.e.cfg.Observe.Step(name, string(f.reason), 0)
	var next time.Time
	uerr := r.update(ctx, false, func(ed *edit) error {
		next = time.Time{}
		if !Status(ed.w.GetStatus()).due() {
			return nil // paused or ended meanwhile: that stands
		}
		next = r.putDown(ed, f, name)
		return nil
	})
	switch {
	case errors.Is(uerr, errHeld), errors.Is(uerr, ErrFenced):
		return time.Time{}
	case uerr != nil:
		r.log.Error("storing how a run ended", "err", uerr)
		return r.e.cfg.Now().Add(r.e.cfg.Timing.RetryMin)
	}
	r.tellInbox(f)
	status := Status(r.wf.GetStatus())
	about := []any{"step", name, "state", State(r.wf.GetState()).String(), "status", status.String(), "reason", string(f.reason), "err", f.err}
	if !next.IsZero() {
		about = append(about, "next", next)
	}
	r.log.Info("workflow put down", about...)
	if status == Failed {
		r.e.cfg.Observe.Failed(name, f.reason)
	}
	return next
}

// sort classifies the error of a run. A device that was seen before and now
// cannot be reached as itself is waited for.
func (r *run) sort(err error) *failure {
	f := classify(err)
	if pskReasons[f.reason] || f.reason == UUIDMismatch || f.reason == NotInSetup || f.reason == AddressNotAllowed {
		f.retry, f.silent = true, true
	}
	return f
}

// putDown turns a failure into Waiting or Failed and returns the time of the next
// try. Waiting for a device that is silent, or for a person, is not charged to the
// tries that have a bound. An event is told only when that changes what is known.
func (r *run) putDown(ed *edit, f *failure, step string) time.Time {
	t := r.e.cfg.Timing
	w := ed.w
	before := [3]string{Status(w.GetStatus()).String(), w.GetReason(), w.GetFailedStep()}
	w.Tries++
	if f.reason == LoginFailed {
		w.RefusedLogins++
	}
	w.Reason, w.Detail, w.FailedStep, w.NextTryAt = string(f.reason), f.Error(), step, nil
	wait, spent := r.e.backoff(int(w.GetTries())), false
	switch {
	case f.after != 0:
		wait = f.after
	case !f.silent:
		if w.GetBoundedReason() != w.GetReason() {
			w.BoundedTries, w.BoundedReason = 0, w.GetReason()
		}
		w.BoundedTries++
		wait, spent = r.e.backoff(int(w.GetBoundedTries())), int(w.GetBoundedTries()) >= t.Tries
	}
	status := Waiting
	var next time.Time
	if f.retry && !spent {
		next = ed.now.Add(wait)
		w.NextTryAt = stamp(next)
	} else {
		status = Failed
		w.EndedAt = stamp(ed.now)
	}
	w.Status = pb.WorkflowStatus(status)
	if before != [3]string{status.String(), w.GetReason(), w.GetFailedStep()} {
		w.Since = stamp(ed.now)
		ed.tell(StatusChanged, "%s", f.Error())
	}
	return next
}

// tryAnew forgets the tries of a step that is done or is begun again.
func tryAnew(w *pb.Workflow) {
	w.Tries, w.BoundedTries, w.BoundedReason = 0, 0, ""
}

// storeResults keeps what calls returned when a run ends without more.
func (r *run) storeResults(ctx context.Context) {
	if len(r.results) == 0 {
		return
	}
	if err := r.update(ctx, false, func(*edit) error { return nil }); err != nil && !errors.Is(err, errHeld) {
		r.log.Warn("storing results at a stop", "err", err)
	}
}

// inboxReasons are those that wait for a person to decide about a device.
var inboxReasons = map[Reason]bool{NameNeeded: true, NameTaken: true, ProfileMissing: true}

// tellInbox shows a workflow that waits for a person in the inbox.
func (r *run) tellInbox(f *failure) {
	if !inboxReasons[f.reason] {
		return
	}
	pid, flag, detail := pidOf(r.wf.GetPid()), r.wf.GetCredentialsSet(), f.Error()
	peer, now := r.dev.GetAddress(), r.e.cfg.Now()
	r.e.soft.ask(func(soft *softState, ch *changes) {
		soft.noteWaiting(ch, rowKey{r.uuid, pid}, peer, flag, f.reason, detail, now)
	})
}
