package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

type listStream = grpc.ClientStreamingServer[scsv1.ImportDevicesRequest, scsv1.ImportDevicesResponse]

// listing is one list of devices on its way in.
type listing struct {
	*deviceService
	stream listStream
	header *scsv1.ImportDevicesHeader
	resp   *scsv1.ImportDevicesResponse
	rows   []provisioning.Listed
	places []string // of rows
}

// ImportDevices implements scsv1.DeviceServiceServer.
func (s *deviceService) ImportDevices(stream listStream) error {
	ctx := stream.Context()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	h := m.GetHeader()
	if h == nil {
		return errProtocol
	}
	v := &violations{}
	of(ctx).object = v.text("header.source", h.GetSource(), maxText)
	v.text("header.profile", h.GetProfile(), maxText)
	v.text("header.batch", h.GetBatch(), maxText)
	if err := v.err(); err != nil {
		return err
	}
	l := &listing{deviceService: s, stream: stream, header: h, resp: &scsv1.ImportDevicesResponse{}}
	if err := l.receive(ctx); err != nil {
		return err
	}
	if err := l.store(ctx); err != nil {
		return err
	}
	return stream.SendAndClose(l.resp)
}

// receive takes all rows; a list has ten thousand at most.
func (l *listing) receive(ctx context.Context) error {
	for {
		if err := l.stopped(ctx); err != nil {
			return err
		}
		m, err := l.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows := m.GetRows().GetRows()
		switch {
		case m.GetRows() == nil:
			return errProtocol
		case len(rows) > maxRows:
			v := &violations{}
			v.between("rows.rows", int64(len(rows)), 0, maxRows)
			return v.err()
		case l.resp.GetRows()+int64(len(rows)) > provisioning.MaxListed:
			return fmt.Errorf("%w: at most %d devices", errListLong, provisioning.MaxListed)
		}
		for _, row := range rows {
			l.row(row)
		}
	}
}

// row checks one row; bad ones are noted and left out.
func (l *listing) row(row *scsv1.ImportDevicesRow) {
	l.resp.Rows++
	v := &violations{}
	place := v.text("place", row.GetPlace(), maxText)
	d := provisioning.Listed{UUID: v.uuid("uuid", row.GetUuid()), Assignment: provisioning.Assignment{
		FQDN:    v.text("fqdn", row.GetFqdn(), maxText),
		Profile: v.text("profile", or(row.GetProfile(), l.header.GetProfile()), maxText),
		Batch:   v.text("batch", or(row.GetBatch(), l.header.GetBatch()), maxText),
	}}
	d.MEBxPassword = v.currentPassword("mebx_password", row.GetMebxPassword())
	d.AdminPassword = v.currentPassword("admin_password", row.GetAdminPassword())
	if v.err() != nil {
		l.reject(place, "", "BadRow", v.Error())
		l.resp.Bad++
		return
	}
	if !d.MEBxPassword.IsZero() || !d.AdminPassword.IsZero() {
		l.resp.Passwords++
	}
	l.rows, l.places = append(l.rows, d), append(l.places, place)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (l *listing) reject(place, uuid, reason, message string) {
	if len(place) > maxText {
		place = ""
	}
	l.resp.Rejected = append(l.resp.Rejected, &scsv1.RejectedDevice{Place: place, Uuid: uuid, Reason: reason, Message: message})
}

// store has the engine take the rows and counts what became of them.
func (l *listing) store(ctx context.Context) error {
	bad := l.resp.GetBad() > 0
	outcomes, stored, err := l.cfg.Engine.AssignMany(ctx, l.act(ctx), l.rows, provisioning.ListOptions{
		DryRun: l.header.GetDryRun() || bad && !l.header.GetSkipBad(), SkipBad: l.header.GetSkipBad(), Replace: l.header.GetReplace(),
	})
	if err != nil {
		return err
	}
	if !stored {
		// What becomes of a row tells whether a password is the one that is known.
		of(ctx).reason = fmt.Sprintf("not stored (dry run: %t): %d rows, %d with passwords", l.header.GetDryRun(), l.resp.GetRows(), l.resp.GetPasswords())
		if err := l.cfg.Store.Update(ctx, func(tx kv.Tx) error { return l.done(ctx, tx) }); err != nil {
			return err
		}
	}
	l.resp.Stored = stored
	for i, o := range outcomes {
		switch {
		case o.Err != nil:
			l.refuse(l.places[i], l.rows[i].UUID, o.Err)
		case o.Added:
			l.resp.Added++
		case o.Changed:
			l.resp.Changed++
		default:
			l.resp.Known++
		}
		if o.Kept {
			l.resp.KeptPasswords++
		}
	}
	return nil
}

// refuse tells of a row that the engine refused. Its errors show names, and never
// passwords.
func (l *listing) refuse(place string, uuid amt.UUID, err error) {
	reason := "BadRow"
	if r, ok := refusal(err); ok {
		reason = r.Reason
	}
	switch {
	case errors.Is(err, provisioning.ErrAssigned), errors.Is(err, provisioning.ErrNameTaken), errors.Is(err, provisioning.ErrTwice):
		l.resp.Conflicts++
	default:
		l.resp.Bad++
	}
	l.reject(place, uuid.String(), reason, clip(err.Error()))
}
