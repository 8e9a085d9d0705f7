package rpc

import (
	"context"
	"strings"
	"time"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// maxBatchReason leaves room for the names of all fields of a batch in an entry of
// the audit log.
const maxBatchReason = 900

// UpdateBatch implements scsv1.KeyServiceServer.
func (s *keyService) UpdateBatch(ctx context.Context, req *scsv1.UpdateBatchRequest) (*scsv1.UpdateBatchResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	v.text("profile", req.GetProfile(), maxText)
	v.text("vendor", req.GetVendor(), maxText)
	v.text("order_number", req.GetOrderNumber(), maxText)
	v.text("notes", req.GetNotes(), maxNotes)
	v.batchReason(req)
	password := v.currentPassword("current_password", req.GetCurrentPassword())
	expires := v.moment("expire_time", req.GetExpireTime())
	if req.GetNeverExpires() && req.GetExpireTime() != nil {
		v.add("never_expires", "expire_time is set")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if p := req.GetProfile(); p != "" {
		if _, err := s.cfg.Engine.Profile(ctx, p); err != nil {
			return nil, err
		}
	}
	of(ctx).object = name
	var m *scsv1.Batch
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		b, err := s.cfg.Keys.Batch(tx, name)
		if err != nil {
			return err
		}
		next := updated(b, req, expires)
		of(ctx).reason = withReason(batchChanges(b, next, req), req.GetReason())
		if err := s.cfg.Keys.UpdateBatch(tx, next); err != nil {
			return err
		}
		if req.CurrentPassword != nil {
			if err := s.cfg.Keys.SetBatchPassword(tx, name, password); err != nil {
				return err
			}
		}
		if b, err = s.cfg.Keys.Batch(tx, name); err != nil {
			return err
		}
		m = batchMessage(b, s.cfg.Now())
		return s.done(ctx, tx)
	})
	return &scsv1.UpdateBatchResponse{Batch: m}, err
}

// updated is the batch with the fields that the request sets. An expiry in the past
// is one that has effect at once.
func updated(b keystore.Batch, req *scsv1.UpdateBatchRequest, expires time.Time) keystore.Batch {
	for _, f := range []struct{ to, from *string }{
		{&b.Profile, req.Profile}, {&b.Vendor, req.Vendor}, {&b.OrderNumber, req.OrderNumber}, {&b.Notes, req.Notes},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if req.GetNeverExpires() || !expires.IsZero() {
		b.ExpiresAt = expires
	}
	return b
}

// batchReason must be there where a password, which nobody can read back, is set
// or removed. The audit log has the names of the changed fields before it.
func (v *violations) batchReason(req *scsv1.UpdateBatchRequest) {
	if req.CurrentPassword != nil && strings.TrimSpace(req.GetReason()) == "" {
		v.needReason(req.GetReason())
	}
	v.text("reason", req.GetReason(), maxBatchReason)
}

// batchChanges names, for the audit log and without their values, the fields that
// an update changes. Whether a password is the one that was there is not told.
func batchChanges(b, next keystore.Batch, req *scsv1.UpdateBatchRequest) string {
	var fields []string
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"profile", b.Profile != next.Profile},
		{"vendor", b.Vendor != next.Vendor},
		{"order number", b.OrderNumber != next.OrderNumber},
		{"notes", b.Notes != next.Notes},
		{"expiry", !b.ExpiresAt.Equal(next.ExpiresAt)},
		{"current password", req.GetCurrentPassword() != ""},
		{"current password (removed)", req.CurrentPassword != nil && req.GetCurrentPassword() == ""},
	} {
		if f.changed {
			fields = append(fields, f.name)
		}
	}
	if fields == nil {
		return "changes nothing"
	}
	return "changes " + strings.Join(fields, ", ")
}

// withReason puts the caller's reason behind what is told by itself.
func withReason(told, reason string) string {
	if reason == "" {
		return told
	}
	return told + ": " + reason
}

// RetireBatch implements scsv1.KeyServiceServer. The mark alone, which is audited
// with it, keeps every unused pair from being claimed; moving the pairs follows,
// and what a crash leaves of that, the next call does.
func (s *keyService) RetireBatch(ctx context.Context, req *scsv1.RetireBatchRequest) (*scsv1.RetireBatchResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	v.reason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = name
	move := s.move(ctx)
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		if err := s.cfg.Keys.RetireBatch(tx, name, move); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	n, err := s.cfg.Keys.RetireUnused(ctx, s.cfg.Store, name, move)
	if err != nil {
		return nil, err
	}
	b, err := s.batch(ctx, name)
	return &scsv1.RetireBatchResponse{Batch: b, Retired: int64(n)}, err
}
