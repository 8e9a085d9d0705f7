package provisioning

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// The tables. Those with "_by_" are indexes.
const (
	tableAttempts         kv.Table = "attempts"
	tableDevices          kv.Table = "devices"
	tableDevicesByState   kv.Table = "devices_by_state"
	tableDevicesByFQDN    kv.Table = "devices_by_fqdn"
	tableWorkflows        kv.Table = "workflows"
	tableWorkflowsByState kv.Table = "workflows_by_state"
	tableInbox            kv.Table = "inbox"
	tableInboxByLast      kv.Table = "inbox_by_last"
	tableEvents           kv.Table = "events"
	tableEventsByDevice   kv.Table = "events_by_device"
	tableProfiles         kv.Table = "profiles"
	tableSequences        kv.Table = "sequences"
)

var (
	attempts = kv.Collection[*pb.Attempt]{Table: tableAttempts}

	devices = kv.Collection[*pb.Device]{Table: tableDevices, Indexes: []kv.Index[*pb.Device]{
		{Table: tableDevicesByState, Keys: func(d *pb.Device) [][]byte { return stateKeys(d.GetState(), d.GetStatus()) }},
		{Table: tableDevicesByFQDN, Keys: deviceNames},
	}}

	workflows = kv.Collection[*pb.Workflow]{Table: tableWorkflows, Indexes: []kv.Index[*pb.Workflow]{
		{Table: tableWorkflowsByState, Keys: func(w *pb.Workflow) [][]byte { return stateKeys(w.GetState(), w.GetStatus()) }},
	}}

	inbox = kv.Collection[*pb.InboxRow]{Table: tableInbox, Indexes: []kv.Index[*pb.InboxRow]{
		{Table: tableInboxByLast, Keys: func(r *pb.InboxRow) [][]byte {
			return [][]byte{number(uint64(max(0, r.GetLastAt().AsTime().UnixNano())))}
		}},
	}}

	events = kv.Collection[*pb.Event]{Table: tableEvents, Indexes: []kv.Index[*pb.Event]{
		{Table: tableEventsByDevice, Keys: func(e *pb.Event) [][]byte {
			if len(e.GetUuid()) != len(amt.UUID{}) {
				return nil
			}
			return [][]byte{e.GetUuid()}
		}},
	}}

	profiles = kv.Collection[*pb.Profile]{Table: tableProfiles}
)

// stateKeys are the index keys of a state and a status: of both, and of each
// alone, so that every filter gives a list in the order of the table.
func stateKeys(state pb.WorkflowState, status pb.WorkflowStatus) [][]byte {
	keys := [][]byte{exactStateKey(State(state), Status(status))}
	if state != 0 {
		keys = append(keys, stateKey(State(state), 0))
	}
	if status != 0 {
		keys = append(keys, stateKey(0, Status(status)))
	}
	return keys
}

// stateKey selects by a state, by a status or by both; 0 stands for any.
func stateKey(state State, status Status) []byte {
	switch {
	case status == 0:
		return []byte{'s', 'a' + byte(state)}
	case state == 0:
		return []byte{'t', 'a' + byte(status)}
	}
	return exactStateKey(state, status)
}

func exactStateKey(state State, status Status) []byte {
	return []byte{'x', 'a' + byte(state), 'a' + byte(status)}
}

// deviceNames are the names that a device holds against others.
func deviceNames(d *pb.Device) [][]byte {
	var keys [][]byte
	for _, name := range []string{d.GetFqdn(), d.GetAssignedFqdn()} {
		key := []byte(strings.ToLower(name))
		if len(key) == 0 || len(keys) > 0 && string(keys[0]) == string(key) {
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func workflowKey(uuid amt.UUID, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), uuid[:]...), n)
}

func inboxKey(uuid amt.UUID, pid amt.PID) []byte { return append(uuid[:], pid[:]...) }

func profileKey(name string, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(name), 0), version)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func instant(ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	return ts.AsTime()
}

func uuidOf(b []byte) amt.UUID {
	var u amt.UUID
	copy(u[:], b)
	return u
}

func pidOf(b []byte) amt.PID {
	var p amt.PID
	copy(p[:], b)
	return p
}

func pidBytes(p amt.PID) []byte {
	if p == (amt.PID{}) {
		return nil
	}
	return p[:]
}

// getDevice returns the device's record, nil when there is none.
func getDevice(r kv.Reader, uuid amt.UUID) (*pb.Device, error) {
	d, err := devices.Get(r, uuid[:])
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading device %v: %w", uuid, err)
	}
	return d, nil
}

// getWorkflow returns a workflow, nil when there is none.
func getWorkflow(r kv.Reader, uuid amt.UUID, n uint64) (*pb.Workflow, error) {
	if n == 0 {
		return nil, nil
	}
	w, err := workflows.Get(r, workflowKey(uuid, n))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading workflow %v/%d: %w", uuid, n, err)
	}
	return w, nil
}

// putWorkflow stores w and shows it in its device's record, which it stores too
// when w is the device's latest.
func putWorkflow(tx kv.Tx, d *pb.Device, w *pb.Workflow, now time.Time) error {
	w.ChangedAt = stamp(now)
	if err := workflows.Put(tx, workflowKey(uuidOf(w.GetUuid()), w.GetNumber()), w); err != nil {
		return err
	}
	if d.GetWorkflow() == w.GetNumber() {
		d.State, d.Status, d.Since = w.GetState(), w.GetStatus(), w.GetSince()
		d.Step, d.Reason, d.Detail = shownStep(w), w.GetReason(), w.GetDetail()
		d.NextTryAt = w.GetNextTryAt()
	}
	return putDevice(tx, d, now)
}

func putDevice(tx kv.Tx, d *pb.Device, now time.Time) error {
	d.ChangedAt = stamp(now)
	return devices.Put(tx, d.GetUuid(), d)
}

// shownStep is the name of the step that w is at: the one it failed or waits
// at, else the one behind the last that is done.
func shownStep(w *pb.Workflow) string {
	switch {
	case Status(w.GetStatus()) == Done:
		return ""
	case w.GetFailedStep() != "":
		return w.GetFailedStep()
	}
	// Steps that leave nothing in the store lie between: the one whose call is under
	// way is the true one.
	for _, in := range w.GetIntentions() {
		if in.GetState() == intentionPending && in.GetStep() > w.GetStep() {
			return stepName(in.GetStep())
		}
	}
	return stepAfter(w)
}
