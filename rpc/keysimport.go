package rpc

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// Bounds of ImportKeys.
const (
	maxRows     = 1000      // of one message
	maxImport   = 5_000_000 // of one import
	maxRejected = 1000      // told back
	maxPlaces   = 200_000   // remembered, to tell where a conflicting row stands
)

// errUndo undoes an import that is not to be stored; it is never answered.
var errUndo = errors.New("the import is not to be stored")

type importStream = grpc.ClientStreamingServer[scsv1.ImportKeysRequest, scsv1.ImportKeysResponse]

// importing is one import under way.
type importing struct {
	*keyService
	stream importStream
	header *scsv1.ImportHeader
	resp   *scsv1.ImportKeysResponse
	places map[amt.PID]string
}

// ImportKeys implements scsv1.KeyServiceServer.
func (s *keyService) ImportKeys(stream importStream) error {
	ctx := stream.Context()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	h := m.GetHeader()
	if h == nil {
		return errProtocol
	}
	of(ctx).object = h.GetBatch()
	im := &importing{keyService: s, stream: stream, header: h, resp: &scsv1.ImportKeysResponse{}, places: map[amt.PID]string{}}
	batch, err := im.batch()
	if err != nil {
		return err
	}
	if err := s.checkBatch(ctx, batch); err != nil {
		return err
	}
	if err := im.run(ctx, batch); err != nil {
		return err
	}
	return stream.SendAndClose(im.resp)
}

func (im *importing) batch() (keystore.Batch, error) {
	h, v := im.header, &violations{}
	b := keystore.Batch{
		Name:    v.name("header.batch", h.GetBatch()),
		Profile: v.text("header.profile", h.GetProfile(), maxText),
		Source:  v.text("header.source", h.GetSource(), maxText),
		Model:   amt.Model(known(v, "header.model", h.GetModel(), scsv1.SetupModel_name)),
	}
	if b.Model == 0 {
		b.Model = amt.OEM
	}
	return b, v.err()
}

func (im *importing) run(ctx context.Context, batch keystore.Batch) error {
	report, err := im.cfg.Keys.Import(ctx, im.cfg.Store, keystore.Import{
		Batch: batch, Move: im.move(ctx), SkipConflicts: true,
		Finish: func(tx kv.Tx, report keystore.AddReport) error {
			im.take(report)
			if im.header.GetDryRun() || !im.header.GetSkipBad() && im.resp.GetBad()+im.resp.GetConflicts() > 0 {
				return errUndo
			}
			return im.done(ctx, tx)
		},
	}, im.records(ctx))
	if errors.Is(err, errUndo) {
		return nil
	}
	if err != nil {
		return err
	}
	im.take(report)
	im.resp.Stored = true
	return nil
}

// take puts the store's report into the answer. It may be called again.
func (im *importing) take(report keystore.AddReport) {
	r := im.resp
	r.Added, r.Known, r.Conflicts = int64(report.Added), int64(report.Known), int64(len(report.Conflicts))
	r.DifferingPids = nil
	for _, pid := range report.Differ[:min(len(report.Differ), maxRejected)] {
		r.DifferingPids = append(r.DifferingPids, pid.String())
	}
	kept := r.Rejected[:0:0]
	for _, row := range r.GetRejected() {
		if row.GetReason() != "PairConflict" {
			kept = append(kept, row)
		}
	}
	for _, pid := range report.Conflicts {
		if len(kept) == maxRejected {
			break
		}
		kept = append(kept, &scsv1.RejectedRow{
			Place: im.places[pid], Pid: pid.String(), Reason: "PairConflict", Message: keystore.ErrConflict.Error(),
		})
	}
	r.Rejected = kept
}

// records reads the stream row by row; bad rows are noted and left out.
func (im *importing) records(ctx context.Context) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for {
			rows, err := im.next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(keystore.Record{}, err)
				return
			}
			for _, row := range rows {
				rec, v := im.record(row)
				if v.err() != nil {
					im.reject(row, v)
					continue
				}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// next receives some rows, or io.EOF.
func (im *importing) next(ctx context.Context) ([]*scsv1.ImportRow, error) {
	if err := im.stopped(ctx); err != nil {
		return nil, err
	}
	m, err := im.stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetRows() == nil {
		return nil, errProtocol
	}
	rows := m.GetRows().GetRows()
	im.resp.Rows += int64(len(rows))
	v := &violations{}
	v.between("rows.rows", int64(len(rows)), 0, maxRows)
	if im.resp.GetRows() > maxImport {
		v.add("rows", "more than %d in one import: split the list", maxImport)
	}
	return rows, v.err()
}

func (im *importing) record(row *scsv1.ImportRow) (keystore.Record, *violations) {
	v := &violations{}
	v.text("place", row.GetPlace(), maxText)
	rec := keystore.Record{
		Pair:            amt.Pair{PID: v.pid("pid", row.GetPid())},
		CurrentPassword: amt.NewSecretString(row.GetCurrentPassword()),
		NewPassword:     amt.NewSecretString(row.GetNewPassword()),
		Used:            row.GetUsed(),
		Exported:        im.header.GetExported(),
	}
	var err error
	if rec.Pair.PPS, err = amt.ParsePPS(row.GetPps()); err != nil {
		v.add("pps", "%v", err)
	}
	if v.err() != nil {
		return rec, v
	}
	// Prepare checks what else a store may refuse, passwords above all.
	if _, err := im.cfg.Keys.Prepare([]keystore.Record{rec}); err != nil {
		v.add("row", "%v", err)
	}
	if len(im.places) < maxPlaces {
		im.places[rec.Pair.PID] = row.GetPlace()
	}
	return rec, v
}

func (im *importing) reject(row *scsv1.ImportRow, v *violations) {
	im.resp.Bad++
	if len(im.resp.GetRejected()) >= maxRejected {
		return
	}
	place := row.GetPlace()
	if len(place) > maxText {
		place = ""
	}
	im.resp.Rejected = append(im.resp.Rejected, &scsv1.RejectedRow{Place: place, Pid: pidOf(row), Reason: "BadRow", Message: v.Error()})
}

// pidOf is the PID of a row if it is one; anything else may be a secret in the
// wrong column.
func pidOf(row *scsv1.ImportRow) string {
	pid, err := amt.ParsePID(row.GetPid())
	if err != nil {
		return ""
	}
	return pid.String()
}
