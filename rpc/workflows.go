package rpc

import (
	"context"
	"errors"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

type provisioningService struct {
	scsv1.UnimplementedProvisioningServiceServer
	*Server
}

var _ scsv1.ProvisioningServiceServer = (*provisioningService)(nil)

// GetWorkflow implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) GetWorkflow(ctx context.Context, req *scsv1.GetWorkflowRequest) (*scsv1.GetWorkflowResponse, error) {
	v := &violations{}
	id := v.name("id", req.GetId())
	if err := v.err(); err != nil {
		return nil, err
	}
	f, err := s.cfg.Engine.Workflow(ctx, id)
	if err != nil {
		return nil, err
	}
	return &scsv1.GetWorkflowResponse{Workflow: workflowMessage(f)}, nil
}

// ListWorkflows implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) ListWorkflows(ctx context.Context, req *scsv1.ListWorkflowsRequest) (*scsv1.ListWorkflowsResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	f := provisioning.WorkflowFilter{
		UUID:   v.uuidFilter("uuid", req.GetUuid()),
		State:  provisioning.State(known(v, "state", req.GetState(), scsv1.WorkflowState_name)),
		Status: provisioning.Status(known(v, "status", req.GetStatus(), scsv1.WorkflowStatus_name)),
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	list, next, err := s.cfg.Engine.Workflows(ctx, f, provisioning.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &scsv1.ListWorkflowsResponse{Workflows: each(list, workflowMessage), NextPageToken: next}, nil
}

// ListInbox implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) ListInbox(ctx context.Context, req *scsv1.ListInboxRequest) (*scsv1.ListInboxResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	f := provisioning.InboxFilter{Reason: provisioning.Reason(v.text("reason", req.GetReason(), maxText))}
	if err := v.err(); err != nil {
		return nil, err
	}
	list, next, err := s.cfg.Engine.Inbox(ctx, f, provisioning.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &scsv1.ListInboxResponse{Items: each(list, inboxMessage), NextPageToken: next}, nil
}

// DismissInbox implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) DismissInbox(ctx context.Context, req *scsv1.DismissInboxRequest) (*scsv1.DismissInboxResponse, error) {
	v := &violations{}
	id := v.name("id", req.GetId())
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.cfg.Engine.Dismiss(ctx, s.act(ctx), id); err != nil {
		return nil, err
	}
	return &scsv1.DismissInboxResponse{}, nil
}

// ListEvents implements scsv1.ProvisioningServiceServer.
func (s *provisioningService) ListEvents(ctx context.Context, req *scsv1.ListEventsRequest) (*scsv1.ListEventsResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	after := v.sequence(req.GetPageToken())
	f := provisioning.EventFilter{UUID: v.uuidFilter("uuid", req.GetUuid())}
	if err := v.err(); err != nil {
		return nil, err
	}
	events, scanned, err := s.events(ctx, after, f, int(req.GetPageSize()))
	if errors.Is(err, provisioning.ErrEventsGone) {
		// A list shows what is kept, where a watch must not pass over anything.
		oldest, _, e := s.cfg.Engine.EventBounds(ctx)
		if e != nil {
			return nil, e
		}
		events, scanned, err = s.events(ctx, oldest-1, f, int(req.GetPageSize()))
	}
	if err != nil {
		return nil, err
	}
	resp := &scsv1.ListEventsResponse{Events: each(events, eventMessage)}
	_, last, err := s.cfg.Engine.EventBounds(ctx)
	if err == nil && scanned < last {
		resp.NextPageToken = sequenceToken(scanned)
	}
	return resp, err
}

func (s *provisioningService) events(ctx context.Context, after uint64, f provisioning.EventFilter, limit int) ([]provisioning.Event, uint64, error) {
	return s.cfg.Engine.Events(ctx, after, f, limit)
}
