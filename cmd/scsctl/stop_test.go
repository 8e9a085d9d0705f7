package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestBounded ends a program behind a signal even when it waits for something
// that knows no context.
func TestBounded(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	if got := bounded(t.Context(), time.Minute, &errs, func() int { return exitPartly }); got != exitPartly || errs.Len() > 0 {
		t.Errorf("got %d, %s", got, errs.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := bounded(ctx, time.Minute, &errs, func() int { return exitNotFound }); got != exitNotFound || errs.Len() > 0 {
		t.Errorf("got %d, %s, want the program's own end", got, errs.String())
	}
	never := make(chan struct{})
	defer close(never)
	got := bounded(ctx, time.Millisecond, &errs, func() int { <-never; return exitDone })
	if got != exitFailed || errs.String() != "scsctl: error: interrupted\n" {
		t.Errorf("got %d, %s", got, errs.String())
	}
}

func TestInterruptible(t *testing.T) {
	t.Parallel()
	b, err := io.ReadAll(interruptible{t.Context(), strings.NewReader("all of it")})
	if err != nil || string(b) != "all of it" {
		t.Errorf("got %q, %v", b, err)
	}
	r, w := io.Pipe() // where nothing comes
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if n, err := (interruptible{ctx, r}).Read(make([]byte, 10)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %d, %v", n, err)
	}
	a := &app{stdin: r}
	if got, err := a.askNewPassword(ctx, "x"); got != "" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
}
