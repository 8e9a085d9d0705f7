package rpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// openImport begins an import of a batch and leaves it open.
func (w *world) openImport(ctx context.Context, c scsv1.KeyServiceClient, batch string) scsv1.KeyService_ImportKeysClient {
	w.t.Helper()
	stream, err := c.ImportKeys(ctx)
	w.ok(err)
	w.ok(stream.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: &scsv1.ImportHeader{Batch: batch}}}))
	return stream
}

// TestImportsAreBounded opens as many imports as one user, and then all, may
// have: one more is refused until one has ended.
func TestImportsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paul := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	rita := scsv1.NewKeyServiceClient(w.user("rita", access.Procurement))
	anna := scsv1.NewKeyServiceClient(w.user("anna", access.Admin))
	open := func(n int) {
		t.Helper()
		eventually(t, "imports are under way", func() bool {
			w.server.mu.Lock()
			defer w.server.mu.Unlock()
			return w.server.imports["paul"]+w.server.imports["rita"]+w.server.imports["anna"] == n
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range MaxUserImports {
		w.openImport(ctx, paul, "of-paul")
	}
	open(MaxUserImports)
	_, err := w.importRows(paul, &scsv1.ImportHeader{Batch: "more"}, row(t, "a:1"))
	refused(t, err, codes.ResourceExhausted, "TooManyImports")
	for range MaxImports - MaxUserImports {
		w.openImport(ctx, rita, "of-rita")
	}
	open(MaxImports)
	_, err = w.importRows(anna, &scsv1.ImportHeader{Batch: "of-anna"}, row(t, "a:1"))
	refused(t, err, codes.ResourceExhausted, "TooManyImports")
	cancel()
	open(0)
	resp, err := w.importRows(anna, &scsv1.ImportHeader{Batch: "of-anna"}, row(t, "a:1"))
	w.ok(err)
	if !resp.GetStored() || resp.GetAdded() != 1 {
		t.Errorf("got %v", resp)
	}
	_, err = anna.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "of-paul"})
	refused(t, err, codes.NotFound, "NoBatch")
}

// TestSilentImportEnds: empty messages are no rows.
func TestSilentImportEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.mu.Lock()
	w.server.importIdle = 300 * time.Millisecond
	w.server.mu.Unlock()
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	stream := w.openImport(t.Context(), c, "silent")
	w.ok(stream.Send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: []*scsv1.ImportRow{row(t, "a:1")}}}}))
	empty := &scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{}}}
	for stream.Send(empty) == nil {
		time.Sleep(20 * time.Millisecond)
	}
	err := stream.RecvMsg(&scsv1.ImportKeysResponse{})
	refused(t, err, codes.Aborted, "ImportSilent")
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "silent"})
	refused(t, err, codes.NotFound, "NoBatch")
}

// TestEveryComparisonIsAudited asks in four ways whether passwords are those of
// the store: each leaves an entry, without them.
func TestEveryComparisonIsAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	known := row(t, "a:1")
	_, err := w.importRows(c, &scsv1.ImportHeader{Batch: "dell"}, known)
	w.ok(err)
	guess := &scsv1.ImportRow{Place: "b:1", Pid: known.GetPid(), Pps: known.GetPps(), NewPassword: "Gue55ed-one!"}
	bad := &scsv1.ImportRow{Place: "b:2", Pid: "nonsense"}
	for _, tt := range []struct {
		name   string
		header *scsv1.ImportHeader
		rows   []*scsv1.ImportRow
		why    string
	}{
		{"a dry run", &scsv1.ImportHeader{Batch: "dell", DryRun: true}, []*scsv1.ImportRow{guess}, "dry run: 0 new, 1 known, 0 left out, 1 with other passwords"},
		{"a dry run that is right", &scsv1.ImportHeader{Batch: "dell", DryRun: true}, []*scsv1.ImportRow{known}, "dry run: 0 new, 1 known, 0 left out"},
		{"a bad row", &scsv1.ImportHeader{Batch: "dell"}, []*scsv1.ImportRow{guess, bad}, "nothing was stored: 0 new, 1 known, 1 left out, 1 with other passwords"},
		{"nothing new", &scsv1.ImportHeader{Batch: "dell"}, []*scsv1.ImportRow{guess}, "0 new, 1 known, 0 left out, 1 with other passwords"},
	} {
		before := len(w.entries())
		_, err := w.importRows(c, tt.header, tt.rows...)
		w.ok(err)
		list := w.entries()
		if len(list) != before+1 || !strings.HasPrefix(list[len(list)-1].Reason, tt.why) || list[len(list)-1].Object != "dell" {
			t.Errorf("%s: %d entries more, the last: %+v", tt.name, len(list)-before, list[len(list)-1])
		}
	}
	w.hides(guess.GetNewPassword(), known.GetNewPassword(), known.GetPps())
}
