package rpc

import (
	"context"

	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

type auditService struct {
	scsv1.UnimplementedAuditServiceServer
	*Server
}

var _ scsv1.AuditServiceServer = (*auditService)(nil)

// ListAuditEntries implements scsv1.AuditServiceServer.
func (s *auditService) ListAuditEntries(ctx context.Context, req *scsv1.ListAuditEntriesRequest) (*scsv1.ListAuditEntriesResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	after := v.sequence(req.GetPageToken())
	f := audit.Filter{Who: v.text("who", req.GetWho(), maxText), Object: v.text("object", req.GetObject(), maxText)}
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListAuditEntriesResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next, err := s.cfg.Audit.List(r, f, audit.Page{After: after, Limit: int(req.GetPageSize()), Newest: req.GetNewestFirst()})
		resp.Entries, resp.NextPageToken = each(list, auditMessage), sequenceToken(next)
		return err
	})
	return resp, err
}

// VerifyAuditLog implements scsv1.AuditServiceServer.
func (s *auditService) VerifyAuditLog(ctx context.Context, _ *scsv1.VerifyAuditLogRequest) (*scsv1.VerifyAuditLogResponse, error) {
	resp := &scsv1.VerifyAuditLogResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		if err := s.cfg.Audit.Verify(r); err != nil {
			return err
		}
		head, err := s.cfg.Audit.Head(r)
		resp.Entries, resp.Head = head.Sequence, head.Hash[:]
		return err
	})
	return resp, err
}
