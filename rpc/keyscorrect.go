package rpc

import (
	"context"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// RestoreKey implements scsv1.KeyServiceServer.
func (s *keyService) RestoreKey(ctx context.Context, req *scsv1.RestoreKeyRequest) (*scsv1.RestoreKeyResponse, error) {
	v := &violations{}
	pid := v.pid("pid", req.GetPid())
	v.reason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	k, err := s.correct(ctx, pid, func(tx kv.Tx) error { return s.cfg.Keys.Restore(tx, pid, s.move(ctx)) })
	return &scsv1.RestoreKeyResponse{Key: k}, err
}

// SetKeyPassword implements scsv1.KeyServiceServer. The method's name in the audit
// log says what was changed.
func (s *keyService) SetKeyPassword(ctx context.Context, req *scsv1.SetKeyPasswordRequest) (*scsv1.SetKeyPasswordResponse, error) {
	v := &violations{}
	pid := v.pid("pid", req.GetPid())
	password := v.currentPassword("current_password", req.GetCurrentPassword())
	if password.IsZero() {
		v.add("current_password", "it is missing")
	}
	v.needReason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	k, err := s.correct(ctx, pid, func(tx kv.Tx) error {
		return s.cfg.Keys.SetCurrentPassword(tx, pid, password, s.move(ctx))
	})
	return &scsv1.SetKeyPasswordResponse{Key: k}, err
}

// correct changes one pair with its audit entry and returns it as it is then.
func (s *keyService) correct(ctx context.Context, pid amt.PID, change func(kv.Tx) error) (*scsv1.Key, error) {
	of(ctx).object = pid.String()
	var m *scsv1.Key
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		k, err := s.cfg.Keys.Get(tx, pid)
		if err != nil {
			return err
		}
		m = keyMessage(k)
		return s.done(ctx, tx)
	})
	return m, err
}
