package provisioning

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestHush(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	q := hush{log: slog.New(slog.NewTextHandler(&b, nil))}
	now := time.Unix(1_800_000_000, 0)
	for range 10 * hushBurst {
		q.info(now, "attempt failed", "pid", "x")
	}
	if got := strings.Count(b.String(), "attempt failed"); got != hushBurst {
		t.Errorf("%d lines of a burst, want %d", got, hushBurst)
	}
	b.Reset()
	now = now.Add(2 * time.Second / hushRate)
	for range 10 {
		q.info(now, "attempt failed", "pid", "x")
	}
	if got := strings.Count(b.String(), "attempt failed"); got != 2 || !strings.Contains(b.String(), "lines_left_out=900") {
		t.Errorf("got %d lines, want 2: %s", got, b.String())
	}
}
