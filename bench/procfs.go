package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockTicks is USER_HZ, in which /proc counts; it is 100 on every Linux port
// that Go runs on.
const clockTicks = 100

// errProc is returned for text that is not what the kernel writes.
var errProc = errors.New("not in the form of /proc")

// parseStat reads user and system time of a process from /proc/PID/stat. The
// program's name in it may hold spaces and parentheses.
func parseStat(text string) (time.Duration, error) {
	_, rest, ok := cutLast(text, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("stat: %w", errProc)
	}
	var ticks uint64
	for _, f := range fields[11:13] { // fields 14 and 15 of proc(5)
		n, err := strconv.ParseUint(f, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("stat: %w: %q", errProc, f)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / clockTicks), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// parseRssAnon reads anonymous resident memory, in bytes, from /proc/PID/status.
func parseRssAnon(text string) (int64, error) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, "RssAnon:")
		if !ok {
			continue
		}
		fields := strings.Fields(value)
		if len(fields) == 2 && fields[1] == "kB" {
			if n, err := strconv.ParseInt(fields[0], 10, 40); err == nil && n >= 0 {
				return n << 10, nil
			}
		}
		return 0, fmt.Errorf("status: %w: %q", errProc, strings.TrimSpace(line))
	}
	return 0, fmt.Errorf("status: %w: no RssAnon", errProc)
}

// cpuTime is the processor time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(b))
}

// samplePeriod is how often a watcher looks.
const samplePeriod = 20 * time.Millisecond

// A watcher samples a process's anonymous memory until it is stopped.
type watcher struct {
	stop context.CancelFunc
	work sync.WaitGroup

	mu   sync.Mutex // guards peak
	peak int64
}

func watchMemory(ctx context.Context, pid int) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{stop: cancel}
	w.work.Go(func() {
		tick := time.NewTicker(samplePeriod)
		defer tick.Stop()
		for {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
				if n, err := parseRssAnon(string(b)); err == nil {
					w.mu.Lock()
					w.peak = max(w.peak, n)
					w.mu.Unlock()
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// end stops the watcher and returns the highest value seen, in bytes.
func (w *watcher) end() int64 {
	w.stop()
	w.work.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak
}
