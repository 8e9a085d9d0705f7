package tlspsk

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// soakSize is how many connections the soak holds at once.
func soakSize() int {
	if testing.Short() {
		return 500
	}
	return 5000
}

// TestSoak shakes hands on 5000 connections at the same time, holds them all, says
// something on each, and closes them: no failure, no goroutine left, and little
// memory while they are held.
func TestSoak(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	n := soakSize()
	clients, servers := make([]*Conn, n), make([]*Conn, n)
	before := heap()
	client, server := configs(t)
	errs := make(chan error, 3*n)
	each(n, func(i int) {
		a, b := net.Pipe()
		for _, end := range []net.Conn{a, b} {
			_ = end.SetDeadline(time.Now().Add(2 * time.Minute))
		}
		clients[i], servers[i] = Client(a, client), Server(b, server)
		ce, se := shake(clients[i], servers[i])
		errs <- ce
		errs <- se
	})
	held := heap()
	question := bytes.Repeat([]byte("soak"), 600)
	// A pipe holds nothing, so that a close_notify must be read within its time:
	// not all at once, or a slow machine would be measured here.
	turn := make(chan struct{}, 64)
	each(n, func(i int) {
		turn <- struct{}{}
		errs <- soakTalk(clients[i], servers[i], question)
		<-turn
	})
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d connections held: %d bytes of heap each, both ends", n, (held-before)/int64(n))
	clear(clients)
	clear(servers)
	goleak.VerifyNone(t, leaks)
}

// each runs f for 0 to n-1, all at once.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// soakTalk asks, answers and closes both ends.
func soakTalk(c, v *Conn, question []byte) error {
	done := make(chan error, 1)
	go func() {
		defer func() { _ = v.Close() }()
		b := make([]byte, len(question))
		if _, err := io.ReadFull(v, b); err != nil {
			done <- err
			return
		}
		_, err := v.Write(b)
		done <- err
	}()
	if _, err := c.Write(question); err != nil {
		return err
	}
	if err := wantAll(c, question); err != nil {
		return err
	}
	if err := c.NetConn().Close(); err != nil { // nobody would read a close_notify
		return err
	}
	return <-done
}

// heap is what lives on the heap.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
