package provisioning

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// ErrInvariant is returned by CheckInvariants when records contradict each other.
var ErrInvariant = errors.New("the records contradict each other")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvariant, fmt.Sprintf(format, args...))
}

// CheckInvariants reports the first thing that is wrong with the engine's
// tables, by themselves and beside the pairs: an index; an event out of line; a
// device whose workflow, pair, name, passwords or certificate do not fit; a
// claimed or reserved pair without a device. The error wraps ErrInvariant or
// kv.ErrIndex.
func CheckInvariants(r kv.Reader, keys *keystore.Store) error {
	for _, check := range []func() error{
		func() error { return devices.Check(r) },
		func() error { return workflows.Check(r) },
		func() error { return inbox.Check(r) },
		func() error { return events.Check(r) },
		func() error { return keys.CheckInvariants(r) },
		func() error { return checkEvents(r) },
		func() error { return checkSoft(r) },
		func() error { return checkWorkflows(r) },
		func() error { return checkDevices(r, keys) },
		func() error { return checkPairs(r, keys, keystore.Claimed) },
		func() error { return checkPairs(r, keys, keystore.Reserved) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkEvents wants the kept events to have every sequence from the first that
// was not pruned to the last given out.
func checkEvents(r kv.Reader) error {
	next, err := readSequence(r, prunedEvent)
	if err != nil {
		return err
	}
	last, err := readSequence(r, lastEvent)
	if err != nil {
		return err
	}
	err = events.Scan(r, kv.Range{}, func(key []byte, m *pb.Event) error {
		next++
		if m.GetSequence() != next || !bytes.Equal(key, number(next)) {
			return broken("event %d stands at key %x where %d is due", m.GetSequence(), key, next)
		}
		return nil
	})
	if err == nil && next != last {
		return broken("the last event kept is %d, the last given out %d", next, last)
	}
	return err
}

// checkSoft wants the keys of attempts and inbox rows to fit their records.
func checkSoft(r kv.Reader) error {
	err := attempts.Scan(r, kv.Range{}, func(key []byte, m *pb.Attempt) error {
		if !bytes.HasPrefix(key, append(append([]byte(nil), m.GetPid()...), m.GetUuid()...)) {
			return broken("attempt %x does not fit its key", key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return inbox.Scan(r, kv.Range{}, func(key []byte, m *pb.InboxRow) error {
		if !bytes.Equal(key, inboxKey(uuidOf(m.GetUuid()), pidOf(m.GetPid()))) || m.GetCount() == 0 || m.GetReason() == "" {
			return broken("inbox row %x does not fit its key, or says nothing", key)
		}
		return nil
	})
}

// checkWorkflows wants each workflow to have a device, a number without gaps, and
// only the latest to be open.
func checkWorkflows(r kv.Reader) error {
	numbers := map[amt.UUID]uint64{}
	err := workflows.Scan(r, kv.Range{}, func(key []byte, w *pb.Workflow) error {
		uuid := uuidOf(w.GetUuid())
		numbers[uuid]++
		d, err := getDevice(r, uuid)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(key, workflowKey(uuid, w.GetNumber())) || w.GetNumber() != numbers[uuid]:
			return broken("workflow %x does not fit its key, or a number before it is missing", key)
		case d == nil || d.GetWorkflow() < w.GetNumber():
			return broken("workflow %s belongs to no device that knows it", workflowID(uuid, w.GetNumber()))
		case d.GetWorkflow() > w.GetNumber() && Status(w.GetStatus()).open():
			return broken("workflow %s is open though a later one began", workflowID(uuid, w.GetNumber()))
		case Status(w.GetStatus()) == Done && State(w.GetState()) != Operational:
			return broken("workflow %s is done in state %v", workflowID(uuid, w.GetNumber()), State(w.GetState()))
		case int(w.GetStep()) > len(stepsOf(w)) || w.GetEpoch() == 0:
			return broken("workflow %s has step %d and epoch %d", workflowID(uuid, w.GetNumber()), w.GetStep(), w.GetEpoch())
		}
		return nil
	})
	return err
}

func checkDevices(r kv.Reader, keys *keystore.Store) error {
	pids, names, serials := map[amt.PID]amt.UUID{}, map[string]amt.UUID{}, map[string]amt.UUID{}
	return devices.Scan(r, kv.Range{}, func(key []byte, d *pb.Device) error {
		uuid := uuidOf(d.GetUuid())
		if !bytes.Equal(key, uuid[:]) {
			return broken("device %v stands at key %x", uuid, key)
		}
		for _, name := range deviceNames(d) {
			if other, ok := names[string(name)]; ok {
				return broken("devices %v and %v are both called %s", uuid, other, name)
			}
			names[string(name)] = uuid
		}
		for _, p := range devicePairs(d) {
			if other, ok := pids[p]; ok {
				return broken("devices %v and %v both hold pair %v", uuid, other, p)
			}
			pids[p] = uuid
			k, err := keys.Get(r, p)
			if err != nil {
				return broken("device %v holds pair %v: %v", uuid, p, err)
			}
			if k.UUID != uuid {
				return broken("device %v holds pair %v, which is %v by %v", uuid, p, k.State, k.UUID)
			}
		}
		if cert, err := x509.ParseCertificate(d.GetCertificate()); err == nil {
			serial := cert.SerialNumber.String()
			if other, ok := serials[serial]; ok {
				return broken("devices %v and %v both have serial %s", uuid, other, serial)
			}
			serials[serial] = uuid
		}
		if err := checkPasswords(d); err != nil {
			return err
		}
		return checkProgress(r, d)
	})
}

// devicePairs are all pairs that a device's record names.
func devicePairs(d *pb.Device) []amt.PID {
	var list []amt.PID
	for _, b := range append([][]byte{d.GetCurrentPid(), d.GetNextPid()}, d.GetOlderPids()...) {
		if len(b) > 0 {
			list = append(list, pidOf(b))
		}
	}
	return list
}

func checkPasswords(d *pb.Device) error {
	uuid := uuidOf(d.GetUuid())
	numbers := map[uint64]bool{}
	for _, p := range d.GetPasswords() {
		first := password(d, p.GetAccount(), p.GetRole())
		switch {
		case first != p:
			return broken("device %v has two %s passwords of %s", uuid, roleNames[p.GetRole()], p.GetAccount())
		case numbers[p.GetNumber()] || p.GetNumber() > d.GetLastPassword() || p.GetNumber() == 0:
			return broken("device %v has a password numbered %d of %d", uuid, p.GetNumber(), d.GetLastPassword())
		case len(p.GetSealed()) == 0:
			return broken("device %v has an empty password of %s", uuid, p.GetAccount())
		}
		numbers[p.GetNumber()] = true
	}
	return nil
}

// checkProgress compares the device with its latest workflow.
func checkProgress(r kv.Reader, d *pb.Device) error {
	uuid := uuidOf(d.GetUuid())
	w, err := getWorkflow(r, uuid, d.GetWorkflow())
	switch {
	case err != nil:
		return err
	case d.GetWorkflow() == 0:
		if len(d.GetCurrentPid()) > 0 || d.GetOperational() {
			return broken("device %v has a pair or is Operational without a workflow", uuid)
		}
		return nil
	case w == nil:
		return broken("device %v has no workflow %d", uuid, d.GetWorkflow())
	case w.GetState() != d.GetState() || w.GetStatus() != d.GetStatus():
		return broken("device %v shows %v %v, its workflow is %v %v", uuid,
			State(d.GetState()), Status(d.GetStatus()), State(w.GetState()), Status(w.GetStatus()))
	case d.GetOperational() != (Status(w.GetStatus()) == Done):
		return broken("device %v is Operational: %t, and its workflow %v", uuid, d.GetOperational(), Status(w.GetStatus()))
	case password(d, accountAdmin, current) == nil:
		return broken("device %v has no current password", uuid)
	}
	return nil
}

// checkPairs wants each pair in a state that has a holder to be named by it.
func checkPairs(r kv.Reader, keys *keystore.Store, state keystore.State) error {
	page := keystore.Page{Size: pageMax}
	for {
		list, next, err := keys.List(r, keystore.Filter{State: state}, page)
		if err != nil {
			return err
		}
		for _, k := range list {
			d, err := getDevice(r, k.UUID)
			if err != nil {
				return err
			}
			if d == nil || !slices.Contains(devicePairs(d), k.PID) {
				return broken("pair %v is %v, but its device %v does not name it", k.PID, state, k.UUID)
			}
		}
		if page.Token = next; next == "" {
			return nil
		}
	}
}
