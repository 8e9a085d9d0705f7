package provisioning

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// quiet is an engine over an empty store that does not run.
func quiet(t *testing.T, tune func(*Config)) (*Engine, *keystore.Store) {
	t.Helper()
	sealer := sealtest.New(t)
	keys := keystore.New(sealer)
	c := Config{Store: bolttest.New(t), Sealer: sealer, Keys: keys, Issuer: issuer{}, OwnAddresses: systemAddresses}
	if tune != nil {
		tune(&c)
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e, keys
}

// put stores n events of a device, one transaction each.
func (e *Engine) put(t *testing.T, n int, uuid amt.UUID) {
	t.Helper()
	for range n {
		err := e.cfg.Store.Update(t.Context(), func(tx kv.Tx) error {
			return appendEvents(tx, e.cfg.Now(), &pb.Event{Type: "Test", Uuid: uuid[:]})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	a, b := randomUUID(), randomUUID()
	for range 5 {
		e.put(t, 1, a)
		e.put(t, 2, b)
	}
	tests := []struct {
		after   uint64
		f       EventFilter
		limit   int
		want    string
		scanned uint64
	}{
		{0, EventFilter{}, 4, "1 2 3 4", 4},
		{4, EventFilter{}, 0, "5 6 7 8 9 10 11 12 13 14 15", 15},
		{15, EventFilter{}, 0, "", 15},
		{99, EventFilter{}, 0, "", 99},
		{0, EventFilter{UUID: a}, 3, "1 4 7", 7},
		{7, EventFilter{UUID: a}, 3, "10 13", 15},
		{3, EventFilter{UUID: b}, 2, "5 6", 6},
		{0, EventFilter{UUID: randomUUID()}, 2, "", 15},
	}
	for _, tt := range tests {
		list, scanned, err := e.Events(t.Context(), tt.after, tt.f, tt.limit)
		var got []string
		for _, ev := range list {
			got = append(got, fmt.Sprint(ev.Sequence))
		}
		if err != nil || strings.Join(got, " ") != tt.want || scanned != tt.scanned {
			t.Errorf("after %d, %v: got %v, %d, %v, want %s, %d", tt.after, tt.f, got, scanned, err, tt.want, tt.scanned)
		}
	}
}

func TestPruneEvents(t *testing.T) {
	t.Parallel()
	now := noon
	e, keys := quiet(t, func(c *Config) {
		c.Now, c.Limits.Events, c.Timing.EventLife = func() time.Time { return now }, 10, 24*time.Hour
	})
	check := func(oldest, last uint64) {
		t.Helper()
		if err := e.pruneEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		o, l, err := e.EventBounds(t.Context())
		if err != nil || o != oldest || l != last {
			t.Errorf("got %d to %d, %v, want %d to %d", o, l, err, oldest, last)
		}
		if err := e.cfg.Store.View(t.Context(), func(r kv.Reader) error { return CheckInvariants(r, keys) }); err != nil {
			t.Error(err)
		}
	}
	check(1, 0)
	e.put(t, 15, randomUUID())
	check(6, 15) // ten are kept
	now = now.Add(23 * time.Hour)
	e.put(t, 2, randomUUID())
	check(8, 17)
	now = now.Add(2 * time.Hour)
	check(16, 17) // the older ones had their time
	if _, _, err := e.Events(t.Context(), 3, EventFilter{}, 0); !errors.Is(err, ErrEventsGone) {
		t.Errorf("behind 3: got %v, want ErrEventsGone", err)
	}
	if list, _, err := e.Events(t.Context(), 15, EventFilter{}, 0); err != nil || len(list) != 2 {
		t.Errorf("behind 15: got %d, %v", len(list), err)
	}
	now = now.Add(48 * time.Hour)
	check(18, 17) // none is kept, and no sequence comes again
	e.put(t, 1, randomUUID())
	check(18, 18)
}

// store puts a device and its workflow.
func (e *Engine) store(t *testing.T, d *pb.Device, w *pb.Workflow) {
	t.Helper()
	err := e.cfg.Store.Update(t.Context(), func(tx kv.Tx) error {
		d := proto.CloneOf(d)
		if w == nil {
			return putDevice(tx, d, noon)
		}
		return putWorkflow(tx, d, proto.CloneOf(w), noon)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(n int) amt.UUID { return amt.UUID{0: 7, 15: byte(n)} }

// storeCrowd stores twelve devices in different states.
func storeCrowd(t *testing.T, e *Engine) {
	t.Helper()
	for i := 1; i <= 12; i++ {
		u := numbered(i)
		d := &pb.Device{Uuid: u[:], Workflow: 1, Fqdn: fmt.Sprintf("PC%02d.example.com", 20-i), Profile: "p" + fmt.Sprint(i%2)}
		w := &pb.Workflow{Uuid: u[:], Number: 1, Epoch: 1, Kind: 1, State: pb.WorkflowState(1 + i%5), Status: pb.WorkflowStatus(1 + i%6)}
		e.store(t, d, w)
	}
	last := numbered(13)
	e.store(t, &pb.Device{Uuid: last[:], AssignedFqdn: "later.example.com", AssignedProfile: "p0"}, nil)
}

func TestDeviceLists(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	storeCrowd(t, e)
	tests := []struct {
		f    DeviceFilter
		want string // last bytes of the UUIDs
	}{
		{DeviceFilter{}, "1 2 3 4 5 6 7 8 9 10 11 12 13"},
		{DeviceFilter{State: Certified}, "1 6 11"},
		{DeviceFilter{Status: Waiting}, "1 7"},
		{DeviceFilter{State: Certified, Status: Waiting}, "1"},
		{DeviceFilter{State: Operational, Status: Cancelled}, ""},
		{DeviceFilter{Profile: "p0"}, "2 4 6 8 10 12 13"},
		{DeviceFilter{FQDNPrefix: "pc1"}, "10 9 8 7 6 5 4 3 2 1"},
		{DeviceFilter{FQDNPrefix: "Later"}, "13"},
		{DeviceFilter{FQDNPrefix: "pc1", State: Certified}, "6 1"},
		{DeviceFilter{FQDNPrefix: "nobody"}, ""},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 2, 5, 0} {
			var got []string
			p := Page{Size: size}
			for first := true; first || p.Token != ""; first = false {
				page, err := e.Devices(t.Context(), tt.f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range page.Devices {
					got = append(got, fmt.Sprint(d.UUID[15]))
				}
				p.Token = page.Next
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%+v by pages of %d: got %v, want %s", tt.f, size, got, tt.want)
			}
		}
	}
	if _, err := e.Devices(t.Context(), DeviceFilter{}, Page{Token: "!!"}); !errors.Is(err, ErrPageToken) {
		t.Errorf("a foreign token: got %v", err)
	}
}

func TestWorkflowLists(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	storeCrowd(t, e)
	count := func(f WorkflowFilter) int {
		t.Helper()
		list, next, err := e.Workflows(t.Context(), f, Page{})
		if err != nil || next != "" {
			t.Fatalf("%v, %q", err, next)
		}
		return len(list)
	}
	for _, tt := range []struct {
		f    WorkflowFilter
		want int
	}{
		{WorkflowFilter{}, 12},
		{WorkflowFilter{State: Certified}, 3},
		{WorkflowFilter{Status: Waiting}, 2},
		{WorkflowFilter{UUID: numbered(3)}, 1},
		{WorkflowFilter{UUID: numbered(3), State: Certified}, 0},
		{WorkflowFilter{UUID: numbered(13)}, 0},
	} {
		if got := count(tt.f); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.f, got, tt.want)
		}
	}
	for _, id := range []string{numbered(3).String(), workflowID(numbered(3), 1)} {
		if w, err := e.Workflow(t.Context(), id); err != nil || w.UUID != numbered(3) || w.ID != workflowID(numbered(3), 1) {
			t.Errorf("%s: got %+v, %v", id, w, err)
		}
	}
	for _, id := range []string{"", "x", numbered(3).String() + "/0", numbered(3).String() + "/2", numbered(13).String(), numbered(99).String()} {
		if _, err := e.Workflow(t.Context(), id); !errors.Is(err, ErrNoWorkflow) {
			t.Errorf("%q: got %v, want ErrNoWorkflow", id, err)
		}
	}
	st, err := e.Statistics(t.Context())
	if err != nil || st.Devices[Certified][Waiting] != 1 || st.Devices[0][0] != 1 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestFencing has two workers take one workflow: the first can write no more.
func TestFencing(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	u := numbered(1)
	e.store(t, &pb.Device{Uuid: u[:], Workflow: 1}, &pb.Workflow{Uuid: u[:], Number: 1, Kind: 1, Epoch: 1, State: 1, Status: 1, Step: 1})
	first, err := e.takeUp(t.Context(), u)
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	second, err := e.takeUp(t.Context(), u)
	if err != nil || second.epoch <= first.epoch {
		t.Fatalf("epochs %d and %d, %v", first.epoch, second.epoch, err)
	}
	touch := func(ed *edit) error { ed.w.Fqdn = "written.example.com"; return nil }
	if err := first.update(t.Context(), true, touch); !errors.Is(err, ErrFenced) {
		t.Errorf("the first worker: got %v, want ErrFenced", err)
	}
	if w, _ := e.Workflow(t.Context(), u.String()); w.FQDN != "" {
		t.Error("the first worker wrote")
	}
	if err := second.update(t.Context(), true, touch); err != nil {
		t.Errorf("the second worker: %v", err)
	}
	if first.finish(t.Context(), errors.New("whatever")) != (time.Time{}) {
		t.Error("a fenced worker asks for another turn")
	}
}

// TestHeld pauses a workflow under a worker: results are stored, nothing new is
// begun.
func TestHeld(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	u := numbered(1)
	e.store(t, &pb.Device{Uuid: u[:], Workflow: 1}, &pb.Workflow{Uuid: u[:], Number: 1, Kind: 1, Epoch: 1, State: 1, Status: 1, Step: 1})
	r, err := e.takeUp(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	r.at = 4
	sent := 0
	if err := r.call(t.Context(), callAddKey, nil, func() error { sent++; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Pause(t.Context(), operatorAct, u); err != nil {
		t.Fatal(err)
	}
	if err := r.call(t.Context(), callAddKey, nil, func() error { sent++; return nil }); !errors.Is(err, errHeld) || sent != 1 {
		t.Errorf("a call of a paused workflow: got %v, %d sent", err, sent)
	}
	if err := r.update(t.Context(), false, unchanged); !errors.Is(err, errHeld) {
		t.Errorf("storing results: got %v", err)
	}
	w, _ := e.Workflow(t.Context(), u.String())
	if len(w.Calls) != 1 || w.Calls[0].State != "done" || w.Status != Paused {
		t.Errorf("got %v with %+v", w.Status, w.Calls)
	}
	if r, err := e.takeUp(t.Context(), u); err != nil || r != nil {
		t.Errorf("a paused workflow was taken up: %v, %v", r, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	sealer := sealtest.New(t)
	full := Config{Store: bolttest.New(t), Sealer: sealer, Keys: keystore.New(sealer), Issuer: issuer{}}
	for _, tt := range []struct {
		field string
		take  func(*Config)
	}{
		{"Store", func(c *Config) { c.Store = nil }},
		{"Sealer", func(c *Config) { c.Sealer = nil }},
		{"Keys", func(c *Config) { c.Keys = nil }},
		{"Issuer", func(c *Config) { c.Issuer = nil }},
	} {
		c := full
		tt.take(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "Config."+tt.field) {
			t.Errorf("without %s: got %v", tt.field, err)
		}
	}
	e, err := New(full)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	if err := e.Flush(t.Context()); err != nil { // it runs now
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Error("a second Run was let in")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
