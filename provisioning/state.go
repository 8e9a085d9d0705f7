package provisioning

import (
	"fmt"
	"strings"
)

// State is how far a workflow has come, named for what is already true.
type State uint8

// The states, by their stored values.
const (
	Authenticated State = 1 // the pair is claimed, the device is who its hello said
	Certified     State = 2 // it has a key and a certificate of ours
	Configured    State = 3 // the profile's settings are in and were read back
	CommitSent    State = 4 // CommitChanges was sent; whether it took is not proven
	Operational   State = 5 // it answered over certificate TLS with its new password
)

// States lists the states in their order.
func States() []State {
	return []State{Authenticated, Certified, Configured, CommitSent, Operational}
}

// String names the state.
func (s State) String() string {
	switch s {
	case 0:
		return "None"
	case Authenticated:
		return "Authenticated"
	case Certified:
		return "Certified"
	case Configured:
		return "Configured"
	case CommitSent:
		return "CommitSent"
	case Operational:
		return "Operational"
	}
	return fmt.Sprintf("unknown state (%d)", uint8(s))
}

// ParseState reads a state's name in any case.
func ParseState(text string) (State, error) { return parseName("workflow state", text, States()) }

// Status is what a workflow is doing.
type Status uint8

// The statuses, by their stored values.
const (
	Running   Status = 1 // a step is being worked on, or is next in the queue
	Waiting   Status = 2 // until a time, for a hello, or for what its reason names
	Paused    Status = 3 // held back by an operator
	Failed    Status = 4 // ended without success: reason and hint say what to do
	Done      Status = 5 // ended with success
	Cancelled Status = 6 // ended by an operator or by a newer workflow
)

// Statuses lists the statuses.
func Statuses() []Status { return []Status{Running, Waiting, Paused, Failed, Done, Cancelled} }

// String names the status.
func (s Status) String() string {
	switch s {
	case 0:
		return "None"
	case Running:
		return "Running"
	case Waiting:
		return "Waiting"
	case Paused:
		return "Paused"
	case Failed:
		return "Failed"
	case Done:
		return "Done"
	case Cancelled:
		return "Cancelled"
	}
	return fmt.Sprintf("unknown status (%d)", uint8(s))
}

// ParseStatus reads a status' name in any case.
func ParseStatus(text string) (Status, error) {
	return parseName("workflow status", text, Statuses())
}

// open reports whether a workflow of this status may still be worked on without
// starting a new one.
func (s Status) open() bool {
	return s == Running || s == Waiting || s == Paused || s == Failed
}

// due reports whether the engine works on a workflow of this status by itself.
func (s Status) due() bool { return s == Running || s == Waiting }

func parseName[T fmt.Stringer](what, text string, all []T) (T, error) {
	names := make([]string, len(all))
	for i, v := range all {
		if strings.EqualFold(v.String(), text) {
			return v, nil
		}
		names[i] = v.String()
	}
	var none T
	return none, fmt.Errorf("%s %q: want one of %s", what, text, strings.Join(names, ", "))
}
