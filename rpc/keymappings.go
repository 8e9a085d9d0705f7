package rpc

import (
	"context"

	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/keystore/batch"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// mapping checks a mapping as the reader of lists would.
func (v *violations) mapping(m *scsv1.KeyMapping) keystore.Mapping {
	out := keystore.Mapping{Name: v.name("mapping.name", m.GetName()), Skip: int(m.GetSkip()), Notes: v.text("mapping.notes", m.GetNotes(), maxNotes)}
	layout := batch.Layout{Skip: int(m.GetSkip())}
	var err error
	if layout.Separator, err = batch.ParseSeparator(m.GetSeparator()); err != nil {
		v.add("mapping.separator", "want comma, tab, semicolon, blank or nothing")
	}
	out.Separator = byte(layout.Separator)
	if n := len(m.GetColumns()); n == 0 || n > len(batch.Fields()) {
		v.add("mapping.columns", "%d columns, want 1 to %d", n, len(batch.Fields()))
		return out
	}
	for _, c := range m.GetColumns() {
		v.text("mapping.columns.column", c.GetColumn(), maxText)
		layout.Columns = append(layout.Columns, batch.Column{Field: c.GetField(), Position: int(c.GetPosition()), Name: c.GetColumn()})
		out.Columns = append(out.Columns, keystore.MappingColumn{Field: c.GetField(), Position: int(c.GetPosition()), Name: c.GetColumn()})
	}
	if err := layout.CheckPairs(); err != nil {
		v.add("mapping.columns", "%v", err)
	}
	return out
}

func mappingMessage(m keystore.Mapping) *scsv1.KeyMapping {
	return &scsv1.KeyMapping{
		Name: m.Name, Separator: batch.Separator(m.Separator).String(), Skip: int32(m.Skip), Notes: m.Notes,
		ChangeTime: stamp(m.ChangedAt), ChangedBy: m.ChangedBy,
		Columns: each(m.Columns, func(c keystore.MappingColumn) *scsv1.KeyMappingColumn {
			return &scsv1.KeyMappingColumn{Field: c.Field, Position: int32(c.Position), Column: c.Name}
		}),
	}
}

// SetKeyMapping implements scsv1.KeyServiceServer.
func (s *keyService) SetKeyMapping(ctx context.Context, req *scsv1.SetKeyMappingRequest) (*scsv1.SetKeyMappingResponse, error) {
	v := &violations{}
	m := v.mapping(req.GetMapping())
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = m.Name
	var stored keystore.Mapping
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		var err error
		if stored, err = s.cfg.Keys.SetMapping(tx, m, s.move(ctx)); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.SetKeyMappingResponse{Mapping: mappingMessage(stored)}, nil
}

// GetKeyMapping implements scsv1.KeyServiceServer.
func (s *keyService) GetKeyMapping(ctx context.Context, req *scsv1.GetKeyMappingRequest) (*scsv1.GetKeyMappingResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	var m keystore.Mapping
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		var err error
		m, err = s.cfg.Keys.Mapping(r, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.GetKeyMappingResponse{Mapping: mappingMessage(m)}, nil
}

// ListKeyMappings implements scsv1.KeyServiceServer.
func (s *keyService) ListKeyMappings(ctx context.Context, req *scsv1.ListKeyMappingsRequest) (*scsv1.ListKeyMappingsResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListKeyMappingsResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next, err := s.cfg.Keys.Mappings(r, keystore.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
		resp.Mappings, resp.NextPageToken = each(list, mappingMessage), next
		return err
	})
	return resp, err
}

// DeleteKeyMapping implements scsv1.KeyServiceServer.
func (s *keyService) DeleteKeyMapping(ctx context.Context, req *scsv1.DeleteKeyMappingRequest) (*scsv1.DeleteKeyMappingResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = name
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		if err := s.cfg.Keys.DeleteMapping(tx, name); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	return &scsv1.DeleteKeyMappingResponse{}, err
}
