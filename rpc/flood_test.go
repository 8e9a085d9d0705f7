package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// TestCallsAreBounded opens as many calls as one user may have, on several
// connections. One more is refused, and leaves nothing in the audit log.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.enrol("buyer", access.Procurement)
	other := scsv1.NewUserServiceClient(w.user("desk", access.Desk))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range MaxCalls / MaxStreams {
		c := scsv1.NewKeyServiceClient(w.connect(buyer))
		for range MaxStreams {
			_, err := c.ImportKeys(ctx)
			w.ok(err)
		}
	}
	open := func() int {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		return w.server.calls["buyer"]
	}
	eventually(t, "all calls have begun", func() bool { return open() == MaxCalls })
	before := len(w.entries())
	more := w.connect(buyer)
	_, err := scsv1.NewKeyServiceClient(more).GenerateKeys(t.Context(), &scsv1.GenerateKeysRequest{}) // not for this role
	refused(t, err, codes.ResourceExhausted, "TooManyCalls")
	_, err = scsv1.NewUserServiceClient(more).WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
	refused(t, err, codes.ResourceExhausted, "TooManyCalls")
	if n := len(w.entries()); n != before {
		t.Errorf("%d audit entries, want %d", n, before)
	}
	_, err = other.WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
	w.ok(err)
	cancel()
	eventually(t, "the ended calls are not counted", func() bool { return open() == 0 })
	_, err = scsv1.NewUserServiceClient(more).WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
	w.ok(err)
}

// TestClipKeepsCharactersWhole: a status that is not UTF-8 is never sent.
func TestClipKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for shift := range 4 {
		for _, char := range []string{"a", "é", "€", "\U0001F511"} {
			s := strings.Repeat("a", shift) + strings.Repeat(char, 400)
			got := clip(s)
			if !utf8.ValidString(got) || len(got) > 303 || len(got) < 299 || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
				t.Errorf("%q after %d: got %d bytes, %q", char, shift, len(got), got)
			}
		}
	}
	if got := clip(strings.Repeat("\x80", 400)); len(got) > 303 {
		t.Errorf("got %d bytes", len(got))
	}
	w := newWorld(t)
	_, err := scsv1.NewDeviceServiceClient(w.user("desk", access.Desk)).
		ListDevices(t.Context(), &scsv1.ListDevicesRequest{PageToken: strings.Repeat("é", 400)})
	refused(t, err, codes.InvalidArgument, "BadPageToken")
}

// TestStoreThatTakesNoWrites tells why, and not where the store is.
func TestStoreThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	s := newWorld(t).server
	for _, c := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{syscall.ENOSPC, codes.ResourceExhausted, "StoreFull"},
		{syscall.EDQUOT, codes.ResourceExhausted, "StoreFull"},
		{syscall.EFBIG, codes.ResourceExhausted, "StoreFull"},
		{fmt.Errorf("%w: %w", kv.ErrFailed, syscall.EIO), codes.Unavailable, "StoreFailed"},
	} {
		st := s.statusOf(&call{}, fmt.Errorf("committing to store /srv/place: %w", errors.Join(c.err)))
		refused(t, st.Err(), c.code, c.reason)
		if strings.Contains(st.Message(), "place") {
			t.Errorf("got %q", st.Message())
		}
	}
}
