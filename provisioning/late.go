package provisioning

import (
	"context"
	"errors"
	"time"
)

// errCommitted sends a workflow to step 16: the device, which was believed to be
// in set-up, is Operational.
var errCommitted = errors.New("the device is Operational: its commit took effect late")

// mayCommitYet reports whether a commit may still take effect: a confirmed one
// for Timing.CommitGrace, one whose answer was lost for a call longer.
func (r *run) mayCommitYet(now time.Time) bool {
	t := r.e.cfg.Timing
	if within(instant(r.wf.GetCommittedAt()), now, t.CommitGrace) {
		return true
	}
	for _, in := range r.wf.GetIntentions() {
		if in.GetStep() != stepCommit || in.GetCall() != callCommit {
			continue
		}
		grace := t.CommitGrace
		switch in.GetState() {
		case intentionPending: // the server stopped, and the connection ended
		case intentionLost:
			grace += t.Call
		default:
			continue
		}
		if within(instant(in.GetAt()), now, grace) {
			return true
		}
	}
	return false
}

// within reports whether less than d has passed since at. A time to come is not
// waited for: the clock was set back.
func within(at, now time.Time, d time.Duration) bool {
	return !at.IsZero() && !now.Before(at) && now.Sub(at) < d
}

// orCommitted looks for a device that could not be entered in set-up where it is
// once it is Operational, if it was ever asked to commit: that may have taken
// effect after the workflow went back, or behind an error. It returns errCommitted
// if so, else cause.
func (r *run) orCommitted(ctx context.Context, cause error) error {
	f := classify(cause)
	gone := pskReasons[f.reason] || f.reason == NotInSetup || f.reason == NoAnswer || f.reason == UUIDMismatch
	if !r.wf.GetCommitTried() || !gone || ctx.Err() != nil {
		return cause
	}
	s, err := r.findOperational(ctx, false)
	if err != nil {
		r.log.Debug("not Operational either", "step", r.stepName(), "err", err)
		return cause
	}
	s.close()
	return errCommitted
}

// goForward sends the workflow to step 16.
func (r *run) goForward(ctx context.Context) error {
	r.log.Info("going forward", "from", r.stepName(), "to", stepName(stepCommit+1), "why", errCommitted)
	return r.complete(ctx, stepsOf(r.wf)[stepCommit-1], func(ed *edit) error {
		settle(ed.w, stepCommit, callCommit, intentionResolved, "it took effect late")
		return nil
	})
}
