package rpc

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

const (
	// watchPart is how many events are read at a time.
	watchPart = 500
	// watchPace keeps a watch from reading the log for every commit of a burst.
	watchPace = 10 * time.Millisecond
)

// watching is one Watch under way. It holds nothing between two reads of the
// log but a sequence: a reader that is slow is only behind.
type watching struct {
	*provisioningService
	stream grpc.ServerStreamingServer[scsv1.WatchResponse]
	filter provisioning.EventFilter // what the log selects by itself
	uuids  []amt.UUID
	types  []string
	state  provisioning.State
	after  uint64
	told   uint64    // the sequence of the last message
	toldAt time.Time // when that was
}

// Watch implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) Watch(req *scsv1.WatchRequest, stream grpc.ServerStreamingServer[scsv1.WatchResponse]) error {
	ctx := stream.Context()
	w := &watching{provisioningService: s, stream: stream, types: req.GetTypes()}
	v := &violations{}
	v.between("uuids", int64(len(req.GetUuids())), 0, maxPage)
	v.between("types", int64(len(req.GetTypes())), 0, maxPage)
	for i, u := range req.GetUuids() {
		w.uuids = append(w.uuids, v.uuid("uuids["+strconv.Itoa(i)+"]", u))
	}
	w.state = provisioning.State(known(v, "state", req.GetState(), scsv1.WorkflowState_name))
	if err := v.err(); err != nil {
		return err
	}
	if len(w.uuids) == 1 {
		w.filter.UUID = w.uuids[0]
	}
	leave, err := s.enter(of(ctx).user.Name)
	if err != nil {
		return err
	}
	defer leave()
	if err := w.begin(ctx, req.AfterSequence); err != nil {
		return err
	}
	return w.run(ctx)
}

// enter counts the watches of a user.
func (s *Server) enter(user string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[user] >= MaxWatches {
		return nil, errWatches
	}
	s.watches[user]++
	return func() { s.leave(s.watches, user) }, nil
}

// begin finds the start and tells it.
func (w *watching) begin(ctx context.Context, after *uint64) error {
	oldest, last, err := w.cfg.Engine.EventBounds(ctx)
	if err != nil {
		return err
	}
	w.after = last
	if after != nil {
		w.after = *after
	}
	if w.after > last {
		return &detailed{errAhead, bounds(oldest, last)}
	}
	if w.after+1 < oldest {
		return &detailed{provisioning.ErrEventsGone, bounds(oldest, last)}
	}
	return w.tell(nil)
}

func bounds(oldest, last uint64) map[string]string {
	return map[string]string{
		"oldest_sequence":   strconv.FormatUint(oldest, 10),
		"snapshot_sequence": strconv.FormatUint(last, 10),
	}
}

func (w *watching) tell(e *scsv1.Event) error {
	w.told, w.toldAt = w.after, w.cfg.Now()
	return w.stream.Send(&scsv1.WatchResponse{Event: e, Sequence: w.after})
}

func (w *watching) run(ctx context.Context) error {
	sign := time.NewTicker(w.cfg.SignOfLife)
	defer sign.Stop()
	for {
		changed := w.cfg.Engine.Changed(ctx)
		if err := w.recheck(ctx, of(ctx)); err != nil {
			return err
		}
		more, err := w.read(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-changed:
			if err := w.pause(ctx); err != nil {
				return err
			}
		case <-sign.C:
			if err := w.tell(nil); err != nil {
				return err
			}
		case <-w.stopping:
			return errStopping
		}
		if err := w.stopped(ctx); err != nil {
			return err
		}
	}
}

func (w *watching) pause(ctx context.Context) error {
	select {
	case <-time.After(watchPace):
		return nil
	case <-w.stopping:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read sends what the log has next and says whether there may be more.
func (w *watching) read(ctx context.Context) (more bool, err error) {
	events, scanned, err := w.cfg.Engine.Events(ctx, w.after, w.filter, watchPart)
	if errors.Is(err, provisioning.ErrEventsGone) {
		oldest, last, e := w.cfg.Engine.EventBounds(ctx)
		if e != nil {
			return false, e
		}
		return false, &detailed{err, bounds(oldest, last)}
	}
	if err != nil {
		return false, err
	}
	for _, e := range events {
		w.after = e.Sequence
		if !w.selects(e) {
			continue
		}
		if err := w.tell(eventMessage(e)); err != nil {
			return false, err
		}
	}
	more = scanned > w.after || len(events) == watchPart
	w.after = max(w.after, scanned)
	return more, w.stopped(ctx)
}

func (w *watching) selects(e provisioning.Event) bool {
	switch {
	case len(w.uuids) > 0 && !slices.Contains(w.uuids, e.UUID):
		return false
	case len(w.types) > 0 && !slices.Contains(w.types, string(e.Type)):
		return false
	}
	return w.state == 0 || e.State == w.state
}
