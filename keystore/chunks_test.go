package keystore

import (
	"testing"
	"time"
)

// TestAdapt: chunks grow by no more than double, shrink at once when the store
// becomes slow, recover slowly, and stay within their bounds.
func TestAdapt(t *testing.T) {
	t.Parallel()
	imp := &importer{s: New(nil), chunk: pieceLen}
	step := func(took time.Duration, low, high int) {
		t.Helper()
		before := imp.chunk
		imp.adapt(imp.chunk, took)
		if imp.chunk < low || imp.chunk > high {
			t.Errorf("behind a chunk of %d in %v: %d, want %d to %d", before, took, imp.chunk, low, high)
		}
	}
	step(time.Millisecond, 1000, 1000)
	step(2*time.Millisecond, 2000, 2000)
	step(chunkTime, 2000, 2000)
	step(10*chunkTime, 200, 200)
	step(chunkTime/10, 200, 400)
	step(time.Hour, minChunk, minChunk)
	for range 60 {
		imp.adapt(imp.chunk, 0)
	}
	if imp.chunk != maxChunk {
		t.Errorf("on a fast store the chunks have %d pairs, want %d", imp.chunk, maxChunk)
	}
	imp.s.maxChunk = 7
	step(time.Millisecond, 7, 7)
}
