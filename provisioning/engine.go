package provisioning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Engine takes devices from their hellos to Operational. Its methods are safe
// for concurrent use. Lists and changes work without Run; hellos are followed
// and workflows advance only while Run runs.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	hush   hush // for lines that outsiders cause
	policy *dialPolicy

	hellos  chan arrival
	soft    softState
	dials   *schedule[attemptKey]
	peers   peerLocks
	queue   *schedule[amt.UUID]
	handed  handovers
	keys    keyPool
	broken  chan error // the store takes no more writes
	running atomic.Bool
	stopped atomic.Bool // Run has ended: nobody takes hellos any more

	profiles profileCache
}

// New checks c and reads the attempts and the inbox from the store; nothing is
// dialled before Run.
func New(c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.setDefaults()
	broken := make(chan error, 1)
	c.Store = ownStore{Store: c.Store, failed: broken}
	e := &Engine{
		cfg: c, log: c.Log, hush: hush{log: c.Log}, broken: broken,
		policy: &dialPolicy{allow: c.DialAllow, loopback: c.AllowLoopback, own: c.OwnAddresses, now: c.Now},
		hellos: make(chan arrival, c.Limits.HelloQueue),
		dials:  newSchedule[attemptKey](),
		queue:  newSchedule[amt.UUID](),
	}
	e.soft.init(c.Limits)
	e.peers.share = c.Limits.DialsPerSource
	e.handed.sessions = map[amt.UUID]*session{}
	e.keys.init(c.DeviceKeyPool, c.DeviceKeys)
	if err := e.loadSoftState(context.Background()); err != nil {
		return nil, fmt.Errorf("provisioning: %w", err)
	}
	return e, nil
}

// Run works until ctx is done: it follows hellos, takes up the workflows that
// the store holds, prunes events. It returns nil after a stop in order, and an
// error that wraps kv.ErrFailed when the store takes no more writes: only another
// process can go on then.
//
// The order of stopping: nothing new is taken up; queued hellos are stored;
// workflows and attempts end before their next step or call; what still runs
// after Timing.Stop is interrupted, and is resumed from its stored intention at
// the next start; sessions that were handed over are closed.
func (e *Engine) Run(ctx context.Context) error {
	if !e.running.CompareAndSwap(false, true) {
		return errors.New("provisioning: the engine runs already")
	}
	defer e.running.Store(false)
	defer e.stopped.Store(true)
	e.stopped.Store(false)
	if err := e.loadWorkflows(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("provisioning: %w", err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	work, interrupt := context.WithCancel(context.WithoutCancel(ctx))
	defer interrupt()
	var loops, workers sync.WaitGroup
	loops.Go(func() { e.intake(ctx) })
	loops.Go(func() { e.keys.fill(ctx) })
	loops.Go(func() { e.housekeeping(ctx) })
	loops.Go(func() {
		dispatch(ctx, e.dials, e.cfg.Now, e.cfg.Limits.AttemptWorkers, &workers, func(key attemptKey) (next time.Time) {
			defer e.rescue(key.uuid, &next)
			return e.tryAttempt(ctx, work, key)
		})
	})
	loops.Go(func() {
		dispatch(ctx, e.queue, e.cfg.Now, e.cfg.Limits.Workers, &workers, func(uuid amt.UUID) (next time.Time) {
			defer e.rescue(uuid, &next)
			return e.work(ctx, work, uuid)
		})
	})
	var failed error
	select {
	case <-ctx.Done():
	case err := <-e.broken:
		failed = fmt.Errorf("provisioning: %w", err)
		e.log.Error("the store takes no more writes: stopping", "err", err)
		end()
	}
	loops.Wait()
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(e.cfg.Timing.Stop):
		interrupt()
		<-ended
	}
	e.handed.closeAll()
	return failed
}

// rescue is deferred around the work on a key: a panic that nothing else caught
// costs that work alone, which is due again after the longest wait.
func (e *Engine) rescue(uuid amt.UUID, next *time.Time) {
	if v := recover(); v != nil {
		_ = e.panicked(uuid, v)
		*next = e.cfg.Now().Add(e.cfg.Timing.RetryMax)
	}
}

// panicked logs a panic where it is caught and returns the failure that it is.
func (e *Engine) panicked(uuid amt.UUID, v any) error {
	e.log.Error("panic", "uuid", uuid.String(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return because(InternalFault, errors.New("panic: see the log"))
}

// dispatch hands due keys to do, n at a time, until ctx is done. What do returns
// is when the key is due again; zero: not by itself.
func dispatch[K comparable](ctx context.Context, s *schedule[K], now func() time.Time, n int, workers *sync.WaitGroup, do func(K) time.Time) {
	slots := make(chan struct{}, n)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		key, ok := nextDue(ctx, s, now)
		if !ok {
			return
		}
		workers.Go(func() {
			defer func() { <-slots }()
			s.done(key, do(key))
		})
	}
}

// nextDue waits for a due key.
func nextDue[K comparable](ctx context.Context, s *schedule[K], now func() time.Time) (K, bool) {
	for {
		key, wait, ok := s.take(now())
		if ok {
			return key, true
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return key, false
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// loadWorkflows puts every workflow that the engine works on into the queue. A
// time of the next try that no wait explains was stored by a clock that has been
// set back since: it is not waited for.
func (e *Engine) loadWorkflows(ctx context.Context) error {
	due := map[amt.UUID]time.Time{}
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		clear(due)
		for _, status := range []Status{Running, Waiting} {
			err := workflows.ScanIndex(r, tableWorkflowsByState, kv.IndexKey(stateKey(0, status)), func(_, _ []byte, w *pb.Workflow) error {
				if at := instant(w.GetNextTryAt()); !at.IsZero() || status == Running {
					due[uuidOf(w.GetUuid())] = at
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the workflows: %w", err)
	}
	latest := e.cfg.Now().Add(2 * max(e.cfg.Timing.RetryMax, e.cfg.Timing.NameRetry))
	for uuid, at := range due {
		if at.After(latest) {
			at = latest
		}
		e.queue.at(uuid, at)
	}
	return nil
}

// housekeeping prunes events and drops attempts that grew old.
func (e *Engine) housekeeping(ctx context.Context) {
	tick := time.NewTicker(e.cfg.Timing.Prune)
	defer tick.Stop()
	for {
		if err := e.pruneEvents(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("pruning events", "err", err)
		}
		if err := e.dropOldAttempts(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("dropping old attempts", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Statistics are numbers for metrics.
type Statistics struct {
	HelloQueue    int // hellos that wait to be stored
	Attempts      int // kept
	Dials         int // attempts being dialled
	AttemptQueue  int // attempts that wait for a worker
	Inbox         int // rows
	Workers       int // workflows being worked on
	WorkflowQueue int // due workflows that wait for a worker
	Devices       map[State]map[Status]int
	LastEvent     uint64
}

// Statistics counts; it reads an index row of each device, so do not call it
// more often than every few seconds.
func (e *Engine) Statistics(ctx context.Context) (Statistics, error) {
	st := Statistics{HelloQueue: len(e.hellos)}
	e.soft.mu.Lock()
	st.Attempts, st.Inbox = e.soft.attempts.len(), e.soft.inbox.len()
	e.soft.mu.Unlock()
	now := e.cfg.Now()
	st.Dials, st.AttemptQueue = e.dials.counts(now)
	st.Workers, st.WorkflowQueue = e.queue.counts(now)
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		st.Devices = map[State]map[Status]int{}
		for _, state := range append(States(), 0) {
			for _, status := range append(Statuses(), 0) {
				n := 0
				err := r.Scan(tableDevicesByState, kv.IndexKey(exactStateKey(state, status)), func(_, _ []byte) error {
					n++
					return nil
				})
				if err != nil {
					return err
				}
				if n == 0 {
					continue
				}
				if st.Devices[state] == nil {
					st.Devices[state] = map[Status]int{}
				}
				st.Devices[state][status] = n
			}
		}
		var err error
		st.LastEvent, err = readSequence(r, lastEvent)
		return err
	})
	if err != nil {
		return Statistics{}, fmt.Errorf("counting: %w", err)
	}
	return st, nil
}
