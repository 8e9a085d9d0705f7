package rpc

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func finishing(id string, written bool) *scsv1.FinishExportRequest {
	return &scsv1.FinishExportRequest{ExportId: id, Written: written}
}

// TestDiscardByAnother: a colleague cannot discard an export that is likely to be
// at work. Who may, an administrator, is found out by whoever made the file.
func TestDiscardByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	anna := scsv1.NewKeyServiceClient(w.user("anna", access.Staging))
	bert := scsv1.NewKeyServiceClient(w.user("bert", access.Staging))
	boss := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
	_, err := anna.GenerateKeys(t.Context(), generate("request-1", "lab", 3))
	w.ok(err)
	id, keys, err := export(anna, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	w.ok(err)
	_, err = bert.FinishExport(t.Context(), finishing(id, false))
	refused(t, err, codes.PermissionDenied, "ExportOfAnother")
	if !strings.Contains(err.Error(), "anna began it at ") {
		t.Errorf("got %v", err)
	}
	w.lastEntry("KeyService.FinishExport", "export "+id, audit.Failed)
	_, err = boss.FinishExport(t.Context(), finishing(id, false))
	w.ok(err)
	_, err = bert.FinishExport(t.Context(), finishing(id, false))
	w.ok(err) // it is so already
	_, err = anna.FinishExport(t.Context(), finishing(id, true))
	refused(t, err, codes.FailedPrecondition, "ExportDiscarded")
	if !strings.Contains(err.Error(), "the export was discarded by boss at ") {
		t.Errorf("got %v", err)
	}
	got, err := anna.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: keys[0].GetPid()})
	w.ok(err)
	if got.GetKey().GetExported() {
		t.Error("a pair of a discarded export is exported")
	}

	id, _, err = export(bert, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	w.ok(err)
	for range 2 { // the answer may have been lost
		done, err := anna.FinishExport(t.Context(), finishing(id, true)) // marking too many is the safe side
		w.ok(err)
		if done.GetExported() != 3 {
			t.Errorf("got %v", done)
		}
	}
	_, err = bert.FinishExport(t.Context(), finishing(id, false))
	refused(t, err, codes.FailedPrecondition, "ExportWritten")
}

// TestDiscardOfOldExport: what nobody finishes for an hour, any colleague may
// clear away.
func TestDiscardOfOldExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	anna := scsv1.NewKeyServiceClient(w.user("anna", access.Staging))
	_, err := anna.GenerateKeys(t.Context(), generate("request-1", "lab", 1))
	w.ok(err)
	bert := scsv1.NewKeyServiceClient(w.user("bert", access.Staging))
	for age, want := range map[time.Duration]codes.Code{59 * time.Minute: codes.PermissionDenied, 61 * time.Minute: codes.OK} {
		var ex keystore.Export
		w.ok(w.store.Update(t.Context(), func(tx kv.Tx) error {
			ex, err = w.keys.BeginExport(tx, "lab", true, keystore.Move{Who: "anna", At: time.Now().Add(-age)})
			return err
		}))
		_, err := bert.FinishExport(t.Context(), finishing(strconv.FormatUint(ex.ID, 10), false))
		if want == codes.OK {
			w.ok(err)
			continue
		}
		refused(t, err, want, "ExportOfAnother")
	}
}

// TestExportEndedMidway: a stream whose export somebody ends is no whole list.
func TestExportEndedMidway(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{true, false} {
		w := newWorld(t)
		anna := scsv1.NewKeyServiceClient(w.user("anna", access.Staging))
		boss := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
		_, err := anna.GenerateKeys(t.Context(), generate("request-1", "lab", 12*exportPart))
		w.ok(err)
		stream, err := anna.ExportBatch(t.Context(), &scsv1.ExportBatchRequest{Batch: "lab"})
		w.ok(err)
		part, err := stream.Recv() // the window of the connection is full long before the end
		w.ok(err)
		_, err = boss.FinishExport(t.Context(), finishing(part.GetExportId(), written))
		w.ok(err)
		n := len(part.GetKeys())
		for err == nil {
			part, err = stream.Recv()
			n += len(part.GetKeys())
		}
		refused(t, err, codes.FailedPrecondition, map[bool]string{true: "ExportWritten", false: "ExportDiscarded"}[written])
		if n >= 12*exportPart {
			t.Errorf("written %t: all %d pairs came, the test shows nothing", written, n)
		}
		if strings.Contains(w.log.String(), "stays unfinished") {
			t.Error("the log tells of an unfinished export")
		}
	}
}

// TestPasswordsLeaveATrace: who sets or removes a password says why, the audit log
// names what was changed and never a value, and the one before can be found.
func TestPasswordsLeaveATrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
	r := row(t, "l:1")
	r.CurrentPassword = ""
	_, err := w.importParts(boss, headerPart(&scsv1.ImportHeader{Batch: "dell", CurrentPassword: "F@ctory-1"}), rowsPart(r))
	w.ok(err)
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		req  *scsv1.UpdateBatchRequest
		want string // of the audit log; empty: the reason is missing
	}{
		{&scsv1.UpdateBatchRequest{CurrentPassword: text("")}, ""},
		{&scsv1.UpdateBatchRequest{CurrentPassword: text("F@ctory-2"), Reason: " "}, ""},
		{&scsv1.UpdateBatchRequest{CurrentPassword: text(""), Reason: "unknown"}, "changes current password (removed): unknown"},
		{&scsv1.UpdateBatchRequest{CurrentPassword: text("F@ctory-2"), Vendor: text("Dell"), Notes: text("n"), Reason: "mixed up"}, "changes vendor, notes, current password: mixed up"},
		{&scsv1.UpdateBatchRequest{Vendor: text("Dell"), OrderNumber: text("7")}, "changes order number"},
		{&scsv1.UpdateBatchRequest{Vendor: text("Dell"), Reason: strings.Repeat("x", 900)}, "changes nothing: " + strings.Repeat("x", 900)},
	} {
		c.req.Name = "dell"
		_, err := boss.UpdateBatch(t.Context(), c.req)
		if c.want == "" {
			if got := fields(err); len(got) == 0 || got[0] != "reason" {
				t.Errorf("%v: got %v", c.req, err)
			}
			continue
		}
		w.ok(err)
		if e := w.lastEntry("KeyService.UpdateBatch", "dell", audit.Done); e.Reason != c.want {
			t.Errorf("the audit log has %q, want %q", e.Reason, c.want)
		}
	}
	reveal := func(current, previous string) {
		t.Helper()
		got, err := boss.RevealKey(t.Context(), &scsv1.RevealKeyRequest{Pid: r.GetPid(), Reason: "login"})
		w.ok(err)
		if got.GetCurrentPassword() != current || got.GetPreviousPassword() != previous {
			t.Errorf("got %q and %q, want %q and %q", got.GetCurrentPassword(), got.GetPreviousPassword(), current, previous)
		}
	}
	reveal("F@ctory-2", "F@ctory-1")
	set := &scsv1.SetKeyPasswordRequest{Pid: r.GetPid(), CurrentPassword: "0wn-Passw0rd"}
	_, err = boss.SetKeyPassword(t.Context(), set)
	if got := fields(err); len(got) != 1 || got[0] != "reason" {
		t.Errorf("without a reason: got %v", err)
	}
	set.Reason = "the supplier says so"
	_, err = boss.SetKeyPassword(t.Context(), set)
	w.ok(err)
	reveal("0wn-Passw0rd", "F@ctory-2")
	w.hides("F@ctory-1", "F@ctory-2", "0wn-Passw0rd")
}

// TestImportsOfOneNewBatch: two lists that make one batch with other passwords are
// not mixed. The second ends, with nothing of it stored.
func TestImportsOfOneNewBatch(t *testing.T) {
	t.Parallel()
	for _, other := range []bool{true, false} {
		w := newWorld(t)
		c := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
		first, second := row(t, "a:1"), row(t, "b:1")
		first.CurrentPassword, second.CurrentPassword = "", ""
		header := &scsv1.ImportHeader{Batch: "dell", CurrentPassword: "F@ctory-1"}
		stream, err := c.ImportKeys(t.Context())
		w.ok(err)
		late := &scsv1.ImportHeader{Batch: "dell", CurrentPassword: "F@ctory-1"}
		if other {
			late.CurrentPassword = "F@ctory-2"
		}
		w.ok(stream.Send(headerPart(late)))
		w.ok(stream.Send(rowsPart(second)))
		time.Sleep(50 * time.Millisecond) // the server has looked at the batch; if not, it is refused sooner
		_, err = w.importParts(c, headerPart(header), rowsPart(first))
		w.ok(err)
		_, err = stream.CloseAndRecv()
		want := 1
		if other {
			refused(t, err, codes.FailedPrecondition, "BatchDiffers")
		} else {
			w.ok(err)
			want = 2
		}
		got, err := c.ListKeys(t.Context(), &scsv1.ListKeysRequest{Batch: "dell"})
		w.ok(err)
		if len(got.GetKeys()) != want {
			t.Errorf("other %t: %d pairs, want %d", other, len(got.GetKeys()), want)
		}
		w.hides("F@ctory-1", "F@ctory-2")
	}
}
