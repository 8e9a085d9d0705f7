package provisioning

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Rows of the table "sequences": the last sequence given out, and the highest
// one that was pruned.
var (
	lastEvent   = []byte("events")
	prunedEvent = []byte("events_pruned")
)

// pruneBatch is the number of events that one transaction removes.
const pruneBatch = 1000

func readSequence(r kv.Reader, name []byte) (uint64, error) {
	b, err := r.Get(tableSequences, name)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("sequence %s: damaged record of %d bytes", name, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// appendEvents stores events in their order in the transaction of what they
// tell. Their sequences follow the last one, so they rise in the order of commits.
func appendEvents(tx kv.Tx, now time.Time, evs ...*pb.Event) error {
	if len(evs) == 0 {
		return nil
	}
	last, err := readSequence(tx, lastEvent)
	if err != nil {
		return err
	}
	for _, ev := range evs {
		last++
		ev.Sequence, ev.At = last, stamp(now)
		if err := events.Create(tx, number(last), ev); err != nil {
			return fmt.Errorf("storing an event: %w", err)
		}
	}
	return tx.Put(tableSequences, lastEvent, number(last))
}

// deviceEvent is an event of a device and its workflow w, which may be nil.
func deviceEvent(t EventType, d *pb.Device, w *pb.Workflow, message string) *pb.Event {
	ev := &pb.Event{Type: string(t), Uuid: d.GetUuid(), Fqdn: d.GetFqdn(), Message: message}
	if ev.Fqdn == "" {
		ev.Fqdn = d.GetAssignedFqdn()
	}
	if w != nil {
		ev.Workflow, ev.State, ev.Status = w.GetNumber(), w.GetState(), w.GetStatus()
		ev.Step, ev.Reason = shownStep(w), w.GetReason()
		if w.GetFqdn() != "" {
			ev.Fqdn = w.GetFqdn()
		}
	}
	return ev
}

func pairEvent(t EventType, d *pb.Device, w *pb.Workflow, pid amt.PID, message string) *pb.Event {
	ev := deviceEvent(t, d, w, message)
	ev.Pid = pidBytes(pid)
	return ev
}

// Events lists events behind the sequence after, at most limit (0: 100), in
// their order. scanned is the sequence up to which the log was looked at, to be
// the next after. ErrEventsGone says that some behind after are kept no longer.
func (e *Engine) Events(ctx context.Context, after uint64, f EventFilter, limit int) (list []Event, scanned uint64, err error) {
	limit = Page{Size: limit}.size()
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, scanned = nil, after
		pruned, err := readSequence(r, prunedEvent)
		if err != nil {
			return err
		}
		if after < pruned {
			return ErrEventsGone
		}
		last, err := readSequence(r, lastEvent)
		if err != nil {
			return err
		}
		add := func(m *pb.Event) {
			list = append(list, eventOf(m))
			scanned = m.GetSequence()
		}
		if f.UUID == (amt.UUID{}) {
			err = events.Scan(r, kv.Range{From: number(after + 1), Limit: limit}, func(_ []byte, m *pb.Event) error {
				add(m)
				return nil
			})
		} else {
			rg := kv.IndexKey(f.UUID[:])
			rg.From, rg.Limit = append(rg.From, number(after+1)...), limit
			err = events.ScanIndex(r, tableEventsByDevice, rg, func(_, _ []byte, m *pb.Event) error {
				add(m)
				return nil
			})
		}
		if err == nil && len(list) < limit && last > scanned {
			scanned = last
		}
		return err
	})
	if err != nil {
		return nil, after, fmt.Errorf("listing events behind %d: %w", after, err)
	}
	return list, scanned, nil
}

// EventBounds returns the sequences of the oldest kept event and of the last
// one; oldest is last+1 when none is kept.
func (e *Engine) EventBounds(ctx context.Context) (oldest, last uint64, err error) {
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		pruned, err := readSequence(r, prunedEvent)
		if err != nil {
			return err
		}
		oldest = pruned + 1
		last, err = readSequence(r, lastEvent)
		return err
	})
	return oldest, last, err
}

// Changed is kv.Store's: ask for it, read, then wait.
func (e *Engine) Changed(ctx context.Context) <-chan struct{} { return e.cfg.Store.Changed(ctx) }

// pruneEvents removes what is older than Timing.EventLife or more than
// Limits.Events, a batch to a transaction, until nothing is left to remove.
func (e *Engine) pruneEvents(ctx context.Context) error {
	for {
		removed := 0
		err := e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
			var err error
			removed, err = e.pruneSome(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("pruning events: %w", err)
		}
		if removed < pruneBatch {
			return nil
		}
	}
}

func (e *Engine) pruneSome(tx kv.Tx) (int, error) {
	last, err := readSequence(tx, lastEvent)
	if err != nil {
		return 0, err
	}
	horizon := e.cfg.Now().Add(-e.cfg.Timing.EventLife)
	var gone []uint64
	err = events.Scan(tx, kv.Range{Limit: pruneBatch}, func(_ []byte, m *pb.Event) error {
		if m.GetSequence()+e.cfg.Limits.Events > last && !instant(m.GetAt()).Before(horizon) {
			return kv.ErrStop
		}
		gone = append(gone, m.GetSequence())
		return nil
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	for _, seq := range gone {
		if err := events.Delete(tx, number(seq)); err != nil {
			return 0, err
		}
	}
	return len(gone), tx.Put(tableSequences, prunedEvent, number(gone[len(gone)-1]))
}

func eventOf(m *pb.Event) Event {
	ev := Event{
		Sequence: m.GetSequence(), At: instant(m.GetAt()), Type: EventType(m.GetType()), UUID: uuidOf(m.GetUuid()),
		FQDN: m.GetFqdn(), PID: pidOf(m.GetPid()), State: State(m.GetState()), Status: Status(m.GetStatus()),
		Step: m.GetStep(), Reason: Reason(m.GetReason()), Message: m.GetMessage(), Who: m.GetWho(),
	}
	if m.GetWorkflow() != 0 {
		ev.Workflow = workflowID(ev.UUID, m.GetWorkflow())
	}
	return ev
}
