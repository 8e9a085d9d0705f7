package provisioning

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// TestCheckInvariants damages a good store in one place at a time, in a
// transaction that is then undone.
func TestCheckInvariants(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	pairs := l.pairs(3)
	d := l.device(pairs[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.operational(d)
	l.say(l.address(77), pskHello(randomUUID(), amt.PID{1}))
	uuid := d.UUID()
	device := func(do func(d *pb.Device)) func(tx kv.Tx) error {
		return func(tx kv.Tx) error {
			rec, err := getDevice(tx, uuid)
			if err != nil {
				return err
			}
			do(rec)
			return putDevice(tx, rec, noon)
		}
	}
	workflow := func(do func(w *pb.Workflow)) func(tx kv.Tx) error {
		return func(tx kv.Tx) error {
			rec, err := getWorkflow(tx, uuid, 1)
			if err != nil {
				return err
			}
			do(rec)
			return workflows.Put(tx, workflowKey(uuid, 1), rec)
		}
	}
	damages := map[string]func(tx kv.Tx) error{
		"an event is missing":       func(tx kv.Tx) error { return events.Delete(tx, number(3)) },
		"the last event is missing": func(tx kv.Tx) error { return tx.Put(tableSequences, lastEvent, number(99999)) },
		"an index row is missing": func(tx kv.Tx) error {
			return tx.Delete(tableDevicesByFQDN, append([]byte(dev.FQDN+"\x00"), uuid[:]...))
		},
		"the workflow is gone":          func(tx kv.Tx) error { return workflows.Delete(tx, workflowKey(uuid, 1)) },
		"the device is gone":            func(tx kv.Tx) error { return devices.Delete(tx, uuid[:]) },
		"the next pair is forgotten":    device(func(d *pb.Device) { d.NextPid = nil }),
		"a foreign pair":                device(func(d *pb.Device) { d.NextPid = pairs[1].pid[:] }),
		"an unknown pair":               device(func(d *pb.Device) { d.CurrentPid = []byte("AAAAAAAA") }),
		"no password":                   device(func(d *pb.Device) { d.Passwords = nil }),
		"two current passwords":         device(func(d *pb.Device) { d.Passwords = append(d.Passwords, proto.CloneOf(d.GetPasswords()[0])) }),
		"a state of its own":            device(func(d *pb.Device) { d.State = 1 }),
		"Operational without a proof":   device(func(d *pb.Device) { d.Operational = false }),
		"a workflow without its device": workflow(func(w *pb.Workflow) { w.Uuid = make([]byte, 16) }),
		"done in an early state":        workflow(func(w *pb.Workflow) { w.State = 2 }),
		"no epoch":                      workflow(func(w *pb.Workflow) { w.Epoch = 0 }),
		"a claimed pair without a device": func(tx kv.Tx) error {
			return l.keys.Claim(tx, pairs[1].pid, randomUUID(), keystore.Move{Who: "lab"})
		},
		"a second device of the name": func(tx kv.Tx) error {
			u := randomUUID()
			return putDevice(tx, &pb.Device{Uuid: u[:], AssignedFqdn: dev.FQDN}, noon)
		},
		"a second holder of the pair": func(tx kv.Tx) error {
			u := randomUUID()
			return putDevice(tx, &pb.Device{Uuid: u[:], CurrentPid: dev.PID[:]}, noon)
		},
		"a second holder of the certificate": func(tx kv.Tx) error {
			u := randomUUID()
			return putDevice(tx, &pb.Device{Uuid: u[:], Certificate: dev.Certificate}, noon)
		},
		"an attempt at a foreign key": func(tx kv.Tx) error { return attempts.Put(tx, []byte("x"), &pb.Attempt{Pid: []byte("AAAAAAAA")}) },
		"an empty inbox row":          func(tx kv.Tx) error { return inbox.Put(tx, inboxKey(uuid, dev.PID), &pb.InboxRow{}) },
	}
	undo := errors.New("undo")
	for name, damage := range damages {
		var found error
		err := l.store.Update(t.Context(), func(tx kv.Tx) error {
			if err := damage(tx); err != nil {
				return err
			}
			found = CheckInvariants(tx, l.keys)
			return undo
		})
		if !errors.Is(err, undo) {
			t.Errorf("%s: %v", name, err)
		}
		if !errors.Is(found, ErrInvariant) && !errors.Is(found, kv.ErrIndex) && !errors.Is(found, kv.ErrNotFound) {
			t.Errorf("%s: got %v", name, found)
		}
	}
}
