package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// fakeLog is a server whose event log is a list; it ends every stream after a
// few events, as a server does that is restarted.
type fakeLog struct {
	scsv1.UnimplementedProvisioningServiceServer
	scsv1.UnimplementedDeviceServiceServer

	devices []*scsv1.Device
	events  []*scsv1.Event
	atOnce  int // events of one stream

	mu      sync.Mutex
	started []uint64 // guarded by mu: where each Watch began
}

func (f *fakeLog) ListDevices(_ context.Context, req *scsv1.ListDevicesRequest) (*scsv1.ListDevicesResponse, error) {
	resp := &scsv1.ListDevicesResponse{Sequence: 10}
	for _, d := range f.devices {
		if d.GetState() == req.GetState() {
			resp.Devices = append(resp.Devices, d)
		}
	}
	return resp, nil
}

func (f *fakeLog) Watch(req *scsv1.WatchRequest, stream grpc.ServerStreamingServer[scsv1.WatchResponse]) error {
	f.mu.Lock()
	f.started = append(f.started, req.GetAfterSequence())
	f.mu.Unlock()
	if err := stream.Send(&scsv1.WatchResponse{Sequence: req.GetAfterSequence()}); err != nil {
		return err
	}
	n := 0
	for _, e := range f.events {
		if e.GetSequence() <= req.GetAfterSequence() {
			continue
		}
		if n == f.atOnce {
			return status.Error(codes.Unavailable, "the server is stopping")
		}
		n++
		if err := stream.Send(&scsv1.WatchResponse{Event: e, Sequence: e.GetSequence()}); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// serve starts the fake and returns an app that is connected to it.
func (f *fakeLog) serve(t *testing.T) (*app, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	ln := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	scsv1.RegisterProvisioningServiceServer(s, f)
	scsv1.RegisterDeviceServiceServer(s, f)
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	out, errs := &bytes.Buffer{}, &bytes.Buffer{}
	a := &app{stdin: strings.NewReader(""), stdout: out, stderr: errs, getenv: func(string) string { return "" }, conn: conn}
	t.Cleanup(a.close)
	return a, out, errs
}

// scsctl runs a command of an app.
func (a *app) scsctl(t *testing.T, args ...string) error {
	t.Helper()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	return root.ExecuteContext(t.Context())
}

func event(seq uint64, uuid string, state scsv1.WorkflowState) *scsv1.Event {
	return &scsv1.Event{Sequence: seq, Uuid: uuid, State: state, Type: "StateChanged"}
}

const operational = scsv1.WorkflowState_WORKFLOW_STATE_OPERATIONAL

func TestWatchGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	f := &fakeLog{atOnce: 2, devices: []*scsv1.Device{{Uuid: "a", State: operational}, {Uuid: "b", State: 1}}}
	for i, u := range []string{"x", "b", "c", "d", "e"} {
		state := operational
		if u == "x" {
			state = scsv1.WorkflowState_WORKFLOW_STATE_CERTIFIED
		}
		f.events = append(f.events, event(uint64(11+i), u, state))
	}
	a, out, errs := f.serve(t)
	if err := a.scsctl(t, "watch", "--until", "operational", "-n", "4"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "StateChanged"); got != 4 {
		t.Errorf("%d events shown, want 4: each once\n%s", got, out)
	}
	if !slices.Equal(f.started, []uint64{10, 12}) {
		t.Errorf("watches began behind %v, want 10 and 12", f.started)
	}
	if lost, back := strings.Count(errs.String(), "is lost (the server cannot be reached: the server is stopping)"), strings.Count(errs.String(), "is back"); lost != 1 || back != 1 {
		t.Errorf("%d notes that the connection is lost, %d that it is back, want one of each: %s", lost, back, errs)
	}
	if !strings.Contains(errs.String(), "4 of 4 devices are Operational") {
		t.Errorf("got %s", errs)
	}
}

func TestWatchDoesNotCountWhoLeaves(t *testing.T) {
	t.Parallel()
	w := &watcher{until: operational, want: 2, there: map[string]bool{"a": true}}
	for _, c := range []struct {
		e    *scsv1.Event
		want bool
	}{
		{event(1, "a", 1), false},
		{event(2, "b", operational), false},
		{event(3, "", operational), false},
		{event(4, "c", 0), false},
		{event(5, "a", operational), true},
	} {
		if got := w.count(c.e); got != c.want {
			t.Errorf("%v: got %t", c.e, got)
		}
	}
}

func TestWatchIsThereAlready(t *testing.T) {
	t.Parallel()
	f := &fakeLog{devices: []*scsv1.Device{{Uuid: "a", State: operational}}}
	a, out, _ := f.serve(t)
	if err := a.scsctl(t, "watch", "--until", "operational"); err != nil || out.Len() > 0 || len(f.started) > 0 {
		t.Errorf("got %v, %s, %v", err, out, f.started)
	}
}

func TestWatchTimeout(t *testing.T) {
	t.Parallel()
	f := &fakeLog{atOnce: 100}
	a, _, _ := f.serve(t)
	if got := explain(a.scsctl(t, "watch", "--until", "operational", "-n", "3", "--timeout", "50ms")); got.code != exitFailed || !strings.Contains(got.message, "0 of 3") {
		t.Errorf("got %+v", got)
	}
	if err := a.scsctl(t, "watch", "--timeout", "50ms"); err != nil {
		t.Errorf("a watch for a time only: %v", err)
	}
}

func TestWatchOutOfRange(t *testing.T) {
	t.Parallel()
	f := &fakeLog{}
	a, _, _ := f.serve(t)
	f.events = []*scsv1.Event{event(1, "a", 1)}
	f.atOnce = 0 // every stream ends with Unavailable at once
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := a.root()
	root.SetArgs([]string{"watch", "--after", "0"})
	if got := explain(root.ExecuteContext(ctx)); got.code == exitDone {
		t.Errorf("got %+v", got)
	}
}
