package rpc

import (
	"context"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

type profileService struct {
	scsv1.UnimplementedProfileServiceServer
	*Server
}

var _ scsv1.ProfileServiceServer = (*profileService)(nil)

// act is who wants a change of the engine's and why, audited with the change.
func (s *Server) act(ctx context.Context) provisioning.Act {
	c := of(ctx)
	return provisioning.Act{Who: c.user.Name, Why: c.reason, Also: func(tx kv.Tx) error { return s.done(ctx, tx) }}
}

// ApplyProfile implements scsv1.ProfileServiceServer.
func (s *profileService) ApplyProfile(ctx context.Context, req *scsv1.ApplyProfileRequest) (*scsv1.ApplyProfileResponse, error) {
	v := &violations{}
	v.text("name", req.GetName(), maxText)
	v.text("source", req.GetSource(), maxText)
	v.between("document", int64(len(req.GetDocument())), 1, maxDocument)
	if err := v.err(); err != nil {
		return nil, err
	}
	// The audit entry is written with the change, and is to name the profile.
	if doc, err := profile.Parse(req.GetSource(), req.GetDocument()); err == nil && req.GetName() == "" {
		of(ctx).object = doc.Name
	}
	p, changed, err := s.cfg.Engine.ApplyProfile(ctx, s.act(ctx), provisioning.ProfileDocument{
		Name: req.GetName(), Source: req.GetSource(), YAML: req.GetDocument(), DryRun: req.GetDryRun(),
	})
	if err != nil {
		return nil, err
	}
	of(ctx).object = p.Name
	return &scsv1.ApplyProfileResponse{Profile: profileMessage(p), Changed: changed}, nil
}

// GetProfile implements scsv1.ProfileServiceServer.
func (s *profileService) GetProfile(ctx context.Context, req *scsv1.GetProfileRequest) (*scsv1.GetProfileResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	p, err := s.cfg.Engine.Profile(ctx, name)
	if err != nil {
		return nil, err
	}
	return &scsv1.GetProfileResponse{Profile: profileMessage(p)}, nil
}

// ListProfiles implements scsv1.ProfileServiceServer.
func (s *profileService) ListProfiles(ctx context.Context, req *scsv1.ListProfilesRequest) (*scsv1.ListProfilesResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	list, next, err := s.cfg.Engine.Profiles(ctx, provisioning.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &scsv1.ListProfilesResponse{Profiles: each(list, profileMessage), NextPageToken: next}, nil
}
