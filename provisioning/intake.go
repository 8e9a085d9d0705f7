package provisioning

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

const (
	// intakeBatch is the most hellos of one transaction.
	intakeBatch = 2048
	// redialAfter keeps a device that says hello fast from being dialled faster.
	redialAfter = time.Second
	// softWriteTimeout bounds a write that must not be given up at a stop.
	softWriteTimeout = 5 * time.Second
)

// arrival is a hello in the queue, or, without a message, a mark that asks to be
// told when it is passed.
type arrival struct {
	peer   netip.AddrPort
	msg    *hello.Message
	count  uint64
	passed chan struct{}
}

// Hello takes a hello in: it is a hello.Handler. It returns as soon as the hello
// is queued; it is stored within 50 ms on a working disk. The error wraps
// hello.ErrBusy when the queue is full, and is ErrStopped once Run has ended.
func (e *Engine) Hello(_ context.Context, peer netip.AddrPort, m *hello.Message) error {
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if e.stopped.Load() {
		return ErrStopped
	}
	brief := *m // without what nobody asks for here: a full queue stays small
	brief.Hashes, brief.Trailing = nil, nil
	select {
	case e.hellos <- arrival{peer: peer, msg: &brief, count: 1}:
		return nil
	default:
		e.cfg.Observe.Hello("queue_full")
		return fmt.Errorf("queueing a hello: %w", hello.ErrBusy)
	}
}

// StrangeHello takes the header of a hello of an unknown version in: it is what
// hello.Listener calls Strange. It gets a row in the inbox.
func (e *Engine) StrangeHello(peer netip.AddrPort, h hello.Header) {
	m := &hello.Message{Version: h.Version, UUID: h.UUID, Retry: h.Retry, CredentialsSet: h.Credentials == 1}
	_ = e.Hello(context.Background(), peer, m) // a full queue was counted
}

// Flush waits until every hello that was queued before the call is stored. It
// needs Run.
func (e *Engine) Flush(ctx context.Context) error {
	mark := arrival{passed: make(chan struct{})}
	select {
	case e.hellos <- mark:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-mark.passed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// intake stores hellos, and what attempts make of them, until ctx is done and
// the queue is empty. It is the only writer of the soft state.
func (e *Engine) intake(ctx context.Context) {
	for {
		var batch []arrival
		select {
		case a := <-e.hellos:
			batch = e.gather(append(batch, a))
		case <-e.soft.wake:
		case <-ctx.Done():
			e.drain(ctx)
			return
		}
		e.take(ctx, batch)
	}
}

// drain stores what is left at a stop.
func (e *Engine) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), softWriteTimeout)
	defer cancel()
	for {
		batch := e.gather(nil)
		e.take(ctx, batch)
		if len(batch) == 0 {
			return
		}
	}
}

// gather adds what else is queued, without waiting: while one batch is being
// committed the next one queues.
func (e *Engine) gather(batch []arrival) []arrival {
	for len(batch) < intakeBatch {
		select {
		case a := <-e.hellos:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// verdict is what is to become of a hello.
type verdict struct {
	reason Reason // for the inbox; empty: it is worth an attempt
	detail string
	known  bool  // a workflow of the device is open: nothing is dialled
	wake   bool  // and waits for the device: the hello wakes it
	fault  error // the store has no answer about it: it is passed over
}

// take judges a batch on one state of the store, notes it in memory, and writes
// what that changed in one transaction.
func (e *Engine) take(ctx context.Context, batch []arrival) {
	hellos, marks := merge(batch)
	verdicts := make([]verdict, len(hellos))
	if len(hellos) > 0 {
		err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
			for i, h := range hellos {
				v, err := e.judge(r, h)
				if v.fault = err; err != nil && ctx.Err() != nil {
					return err
				}
				verdicts[i] = v
			}
			return nil
		})
		if err != nil {
			e.log.Error("judging hellos", "n", len(hellos), "err", err)
			hellos = nil
		}
	}
	ch, wakes := e.note(hellos, verdicts)
	if !ch.empty() {
		if err := e.cfg.Store.Update(ctx, ch.write); err != nil {
			e.log.Error("storing hellos", "n", len(hellos), "err", err)
		}
	}
	for _, uuid := range wakes {
		e.queue.at(uuid, e.cfg.Now())
	}
	for _, mark := range marks {
		close(mark)
	}
}

// merge makes one arrival of those alike and takes the marks out.
func merge(batch []arrival) (hellos []arrival, marks []chan struct{}) {
	index := map[attemptKey]int{}
	for _, a := range batch {
		if a.msg == nil {
			marks = append(marks, a.passed)
			continue
		}
		key := attemptKey{a.msg.PID, a.msg.UUID, a.peer.Addr()}
		if i, ok := index[key]; ok {
			a.count += hellos[i].count
			hellos[i] = a
			continue
		}
		index[key] = len(hellos)
		hellos = append(hellos, a)
	}
	return hellos, marks
}

// note brings memory up to date with the verdicts and with what attempts asked
// for, and returns the rows to write and the workflows to wake.
func (e *Engine) note(hellos []arrival, verdicts []verdict) (*changes, []amt.UUID) {
	now := e.cfg.Now()
	ch := newChanges()
	var wakes []amt.UUID
	e.soft.mu.Lock()
	defer e.soft.mu.Unlock()
	for i, h := range hellos {
		v := verdicts[i]
		switch {
		case v.fault != nil:
			e.log.Error("judging a hello", "uuid", h.msg.UUID.String(), "pid", h.msg.PID.String(), "peer", h.peer, "err", v.fault)
			e.cfg.Observe.Hello(string(StoreFailed))
		case v.reason != "":
			e.soft.noteInbox(ch, h, v.reason, v.detail, now)
			e.cfg.Observe.Hello(string(v.reason))
		case v.known:
			e.soft.noteAttempt(ch, h, now)
			e.cfg.Observe.Hello("known")
			uuid := h.msg.UUID
			if v.wake && !within(e.soft.wakes[uuid], now, e.cfg.Timing.HelloWakeEvery) {
				e.soft.wakes[uuid] = now
				wakes = append(wakes, uuid)
			}
		default:
			en := e.soft.noteAttempt(ch, h, now)
			e.cfg.Observe.Hello("attempt")
			at := now
			if earliest := en.value.lastDial.Add(redialAfter); earliest.After(at) {
				at = earliest
			}
			if !e.cfg.NoDial {
				e.dials.at(en.key, at)
			}
		}
	}
	for _, op := range e.soft.ops {
		op(&e.soft, ch)
	}
	e.soft.ops = nil
	return ch, wakes
}

// judge decides about a hello by the store alone: cheap, and never final, since
// a hello proves nothing.
func (e *Engine) judge(r kv.Reader, h arrival) (verdict, error) {
	m := h.msg
	switch {
	case m.Version == hello.PKI:
		return verdict{reason: PKINotConfigured}, nil
	case m.Version != hello.PSK:
		return verdict{reason: UnknownHelloVersion, detail: m.Version.String()}, nil
	case !m.UUID.Present():
		return verdict{reason: AbsentUUID}, nil
	}
	key, err := e.cfg.Keys.Get(r, m.PID)
	if errors.Is(err, keystore.ErrUnknownPID) || err == nil && m.PID.Check() != nil {
		return verdict{reason: UnknownPID}, nil
	}
	if err != nil {
		return verdict{}, err
	}
	if reason, dead := deadPair(key.State); dead {
		return verdict{reason: reason}, nil
	}
	if late := key.ExpiresAt; key.State == keystore.Available && !late.IsZero() && !e.cfg.Now().Before(late) {
		return verdict{reason: ExpiredBatch, detail: fmt.Sprintf("batch %q expired on %s", key.Batch, late.UTC().Format(time.DateOnly))}, nil
	}
	if err := e.policy.check(h.peer.Addr()); err != nil {
		return verdict{reason: AddressNotAllowed, detail: err.Error()}, nil
	}
	d, err := getDevice(r, m.UUID)
	if err != nil || d == nil {
		return verdict{}, err
	}
	return judgeKnown(e.deviceFacts(d), key, m.PID), nil
}

// deadPair is the reason for which a pair in this state is not dialled.
func deadPair(s keystore.State) (Reason, bool) {
	switch s {
	case keystore.Spent:
		return SpentPID, true
	case keystore.Revoked:
		return RevokedPID, true
	case keystore.Retired:
		return RetiredPID, true
	}
	return "", false
}

// facts are what the rules about a known device look at.
type facts struct {
	operational bool
	admitted    amt.PID
	holds       []amt.PID // its present and its next pair
	state       State
	status      Status
	reason      Reason
}

// awaited are the reasons that wait for the device itself, which its hello ends.
// Anyone can say that hello: whatever else a workflow waits for, it does not wake.
var awaited = map[Reason]bool{
	NoAnswer: true, DialFailed: true, CommitUnproven: true, DeviceCertificateWrong: true,
	KeyMismatch: true, PIDUnknownToDevice: true, NoPSK: true, TLSFailed: true, UUIDMismatch: true, NotInSetup: true,
}

// judgeKnown is the rule for a hello with the UUID of a device in the store; the
// same rule is applied again when the device has proved itself.
func judgeKnown(d facts, key keystore.Key, pid amt.PID) verdict {
	own := false
	for _, p := range d.holds {
		own = own || p == pid
	}
	switch {
	case d.operational && !own && pid != d.admitted:
		return verdict{reason: AlreadyOperational}
	case d.status == Cancelled && d.reason != Superseded && !d.operational:
		return verdict{reason: SetupCancelled}
	case own && d.status.open():
		return verdict{known: true, wake: d.status == Waiting && awaited[d.reason]}
	case !own && (d.status == Running || d.status == Paused):
		return verdict{known: true}
	}
	return verdict{}
}
