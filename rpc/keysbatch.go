package rpc

import (
	"context"
	"time"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// UpdateBatch implements scsv1.KeyServiceServer.
func (s *keyService) UpdateBatch(ctx context.Context, req *scsv1.UpdateBatchRequest) (*scsv1.UpdateBatchResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	v.text("profile", req.GetProfile(), maxText)
	v.text("vendor", req.GetVendor(), maxText)
	v.text("order_number", req.GetOrderNumber(), maxText)
	v.text("notes", req.GetNotes(), maxNotes)
	v.reason(req.GetReason())
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
		if err := s.cfg.Keys.UpdateBatch(tx, updated(b, req, expires)); err != nil {
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
