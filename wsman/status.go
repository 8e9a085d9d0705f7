package wsman

import "fmt"

// PTStatus is a status of Intel AMT: the ReturnValue of a method, or the n of a
// fault's "AMT-STATUS n".
type PTStatus uint32

// StatusClass sorts statuses by what a caller does about them.
type StatusClass uint8

// The classes.
const (
	Retry       StatusClass = 1 // wait and call again
	AlreadyDone StatusClass = 2 // it is there already: verify
	Operator    StatusClass = 3 // a person must act on the device or its policy
	Bug         StatusClass = 4 // our mistake or a bad profile
)

// Class sorts s; a status that is not in the table is a Bug.
func Class(s PTStatus) StatusClass { return s.Class() }

// Class sorts s; a status that is not in the table is a Bug.
func (s PTStatus) Class() StatusClass { panic("not yet") }

// String is the name and number, such as "DATA_MISSING (2057)".
func (s PTStatus) String() string { return fmt.Sprintf("(%d)", uint32(s)) }

// Hint says what an operator can do, "" if nothing is known.
func (s PTStatus) Hint() string { panic("not yet") }
