package rpc

import (
	"context"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

type keyService struct {
	scsv1.UnimplementedKeyServiceServer
	*Server
}

var _ scsv1.KeyServiceServer = (*keyService)(nil)

// move is who moves a pair, why and when.
func (s *Server) move(ctx context.Context) keystore.Move {
	c := of(ctx)
	return keystore.Move{Who: c.user.Name, Why: c.reason, At: s.cfg.Now()}
}

// GetKey implements scsv1.KeyServiceServer.
func (s *keyService) GetKey(ctx context.Context, req *scsv1.GetKeyRequest) (*scsv1.GetKeyResponse, error) {
	v := &violations{}
	pid := v.pid("pid", req.GetPid())
	if err := v.err(); err != nil {
		return nil, err
	}
	var resp *scsv1.GetKeyResponse
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		k, err := s.cfg.Keys.Get(r, pid)
		if err != nil {
			return err
		}
		history, dropped, err := s.cfg.Keys.History(r, pid)
		if err != nil {
			return err
		}
		resp = &scsv1.GetKeyResponse{Key: keyMessage(k), History: each(history, changeMessage), Dropped: int64(dropped)}
		return nil
	})
	return resp, err
}

// GetBatch implements scsv1.KeyServiceServer.
func (s *keyService) GetBatch(ctx context.Context, req *scsv1.GetBatchRequest) (*scsv1.GetBatchResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	b, err := s.batch(ctx, name)
	return &scsv1.GetBatchResponse{Batch: b}, err
}

func (s *keyService) batch(ctx context.Context, name string) (*scsv1.Batch, error) {
	var m *scsv1.Batch
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		b, err := s.cfg.Keys.Batch(r, name)
		m = batchMessage(b, s.cfg.Now())
		return err
	})
	return m, err
}

// ListBatches implements scsv1.KeyServiceServer.
func (s *keyService) ListBatches(ctx context.Context, req *scsv1.ListBatchesRequest) (*scsv1.ListBatchesResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListBatchesResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next, err := s.cfg.Keys.Batches(r, keystore.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
		resp.Batches, resp.NextPageToken = each(list, func(b keystore.Batch) *scsv1.Batch { return batchMessage(b, s.cfg.Now()) }), next
		return err
	})
	return resp, err
}

// RevokeKey implements scsv1.KeyServiceServer.
func (s *keyService) RevokeKey(ctx context.Context, req *scsv1.RevokeKeyRequest) (*scsv1.RevokeKeyResponse, error) {
	v := &violations{}
	pid := v.pid("pid", req.GetPid())
	v.reason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	k, err := s.correct(ctx, pid, func(tx kv.Tx) error { return s.cfg.Keys.Revoke(tx, pid, s.move(ctx)) })
	return &scsv1.RevokeKeyResponse{Key: k}, err
}

// RevealKey implements scsv1.KeyServiceServer. The secrets leave only after
// their audit entry is on disk.
func (s *keyService) RevealKey(ctx context.Context, req *scsv1.RevealKeyRequest) (*scsv1.RevealKeyResponse, error) {
	v := &violations{}
	pid := v.pid("pid", req.GetPid())
	v.needReason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = pid.String()
	var k keystore.Key
	var secrets keystore.Secrets
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		var err error
		if k, err = s.cfg.Keys.Get(tx, pid); err != nil {
			return err
		}
		if secrets, err = s.cfg.Keys.Secrets(tx, pid); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.RevealKeyResponse{
		Key: keyMessage(k), Pps: amt.RevealPPS(secrets.PPS),
		CurrentPassword: string(secrets.CurrentPassword.Reveal()), NewPassword: string(secrets.NewPassword.Reveal()),
		PreviousPassword: string(secrets.PreviousPassword.Reveal()),
	}, nil
}
