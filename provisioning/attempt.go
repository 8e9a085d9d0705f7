package provisioning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// patience is the number of unanswered dials behind which the inbox tells of them.
const patience = 2

// peerLocks lets one attempt at a time dial a peer, and a share of all attempts
// dial the peers of one source.
type peerLocks struct {
	share int

	mu      sync.Mutex
	busy    map[netip.Addr]waiters        // guarded by mu: who waits for the peer
	sources map[netip.Prefix]*sourceDials // guarded by mu: those with a peer that is busy
}

type waiters map[attemptKey]struct{}

// sourceDials are those to the peers of one source, see sourceOf.
type sourceDials struct {
	dials   int
	waiting waiters
}

// acquire reports whether key may dial; else it is remembered.
func (p *peerLocks) acquire(key attemptKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy == nil {
		p.busy, p.sources = map[netip.Addr]waiters{}, map[netip.Prefix]*sourceDials{}
	}
	if waiting, taken := p.busy[key.peer]; taken {
		waiting[key] = struct{}{}
		return false
	}
	from := p.sources[sourceOf(key.peer)]
	if from == nil {
		from = &sourceDials{waiting: waiters{}}
		p.sources[sourceOf(key.peer)] = from
	}
	if from.dials >= p.share {
		from.waiting[key] = struct{}{}
		return false
	}
	from.dials++
	p.busy[key.peer] = waiters{}
	return true
}

// release frees the peer and returns who waited for it or for its source.
func (p *peerLocks) release(peer netip.Addr) []attemptKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.sources[sourceOf(peer)]
	list := slices.AppendSeq(slices.Collect(maps.Keys(p.busy[peer])), maps.Keys(from.waiting))
	delete(p.busy, peer)
	clear(from.waiting)
	if from.dials--; from.dials == 0 {
		delete(p.sources, sourceOf(peer))
	}
	return list
}

// tryAttempt dials an attempt back if it is still worth it, and says when to try
// again; zero: at the next hello. stop keeps new work from being begun, ctx ends
// what is under way.
func (e *Engine) tryAttempt(stop, ctx context.Context, key attemptKey) time.Time {
	a, ok := e.soft.attempt(key)
	if !ok || stop.Err() != nil || e.cfg.NoDial {
		return time.Time{}
	}
	if !e.peers.acquire(key) {
		return time.Time{} // release brings it back
	}
	defer func() {
		for _, k := range e.peers.release(key.peer) {
			e.dials.at(k, e.cfg.Now())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timing.Attempt)
	defer cancel()
	begun := e.cfg.Now()
	err := e.authenticate(ctx, key, a)
	outcome := "authenticated"
	var next time.Time
	switch {
	case errors.Is(err, errNotWorthIt):
		return time.Time{}
	case err != nil && ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return time.Time{}
	case err != nil:
		f := classify(err)
		outcome = string(f.reason)
		next = e.attemptFailed(key, f)
	}
	e.cfg.Observe.Attempt(outcome, e.cfg.Now().Sub(begun))
	return next
}

// attempt returns a copy of an attempt's working copy.
func (s *softState) attempt(key attemptKey) (attempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	en, ok := s.attempts.get(key)
	if !ok {
		return attempt{}, false
	}
	return en.value, true
}

// errNotWorthIt ends an attempt that has been overtaken.
var errNotWorthIt = errors.New("the attempt is not worth a dial any more")

// authenticate has the device prove pair and UUID, then claims the pair for it
// and hands the session to the workflow. Before step 1 nothing of pair, device or
// address changes.
func (e *Engine) authenticate(ctx context.Context, key attemptKey, a attempt) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = e.panicked(key.uuid, v)
		}
	}()
	var secrets keystore.Secrets
	var dev *pb.Device
	fresh := true // the pair is new to the device
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		m := &hello.Message{Version: hello.PSK, UUID: key.uuid, PID: key.pid}
		v, err := e.judge(r, arrival{peer: a.peer, msg: m})
		switch {
		case err != nil:
			return err
		case v.known:
			return errNotWorthIt
		case v.reason != "":
			if v.detail != "" {
				return because(v.reason, errors.New(v.detail))
			}
			return because(v.reason, errors.New("the pair or the device has changed since the hello"))
		}
		if secrets, err = e.cfg.Keys.Secrets(r, key.pid); err != nil {
			return err
		}
		dev, err = getDevice(r, key.uuid)
		if dev != nil {
			fresh = pidOf(dev.GetCurrentPid()) != key.pid && pidOf(dev.GetNextPid()) != key.pid
		}
		return err
	})
	if err != nil {
		return err
	}
	list, err := e.candidates(dev, secrets, fresh, a.rec.GetCredentialsSet())
	if err != nil {
		return because(StoreFailed, err)
	}
	addr := netip.AddrPortFrom(key.peer, e.cfg.DevicePort)
	s, err := e.enter(ctx, visit{
		addr: addr, dial: e.pskDialer(addr, amt.Pair{PID: key.pid, PPS: secrets.PPS}),
		pid: key.pid, candidates: list, uuid: key.uuid, proven: true, turn: e.soft.refusals(key.uuid),
	})
	if err != nil {
		return err
	}
	if s.setup.State != amt.InSetup {
		s.close()
		return because(NotInSetup, fmt.Errorf("%v is in phase %v", addr, s.setup.State))
	}
	if err := e.claim(ctx, key, a, s); err != nil {
		s.close()
		return err
	}
	e.soft.ask(func(soft *softState, ch *changes) {
		soft.dropAttempt(ch, key)
		soft.dropInbox(ch, rowKey{key.uuid, key.pid})
	})
	e.handed.put(key.uuid, s, e.cfg.Timing.Handover)
	e.queue.at(key.uuid, e.cfg.Now())
	return nil
}

// attemptFailed notes a failure and says when to dial again by ourselves: a lost
// first attempt may mean an hour until the next hello.
func (e *Engine) attemptFailed(key attemptKey, f *failure) time.Time {
	now := e.cfg.Now()
	e.hush.info(now, "attempt failed", "uuid", key.uuid.String(), "pid", key.pid.String(), "peer", key.peer, "reason", string(f.reason), "err", f.err)
	retry := f.retry || f.silent
	var tries int
	e.soft.mu.Lock()
	if en, ok := e.soft.attempts.get(key); ok {
		en.value.tries++
		en.value.lastDial = now
		if f.reason == LoginFailed {
			en.value.refused++
		}
		en.spoiled = true
		tries = en.value.tries
	}
	e.soft.mu.Unlock()
	if tries == 0 {
		return time.Time{} // it made room for another
	}
	if !retry || tries >= patience {
		e.soft.ask(func(soft *softState, ch *changes) { soft.noteFailure(ch, key, f, now) })
	}
	if !retry {
		return time.Time{}
	}
	return now.Add(e.backoff(tries))
}

// noteFailure tells the inbox of an attempt that failed.
func (s *softState) noteFailure(ch *changes, key attemptKey, f *failure, now time.Time) {
	en, ok := s.attempts.get(key)
	if !ok {
		return
	}
	rec := en.value.rec
	m := &hello.Message{
		Version: hello.PSK, UUID: key.uuid, PID: key.pid, Retry: rec.GetRetry(), CredentialsSet: rec.GetCredentialsSet(),
	}
	before := uint64(0)
	if row, ok := s.inbox.get(rowKey{key.uuid, key.pid}); ok {
		before = row.value.GetCount()
	}
	s.noteInbox(ch, arrival{peer: en.value.peer, msg: m, count: max(rec.GetCount(), before) - before}, f.reason, f.Error(), now)
}

// backoff is the wait behind the n-th failure: doubled each time from RetryMin to
// RetryMax, and up to a quarter more so that a crowd spreads.
func (e *Engine) backoff(n int) time.Duration {
	d := e.cfg.Timing.RetryMin
	for i := 1; i < n && d < e.cfg.Timing.RetryMax; i++ {
		d *= 2
	}
	d = min(d, e.cfg.Timing.RetryMax)
	return d + rand.N(d/4+1)
}
