package provisioning

import (
	"context"
	"errors"

	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

const (
	intentionPending  = pb.IntentionState_INTENTION_STATE_PENDING
	intentionDone     = pb.IntentionState_INTENTION_STATE_DONE
	intentionRefused  = pb.IntentionState_INTENTION_STATE_REFUSED
	intentionLost     = pb.IntentionState_INTENTION_STATE_LOST
	intentionResolved = pb.IntentionState_INTENTION_STATE_RESOLVED
)

// maxIntentions bounds what a workflow keeps of its calls.
const maxIntentions = 64

// result is the outcome of a call, to be stored with the next commit.
type result struct {
	step    uint32
	call    string
	state   pb.IntentionState
	outcome string
}

// call makes a call that cannot be repeated blindly: it stores the intention,
// together with what prepare changes (the value to be sent), makes the call, and
// leaves its result to the next commit. prepare may be nil.
func (r *run) call(ctx context.Context, name string, prepare func(*edit) error, f func() error) error {
	if err := r.intend(ctx, name, prepare); err != nil {
		return err
	}
	err := f()
	r.ended(name, err)
	return err
}

func (r *run) intend(ctx context.Context, name string, prepare func(*edit) error) error {
	number := uint32(r.number())
	err := r.update(ctx, true, func(ed *edit) error {
		if prepare != nil {
			if err := prepare(ed); err != nil {
				return err
			}
		}
		settle(ed.w, number, name, intentionLost, "the server stopped before its result was stored")
		ed.w.Intentions = append(ed.w.Intentions, &pb.Intention{Step: number, Call: name, State: intentionPending, At: stamp(ed.now)})
		if extra := len(ed.w.Intentions) - maxIntentions; extra > 0 {
			ed.w.Intentions = ed.w.Intentions[extra:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.e.hook(r.number(), "intended")
	return nil
}

// ended notes the result of the call that was intended last.
func (r *run) ended(name string, err error) {
	res := result{step: uint32(r.number()), call: name, state: intentionDone}
	if err != nil {
		res.state, res.outcome = intentionRefused, err.Error()
		if unknownEffect(err) {
			res.state = intentionLost
		}
	}
	r.results = append(r.results, res)
	r.e.hook(r.number(), "called")
}

// unknownEffect reports whether err leaves open if the call took effect.
func unknownEffect(err error) bool {
	if errors.Is(err, wsman.ErrUnauthorized) || errors.Is(err, wsman.ErrNoWSMan) {
		return false
	}
	if _, ok := wsman.StatusOf(err); ok {
		return false
	}
	if _, ok := errors.AsType[*wsman.Fault](err); ok {
		return false
	}
	return true
}

// isRefusal reports whether the device answered no, as opposed to not at all.
func isRefusal(err error) bool {
	_, fault := errors.AsType[*wsman.Fault](err)
	_, status := wsman.StatusOf(err)
	return fault || status
}

// applyResults brings the stored intentions up to date.
func (r *run) applyResults(ed *edit) {
	for _, res := range r.results {
		for _, in := range ed.w.GetIntentions() {
			if in.GetStep() == res.step && in.GetCall() == res.call && in.GetState() == intentionPending {
				in.State, in.Outcome, in.EndedAt = res.state, res.outcome, stamp(ed.now)
			}
		}
	}
}

// settle closes the pending intentions of a call. That an answer was lost stays
// known until the device's state was read back.
func settle(w *pb.Workflow, step uint32, name string, state pb.IntentionState, outcome string) {
	for _, in := range w.GetIntentions() {
		open := in.GetState() == intentionPending || in.GetState() == intentionLost && state == intentionResolved
		if in.GetStep() == step && in.GetCall() == name && open {
			in.State, in.Outcome = state, outcome
		}
	}
}

// sent reports whether a call may have taken effect, seen or unseen.
func sent(w *pb.Workflow, step uint32, name string) bool {
	for _, in := range w.GetIntentions() {
		if in.GetStep() == step && in.GetCall() == name && in.GetState() != intentionRefused {
			return true
		}
	}
	return false
}

// intended reports whether the call was ever intended at this step with one of
// the states.
func (r *run) intended(name string, states ...pb.IntentionState) bool {
	for _, in := range r.wf.GetIntentions() {
		if in.GetCall() != name || in.GetStep() != uint32(r.number()) {
			continue
		}
		for _, s := range states {
			if in.GetState() == s {
				return true
			}
		}
	}
	return false
}

// doubtful reports whether the call may have taken effect unseen: a crash or a
// lost answer came between it and its result. A result that is not stored yet
// stands for the intention that is pending; an earlier call that was lost stays so.
func (r *run) doubtful(name string) bool {
	for _, res := range r.results { // each intention stores those before it
		if res.call == name && res.step == uint32(r.number()) {
			return res.state == intentionLost || r.intended(name, intentionLost)
		}
	}
	return r.intended(name, intentionPending, intentionLost)
}

// journal lets settings store intentions of their own calls.
type journal struct{ r *run }

// Intend implements settings.Journal.
func (j journal) Intend(ctx context.Context, call string) (func(context.Context, error) error, error) {
	if err := j.r.intend(ctx, call, nil); err != nil {
		return nil, err
	}
	return func(_ context.Context, err error) error {
		j.r.ended(call, err)
		return nil
	}, nil
}
