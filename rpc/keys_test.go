package rpc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func generate(id, batch string, count int32) *scsv1.GenerateKeysRequest {
	return &scsv1.GenerateKeysRequest{RequestId: id, Batch: batch, Count: count}
}

func TestGenerateIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	for range 3 {
		resp, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 5))
		w.ok(err)
		if resp.GetAdded() != 5 || resp.GetBatch().GetKeyCount() != 5 || resp.GetBatch().GetCounts()[0].GetCount() != 5 {
			t.Errorf("got %v", resp)
		}
	}
	if n := len(w.entries()); n != 1 {
		t.Errorf("%d audit entries, want 1", n)
	}
	w.lastEntry("KeyService.GenerateKeys", "lab", audit.Done)
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 6))
	refused(t, err, codes.AlreadyExists, "RequestIDUsed")
	resp, err := c.GenerateKeys(t.Context(), generate("request-2", "lab", 2))
	w.ok(err)
	if resp.GetAdded() != 2 || resp.GetBatch().GetKeyCount() != 7 {
		t.Errorf("got %v", resp)
	}
	// Another user's request of the same id is another request.
	other := scsv1.NewKeyServiceClient(w.user("sam", access.Staging))
	resp, err = other.GenerateKeys(t.Context(), generate("request-1", "lab", 1))
	w.ok(err)
	if resp.GetBatch().GetKeyCount() != 8 {
		t.Errorf("got %v", resp)
	}
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	for want, req := range map[string]*scsv1.GenerateKeysRequest{
		"request_id":    generate("short", "lab", 1),
		"batch":         generate("request-1", "", 1),
		"count":         generate("request-1", "lab", 0),
		"mebx_password": {RequestId: "request-1", Batch: "lab", Count: 1, MebxPassword: "weak-and-secret"},
	} {
		_, err := c.GenerateKeys(t.Context(), req)
		refused(t, err, codes.InvalidArgument, "InvalidRequest")
		if got := fields(err); len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %s", got, want)
		}
		if strings.Contains(err.Error(), "weak-and-secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	_, err := c.GenerateKeys(t.Context(), &scsv1.GenerateKeysRequest{RequestId: "request-1", Batch: "lab", Count: 1, Profile: "none"})
	refused(t, err, codes.NotFound, "NoProfile")
	w.lastEntry("KeyService.GenerateKeys", "lab", audit.Failed)
	w.ok(func() error {
		_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 1))
		return err
	}())
	_, err = c.GenerateKeys(t.Context(), &scsv1.GenerateKeysRequest{RequestId: "request-2", Batch: "lab", Count: 1, Profile: "default"})
	refused(t, err, codes.FailedPrecondition, "BatchDiffers")
}

func TestListAndShowAndReveal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
	_, err := c.GenerateKeys(t.Context(), &scsv1.GenerateKeysRequest{RequestId: "request-1", Batch: "lab", Count: 5, MebxPassword: "P@ssw0rd-1"})
	w.ok(err)
	var keys []*scsv1.Key
	for token := ""; ; {
		resp, err := c.ListKeys(t.Context(), &scsv1.ListKeysRequest{PageSize: 2, PageToken: token, Batch: "lab"})
		w.ok(err)
		keys = append(keys, resp.GetKeys()...)
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(keys) != 5 || keys[0].GetState() != scsv1.KeyState_KEY_STATE_AVAILABLE || keys[0].GetExported() {
		t.Fatalf("got %v", keys)
	}
	pid := keys[0].GetPid()
	got, err := c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: strings.ToLower(pid)})
	w.ok(err)
	if got.GetKey().GetPid() != pid || len(got.GetHistory()) != 1 || got.GetHistory()[0].GetWho() != "boss" {
		t.Errorf("got %v", got)
	}
	resp, err := c.RevealKey(t.Context(), &scsv1.RevealKeyRequest{Pid: pid, Reason: "typed by hand"})
	w.ok(err)
	if _, err := amt.ParsePPS(resp.GetPps()); err != nil || resp.GetCurrentPassword() != "admin" || resp.GetNewPassword() != "P@ssw0rd-1" {
		t.Errorf("got %v, %v", resp, err)
	}
	if e := w.lastEntry("KeyService.RevealKey", pid, audit.Done); e.Reason != "typed by hand" || e.Who != "boss" || e.Role != "admin" {
		t.Errorf("got %+v", e)
	}
	revoked, err := c.RevokeKey(t.Context(), &scsv1.RevokeKeyRequest{Pid: pid, Reason: "lost"})
	w.ok(err)
	if revoked.GetKey().GetState() != scsv1.KeyState_KEY_STATE_REVOKED || revoked.GetKey().GetChangeReason() != "lost" {
		t.Errorf("got %v", revoked)
	}
	w.lastEntry("KeyService.RevokeKey", pid, audit.Done)
	batches, err := c.ListBatches(t.Context(), &scsv1.ListBatchesRequest{})
	w.ok(err)
	if len(batches.GetBatches()) != 1 || len(batches.GetBatches()[0].GetCounts()) != 2 {
		t.Errorf("got %v", batches)
	}
	w.hides(resp.GetPps(), resp.GetNewPassword())
}

// hides fails when the log shows a secret.
func (w *world) hides(secrets ...string) {
	w.t.Helper()
	text := w.log.String()
	for _, s := range secrets {
		if strings.Contains(text, s) || strings.Contains(text, strings.ReplaceAll(s, "-", "")) {
			w.t.Errorf("the log shows a secret")
		}
	}
	if !strings.Contains(text, "api call") {
		w.t.Error("nothing was logged")
	}
}

func TestKeyErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
	_, err := c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: "0000-037M"})
	refused(t, err, codes.NotFound, "UnknownPID")
	_, err = c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: "nonsense"})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	_, err = c.RevealKey(t.Context(), &scsv1.RevealKeyRequest{Pid: "0000-037M", Reason: "two\nlines"})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	_, err = c.RevealKey(t.Context(), &scsv1.RevealKeyRequest{Pid: "0000037m", Reason: " "})
	if got := fmt.Sprint(fields(err)); got != "[reason]" {
		t.Errorf("without a reason: got %v, %v", got, err)
	}
	_, err = c.RevealKey(t.Context(), &scsv1.RevealKeyRequest{Pid: "0000037m", Reason: "typed by hand"})
	refused(t, err, codes.NotFound, "UnknownPID")
	w.lastEntry("KeyService.RevealKey", "0000-037M", audit.Failed)
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "none"})
	refused(t, err, codes.NotFound, "NoBatch")
	_, err = c.ListKeys(t.Context(), &scsv1.ListKeysRequest{PageToken: "nonsense"})
	refused(t, err, codes.InvalidArgument, "BadPageToken")
}

// row is a row of an import, with a PPS that fits its PID's number.
func row(t *testing.T, place string) *scsv1.ImportRow {
	t.Helper()
	pair, err := amt.DrawPair(seeded(place))
	if err != nil {
		t.Fatal(err)
	}
	return &scsv1.ImportRow{Place: place, Pid: pair.PID.String(), Pps: amt.RevealPPS(pair.PPS), CurrentPassword: "P@ssw0rd-1", NewPassword: "P@ssw0rd-1"}
}

// seeded reads the same bytes for the same text.
func seeded(text string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(text))) }

func (w *world) importRows(c scsv1.KeyServiceClient, h *scsv1.ImportHeader, rows ...*scsv1.ImportRow) (*scsv1.ImportKeysResponse, error) {
	w.t.Helper()
	stream, err := c.ImportKeys(w.t.Context())
	w.ok(err)
	w.ok(stream.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: h}}))
	for _, r := range rows {
		part := &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: []*scsv1.ImportRow{r}}}
		if err := stream.Send(&scsv1.ImportKeysRequest{Part: part}); err != nil && !errors.Is(err, io.EOF) {
			w.t.Fatal(err)
		}
	}
	return stream.CloseAndRecv()
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	bad := row(t, "list.csv:3")
	bad.Pps = bad.Pps[:38] + "!"
	conflict := row(t, "list.csv:4")
	conflict.Pid = row(t, "list.csv:1").GetPid()
	rows := []*scsv1.ImportRow{row(t, "list.csv:1"), row(t, "list.csv:2"), bad}
	h := &scsv1.ImportHeader{Batch: "dell", Source: "list.csv"}

	resp, err := w.importRows(c, h, rows...)
	w.ok(err)
	if resp.GetStored() || resp.GetRows() != 3 || resp.GetBad() != 1 || len(resp.GetRejected()) != 1 || resp.GetRejected()[0].GetPlace() != "list.csv:3" {
		t.Errorf("got %v", resp)
	}
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "dell"})
	refused(t, err, codes.NotFound, "NoBatch")

	h.SkipBad = true
	for round := range 2 {
		resp, err = w.importRows(c, h, rows...)
		w.ok(err)
		if !resp.GetStored() || resp.GetAdded() != int64(2-2*round) || resp.GetKnown() != int64(2*round) || resp.GetBad() != 1 {
			t.Errorf("round %d: got %v", round, resp)
		}
	}
	w.lastEntry("KeyService.ImportKeys", "dell", audit.Done)
	resp, err = w.importRows(c, h, conflict)
	w.ok(err)
	if resp.GetConflicts() != 1 || len(resp.GetRejected()) != 1 || resp.GetRejected()[0].GetPlace() != "list.csv:4" || resp.GetRejected()[0].GetReason() != "PairConflict" {
		t.Errorf("got %v", resp)
	}
	h.DryRun = true
	resp, err = w.importRows(c, h, row(t, "list.csv:9"))
	w.ok(err)
	if resp.GetStored() || resp.GetAdded() != 1 {
		t.Errorf("a dry run: got %v", resp)
	}
	b, err := c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "dell"})
	w.ok(err)
	if b.GetBatch().GetKeyCount() != 2 || b.GetBatch().GetModel() != scsv1.SetupModel_SETUP_MODEL_OEM {
		t.Errorf("got %v", b)
	}
	w.hides(rows[0].GetPps(), rows[0].GetNewPassword(), bad.GetPps())
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	headless, err := c.ImportKeys(t.Context())
	w.ok(err)
	w.ok(headless.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{}}}))
	_, err = headless.CloseAndRecv()
	refused(t, err, codes.InvalidArgument, "WrongMessageOrder")
	_, err = w.importRows(c, &scsv1.ImportHeader{Model: 99})
	if got := fmt.Sprint(fields(err)); got != "[header.batch header.model]" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = w.importRows(c, &scsv1.ImportHeader{Batch: "b", Profile: "none"})
	refused(t, err, codes.NotFound, "NoProfile")
	many := make([]*scsv1.ImportRow, maxRows+1)
	for i := range many {
		many[i] = &scsv1.ImportRow{}
	}
	stream, err := c.ImportKeys(t.Context())
	w.ok(err)
	w.ok(stream.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: &scsv1.ImportHeader{Batch: "b"}}}))
	w.ok(stream.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: many}}}))
	_, err = stream.CloseAndRecv()
	if got := fmt.Sprint(fields(err)); got != "[rows.rows]" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "b"})
	refused(t, err, codes.NotFound, "NoBatch")
}

// export reads a whole export.
func export(c scsv1.KeyServiceClient, t *testing.T, req *scsv1.ExportBatchRequest) (id string, keys []*scsv1.ExportedKey, err error) {
	t.Helper()
	stream, err := c.ExportBatch(t.Context(), req)
	if err != nil {
		return "", nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return id, keys, nil
		}
		if err != nil {
			return id, nil, err
		}
		id, keys = m.GetExportId(), append(keys, m.GetKeys()...)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 3))
	w.ok(err)
	id, keys, err := export(c, t, &scsv1.ExportBatchRequest{Batch: "lab", Reason: "stick 7"})
	w.ok(err)
	if len(keys) != 3 || id == "" || keys[0].GetCurrentPassword() != "admin" || len(keys[0].GetPps()) != 39 {
		t.Fatalf("got %d keys, id %q", len(keys), id)
	}
	if e := w.lastEntry("KeyService.ExportBatch", "lab", audit.Done); e.Reason != "stick 7" {
		t.Errorf("got %+v", e)
	}
	_, _, err = export(c, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	if info := refused(t, err, codes.FailedPrecondition, "ExportOpen"); info.GetMetadata()["export_id"] != id ||
		!strings.Contains(info.GetMetadata()["hint"], "it may be at work just now") || !strings.Contains(err.Error(), "sue began it at") {
		t.Errorf("got %v, %v", info, err)
	}
	_, err = c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: id})
	w.ok(err)
	id, keys, err = export(c, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	if err != nil || len(keys) != 3 {
		t.Fatalf("after a discarded export: %d keys, %v", len(keys), err)
	}
	done, err := c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: id, Written: true})
	if err != nil || done.GetExported() != 3 {
		t.Errorf("got %v, %v", done, err)
	}
	_, _, err = export(c, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	refused(t, err, codes.FailedPrecondition, "NothingToExport")
	w.lastEntry("KeyService.ExportBatch", "lab", audit.Failed)
	_, keys, err = export(c, t, &scsv1.ExportBatchRequest{Batch: "lab", Again: true})
	if err != nil || len(keys) != 3 {
		t.Errorf("again: %d keys, %v", len(keys), err)
	}
	_, err = c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: "x"})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	w.hides(keys[0].GetPps(), keys[0].GetNewPassword())
}
