package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// exportPart is how many pairs go into one message.
const exportPart = 500

// ExportBatch implements scsv1.KeyServiceServer. The intention and its audit
// entry are one transaction, before the first secret leaves.
func (s *keyService) ExportBatch(req *scsv1.ExportBatchRequest, stream grpc.ServerStreamingServer[scsv1.ExportBatchResponse]) error {
	ctx := stream.Context()
	of(ctx).describe(req)
	v := &violations{}
	v.name("batch", req.GetBatch())
	of(ctx).reason = v.exportReason(req)
	if err := v.err(); err != nil {
		return err
	}
	var ex keystore.Export
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		var err error
		if ex, err = s.cfg.Keys.BeginExport(tx, req.GetBatch(), req.GetAgain(), s.move(ctx)); err != nil {
			return s.which(tx, req.GetBatch(), err)
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return err
	}
	if err := s.sendExport(ctx, ex.ID, stream); err != nil {
		s.abandon(ctx, ex.ID)
		return err
	}
	return nil
}

// which names the export that stands in the way, so that it can be finished.
func (s *keyService) which(r kv.Reader, batch string, err error) error {
	if !errors.Is(err, keystore.ErrExportOpen) {
		return err
	}
	list, e := s.cfg.Keys.Exports(r)
	if e != nil {
		return e
	}
	for _, open := range list {
		if open.Batch == batch {
			id := strconv.FormatUint(open.ID, 10)
			return &detailed{fmt.Errorf("export %s: %w", id, err), map[string]string{"export_id": id}}
		}
	}
	return err
}

// sendExport streams the pairs of an export; at least one message, so that the
// caller knows the export's identity.
func (s *keyService) sendExport(ctx context.Context, id uint64, stream grpc.ServerStreamingServer[scsv1.ExportBatchResponse]) error {
	for first := true; ; first = false {
		if err := s.stopped(ctx); err != nil {
			return err
		}
		var pairs []keystore.Exported
		err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
			var err error
			pairs, err = s.cfg.Keys.ExportNext(tx, id, exportPart)
			return err
		})
		if err != nil {
			return err
		}
		if len(pairs) > 0 || first {
			m := &scsv1.ExportBatchResponse{ExportId: strconv.FormatUint(id, 10), Keys: each(pairs, exportedMessage)}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if len(pairs) == 0 {
			return nil
		}
	}
}

func exportedMessage(e keystore.Exported) *scsv1.ExportedKey {
	return &scsv1.ExportedKey{
		Pid: e.PID.String(), Pps: amt.RevealPPS(e.Secrets.PPS),
		CurrentPassword: string(e.Secrets.CurrentPassword.Reveal()), NewPassword: string(e.Secrets.NewPassword.Reveal()),
	}
}

// abandon ends an export whose stream broke: a caller that got a part only keeps
// no file of it. One that somebody ended meanwhile stays as it is.
func (s *keyService) abandon(ctx context.Context, id uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := s.cfg.Keys.FinishExport(ctx, s.cfg.Store, id, keystore.Ending{Move: s.move(ctx)})
	if err != nil && !errors.Is(err, keystore.ErrExportWritten) {
		s.cfg.Log.Warn("an export that broke off stays unfinished", "export", id, "error", err)
	}
}

// exportGuard is how long an export can be discarded by whoever began it, and by
// an administrator, only: it is likely to be at work.
const exportGuard = time.Hour

// FinishExport implements scsv1.KeyServiceServer. The end takes effect in the
// transaction of its audit entry.
func (s *keyService) FinishExport(ctx context.Context, req *scsv1.FinishExportRequest) (*scsv1.FinishExportResponse, error) {
	id, err := strconv.ParseUint(req.GetExportId(), 10, 64)
	if err != nil {
		v := &violations{}
		v.add("export_id", "not one that ExportBatch gave")
		return nil, v.err()
	}
	of(ctx).object = "export " + req.GetExportId()
	of(ctx).reason = fmt.Sprintf("written: %t", req.GetWritten())
	n, err := s.cfg.Keys.FinishExport(ctx, s.cfg.Store, id, keystore.Ending{
		Written: req.GetWritten(), Move: s.move(ctx),
		Also: func(tx kv.Tx, e keystore.Export) error {
			if !req.GetWritten() {
				if err := s.mayDiscard(ctx, e); err != nil {
					return err
				}
			}
			return s.done(ctx, tx)
		},
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.FinishExportResponse{Exported: int64(n)}, nil
}

// mayDiscard refuses to discard an export that somebody else is likely to be at
// work on: the file may be good, and its pairs would be handed out twice.
func (s *keyService) mayDiscard(ctx context.Context, e keystore.Export) error {
	user := of(ctx).user
	if e.Ended || e.BegunBy == user.Name || user.Role == access.Admin || s.cfg.Now().Sub(e.BegunAt) >= exportGuard {
		return nil
	}
	return fmt.Errorf("%w: %s began it at %s", errExportOfAnother, e.BegunBy, e.BegunAt.Format(time.DateTime))
}

// media say, in the audit log and in the stories of pairs, what pairs were
// written to.
var media = map[scsv1.ExportMedium]string{
	scsv1.ExportMedium_EXPORT_MEDIUM_USB_KEY:        "setup.bin",
	scsv1.ExportMedium_EXPORT_MEDIUM_SHEET:          "printed sheet",
	scsv1.ExportMedium_EXPORT_MEDIUM_ENCRYPTED_FILE: "file encrypted to",
	scsv1.ExportMedium_EXPORT_MEDIUM_PLAIN_FILE:     "file in plain text",
}

// Bounds of what an export says.
const (
	maxRecipients = 10
	maxRecipient  = 80   // an X25519 recipient of age has 62 characters
	maxExportText = 1000 // of the audit log and of stories
)

// exportReason is what the audit log says about an export: what it is written to
// and why. Whatever is no setup.bin must say why.
func (v *violations) exportReason(req *scsv1.ExportBatchRequest) string {
	medium, ok := media[known(v, "medium", req.GetMedium(), scsv1.ExportMedium_name)]
	encrypted := req.GetMedium() == scsv1.ExportMedium_EXPORT_MEDIUM_ENCRYPTED_FILE
	if len(req.GetRecipients()) > maxRecipients || encrypted != (len(req.GetRecipients()) > 0) {
		v.add("recipients", "%d, want 1 to %d of an encrypted file and none of anything else", len(req.GetRecipients()), maxRecipients)
		return ""
	}
	for i, r := range req.GetRecipients() {
		field := fmt.Sprintf("recipients[%d]", i)
		v.text(field, r, maxRecipient)
		if !strings.HasPrefix(r, "age1") {
			v.add(field, "no public key of age: it begins with age1")
		}
	}
	if !ok {
		v.reason(req.GetReason())
		return req.GetReason()
	}
	if req.GetMedium() == scsv1.ExportMedium_EXPORT_MEDIUM_USB_KEY {
		v.reason(req.GetReason())
		if req.GetReason() == "" {
			return medium
		}
	} else {
		v.needReason(req.GetReason())
	}
	if encrypted {
		medium += " " + strings.Join(req.GetRecipients(), ", ")
	}
	text := medium + ": " + req.GetReason()
	if len(text) > maxExportText {
		v.add("reason", "%d bytes with what is told of the medium, want at most %d", len(text), maxExportText)
	}
	return text
}

// needReason is reason for calls that must have one: those that show secrets to
// a person or put them where the server no longer guards them.
func (v *violations) needReason(s string) {
	if strings.TrimSpace(s) == "" {
		v.add("reason", "is missing: say what the secrets are needed for; it is kept in the audit log")
		return
	}
	v.reason(s)
}
