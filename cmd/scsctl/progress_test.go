package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestProgressText(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	p := &progress{read: &read, begun: time.Unix(100, 0)}
	now := time.Unix(107, 0)
	p.rows.Store(12)
	if got := p.text(now); got != "12 rows, 7s" {
		t.Errorf("of an unknown size: got %q", got)
	}
	p.total = 200
	read.Store(50)
	if got := p.text(now); got != "25%, 12 rows, 7s" {
		t.Errorf("a line: got %q", got)
	}
	p.terminal = true
	if got, want := p.text(now), "[=======                       ]  25%, 12 rows, 7s"; got != want {
		t.Errorf("a bar: got %q", got)
	}
	read.Store(999) // it is read again for the rejects
	if got := p.text(now); !strings.HasPrefix(got, "["+strings.Repeat("=", 30)+"] 100%") {
		t.Errorf("more than all: got %q", got)
	}
	p.storing.Store(true)
	if got := p.text(now); got != "12 rows sent, the server stores them, 7s" {
		t.Errorf("behind the end: got %q", got)
	}
}

// TestProgressBar: a message takes the bar's line, and nothing of the bar stays.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &progress{w: &out, read: &atomic.Int64{}, terminal: true, stop: make(chan struct{}), done: make(chan struct{}), every: time.Hour}
	go p.run()
	p.mu.Lock()
	p.show(p.begun)
	p.mu.Unlock()
	p.hide(func() { _, _ = io.WriteString(&out, "bad row\n") })
	p.end()
	p.end()
	if got, want := out.String(), "\r\x1b[K0 rows, 0s\r\x1b[Kbad row\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var none *progress
	none.end()
	none.hide(func() { out.Reset() })
	if out.Len() != 0 {
		t.Error("a progress that is not there hid a message")
	}
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := newProgress(w, 0, &atomic.Int64{})
	if p.terminal || p.every < time.Second {
		t.Errorf("a pipe is taken for a terminal: %+v", p.every)
	}
	p.mu.Lock()
	p.show(p.begun.Add(time.Minute))
	p.mu.Unlock()
	p.end()
	_ = w.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "scsctl: 0 rows, 1m0s\n" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestPlaceName(t *testing.T) {
	t.Parallel()
	all := []string{"a/x.csv", "b/x.csv", "b/y.csv", "-"}
	for i, want := range []string{"a/x.csv", "b/x.csv", "y.csv", "standard input"} {
		if got := placeName(all[i], all); got != want {
			t.Errorf("%s: got %q, want %q", all[i], got, want)
		}
	}
	if got := placeName(strings.Repeat("ä", 120)+".csv", nil); len(got) > 203 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("got %q", got)
	}
}

func TestLimited(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := &limited{&b}
	if n, err := l.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := l.Write(make([]byte, maxHeld)); err == nil || !strings.Contains(err.Error(), "name a file") || b.Len() != 1 {
		t.Errorf("got %v, %d bytes", err, b.Len())
	}
}

func TestUnsure(t *testing.T) {
	t.Parallel()
	lost := &failure{code: exitUnavailable, message: "gone"}
	for _, tt := range []struct {
		err  error
		sent bool
		want string
	}{
		{lost, false, "gone: nothing was imported"},
		{lost, true, "gone; whether the list is in is not known"},
		{fmt.Errorf("wrong"), true, "wrong"},
	} {
		if got := unsure(tt.err, tt.sent).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
