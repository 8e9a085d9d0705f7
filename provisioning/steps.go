package provisioning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

// step is one numbered step of a workflow; the numbers are those of
// docs/lifecycle.md.
type step struct {
	number int
	name   string
	// do works, and returns what the commit of the step changes beside its number.
	// It may be run again after any crash.
	do func(r *run, ctx context.Context) (func(ed *edit) error, error)
	// sets is the state that is true once the step is done; 0: as before.
	sets State
	// quiet steps leave nothing in the store: they are done again in a new run.
	quiet bool
}

// change is what a step that has nothing more to store returns.
func unchanged(*edit) error { return nil }

// setupSteps take a device from In-Setup to Operational. Step 1 is the claim.
var setupSteps []step

// kinds are the steps of each kind of workflow.
var kinds map[amt.Kind][]step

// The steps' functions look their own numbers up, which a literal may not.
func init() {
	setupSteps = []step{
		{number: 1, name: "claim"},
		{number: 2, name: "name", do: (*run).chooseProfile},
		{number: 3, name: "clock", do: (*run).setClock, quiet: true},
		{number: 4, name: "clean", do: (*run).cleanUp, quiet: true},
		{number: 5, name: "key", do: (*run).makeKey},
		{number: 6, name: "issue", do: (*run).issue},
		{number: 7, name: "root", do: (*run).addRoot},
		{number: 8, name: "certificate", do: (*run).addCertificate},
		{number: 9, name: "credential", do: (*run).useCertificate, sets: Certified},
		{number: 10, name: "settings", do: (*run).applySettings, sets: Configured},
		{number: 11, name: "mebx", do: (*run).setMEBxPassword},
		{number: 12, name: "pair", do: (*run).setNextPair},
		{number: 13, name: "admin", do: (*run).setAdminPassword},
		{number: 14, name: "prove", do: (*run).provePassword},
		{number: 15, name: "commit", do: (*run).commitChanges, sets: CommitSent},
		{number: 16, name: "verify", do: (*run).verify, sets: Operational},
	}
	kinds = map[amt.Kind][]step{amt.New: setupSteps, amt.Reallocate: setupSteps}
}

// StepNames lists the steps of set-up in their order, for metrics and crash tests.
func StepNames() []string {
	names := make([]string, len(setupSteps))
	for i, s := range setupSteps {
		names[i] = s.name
	}
	return names
}

func stepsOf(w *pb.Workflow) []step { return kinds[amt.Kind(w.GetKind())] }

// stepName names a step of set-up by its number.
func stepName(number uint32) string {
	if number < 1 || int(number) > len(setupSteps) {
		return ""
	}
	return setupSteps[number-1].name
}

// stepAfter names the step behind the last one that is done.
func stepAfter(w *pb.Workflow) string {
	if list := stepsOf(w); int(w.GetStep()) < len(list) {
		return list[w.GetStep()].name
	}
	return ""
}

// stateAfter is the state that is true once step number n is done.
func stateAfter(list []step, n int) State {
	state := Authenticated
	for _, s := range list[:n] {
		if s.sets != 0 {
			state = s.sets
		}
	}
	return state
}

// hook tells a crash test where the engine is.
func (e *Engine) hook(number int, when string) {
	if e.cfg.StepHook != nil {
		e.cfg.StepHook(fmt.Sprintf("%d-%s", number, when))
	}
}

// stepName names the step that the run is at.
func (r *run) stepName() string {
	if list := stepsOf(r.wf); r.at < len(list) {
		return list[r.at].name
	}
	return ""
}

// number is that of the step that the run is at.
func (r *run) number() int { return r.at + 1 }

// steps does one step after the other. A session that was lost, or a login that
// the device no longer takes, is opened again once for each step.
func (r *run) steps(ctx context.Context) error {
	list := stepsOf(r.wf)
	for r.at < len(list) {
		if r.stop.Err() != nil {
			return errStop
		}
		s := list[r.at]
		begun := r.e.cfg.Now()
		r.e.hook(s.number, "before")
		change, err := s.do(r, ctx)
		if err == nil {
			err = r.complete(ctx, s, change)
		}
		if err == nil {
			r.e.hook(s.number, "after")
			r.e.cfg.Observe.Step(s.name, "done", r.e.cfg.Now().Sub(begun))
			r.log.Debug("step done", "step", s.name, "state", State(r.wf.GetState()).String())
			continue
		}
		if err = r.again(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// again decides about a failed step: nil means that the loop goes on, at the
// same step with a new session, or at an earlier one.
func (r *run) again(ctx context.Context, err error) error {
	if r.stop.Err() != nil {
		return errors.Join(errStop, err)
	}
	if back, ok := errors.AsType[*rewind](err); ok {
		return r.goBack(ctx, back)
	}
	if errors.Is(err, errCommitted) {
		return r.goForward(ctx)
	}
	f := classify(err)
	lost := errors.Is(err, wsman.ErrUnauthorized) || errors.Is(err, wsman.ErrLost) || f.silent || pskReasons[f.reason]
	if !lost || r.relogin || r.sess == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, wsman.ErrUnauthorized) {
		r.logins.refused()
	}
	r.log.Info("opening the session again", "step", r.stepName(), "err", err)
	r.sess.close()
	r.sess, r.relogin = nil, true
	return nil
}

// pskReasons are those of a handshake: with another pair it may succeed.
var pskReasons = map[Reason]bool{KeyMismatch: true, PIDUnknownToDevice: true, NoPSK: true, TLSFailed: true, DialFailed: true}

// complete commits a step.
func (r *run) complete(ctx context.Context, s step, change func(*edit) error) error {
	r.relogin = false
	if s.quiet {
		r.at = s.number
		return nil
	}
	err := r.update(ctx, false, func(ed *edit) error {
		if err := change(ed); err != nil {
			return err
		}
		w := ed.w
		w.Step, w.FailedStep = uint32(s.number), ""
		tryAnew(w)
		if Status(w.GetStatus()).due() {
			resumed := Status(w.GetStatus()) == Waiting
			w.Reason, w.Detail, w.NextTryAt = "", "", nil
			w.Status = pb.WorkflowStatus(Running)
			if resumed {
				w.Since = stamp(ed.now)
				ed.tell(StatusChanged, "it goes on")
			}
		}
		if s.sets == Operational {
			ed.w.Status, ed.w.EndedAt = pb.WorkflowStatus(Done), stamp(ed.now)
		}
		if s.sets != 0 {
			ed.toState(s.sets)
		}
		return nil
	})
	if err == nil || errors.Is(err, errHeld) {
		r.at = s.number
		if s.sets != 0 {
			r.log.Info("state reached", "step", s.name, "state", s.sets.String())
		}
	}
	return err
}

// goBack sends the workflow back to an earlier step.
func (r *run) goBack(ctx context.Context, back *rewind) error {
	if !back.free && int(r.wf.GetRewinds()) >= r.e.cfg.Limits.Rewinds {
		return because(TooManyRewinds, back)
	}
	r.log.Info("going back", "from", r.stepName(), "to", stepName(uint32(back.to+1)), "why", back.why)
	err := r.update(ctx, true, func(ed *edit) error {
		w := ed.w
		if !back.free {
			w.Rewinds++
		}
		w.Step, w.FailedStep, w.CommittedAt = uint32(back.to), "", nil
		tryAnew(w)
		w.State = pb.WorkflowState(stateAfter(stepsOf(w), back.to))
		w.Since = stamp(ed.now)
		settle(w, stepCommit, callCommit, intentionResolved, "it had no effect")
		if back.anew {
			beginAnew(ed.d, w)
		}
		ed.tell(Rewound, "%s", back.why)
		return nil
	})
	if err != nil {
		return err
	}
	r.at, r.seen, r.relogin = back.to, nil, false
	return nil
}

// beginAnew forgets what is recorded of the device, which may have been reset,
// or not: a value that it may hold unseen stays known.
func beginAnew(d *pb.Device, w *pb.Workflow) {
	if sent(w, stepPair, callSetTLSPSK) && len(d.GetNextPid()) > 0 {
		d.NextPidDoubtful = true
	}
	if sent(w, stepMEBx, callSetMEBx) {
		doubtAll(d, accountMEBx)
	}
	if p := password(d, accountMEBx, pending); p == nil || p.GetNumber() != w.GetMebxPassword() {
		w.MebxPassword = 0 // a pending one is sent again
	}
	w.PublicKey, w.KeyHandle, w.KeysBefore = nil, "", nil
	w.Certificate, w.CertificateHandle, w.Intentions = nil, "", nil
	w.AdminPassword = 0
}

// pause sleeps unless ctx ends or the engine stops first.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.stop.Done():
		return errStop
	case <-ctx.Done():
		return ctx.Err()
	}
}
