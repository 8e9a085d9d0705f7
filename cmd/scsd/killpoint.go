//go:build crashtest

package main

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/amtscs/amtscs/kv/bolt"
)

// stepHook lets crash tests strike: with AMTSCS_TEST_KILL_AT=POINT[:N] the
// process kills itself when the engine comes to POINT, such as 9-called, for the
// Nth time.
func stepHook() func(string) {
	point, count, _ := strings.Cut(os.Getenv("AMTSCS_TEST_KILL_AT"), ":")
	if point == "" {
		return nil
	}
	want := int64(1)
	if n, err := strconv.ParseInt(count, 10, 64); err == nil {
		want = n
	}
	var seen atomic.Int64
	return func(step string) {
		if step == point && seen.Add(1) == want {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// storeOptions lets the power-loss test run a store that loses what it was told to
// keep: with AMTSCS_TEST_NOSYNC=1 nothing is synced.
func storeOptions() bolt.Options {
	return bolt.Options{NoSync: os.Getenv("AMTSCS_TEST_NOSYNC") == "1"}
}
