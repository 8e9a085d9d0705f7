package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// watcher follows the event log until as many devices as wanted are in a state.
type watcher struct {
	app   *app
	req   scsv1.WatchRequest
	until scsv1.WorkflowState
	want  int
	there map[string]bool // UUIDs of the devices in that state
	away  bool            // the connection is lost, and this was said
}

// errReached ends a watch with success.
var errReached = errors.New("reached")

func (a *app) watch() *cobra.Command {
	w := &watcher{app: a}
	var after int64
	var timeout time.Duration
	c := &cobra.Command{
		Use: "watch [--until STATE -n N]", Short: "Follow what happens, as it happens", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("after") {
				if after < 0 {
					return usage("--after %d: want 0 or more", after)
				}
				seq := uint64(after)
				w.req.AfterSequence = &seq
			}
			if w.want < 1 {
				return usage("-n %d: want 1 or more", w.want)
			}
			for i, given := range w.req.GetTypes() {
				var err error
				if w.req.Types[i], err = valueOf("type", given, eventTypes); err != nil {
					return err
				}
			}
			ctx := c.Context()
			if timeout > 0 {
				// Not a deadline: gRPC would tell it to the server, which then is first
				// to end the stream, with an error of its own.
				timed, cancel := context.WithCancelCause(ctx)
				defer time.AfterFunc(timeout, func() { cancel(errTimeout) }).Stop()
				defer cancel(nil)
				ctx = timed
			}
			return a.stream(ctx, w.run)
		},
	}
	f := c.Flags()
	f.Var(&enumFlag[scsv1.WorkflowState]{&w.until, "state"}, "until", "end once -n devices are in this state, those that are already counted")
	f.IntVarP(&w.want, "count", "n", 1, "how many devices --until waits for")
	f.DurationVar(&timeout, "timeout", 0, "end after this time (default: never): with exit status 1 if --until is given and not reached, else with 0")
	f.Int64Var(&after, "after", 0, "begin behind this sequence of the event log (default: now)")
	f.StringSliceVar(&w.req.Uuids, "uuid", nil, "only events of these devices")
	f.StringSliceVar(&w.req.Types, "type", nil, "only events of these types: "+strings.Join(eventTypes, ", "))
	return c
}

var errTimeout = errors.New("the time is over")

// run watches, and begins again where it was when the server goes away.
func (w *watcher) run(ctx context.Context, conn *grpc.ClientConn) error {
	if w.until != 0 {
		if err := w.snapshot(ctx, conn); err != nil {
			return w.ended(ctx, err)
		}
		if len(w.there) >= w.want {
			return w.tell()
		}
	}
	for pause := time.Second / 4; ; pause = min(2*pause, 5*time.Second) {
		seen := w.req.AfterSequence
		err := w.follow(ctx, conn)
		w.lost(ctx, err)
		if errors.Is(err, errReached) {
			return w.tell()
		}
		if status.Code(err) != codes.Unavailable || w.req.AfterSequence == nil || ctx.Err() != nil {
			return w.ended(ctx, err)
		}
		if seen == nil || *seen != *w.req.AfterSequence {
			pause = time.Second / 4
		}
		select {
		case <-ctx.Done():
			return w.ended(ctx, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// lost says once that the connection is gone.
func (w *watcher) lost(ctx context.Context, err error) {
	if status.Code(err) != codes.Unavailable || w.req.AfterSequence == nil || w.away || ctx.Err() != nil {
		return
	}
	w.away = true
	_, _ = fmt.Fprintf(w.app.stderr, "scsctl: note: the connection to the server is lost (%s); nothing is missed: it is tried again\n", explain(err).message)
}

// back says that it is there again.
func (w *watcher) back() {
	if w.away {
		w.away = false
		_, _ = fmt.Fprintln(w.app.stderr, "scsctl: note: the connection to the server is back")
	}
}

// snapshot counts who is there already, and makes the watch begin behind it.
func (w *watcher) snapshot(ctx context.Context, conn *grpc.ClientConn) error {
	client := scsv1.NewDeviceServiceClient(conn)
	w.there = map[string]bool{}
	req := &scsv1.ListDevicesRequest{PageSize: pageSize, State: w.until}
	for first := true; first || req.GetPageToken() != ""; first = false {
		resp, err := client.ListDevices(ctx, req)
		if err != nil {
			return err
		}
		for _, d := range resp.GetDevices() {
			if w.selects(d.GetUuid()) {
				w.there[d.GetUuid()] = true
			}
		}
		if first && w.req.AfterSequence == nil {
			seq := resp.GetSequence()
			w.req.AfterSequence = &seq
		}
		req.PageToken = resp.GetNextPageToken()
	}
	return nil
}

func (w *watcher) selects(uuid string) bool {
	if len(w.req.GetUuids()) == 0 {
		return true
	}
	for _, u := range w.req.GetUuids() {
		if u == uuid {
			return true
		}
	}
	return false
}

// follow reads one stream to its end.
func (w *watcher) follow(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := scsv1.NewProvisioningServiceClient(conn).Watch(ctx, &w.req)
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "the server ended the stream")
		}
		if err != nil {
			return err
		}
		w.back()
		seq := resp.GetSequence()
		w.req.AfterSequence = &seq
		e := resp.GetEvent()
		if e == nil {
			continue
		}
		if err := w.app.printLine(e, eventLine(e, true)); err != nil {
			return err
		}
		if w.count(e) {
			return errReached
		}
	}
}

// count keeps who is there; a device that leaves the state counts no more.
func (w *watcher) count(e *scsv1.Event) bool {
	if w.until == 0 || e.GetUuid() == "" || e.GetState() == 0 {
		return false
	}
	if e.GetState() == w.until {
		w.there[e.GetUuid()] = true
	} else {
		delete(w.there, e.GetUuid())
	}
	return len(w.there) >= w.want
}

func (w *watcher) tell() error {
	_, _ = fmt.Fprintf(w.app.stderr, "scsctl: %d of %d devices are %s\n", len(w.there), w.want, word(w.until))
	return nil
}

// ended says why a watch ended before its time.
func (w *watcher) ended(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		if w.until == 0 {
			return nil
		}
		return failed("scsctl device list shows what the others wait for; scsctl inbox list shows the PCs that say hello and are not followed"+w.inboxNote(ctx),
			"the time is over: %d of %d devices are %s", len(w.there), w.want, word(w.until))
	}
	return err
}

// inboxNote counts the inbox by reason, as far as the user may see it.
func (w *watcher) inboxNote(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	resp, err := scsv1.NewProvisioningServiceClient(w.app.conn).ListInbox(ctx, &scsv1.ListInboxRequest{PageSize: pageSize})
	if err != nil || len(resp.GetItems()) == 0 {
		return ""
	}
	count := map[string]int{}
	for _, m := range resp.GetItems() {
		count[m.GetReason()]++
	}
	var parts []string
	for _, reason := range slices.SortedFunc(maps.Keys(count), func(x, y string) int {
		return cmp.Or(cmp.Compare(count[y], count[x]), cmp.Compare(x, y))
	}) {
		parts = append(parts, fmt.Sprintf("%d %s", count[reason], reason))
	}
	more := ""
	if resp.GetNextPageToken() != "" {
		more = "at least "
	}
	return fmt.Sprintf(" (%s%s: %s)", more, plural(len(resp.GetItems()), "row"), strings.Join(parts, ", "))
}
