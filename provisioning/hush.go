package provisioning

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// hushRate and hushBurst bound the log lines that outsiders can cause: whoever
// knows one PID can have any number of dials fail.
const (
	hushRate  = 5 // a second
	hushBurst = 100
)

// hush leaves log lines out when there are too many of late; the next line that
// is written tells how many.
type hush struct {
	log *slog.Logger

	mu      sync.Mutex    // guards what follows
	limit   *rate.Limiter // nil before the first line
	dropped int
}

func (q *hush) info(now time.Time, msg string, args ...any) {
	q.mu.Lock()
	if q.limit == nil {
		q.limit = rate.NewLimiter(hushRate, hushBurst)
	}
	if !q.limit.AllowN(now, 1) {
		q.dropped++
		q.mu.Unlock()
		return
	}
	dropped := q.dropped
	q.dropped = 0
	q.mu.Unlock()
	if dropped > 0 {
		args = append(args, "lines_left_out", dropped)
	}
	q.log.Info(msg, args...)
}
