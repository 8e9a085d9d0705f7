package provisioning

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// attemptKey is the identity of an attempt.
type attemptKey struct {
	pid  amt.PID
	uuid amt.UUID
	peer netip.Addr
}

func (k attemptKey) bytes() []byte {
	b := append([]byte(nil), k.pid[:]...)
	b = append(b, k.uuid[:]...)
	return append(b, k.peer.String()...)
}

// attempt is the working copy of a stored attempt, and what a restart may forget.
type attempt struct {
	rec      *pb.Attempt
	peer     netip.AddrPort
	tries    int       // dials since the latest hello that failed
	lastDial time.Time // when the latest dial ended
	refused  int       // dials at which every password that was tried was refused
}

// rowKey is the identity of an inbox row.
type rowKey struct {
	uuid amt.UUID
	pid  amt.PID
}

// softState is what outsiders' hellos leave behind: the attempts and the inbox,
// both bounded. Memory decides what stays, the store keeps it over a restart.
type softState struct {
	mu       sync.Mutex
	attempts *bounded[attemptKey, attempt]        // guarded by mu
	inbox    *bounded[rowKey, *pb.InboxRow]       // guarded by mu
	wakes    map[amt.UUID]time.Time               // guarded by mu: when a hello woke a workflow last
	byUUID   map[amt.UUID]map[attemptKey]struct{} // guarded by mu: the attempts of a UUID

	// ops are changes that others than the intake ask for, guarded by mu; wake has
	// an element when there are some.
	ops  []func(*softState, *changes)
	wake chan struct{}
}

// ask leaves a change to the intake, which is the only writer.
func (s *softState) ask(op func(*softState, *changes)) {
	s.mu.Lock()
	s.ops = append(s.ops, op)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *softState) init(l Limits) {
	s.attempts = newBounded[attemptKey, attempt](l.Attempts, l.AttemptsPerSource, l.AttemptsPerPID)
	s.inbox = newBounded[rowKey, *pb.InboxRow](l.Inbox, l.InboxPerSource, 0)
	s.wakes = map[amt.UUID]time.Time{}
	s.wake = make(chan struct{}, 1)
	s.byUUID = map[amt.UUID]map[attemptKey]struct{}{}
}

// changes are rows of the attempts and the inbox to be written.
type changes struct {
	attempts map[attemptKey]*pb.Attempt // nil: deleted
	inbox    map[rowKey]*pb.InboxRow    // nil: deleted
}

func newChanges() *changes {
	return &changes{attempts: map[attemptKey]*pb.Attempt{}, inbox: map[rowKey]*pb.InboxRow{}}
}

func (c *changes) empty() bool { return len(c.attempts) == 0 && len(c.inbox) == 0 }

// write stores the changes in the order of their keys, which suits a B-tree.
func (c *changes) write(tx kv.Tx) error {
	recs := make([]row[*pb.Attempt], 0, len(c.attempts))
	for k, rec := range c.attempts {
		recs = append(recs, row[*pb.Attempt]{k.bytes(), rec, rec == nil})
	}
	if err := writeSorted(tx, &attempts, recs); err != nil {
		return err
	}
	lines := make([]row[*pb.InboxRow], 0, len(c.inbox))
	for k, rec := range c.inbox {
		lines = append(lines, row[*pb.InboxRow]{inboxKey(k.uuid, k.pid), rec, rec == nil})
	}
	return writeSorted(tx, &inbox, lines)
}

// row is a message to be stored or deleted.
type row[M proto.Message] struct {
	key  []byte
	m    M
	gone bool
}

func writeSorted[M proto.Message](tx kv.Tx, c *kv.Collection[M], rows []row[M]) error {
	slices.SortFunc(rows, func(a, b row[M]) int { return bytes.Compare(a.key, b.key) })
	for _, r := range rows {
		var err error
		if r.gone {
			err = c.Delete(tx, r.key)
		} else {
			err = c.Put(tx, r.key, r.m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteAttempt takes a hello with a known PID in; the caller holds s.mu.
func (s *softState) noteAttempt(ch *changes, h arrival, now time.Time) *entry[attemptKey, attempt] {
	key := attemptKey{pid: h.msg.PID, uuid: h.msg.UUID, peer: h.peer.Addr()}
	en, evicted := s.attempts.touch(key, sourceOf(key.peer), string(key.pid[:]))
	for _, out := range evicted {
		s.forget(out.key)
		ch.attempts[out.key] = nil
	}
	rec := &pb.Attempt{Pid: key.pid[:], Uuid: key.uuid[:], FirstAt: stamp(now)}
	if en.value.rec != nil {
		rec = proto.CloneOf(en.value.rec)
	} else {
		s.remember(key)
	}
	rec.Peer, rec.CredentialsSet, rec.Retry = h.peer.String(), h.msg.CredentialsSet, h.msg.Retry
	rec.Count += h.count
	rec.LastAt = stamp(now)
	en.value.rec, en.value.peer, en.value.tries = rec, h.peer, 0
	en.spoiled = false
	ch.attempts[key] = rec
	return en
}

func (s *softState) remember(key attemptKey) {
	m := s.byUUID[key.uuid]
	if m == nil {
		m = map[attemptKey]struct{}{}
		s.byUUID[key.uuid] = m
	}
	m[key] = struct{}{}
}

// refusals counts how often the PC with the UUID refused every password that was
// tried, wherever its hellos came from.
func (s *softState) refusals(uuid amt.UUID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.byUUID[uuid] {
		if en, ok := s.attempts.get(key); ok {
			n += en.value.refused
		}
	}
	return n
}

func (s *softState) forget(key attemptKey) {
	delete(s.byUUID[key.uuid], key)
	if len(s.byUUID[key.uuid]) == 0 {
		delete(s.byUUID, key.uuid)
	}
}

func (s *softState) dropAttempt(ch *changes, key attemptKey) {
	if _, ok := s.attempts.remove(key); ok {
		s.forget(key)
		ch.attempts[key] = nil
	}
}

// noteInbox counts a row up, or makes it; the caller holds s.mu.
func (s *softState) noteInbox(ch *changes, h arrival, reason Reason, detail string, now time.Time) {
	key := rowKey{h.msg.UUID, h.msg.PID}
	en, evicted := s.inbox.touch(key, sourceOf(h.peer.Addr()), "")
	for _, out := range evicted {
		ch.inbox[out.key] = nil
	}
	row := &pb.InboxRow{Uuid: key.uuid[:], Pid: key.pid[:], FirstAt: stamp(now)}
	if en.value != nil {
		row = proto.CloneOf(en.value)
	}
	row.Reason, row.Detail, row.Peer = string(reason), detail, h.peer.String()
	row.Retry, row.CredentialsSet, row.Version = h.msg.Retry, h.msg.CredentialsSet, uint32(h.msg.Version)
	row.Count += h.count
	row.LastAt = stamp(now)
	en.value = row
	ch.inbox[key] = row
}

func (s *softState) dropInbox(ch *changes, key rowKey) {
	if _, ok := s.inbox.remove(key); ok {
		ch.inbox[key] = nil
	}
}

// noteWaiting shows a device whose workflow waits for a person; the caller holds
// s.mu.
func (s *softState) noteWaiting(ch *changes, key rowKey, peer string, flag bool, reason Reason, detail string, now time.Time) {
	from, _ := netip.ParseAddrPort(peer) // an unknown one has a source of its own
	en, evicted := s.inbox.touch(key, sourceOf(from.Addr()), "")
	for _, out := range evicted {
		ch.inbox[out.key] = nil
	}
	row := &pb.InboxRow{Uuid: key.uuid[:], Pid: key.pid[:], FirstAt: stamp(now)}
	if en.value != nil {
		row = proto.CloneOf(en.value)
	}
	row.Reason, row.Detail, row.Peer, row.CredentialsSet = string(reason), detail, peer, flag
	row.Count = max(row.GetCount(), 1)
	row.LastAt = stamp(now)
	en.value = row
	ch.inbox[key] = row
}

// dropDevice removes what hellos of a device left, once it is Operational.
func (s *softState) dropDevice(ch *changes, uuid amt.UUID) {
	for key := range s.byUUID[uuid] {
		s.dropAttempt(ch, key)
	}
	delete(s.wakes, uuid)
}

// hint is where a device that is being set up may be, as its hellos say.
type hint struct {
	pid  amt.PID
	peer netip.Addr
	at   time.Time
}

// hints lists the attempts of a UUID with one of the pairs, the latest first.
func (s *softState) hints(uuid amt.UUID, pids ...amt.PID) []hint {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []hint
	for key := range s.byUUID[uuid] {
		if en, ok := s.attempts.get(key); ok && slices.Contains(pids, key.pid) {
			list = append(list, hint{pid: key.pid, peer: key.peer, at: instant(en.value.rec.GetLastAt())})
		}
	}
	slices.SortFunc(list, func(a, b hint) int { return b.at.Compare(a.at) })
	return list
}

// loadSoftState reads attempts and inbox in the order of their latest hellos.
func (e *Engine) loadSoftState(ctx context.Context) error {
	var recs []*pb.Attempt
	var rows []*pb.InboxRow
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		recs, rows = nil, nil
		err := attempts.Scan(r, kv.Range{}, func(_ []byte, m *pb.Attempt) error {
			recs = append(recs, m)
			return nil
		})
		if err != nil {
			return err
		}
		return inbox.ScanIndex(r, tableInboxByLast, kv.Range{}, func(_, _ []byte, m *pb.InboxRow) error {
			rows = append(rows, m)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("reading attempts and inbox: %w", err)
	}
	slices.SortFunc(recs, func(a, b *pb.Attempt) int { return instant(a.GetLastAt()).Compare(instant(b.GetLastAt())) })
	ch := newChanges()
	e.soft.mu.Lock()
	for _, rec := range recs {
		e.soft.loadAttempt(ch, rec)
	}
	for _, row := range rows {
		peer, _ := netip.ParseAddrPort(row.GetPeer()) // a damaged one has a source of its own
		en, evicted := e.soft.inbox.touch(rowKey{uuidOf(row.GetUuid()), pidOf(row.GetPid())}, sourceOf(peer.Addr()), "")
		en.value = row
		for _, out := range evicted {
			ch.inbox[out.key] = nil
		}
	}
	now := e.cfg.Now()
	for key := range e.soft.attempts.entries {
		e.dials.at(key, now)
	}
	e.soft.mu.Unlock()
	if ch.empty() {
		return nil
	}
	return e.cfg.Store.Update(ctx, ch.write)
}

func (s *softState) loadAttempt(ch *changes, rec *pb.Attempt) {
	peer, err := netip.ParseAddrPort(rec.GetPeer())
	key := attemptKey{pid: pidOf(rec.GetPid()), uuid: uuidOf(rec.GetUuid()), peer: peer.Addr()}
	if err != nil {
		ch.attempts[key] = nil
		return
	}
	en, evicted := s.attempts.touch(key, sourceOf(key.peer), string(key.pid[:]))
	en.value.rec, en.value.peer = rec, peer
	s.remember(key)
	for _, out := range evicted {
		s.forget(out.key)
		ch.attempts[out.key] = nil
	}
}

// dropOldAttempts removes attempts without a new hello for Timing.AttemptLife.
func (e *Engine) dropOldAttempts(ctx context.Context) error {
	horizon := e.cfg.Now().Add(-e.cfg.Timing.AttemptLife)
	ch := newChanges()
	e.soft.mu.Lock()
	for el := e.soft.attempts.all.Front(); el != nil; {
		en := el.Value.(*entry[attemptKey, attempt])
		el = el.Next()
		if instant(en.value.rec.GetLastAt()).Before(horizon) {
			e.soft.dropAttempt(ch, en.key)
			e.dials.drop(en.key)
		}
	}
	for uuid, at := range e.soft.wakes {
		if at.Before(horizon) {
			delete(e.soft.wakes, uuid)
		}
	}
	e.soft.mu.Unlock()
	if ch.empty() {
		return nil
	}
	return e.cfg.Store.Update(ctx, ch.write)
}
