package provisioning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// deviceFacts are what the rules look at; those of nil are of no device.
func (e *Engine) deviceFacts(d *pb.Device) facts {
	f := facts{
		operational: d.GetOperational(),
		state:       State(d.GetState()), status: Status(d.GetStatus()), reason: Reason(d.GetReason()),
	}
	if e.cfg.Now().Sub(instant(d.GetAdmittedAt())) < e.cfg.Timing.Admission {
		f.admitted = pidOf(d.GetAdmittedPid())
	}
	for _, p := range [][]byte{d.GetCurrentPid(), d.GetNextPid()} {
		if len(p) > 0 {
			f.holds = append(f.holds, pidOf(p))
		}
	}
	return f
}

// claim is step 1: in one transaction the pair becomes the device's, and device,
// workflow and the first events come to exist.
func (e *Engine) claim(ctx context.Context, key attemptKey, a attempt, s *session) error {
	e.hook(1, "before")
	var duplicate bool
	err := e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		duplicate = false
		k, err := e.cfg.Keys.Get(tx, key.pid)
		if err != nil {
			return err
		}
		d, err := getDevice(tx, key.uuid)
		if err != nil {
			return err
		}
		if d != nil {
			if v := judgeKnown(e.deviceFacts(d), k, key.pid); v.known {
				return errNotWorthIt
			} else if v.reason != "" {
				return because(v.reason, errors.New("the device has changed since the hello"))
			}
		}
		now := e.cfg.Now()
		move := keystore.Move{Who: serverName, Why: "the device proved to hold it", At: now}
		err = e.cfg.Keys.Claim(tx, key.pid, key.uuid, move)
		if errors.Is(err, keystore.ErrHeld) {
			duplicate = true
			return e.noteDuplicate(tx, key, k)
		}
		if err != nil {
			return deadPairFailure(err)
		}
		return e.begin(tx, key, a, s, d, now)
	})
	if err != nil {
		return err
	}
	if duplicate {
		return because(DuplicatePair, fmt.Errorf("the PC at %v holds a pair that another PC has", s.addr))
	}
	e.hook(1, "after")
	e.log.Info("authenticated", "uuid", key.uuid.String(), "pid", key.pid.String(), "addr", s.addr, "login", s.login.name)
	return nil
}

// serverName is who moves pairs and writes events when no person does.
const serverName = "scsd"

func deadPairFailure(err error) error {
	for _, v := range []struct {
		err    error
		reason Reason
	}{
		{keystore.ErrUnknownPID, UnknownPID},
		{keystore.ErrSpent, SpentPID},
		{keystore.ErrRevoked, RevokedPID},
		{keystore.ErrRetired, RetiredPID},
		{keystore.ErrBatchExpired, ExpiredBatch},
	} {
		if errors.Is(err, v.err) {
			return because(v.reason, err)
		}
	}
	return err
}

// noteDuplicate tells the holder's story of a second PC with its pair: once for
// each such PC, because its inbox row stays.
func (e *Engine) noteDuplicate(tx kv.Tx, key attemptKey, k keystore.Key) error {
	row, err := inbox.Get(tx, inboxKey(key.uuid, key.pid))
	if err == nil && Reason(row.GetReason()) == DuplicatePair {
		return nil
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	holder, err := getDevice(tx, k.UUID)
	if err != nil || holder == nil {
		return err
	}
	ev := pairEvent(DuplicatePairSeen, holder, nil, key.pid, fmt.Sprintf("the PC %v at %v proved to hold this device's pair", key.uuid, key.peer))
	ev.Reason = string(DuplicatePair)
	return appendEvents(tx, e.cfg.Now(), ev)
}

// begin makes or changes the device's record and begins its workflow.
func (e *Engine) begin(tx kv.Tx, key attemptKey, a attempt, s *session, d *pb.Device, now time.Time) error {
	var evs []*pb.Event
	if d == nil {
		d = &pb.Device{Uuid: key.uuid[:], CreatedAt: stamp(now)}
	}
	old, err := getWorkflow(tx, key.uuid, d.GetWorkflow())
	if err != nil {
		return err
	}
	if old != nil && Status(old.GetStatus()).open() {
		end(old, Cancelled, Superseded, now)
		old.Epoch++ // whoever still works on it is fenced off
		if err := putWorkflow(tx, d, old, now); err != nil {
			return err
		}
		evs = append(evs, deviceEvent(StatusChanged, d, old, "a newer set-up of the device takes its place"))
	}
	kind := amt.New
	if d.GetOperationalAt() != nil {
		kind = amt.Reallocate
	}
	e.movePairs(d, key.pid)
	d.Operational, d.AdmittedPid, d.AdmittedAt, d.NeedsVisit = false, nil, nil, false
	d.Address, d.Realm, d.HelloAt = s.addr.String(), s.realm, a.rec.GetLastAt()
	d.HelloPid = pidBytes(key.pid)
	if err := e.learnAtClaim(tx, d, key.pid, s.login, now); err != nil {
		return err
	}
	d.Workflow++
	w := &pb.Workflow{
		Uuid: key.uuid[:], Number: d.GetWorkflow(), Kind: pb.WorkflowKind(kind),
		State: pb.WorkflowState(Authenticated), Status: pb.WorkflowStatus(Running), Epoch: 1, Step: 1,
		CreatedAt: stamp(now), Since: stamp(now), Pid: key.pid[:], CredentialsSet: a.rec.GetCredentialsSet(),
	}
	if err := putWorkflow(tx, d, w, now); err != nil {
		return err
	}
	evs = append(evs,
		deviceEvent(SetupStarted, d, w, fmt.Sprintf("%v set-up, by a hello from %v", kind, a.peer)),
		pairEvent(PairClaimed, d, w, key.pid, "logged in with "+s.login.name),
		deviceEvent(StateChanged, d, w, ""))
	if err := appendEvents(tx, now, evs...); err != nil {
		return err
	}
	if err := attempts.Delete(tx, key.bytes()); err != nil {
		return err
	}
	return inbox.Delete(tx, inboxKey(key.uuid, key.pid))
}

// movePairs makes pid the device's present pair. Others that it held or was to
// hold are kept aside until the set-up is done.
func (e *Engine) movePairs(d *pb.Device, pid amt.PID) {
	aside := func(p []byte) {
		known := slices.ContainsFunc(d.OlderPids, func(o []byte) bool { return pidOf(o) == pidOf(p) })
		if len(p) > 0 && pidOf(p) != pid && !known {
			d.OlderPids = append(d.OlderPids, p)
		}
	}
	if pidOf(d.GetCurrentPid()) == pid {
		return // the same pair again: a next one that was reserved stays
	}
	aside(d.GetCurrentPid())
	aside(d.GetNextPid())
	d.OlderPids = slices.DeleteFunc(d.OlderPids, func(o []byte) bool { return pidOf(o) == pid }) // it is back
	d.CurrentPid, d.NextPid, d.NextPidDoubtful = pid[:], nil, false
}

// learnAtClaim notes the password that logged in, and for a pair that is new to
// the device the MEBx password that came with it.
func (e *Engine) learnAtClaim(tx kv.Tx, d *pb.Device, pid amt.PID, login candidate, now time.Time) error {
	if err := e.learn(d, login, now); err != nil {
		return err
	}
	secrets, err := e.cfg.Keys.Secrets(tx, pid)
	if err != nil {
		return err
	}
	// A login that is not in the record was MEBx's: both are the same until the
	// administrator's is changed over the network.
	fromMEBx := login.account == ""
	mebx := secrets.NewPassword
	if mebx.IsZero() || fromMEBx {
		mebx = login.secret
	}
	known, err := e.openPassword(d, password(d, accountMEBx, current))
	if err != nil {
		return err
	}
	if known.IsZero() || fromMEBx && !known.Equal(mebx) {
		return e.storePassword(d, accountMEBx, current, mebx, now)
	}
	return nil
}

// end closes a workflow.
func end(w *pb.Workflow, status Status, reason Reason, now time.Time) {
	w.Status, w.Reason = pb.WorkflowStatus(status), string(reason)
	w.NextTryAt, w.Since, w.EndedAt = nil, stamp(now), stamp(now)
}
