package provisioning

import (
	"container/heap"
	"sync"
	"time"
)

// schedule is a queue of keys with the times at which they are due. A key is in
// it at most once, and while it is worked on it is not handed out again: what is
// asked for meanwhile happens when the work is done.
type schedule[K comparable] struct {
	mu    sync.Mutex
	items map[K]*scheduled[K] // guarded by mu, as is all below
	heap  scheduleHeap[K]
	wake  chan struct{} // has one element when the earliest time may have changed
}

type scheduled[K comparable] struct {
	key     K
	at      time.Time
	index   int  // in the heap; -1 while not in it
	running bool // handed out
	again   bool // at was asked for while running
}

func newSchedule[K comparable]() *schedule[K] {
	return &schedule[K]{items: map[K]*scheduled[K]{}, wake: make(chan struct{}, 1)}
}

// at makes key due at t, or earlier if it is so already.
func (s *schedule[K]) at(key K, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, t)
}

func (s *schedule[K]) put(key K, t time.Time) {
	it, ok := s.items[key]
	switch {
	case !ok:
		it = &scheduled[K]{key: key, at: t, index: -1}
		s.items[key] = it
		heap.Push(&s.heap, it)
	case it.running:
		if !it.again || t.Before(it.at) {
			it.at, it.again = t, true
		}
		return
	case t.Before(it.at):
		it.at = t
		heap.Fix(&s.heap, it.index)
	default:
		return
	}
	if s.heap[0] == it {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take hands out a key that is due at now; done must follow. Without one it
// returns how long to wait for the next, a minute at most.
func (s *schedule[K]) take(now time.Time) (key K, wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 {
		return key, time.Minute, false
	}
	first := s.heap[0]
	if first.at.After(now) {
		return key, min(first.at.Sub(now), time.Minute), false
	}
	heap.Pop(&s.heap)
	first.running, first.again = true, false
	return first.key, 0, true
}

// done ends the work on key; a next that is not zero makes it due then.
func (s *schedule[K]) done(key K, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.items[key]
	if !ok || !it.running {
		return
	}
	if it.again && (next.IsZero() || it.at.Before(next)) {
		next = it.at
	}
	delete(s.items, key)
	if !next.IsZero() {
		s.put(key, next)
	}
}

// drop forgets a key that is not being worked on.
func (s *schedule[K]) drop(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.items[key]
	if !ok || it.running {
		return
	}
	heap.Remove(&s.heap, it.index)
	delete(s.items, key)
}

// counts returns how many keys are being worked on, and how many are due.
func (s *schedule[K]) counts(now time.Time) (running, due int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		switch {
		case it.running:
			running++
		case !it.at.After(now):
			due++
		}
	}
	return running, due
}

type scheduleHeap[K comparable] []*scheduled[K]

func (h scheduleHeap[K]) Len() int           { return len(h) }
func (h scheduleHeap[K]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h scheduleHeap[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *scheduleHeap[K]) Push(x any) {
	it := x.(*scheduled[K])
	it.index = len(*h)
	*h = append(*h, it)
}

// Pop implements heap.Interface.
func (h *scheduleHeap[K]) Pop() any {
	old := *h
	it := old[len(old)-1]
	*h = old[:len(old)-1]
	it.index = -1
	return it
}
