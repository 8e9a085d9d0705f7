package rpc

import (
	"context"
	"time"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// ListKeys implements scsv1.KeyServiceServer.
func (s *keyService) ListKeys(ctx context.Context, req *scsv1.ListKeysRequest) (*scsv1.ListKeysResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	f := keyFilter(v, req)
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListKeysResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		if err := s.knownBatch(r, f.Batch); err != nil {
			return err
		}
		list, next, err := s.cfg.Keys.List(r, f, keystore.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
		resp.Keys, resp.NextPageToken = each(list, keyMessage), next
		return err
	})
	return resp, err
}

func keyFilter(v *violations, req *scsv1.ListKeysRequest) keystore.Filter {
	f := keystore.Filter{
		State:         keystore.State(known(v, "state", req.GetState(), scsv1.KeyState_name)),
		Batch:         v.text("batch", req.GetBatch(), maxText),
		UUID:          v.uuidFilter("uuid", req.GetUuid()),
		Exported:      req.Exported,
		CreatedAfter:  v.moment("created_after", req.GetCreatedAfter()),
		CreatedBefore: v.moment("created_before", req.GetCreatedBefore()),
		ChangedAfter:  v.moment("changed_after", req.GetChangedAfter()),
		ChangedBefore: v.moment("changed_before", req.GetChangedBefore()),
	}
	for _, r := range []struct {
		name          string
		after, before time.Time
	}{{"created", f.CreatedAfter, f.CreatedBefore}, {"changed", f.ChangedAfter, f.ChangedBefore}} {
		if !r.after.IsZero() && !r.before.IsZero() && !r.after.Before(r.before) {
			v.add(r.name+"_before", "not later than %s_after: nothing can match", r.name)
		}
	}
	return f
}
