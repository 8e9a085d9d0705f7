package rpc

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

// assign makes an event: a device gets a name.
func (w *world) assign(n int) amt.UUID {
	w.t.Helper()
	u := amt.UUID{0x88, 15: byte(n % 200), 14: byte(n / 200)}
	_, err := w.engine.Assign(w.t.Context(), provisioning.Act{Who: "test"}, u, provisioning.Assignment{FQDN: fmt.Sprintf("pc%d.example.com", n)})
	w.ok(err)
	return u
}

// next receives until an event comes.
func next(t *testing.T, s grpc.ServerStreamingClient[scsv1.WatchResponse]) *scsv1.Event {
	t.Helper()
	for {
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() != nil {
			if m.GetSequence() != m.GetEvent().GetSequence() {
				t.Errorf("got %v", m)
			}
			return m.GetEvent()
		}
	}
}

func TestWatchFromNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	w.assign(1)
	s, err := c.Watch(t.Context(), &scsv1.WatchRequest{})
	w.ok(err)
	first, err := s.Recv()
	w.ok(err)
	if first.GetEvent() != nil || first.GetSequence() == 0 {
		t.Errorf("the first message is %v", first)
	}
	u := w.assign(2)
	e := next(t, s)
	if e.GetUuid() != u.String() || e.GetType() != "DeviceAssigned" || e.GetWho() != "test" || e.GetSequence() <= first.GetSequence() {
		t.Errorf("got %v", e)
	}
	sign, err := s.Recv()
	if err != nil || sign.GetEvent() != nil || sign.GetSequence() < e.GetSequence() {
		t.Errorf("no sign of life: %v, %v", sign, err)
	}
}

func TestWatchFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	var all []string
	for i := range 4 {
		all = append(all, w.assign(i+1).String())
	}
	start := uint64(0)
	for _, r := range []struct {
		req  *scsv1.WatchRequest
		want string
	}{
		{&scsv1.WatchRequest{AfterSequence: &start}, all[0]},
		{&scsv1.WatchRequest{AfterSequence: &start, Uuids: all[2:3]}, all[2]},
		{&scsv1.WatchRequest{AfterSequence: &start, Uuids: all[1:3]}, all[1]},
		{&scsv1.WatchRequest{AfterSequence: &start, Uuids: all[3:], Types: []string{"DeviceAssigned"}}, all[3]},
	} {
		s, err := c.Watch(t.Context(), r.req)
		w.ok(err)
		if e := next(t, s); e.GetUuid() != r.want {
			t.Errorf("%v: got %v, want %s", r.req, e, r.want)
		}
	}
	s, err := c.Watch(t.Context(), &scsv1.WatchRequest{AfterSequence: &start, Types: []string{"Nothing"}})
	w.ok(err)
	for range 3 {
		m, err := s.Recv()
		if err != nil || m.GetEvent() != nil {
			t.Errorf("got %v, %v", m, err)
		}
	}
}

func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	w.assign(1)
	recv := func(req *scsv1.WatchRequest) error {
		s, err := c.Watch(t.Context(), req)
		w.ok(err)
		for {
			if _, err := s.Recv(); err != nil {
				return err
			}
		}
	}
	ahead := uint64(1 << 40)
	info := refused(t, recv(&scsv1.WatchRequest{AfterSequence: &ahead}), codes.OutOfRange, "EventsAhead")
	if info.GetMetadata()["snapshot_sequence"] == "" {
		t.Errorf("got %v", info)
	}
	err := recv(&scsv1.WatchRequest{Uuids: []string{"88000000-0000-0000-0000-000000000001", "x"}, State: 77})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	if got := fmt.Sprint(fields(err)); got != "[uuids[1] state]" {
		t.Errorf("got %s", got)
	}
}

// TestWatchBehindTheOldest has the engine prune its log: what is gone must be told.
func TestWatchBehindTheOldest(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, provisioning.Config{
		Limits: provisioning.Limits{Events: 3}, Timing: provisioning.Timing{Prune: 10 * time.Millisecond},
	})
	for i := range 5 {
		w.assign(i + 1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx) }()
	var oldest, last uint64
	eventually(t, "events are pruned", func() bool {
		var err error
		oldest, last, err = w.engine.EventBounds(t.Context())
		w.ok(err)
		return oldest > 1
	})
	cancel()
	w.ok(<-done)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	start := uint64(0)
	s, err := c.Watch(t.Context(), &scsv1.WatchRequest{AfterSequence: &start})
	w.ok(err)
	_, err = s.Recv()
	info := refused(t, err, codes.OutOfRange, "EventsGone")
	if m := info.GetMetadata(); m["oldest_sequence"] != fmt.Sprint(oldest) || m["snapshot_sequence"] != fmt.Sprint(last) {
		t.Errorf("got %v", m)
	}
	list, err := c.ListEvents(t.Context(), &scsv1.ListEventsRequest{})
	if err != nil || len(list.GetEvents()) != int(last-oldest+1) {
		t.Errorf("a list shows what is kept: got %d, %v", len(list.GetEvents()), err)
	}
}

// TestSlowReaderLosesNothing leaves one stream unread while many events come,
// which must hold nobody up, and then reads every one of them.
func TestSlowReaderLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	start := uint64(0)
	slow, err := c.Watch(t.Context(), &scsv1.WatchRequest{AfterSequence: &start})
	w.ok(err)
	quick, err := c.Watch(t.Context(), &scsv1.WatchRequest{AfterSequence: &start})
	w.ok(err)
	const events = 1500 // more than the stream's window holds
	for i := range events {
		w.assign(i)
	}
	for _, s := range []grpc.ServerStreamingClient[scsv1.WatchResponse]{quick, slow} {
		last := uint64(0)
		for i := range events {
			e := next(t, s)
			if want := fmt.Sprintf("pc%d.example.com", i); e.GetFqdn() != want || e.GetSequence() <= last {
				t.Fatalf("event %d: got %v behind %d, want %s", i, e, last, want)
			}
			last = e.GetSequence()
		}
	}
}

func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	ctx, cancel := context.WithCancel(t.Context())
	for range MaxWatches {
		s, err := c.Watch(ctx, &scsv1.WatchRequest{})
		w.ok(err)
		_, err = s.Recv()
		w.ok(err)
	}
	s, err := c.Watch(t.Context(), &scsv1.WatchRequest{})
	w.ok(err)
	_, err = s.Recv()
	refused(t, err, codes.ResourceExhausted, "TooManyWatches")
	cancel()
	eventually(t, "the ended watches are not counted", func() bool {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		return len(w.server.watches) == 0
	})
}

func TestStopEndsWatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProvisioningServiceClient(w.user("desk", access.Desk))
	s, err := c.Watch(t.Context(), &scsv1.WatchRequest{})
	w.ok(err)
	_, err = s.Recv()
	w.ok(err)
	w.server.Stop(t.Context())
	for err == nil {
		_, err = s.Recv()
	}
	refused(t, err, codes.Unavailable, "ServerStopping")
}
