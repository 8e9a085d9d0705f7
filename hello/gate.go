package hello

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// crowd is the number of readers from which the accept loop lets them run before
// it takes another connection.
const crowd = 64

// burst is how long a source that reached its bound is waited for, from its
// oldest connection on: many that come at once are read first, and only those
// that are held open lead to a refusal.
const burst = 50 * time.Millisecond

// visit is one connection.
type visit struct {
	conn   net.Conn
	peer   netip.AddrPort
	source netip.Addr // the address or, for IPv6, its /64
	since  time.Time

	// Guarded by gate.mu.
	inAll, inSource *list.Element // nil when it no longer reads
	evicted         string        // the outcome, when it was made to leave
}

func newVisit(conn net.Conn) *visit {
	peer := peerOf(conn)
	return &visit{conn: conn, peer: peer, source: sourceOf(peer.Addr())}
}

// peerOf is the address of the other end, unmapped, with the zone of a
// link-local address. Addresses of other networks than TCP give the zero value.
func peerOf(conn net.Conn) netip.AddrPort {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// sourceOf is what connections are counted by.
func sourceOf(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64) // drops the zone
	if err != nil {
		return a
	}
	return p.Addr().WithZone(a.Zone())
}

// gate bounds the connections in all and per source. A visit takes a slot in
// enter and gives it back in leave; between enter and done it reads and may be
// made to leave in favour of another.
type gate struct {
	max, perSource int
	fair, timeout  time.Duration

	mu      sync.Mutex                // guards what follows
	slots   int                       // visits between enter and leave
	readers list.List                 // of *visit, oldest first
	sources map[netip.Addr]*list.List // the same visits by source
	freed   chan struct{}             // capacity 1: a slot was given back
}

func newGate(l *Listener) *gate {
	return &gate{
		max: l.MaxConns, perSource: l.MaxPerSource, fair: l.FairTime, timeout: l.ReadTimeout,
		sources: map[netip.Addr]*list.List{}, freed: make(chan struct{}, 1),
	}
}

// enter gives v a slot, or says with an outcome why not. It waits while all
// slots are taken by visits that are not older than the fair time or by
// handlers, and briefly while a burst of v's source is read: those who come
// meanwhile wait in the kernel's backlog. Only one goroutine may call it.
func (g *gate) enter(ctx context.Context, v *visit) string {
	for {
		why, wait := g.try(v, time.Now())
		if why != "" {
			return why
		}
		if wait == 0 && g.crowded() {
			runtime.Gosched()
		}
		if wait == 0 {
			return ""
		}
		timer := time.NewTimer(wait)
		select {
		case <-g.freed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return TooManyConnections
		}
		timer.Stop()
	}
}

// try is one attempt of enter: an outcome, a time to wait, or neither.
func (g *gate) try(v *visit, now time.Time) (why string, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.sources[v.source]; own != nil && own.Len() >= g.perSource && !g.evict(own, now, PerSource) {
		if now.Sub(own.Front().Value.(*visit).since) < burst {
			return "", time.Millisecond
		}
		return PerSource, 0
	}
	if g.slots >= g.max {
		g.evict(&g.readers, now, TooManyConnections)
		return "", g.fair/8 + time.Millisecond
	}
	g.slots++
	g.add(v, now)
	return "", 0
}

// crowded reports whether so many visits read that they should get to run
// before another is let in.
func (g *gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.readers.Len() > crowd
}

// add starts v's time to read. The deadline is set here and nowhere later, so
// that it cannot undo that of evict or hurry.
func (g *gate) add(v *visit, now time.Time) {
	v.since = now
	_ = v.conn.SetReadDeadline(now.Add(g.timeout))
	own := g.sources[v.source]
	if own == nil {
		own = list.New()
		g.sources[v.source] = own
	}
	v.inAll, v.inSource = g.readers.PushBack(v), own.PushBack(v)
}

func (g *gate) remove(v *visit) {
	if v.inAll == nil {
		return
	}
	own := g.sources[v.source]
	g.readers.Remove(v.inAll)
	own.Remove(v.inSource)
	v.inAll, v.inSource = nil, nil
	if own.Len() == 0 {
		delete(g.sources, v.source)
	}
}

// evict ends the reading of the oldest visit of l if that had its fair time. Its
// goroutine then judges what has come and gives the slot back.
func (g *gate) evict(l *list.List, now time.Time, why string) bool {
	front := l.Front()
	if front == nil {
		return false
	}
	v := front.Value.(*visit)
	if now.Sub(v.since) < g.fair {
		return false
	}
	v.evicted = why
	g.remove(v)
	_ = v.conn.SetReadDeadline(now)
	return true
}

// done says that v has read all it will; it returns the outcome of an eviction.
func (g *gate) done(v *visit) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(v)
	return v.evicted
}

// leave gives v's slot back.
func (g *gate) leave() {
	g.mu.Lock()
	g.slots--
	g.mu.Unlock()
	select {
	case g.freed <- struct{}{}:
	default:
	}
}

// hurry gives every reader until t.
func (g *gate) hurry(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.readers.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*visit).conn.SetReadDeadline(t)
	}
}
