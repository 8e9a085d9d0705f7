package rpc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

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
	maxConflict = 500_000   // PIDs told back to who asks for them
	maxFiles    = 100       // of one import
)

// Each open import sorts in memory and in a temporary file, so their number is
// bounded, and one that sends no rows does not stay.
const (
	// MaxImports bounds the imports under way of all users.
	MaxImports = 4
	// MaxUserImports bounds those of one user.
	MaxUserImports = 2
	// ImportIdle is how long an import may wait for its next rows.
	ImportIdle = 10 * time.Minute
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
	places *places
	files  []keystore.BatchFile
	idle   bool // it added nothing: there is nothing to store

	differing int // known rows with other passwords
	messages  chan received
	patience  time.Duration
	silence   *time.Timer // of patience: ends the import; set anew by rows
}

// received is what the stream gave.
type received struct {
	m   *scsv1.ImportKeysRequest
	err error
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
	im := &importing{keyService: s, stream: stream, header: h, resp: &scsv1.ImportKeysResponse{}, places: newPlaces()}
	batch, err := im.batch()
	if err != nil {
		return err
	}
	if err := s.checkBatch(ctx, batch); err != nil {
		return err
	}
	leave, patience, err := s.enterImport(of(ctx).user.Name)
	if err != nil {
		return err
	}
	defer leave()
	im.patience, im.silence = patience, time.NewTimer(patience)
	defer im.silence.Stop()
	im.messages = make(chan received)
	go im.listen(ctx)
	if err := im.run(ctx, batch); err != nil {
		return err
	}
	if im.resp.Batch, err = s.batch(ctx, batch.Name); errors.Is(err, keystore.ErrNoBatch) || im.resp.GetStored() && err != nil {
		im.resp.Batch = nil // what is stored is answered
	} else if err != nil {
		return err
	}
	return stream.SendAndClose(im.resp)
}

// enterImport counts imports under way, and says how long one waits for rows.
func (s *Server) enterImport(user string) (leave func(), patience time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for _, n := range s.imports {
		all += n
	}
	if all >= MaxImports || s.imports[user] >= MaxUserImports {
		return nil, 0, errImports
	}
	s.imports[user]++
	return func() { s.leave(s.imports, user) }, s.importIdle, nil
}

// listen hands the stream's messages on until it ends, or the call does: nothing
// else ends a Recv that waits.
func (im *importing) listen(ctx context.Context) {
	for {
		m, err := im.stream.Recv()
		select {
		case im.messages <- received{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// receive waits for a message, not for ever.
func (im *importing) receive(ctx context.Context) (*scsv1.ImportKeysRequest, error) {
	select {
	case r := <-im.messages:
		return r.m, r.err
	case <-im.silence.C:
		return nil, errSilent
	case <-im.stopping:
		return nil, errStopping
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (im *importing) batch() (keystore.Batch, error) {
	h, v := im.header, &violations{}
	b := keystore.Batch{
		Name:    v.name("header.batch", h.GetBatch()),
		Profile: v.text("header.profile", h.GetProfile(), maxText),
		Source:  v.text("header.source", h.GetSource(), maxText),
		Model:   amt.Model(known(v, "header.model", h.GetModel(), scsv1.SetupModel_name)),

		Vendor:          v.text("header.vendor", h.GetVendor(), maxText),
		OrderNumber:     v.text("header.order_number", h.GetOrderNumber(), maxText),
		Notes:           v.text("header.notes", h.GetNotes(), maxNotes),
		ExpiresAt:       v.future("header.expire_time", h.GetExpireTime(), im.cfg.Now()),
		CurrentPassword: v.currentPassword("header.current_password", h.GetCurrentPassword()),
	}
	if b.Model == 0 {
		b.Model = amt.OEM
	}
	return b, v.err()
}

func (im *importing) run(ctx context.Context, batch keystore.Batch) error {
	move := im.move(ctx)
	_, err := im.keyService.batch(ctx, batch.Name)
	made := errors.Is(err, keystore.ErrNoBatch)
	if err != nil && !made {
		return err
	}
	report, err := im.cfg.Keys.Import(ctx, im.cfg.Store, keystore.Import{
		Batch: batch, Move: move, SkipConflicts: true, Check: im.batchIs(batch),
		// What will not be stored need not be written first, to be taken back.
		DryRun: func() bool { return im.header.GetDryRun() || !im.header.GetSkipBad() && im.resp.GetBad() > 0 },
		Finish: func(tx kv.Tx, report keystore.AddReport) error { return im.finish(ctx, tx, batch.Name, move, report) },
	}, im.records(ctx))
	switch {
	case errors.Is(err, errUndo):
		// What a list is like beside the store is told to nobody without a trace.
		if err = im.cfg.Store.Update(ctx, func(tx kv.Tx) error { return im.audited(ctx, tx) }); !im.idle {
			return err
		}
	case err == nil:
		im.take(report)
	}
	im.resp.Stored = err == nil
	im.resp.NewBatch = im.resp.Stored && made && im.resp.GetAdded() > 0
	return err
}

// finish decides, in the transaction that would make the pairs visible. An import
// that adds nothing is undone as well: it leaves no empty batch.
func (im *importing) finish(ctx context.Context, tx kv.Tx, batch string, move keystore.Move, report keystore.AddReport) error {
	im.take(report)
	if im.header.GetDryRun() || !im.header.GetSkipBad() && im.resp.GetBad()+im.resp.GetConflicts() > 0 {
		return errUndo
	}
	if im.idle = report.Added == 0; im.idle {
		return errUndo
	}
	files := make([]keystore.BatchFile, len(im.files))
	for i, f := range im.files {
		f.At, f.Who, f.Added = move.At, move.Who, report.Added
		files[i] = f
	}
	if err := im.cfg.Keys.AddBatchFiles(tx, batch, files...); err != nil {
		return err
	}
	return im.audited(ctx, tx)
}

// audited writes the entry of the import, with its numbers for the reason.
func (im *importing) audited(ctx context.Context, tx kv.Tx) error {
	r := im.resp
	why := fmt.Sprintf("%d new, %d known, %d left out", r.GetAdded(), r.GetKnown(), r.GetBad()+r.GetConflicts())
	if im.differing > 0 {
		why += fmt.Sprintf(", %d with other passwords than those that are known", im.differing)
	}
	switch {
	case im.header.GetDryRun():
		why = "dry run: " + why
	case !im.header.GetSkipBad() && r.GetBad()+r.GetConflicts() > 0:
		why = "nothing was stored: " + why
	}
	for _, f := range im.files[:min(len(im.files), 3)] {
		why += fmt.Sprintf("; SHA-256 %x", f.SHA256)
	}
	of(ctx).reason = why
	return im.done(ctx, tx)
}

// take puts the store's report into the answer. It may be called again.
func (im *importing) take(report keystore.AddReport) {
	r := im.resp
	r.Added, r.Known, r.Conflicts = int64(report.Added), int64(report.Known), int64(report.LeftOut())
	r.Contradicting = r.GetConflicts() - int64(len(report.Conflicts))
	im.differing = len(report.Differ)
	r.DifferingPids, r.BarePids = firstPIDs(report.Differ, maxRejected), firstPIDs(report.Bare, maxRejected)
	r.UsedAvailable, r.UsedAvailablePids = int64(len(report.Unused)), firstPIDs(report.Unused, maxRejected)
	r.KnownBatches = report.KnownIn
	r.ConflictingPids = nil
	if im.header.GetListConflicts() {
		r.ConflictingPids = firstPIDs(report.Conflicts, maxConflict)
		for _, c := range report.Contradictions {
			if len(r.GetConflictingPids()) < maxConflict {
				r.ConflictingPids = append(r.ConflictingPids, c.PID.String())
			}
		}
	}
	im.rejectConflicts(report)
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
				if rec.Used {
					im.resp.Used++
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
	m, err := im.receive(ctx)
	if err != nil {
		return nil, err
	}
	if m.GetEnd() != nil {
		return nil, im.end(ctx, m.GetEnd())
	}
	if m.GetRows() == nil {
		return nil, errProtocol
	}
	rows := m.GetRows().GetRows()
	if len(rows) > 0 {
		im.silence.Reset(im.patience)
	}
	im.resp.Rows += int64(len(rows))
	v := &violations{}
	v.between("rows.rows", int64(len(rows)), 0, maxRows)
	if im.resp.GetRows() > maxImport {
		v.add("rows", "more than %d in one import: split the list", maxImport)
	}
	return rows, v.err()
}

// end takes what is known of the files; nothing may follow. The error is io.EOF
// when all is well.
func (im *importing) end(ctx context.Context, e *scsv1.ImportEnd) error {
	v := &violations{}
	v.between("end.files", int64(len(e.GetFiles())), 0, maxFiles)
	for _, f := range e.GetFiles()[:min(len(e.GetFiles()), maxFiles)] {
		v.name("end.files.name", f.GetName())
		if len(f.GetSha256()) != sha256.Size {
			v.add("end.files.sha256", "%d bytes, want %d", len(f.GetSha256()), sha256.Size)
		}
		im.files = append(im.files, keystore.BatchFile{Name: f.GetName(), SHA256: f.GetSha256()})
	}
	if err := v.err(); err != nil {
		return err
	}
	_, err := im.receive(ctx)
	if err == nil {
		return errProtocol
	}
	return err
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
	// What else a store may refuse, passwords above all.
	if err := rec.Check(); err != nil {
		v.add("row", "%v", err)
	}
	im.places.add(rec.Pair.PID, row.GetPlace())
	return rec, v
}

func (im *importing) reject(row *scsv1.ImportRow, v *violations) {
	im.resp.Bad++
	_, pidErr := amt.ParsePID(clip(row.GetPid()))
	_, ppsErr := amt.ParsePPS(clip(row.GetPps()))
	if errors.Is(pidErr, amt.ErrPairChecksum) || errors.Is(ppsErr, amt.ErrPairChecksum) {
		im.resp.BadChecksums++
	}
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
