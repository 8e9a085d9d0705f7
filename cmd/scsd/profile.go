//go:build benchprofile

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// profile lets measurements look inside: with AMTSCS_BENCH_PROFILES=DIR the
// process writes there, at its end, where its processor time went (cpu), what it
// allocated (allocs) and which goroutines were left (goroutines).
func profile() (end func()) {
	dir := os.Getenv("AMTSCS_BENCH_PROFILES")
	if dir == "" {
		return func() {}
	}
	w, err := os.Create(filepath.Join(dir, "cpu"))
	if err == nil {
		err = pprof.StartCPUProfile(w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scsd: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = w.Close()
		runtime.GC()
		for name, file := range map[string]string{"allocs": "allocs", "goroutine": "goroutines"} {
			if w, err := os.Create(filepath.Join(dir, file)); err == nil {
				_ = pprof.Lookup(name).WriteTo(w, 0)
				_ = w.Close()
			}
		}
	}
}
