package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestSecondServerKeepsTheFirstOnesReadyFile: the second is refused by the store,
// and must not make the first look as if it had stopped.
func TestSecondServerKeepsTheFirstOnesReadyFile(t *testing.T) {
	t.Parallel()
	d := start(t)
	code, _, errs := scsd(t, "run", "--data", d.data, "--kek", d.kek, "--ready-file", d.ready)
	if code != 1 || !strings.Contains(errs, "stop the other scsd first") {
		t.Errorf("got %d, %s", code, errs)
	}
	if _, err := os.Stat(d.ready); err != nil {
		t.Error(err)
	}
}

// TestStopBeforeReady: being told to stop is no failure, however early.
func TestStopBeforeReady(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, kek := filepath.Join(dir, "data"), filepath.Join(dir, "kek")
	if code, _, errs := scsd(t, "init", "--data", data, "--kek", kek); code != 0 {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs locked
	code := run(ctx, []string{
		"run", "--data", data, "--kek", kek, "--hello-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--metrics-addr", "",
	}, &out, &errs)
	if code != 0 {
		t.Errorf("got %d, %s", code, errs.String())
	}
}

func TestMetricsServerIsBounded(t *testing.T) {
	t.Parallel()
	h := metricsServer(prometheus.NewRegistry())
	if h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 || h.MaxHeaderBytes <= 0 {
		t.Errorf("a bound is missing: %+v", h)
	}
}
