package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

type deviceService struct {
	scsv1.UnimplementedDeviceServiceServer
	*Server
}

var _ scsv1.DeviceServiceServer = (*deviceService)(nil)

// GetDevice implements scsv1.DeviceServiceServer.
func (s *deviceService) GetDevice(ctx context.Context, req *scsv1.GetDeviceRequest) (*scsv1.GetDeviceResponse, error) {
	v := &violations{}
	uuid := v.uuid("uuid", req.GetUuid())
	if err := v.err(); err != nil {
		return nil, err
	}
	d, err := s.cfg.Engine.Device(ctx, uuid)
	if err != nil {
		return nil, err
	}
	m := deviceMessage(d)
	if m.CertificateRevokeTime, err = s.revoked(ctx, d.Serial); err != nil {
		return nil, err
	}
	return &scsv1.GetDeviceResponse{Device: m}, nil
}

// revoked is when a device's certificate was revoked; nil when it was not, or is
// not one of this authority's.
func (s *deviceService) revoked(ctx context.Context, serial amt.Serial) (at *timestamppb.Timestamp, err error) {
	if serial.IsZero() {
		return nil, nil
	}
	err = s.cfg.Store.View(ctx, func(r kv.Reader) error {
		at = nil
		cert, err := s.cfg.CA.Get(r, serial)
		switch {
		case errors.Is(err, ca.ErrUnknown):
			return nil
		case err != nil:
			return err
		case cert.Revocation != nil:
			at = stamp(cert.Revocation.At)
		}
		return nil
	})
	return at, err
}

// ListDevices implements scsv1.DeviceServiceServer.
func (s *deviceService) ListDevices(ctx context.Context, req *scsv1.ListDevicesRequest) (*scsv1.ListDevicesResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	f := provisioning.DeviceFilter{
		State:      provisioning.State(known(v, "state", req.GetState(), scsv1.WorkflowState_name)),
		Status:     provisioning.Status(known(v, "status", req.GetStatus(), scsv1.WorkflowStatus_name)),
		Profile:    v.text("profile", req.GetProfile(), maxText),
		FQDNPrefix: v.text("fqdn_prefix", req.GetFqdnPrefix(), maxText),
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	p, err := s.cfg.Engine.Devices(ctx, f, provisioning.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &scsv1.ListDevicesResponse{Devices: each(p.Devices, deviceMessage), NextPageToken: p.Next, Sequence: p.Sequence}, nil
}

// AssignDevice implements scsv1.DeviceServiceServer.
func (s *deviceService) AssignDevice(ctx context.Context, req *scsv1.AssignDeviceRequest) (*scsv1.AssignDeviceResponse, error) {
	v := &violations{}
	uuid := v.uuid("uuid", req.GetUuid())
	as := provisioning.Assignment{
		FQDN:    v.text("fqdn", req.GetFqdn(), maxText),
		Profile: v.text("profile", req.GetProfile(), maxText),
		Batch:   v.text("batch", req.GetBatch(), maxText),
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = uuid.String()
	d, err := s.cfg.Engine.Assign(ctx, s.act(ctx), uuid, as)
	if err != nil {
		return nil, err
	}
	return &scsv1.AssignDeviceResponse{Device: deviceMessage(d)}, nil
}

// steer calls one of the engine's Retry, Pause and Cancel.
func (s *deviceService) steer(ctx context.Context, uuid, reason string, fn func(context.Context, provisioning.Act, amt.UUID) (provisioning.Device, error)) (*scsv1.Device, error) {
	v := &violations{}
	u := v.uuid("uuid", uuid)
	v.reason(reason)
	if err := v.err(); err != nil {
		return nil, err
	}
	c := of(ctx)
	c.object = u.String()
	d, err := fn(ctx, s.act(ctx), u)
	if errors.Is(err, provisioning.ErrState) {
		if now, e := s.cfg.Engine.Device(ctx, u); e == nil {
			c.step = now.Step
		}
	}
	if err != nil {
		return nil, err
	}
	return deviceMessage(d), nil
}

// RetryDevice implements scsv1.DeviceServiceServer.
func (s *deviceService) RetryDevice(ctx context.Context, req *scsv1.RetryDeviceRequest) (*scsv1.RetryDeviceResponse, error) {
	retry := s.cfg.Engine.Retry
	if req.GetPid() != "" {
		v := &violations{}
		pid := v.pid("pid", req.GetPid())
		if err := v.err(); err != nil {
			return nil, err
		}
		retry = func(ctx context.Context, act provisioning.Act, uuid amt.UUID) (provisioning.Device, error) {
			return s.cfg.Engine.Admit(ctx, act, uuid, pid)
		}
	}
	d, err := s.steer(ctx, req.GetUuid(), "", retry)
	if err != nil {
		return nil, err
	}
	return &scsv1.RetryDeviceResponse{Device: d}, nil
}

// PauseDevice implements scsv1.DeviceServiceServer.
func (s *deviceService) PauseDevice(ctx context.Context, req *scsv1.PauseDeviceRequest) (*scsv1.PauseDeviceResponse, error) {
	d, err := s.steer(ctx, req.GetUuid(), req.GetReason(), s.cfg.Engine.Pause)
	if err != nil {
		return nil, err
	}
	return &scsv1.PauseDeviceResponse{Device: d}, nil
}

// CancelDevice implements scsv1.DeviceServiceServer.
func (s *deviceService) CancelDevice(ctx context.Context, req *scsv1.CancelDeviceRequest) (*scsv1.CancelDeviceResponse, error) {
	d, err := s.steer(ctx, req.GetUuid(), req.GetReason(), s.cfg.Engine.Cancel)
	if err != nil {
		return nil, err
	}
	return &scsv1.CancelDeviceResponse{Device: d}, nil
}

// RevealDevicePassword implements scsv1.DeviceServiceServer. The engine returns
// nothing unless the audit entry is on disk.
func (s *deviceService) RevealDevicePassword(ctx context.Context, req *scsv1.RevealDevicePasswordRequest) (*scsv1.RevealDevicePasswordResponse, error) {
	v := &violations{}
	uuid := v.uuid("uuid", req.GetUuid())
	v.reason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	of(ctx).object = uuid.String()
	list, err := s.cfg.Engine.Passwords(ctx, s.act(ctx), uuid)
	if err != nil {
		return nil, err
	}
	return &scsv1.RevealDevicePasswordResponse{Passwords: each(list, passwordMessage)}, nil
}

func passwordMessage(p provisioning.Password) *scsv1.DevicePassword {
	return &scsv1.DevicePassword{User: p.Account, Version: p.Version, Password: string(p.Password.Reveal()), Doubtful: p.Doubtful}
}
