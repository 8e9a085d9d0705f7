package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress tells how far a long command is: a bar on a terminal, else a line now
// and then. A nil one tells nothing.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration // between two lines or two states of the bar
	total    int64         // bytes; 0: not known
	read     *atomic.Int64 // bytes
	rows     atomic.Int64
	storing  atomic.Bool // everything is read

	mu    sync.Mutex
	shown bool // guarded by mu: a bar is on the line
	begun time.Time
	stop  chan struct{}
	done  chan struct{}
}

// newProgress begins to tell on w of total bytes how many were read.
func newProgress(w io.Writer, total int64, read *atomic.Int64) *progress {
	p := &progress{w: w, every: 10 * time.Second, total: total, read: read, begun: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.every = true, 200*time.Millisecond
	}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.done)
	t := time.NewTicker(p.every)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			p.mu.Lock()
			p.show(now)
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// show writes the present state; mu is held.
func (p *progress) show(now time.Time) {
	text := p.text(now)
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.shown = true
		return
	}
	_, _ = fmt.Fprintf(p.w, "scsctl: %s\n", text)
}

// text is the present state.
func (p *progress) text(now time.Time) string {
	const width = 30
	rows, seconds := p.rows.Load(), now.Sub(p.begun).Truncate(time.Second)
	if p.storing.Load() {
		return fmt.Sprintf("%d rows sent, the server stores them, %v", rows, seconds)
	}
	if p.total <= 0 {
		return fmt.Sprintf("%d rows, %v", rows, seconds)
	}
	part := min(float64(p.read.Load())/float64(p.total), 1)
	state := fmt.Sprintf("%3.0f%%, %d rows, %v", 100*part, rows, seconds)
	if !p.terminal {
		return strings.TrimSpace(state)
	}
	full := int(part * width)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "] " + state
}

// hide takes the bar away while fn writes.
func (p *progress) hide(fn func()) {
	if p == nil {
		fn()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fn()
}

// clear empties the line of the bar; mu is held.
func (p *progress) clear() {
	if p.shown {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// end takes the bar away for good. It is idempotent.
func (p *progress) end() {
	if p == nil {
		return
	}
	select {
	case <-p.stop:
		return
	default:
	}
	close(p.stop)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
