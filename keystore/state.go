package keystore

import (
	"fmt"
	"strings"
)

// State is where a pair stands in its life; moves.go has the moves between them.
type State uint8

// The states, by their stored values.
const (
	Available State = 1 // free for any device
	Reserved  State = 2 // drawn for one device's next set-up
	Claimed   State = 3 // in use by the set-up of its holder
	Spent     State = 4 // its set-up is done
	Revoked   State = 5 // withdrawn by a person
	Retired   State = 6 // withdrawn unused, because its batch or device is gone
)

var stateNames = map[State]string{
	Available: "Available", Reserved: "Reserved", Claimed: "Claimed",
	Spent: "Spent", Revoked: "Revoked", Retired: "Retired",
}

// States lists the states by their stored values.
func States() []State {
	return []State{Available, Reserved, Claimed, Spent, Revoked, Retired}
}

// String names the state.
func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return fmt.Sprintf("unknown state (%d)", uint8(s))
}

// ParseState reads a state's name in any case.
func ParseState(s string) (State, error) {
	var names []string
	for _, state := range States() {
		if strings.EqualFold(s, state.String()) {
			return state, nil
		}
		names = append(names, state.String())
	}
	return 0, fmt.Errorf("pair state %q: no such state: want one of %s", s, strings.Join(names, ", "))
}
