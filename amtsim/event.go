package amtsim

import (
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// EventKind says what happened to a device.
type EventKind string

// The kinds of events.
const (
	EventBoot        EventKind = "boot"         // values were taken from MEBx, a record or the state file
	EventBootFailed  EventKind = "boot-failed"  // they were refused; the record is used up all the same
	EventHello       EventKind = "hello"        // a hello was sent
	EventHelloFailed EventKind = "hello-failed" // no listener was reached
	EventHelloEnd    EventKind = "hello-end"    // the schedule is over
	EventPhase       EventKind = "phase"        // the phase changed
	EventHandshake   EventKind = "handshake"    // a TLS or TLS-PSK handshake failed
	EventLogin       EventKind = "login-failed" // a digest log-in failed
	EventCall        EventKind = "call"         // a WS-Man call was answered
	EventTrouble     EventKind = "trouble"      // a switched-on trouble struck
	EventListen      EventKind = "listen"       // a port was opened
)

// Event is one thing that happened. It never holds a secret.
type Event struct {
	Time   time.Time      // the real clock, not the device's
	Device int            // Options.Index
	UUID   amt.UUID       // the device's true UUID
	Addr   string         // address and port it listens on
	Kind   EventKind      //
	Phase  amt.Phase      // after the event
	Text   string         // for people: "retry 3 to 127.0.0.1:9971"
	Fields map[string]any // for programs: call, status, retry, ...
}

// String is one line without the time.
func (e Event) String() string {
	s := fmt.Sprintf("device %d %s %s", e.Device, e.Addr, e.Kind)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// event reports to OnEvent. The caller must not hold d.mu.
func (d *Device) event(kind EventKind, fields map[string]any, format string, args ...any) {
	if d.opt.OnEvent == nil {
		return
	}
	e := Event{
		Time: d.opt.Now(), Device: d.opt.Index, UUID: d.opt.UUID, Addr: d.Addr().String(),
		Kind: kind, Phase: d.Phase(), Text: fmt.Sprintf(format, args...), Fields: fields,
	}
	d.eventMu.Lock()
	defer d.eventMu.Unlock()
	d.opt.OnEvent(e)
}
