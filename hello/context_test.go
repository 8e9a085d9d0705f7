package hello

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestHandling(t *testing.T) {
	t.Parallel()
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	defer cancel()

	seen := newHandling(parent, time.Hour)
	if at, ok := seen.Deadline(); !ok || time.Until(at) < 59*time.Minute {
		t.Errorf("deadline %v, %v", at, ok)
	}
	if seen.Value(key{}) != "v" || seen.Err() != nil {
		t.Errorf("value %v, error %v before its end", seen.Value(key{}), seen.Err())
	}
	child, stop := context.WithCancel(seen)
	defer stop()
	seen.end()
	seen.end()
	<-child.Done()
	if !errors.Is(seen.Err(), context.Canceled) {
		t.Errorf("after its end: %v", seen.Err())
	}

	unseen := newHandling(parent, time.Hour)
	unseen.end()
	<-unseen.Done()
	if !errors.Is(unseen.Err(), context.Canceled) {
		t.Errorf("unseen, after its end: %v", unseen.Err())
	}

	late := newHandling(parent, time.Nanosecond)
	defer late.end()
	<-late.Done()
	if !errors.Is(late.Err(), context.DeadlineExceeded) {
		t.Errorf("after its deadline: %v", late.Err())
	}

	orphan := newHandling(parent, time.Hour)
	defer orphan.end()
	done := orphan.Done()
	cancel()
	<-done
	if !errors.Is(orphan.Err(), context.Canceled) {
		t.Errorf("after its parent's end: %v", orphan.Err())
	}
}
