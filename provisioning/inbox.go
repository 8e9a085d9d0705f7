package provisioning

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Inbox lists the inbox, the latest first.
func (e *Engine) Inbox(ctx context.Context, f InboxFilter, p Page) (rows []InboxRow, next string, err error) {
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		rows = nil
		var found []*pb.InboxRow
		var err error
		found, next, err = pageOf(r, &inbox, tableInboxByLast, kv.Range{Reverse: true}, p, func(m *pb.InboxRow) bool {
			return f.Reason == "" || f.Reason == Reason(m.GetReason())
		})
		for _, m := range found {
			rows = append(rows, inboxRowOf(m))
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing the inbox: %w", err)
	}
	return rows, next, nil
}

// Dismiss removes a row of the inbox; the next such hello makes a new one.
// Errors: ErrNoInboxRow.
func (e *Engine) Dismiss(ctx context.Context, act Act, id string) error {
	key, err := parseRowID(id)
	if err != nil {
		return err
	}
	err = e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		k := inboxKey(key.uuid, key.pid)
		if _, err := inbox.Get(tx, k); errors.Is(err, kv.ErrNotFound) {
			return ErrNoInboxRow
		} else if err != nil {
			return err
		}
		if err := inbox.Delete(tx, k); err != nil {
			return err
		}
		return act.also(tx)
	})
	if err != nil {
		return fmt.Errorf("dismissing inbox row %s: %w", id, err)
	}
	e.soft.ask(func(soft *softState, ch *changes) { soft.dropInbox(ch, key) })
	return nil
}

func (a Act) also(tx kv.Tx) error {
	if a.Also == nil {
		return nil
	}
	return a.Also(tx)
}

func inboxRowOf(m *pb.InboxRow) InboxRow {
	row := InboxRow{
		UUID: uuidOf(m.GetUuid()), PID: pidOf(m.GetPid()), Reason: Reason(m.GetReason()), Detail: m.GetDetail(),
		Peer: m.GetPeer(), Count: m.GetCount(), FirstAt: instant(m.GetFirstAt()), LastAt: instant(m.GetLastAt()), Retry: m.GetRetry(),
	}
	row.ID = rowID(rowKey{row.UUID, row.PID})
	return row
}

// rowID is the UUID and the PID's bytes in hexadecimal, because a PID may be
// anything.
func rowID(k rowKey) string { return k.uuid.String() + "/" + hex.EncodeToString(k.pid[:]) }

func parseRowID(id string) (rowKey, error) {
	unknown := fmt.Errorf("inbox row %q: %w", id, ErrNoInboxRow)
	if len(id) != 36+1+2*amt.PIDLen || id[36] != '/' {
		return rowKey{}, unknown
	}
	uuid, err := amt.ParseUUID(id[:36])
	if err != nil {
		return rowKey{}, unknown
	}
	pid, err := hex.DecodeString(id[37:])
	if err != nil {
		return rowKey{}, unknown
	}
	return rowKey{uuid, pidOf(pid)}, nil
}
