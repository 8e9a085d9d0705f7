package rpc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// TestExportMedia: what the pairs were written to is in the audit log and in the
// story of each pair, with the reason.
func TestExportMedia(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 2))
	w.ok(err)
	for _, m := range []struct {
		medium     scsv1.ExportMedium
		recipients []string
		want       string
	}{
		{scsv1.ExportMedium_EXPORT_MEDIUM_UNSPECIFIED, nil, "room 5"},
		{scsv1.ExportMedium_EXPORT_MEDIUM_USB_KEY, nil, "setup.bin: room 5"},
		{scsv1.ExportMedium_EXPORT_MEDIUM_SHEET, nil, "printed sheet: room 5"},
		{scsv1.ExportMedium_EXPORT_MEDIUM_ENCRYPTED_FILE, []string{recipient, recipient}, "file encrypted to " + recipient + ", " + recipient + ": room 5"},
		{scsv1.ExportMedium_EXPORT_MEDIUM_PLAIN_FILE, nil, "file in plain text: room 5"},
	} {
		req := &scsv1.ExportBatchRequest{Batch: "lab", Again: true, Reason: "room 5", Medium: m.medium, Recipients: m.recipients}
		id, keys, err := export(c, t, req)
		w.ok(err)
		if e := w.lastEntry("KeyService.ExportBatch", "lab", audit.Done); e.Reason != m.want {
			t.Errorf("%v: the audit log has %q, want %q", m.medium, e.Reason, m.want)
		}
		_, err = c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: id, Written: true})
		w.ok(err)
		got, err := c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: keys[1].GetPid()})
		w.ok(err)
		last := got.GetHistory()[len(got.GetHistory())-1]
		if last.GetWhy() != m.want || last.GetWho() != "sue" || !strings.HasPrefix(last.GetAct(), "export") || !got.GetKey().GetExported() {
			t.Errorf("%v: the story ends with %v, want %q", m.medium, last, m.want)
		}
	}
	// Without a reason the story says at least how the export ended.
	id, keys, err := export(c, t, &scsv1.ExportBatchRequest{Batch: "lab", Again: true})
	w.ok(err)
	_, err = c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: id, Written: true})
	w.ok(err)
	got, err := c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: keys[0].GetPid()})
	w.ok(err)
	if got.GetKey().GetChangeReason() != "written: true" {
		t.Errorf("got %v", got.GetKey())
	}
}

func TestExportMediaRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 2))
	w.ok(err)
	const sheet, encrypted, plain = scsv1.ExportMedium_EXPORT_MEDIUM_SHEET, scsv1.ExportMedium_EXPORT_MEDIUM_ENCRYPTED_FILE, scsv1.ExportMedium_EXPORT_MEDIUM_PLAIN_FILE
	for _, r := range []struct {
		name string
		req  *scsv1.ExportBatchRequest
		want string
	}{
		{"a sheet without a reason", &scsv1.ExportBatchRequest{Medium: sheet}, "[reason]"},
		{"plain text without a reason", &scsv1.ExportBatchRequest{Medium: plain, Reason: "  "}, "[reason]"},
		{"a file without a reason", &scsv1.ExportBatchRequest{Medium: encrypted, Recipients: []string{recipient}}, "[reason]"},
		{"a file for nobody", &scsv1.ExportBatchRequest{Medium: encrypted, Reason: "r"}, "[recipients]"},
		{"a sheet for a key", &scsv1.ExportBatchRequest{Medium: sheet, Reason: "r", Recipients: []string{recipient}}, "[recipients]"},
		{"a setup.bin for a key", &scsv1.ExportBatchRequest{Reason: "r", Recipients: []string{recipient}}, "[recipients]"},
		{"too many", &scsv1.ExportBatchRequest{Medium: encrypted, Reason: "r", Recipients: make([]string, 11)}, "[recipients]"},
		{"no public key", &scsv1.ExportBatchRequest{Medium: encrypted, Reason: "r", Recipients: []string{recipient, "AGE-SECRET-KEY-1"}}, "[recipients[1]]"},
		{"a long key", &scsv1.ExportBatchRequest{Medium: encrypted, Reason: "r", Recipients: []string{recipient + recipient}}, "[recipients[0]]"},
		{"much text", &scsv1.ExportBatchRequest{Medium: sheet, Reason: strings.Repeat("r", 990)}, "[reason]"},
		{"an unknown medium", &scsv1.ExportBatchRequest{Medium: 77, Reason: "r"}, "[medium]"},
	} {
		r.req.Batch = "lab"
		_, _, err := export(c, t, r.req)
		refused(t, err, codes.InvalidArgument, "InvalidRequest")
		if got := fmt.Sprint(fields(err)); got != r.want {
			t.Errorf("%s: got %v, want %s: %v", r.name, got, r.want, err)
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows the key: %v", r.name, err)
		}
		w.lastEntry("KeyService.ExportBatch", "lab", audit.Failed)
	}
	list, err := c.ListKeys(t.Context(), &scsv1.ListKeysRequest{Exported: proto.Bool(true)})
	if err != nil || len(list.GetKeys()) != 0 {
		t.Errorf("got %v, %v, want none exported", list, err)
	}
}

func TestGenerateModelAndRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("sue", access.Staging))
	manual := &scsv1.GenerateKeysRequest{
		RequestId: "request-1", Batch: "desk", Count: 2, Model: scsv1.SetupModel_SETUP_MODEL_MANUAL, PasswordRules: scsv1.PasswordRules_PASSWORD_RULES_HP,
	}
	for range 2 { // the same request again makes no more
		resp, err := c.GenerateKeys(t.Context(), manual)
		w.ok(err)
		if b := resp.GetBatch(); b.GetModel() != scsv1.SetupModel_SETUP_MODEL_MANUAL || b.GetKeyCount() != 2 {
			t.Errorf("got %v", b)
		}
	}
	_, keys, err := export(c, t, &scsv1.ExportBatchRequest{Batch: "desk"})
	w.ok(err)
	for _, k := range keys {
		if err := amt.HPRules.Check(amt.NewSecretString(k.GetNewPassword())); err != nil || k.GetCurrentPassword() != amt.FactoryPassword {
			t.Errorf("%s: %v", k.GetPid(), err)
		}
	}
	_, err = c.GenerateKeys(t.Context(), generate("request-1", "desk", 2))
	refused(t, err, codes.AlreadyExists, "RequestIDUsed")
	_, err = c.GenerateKeys(t.Context(), generate("request-2", "desk", 2)) // for USB keys
	refused(t, err, codes.FailedPrecondition, "BatchDiffers")
	for want, change := range map[string]func(*scsv1.GenerateKeysRequest){
		"model":          func(r *scsv1.GenerateKeysRequest) { r.Model = scsv1.SetupModel_SETUP_MODEL_OEM },
		"password_rules": func(r *scsv1.GenerateKeysRequest) { r.PasswordRules = 9 },
		"mebx_password": func(r *scsv1.GenerateKeysRequest) {
			r.PasswordRules, r.MebxPassword = scsv1.PasswordRules_PASSWORD_RULES_HP, "Pl4nted<word"
		},
	} {
		req := generate("request-3", "other", 1)
		change(req)
		_, err := c.GenerateKeys(t.Context(), req)
		refused(t, err, codes.InvalidArgument, "InvalidRequest")
		if got := fields(err); len(got) != 1 || got[0] != want || strings.Contains(err.Error(), "Pl4nted") {
			t.Errorf("got %v, want %s: %v", got, want, err)
		}
	}
}

// TestListFilters lists by each filter beside the others.
func TestListFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("boss", access.Admin))
	begun := time.Now()
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "old", 3))
	w.ok(err)
	between := time.Now()
	_, err = c.GenerateKeys(t.Context(), generate("request-2", "new", 2))
	w.ok(err)
	old, err := c.ListKeys(t.Context(), &scsv1.ListKeysRequest{Batch: "old"})
	w.ok(err)
	_, err = c.RevokeKey(t.Context(), &scsv1.RevokeKeyRequest{Pid: old.GetKeys()[0].GetPid(), Reason: "lost"})
	w.ok(err)
	id, _, err := export(c, t, &scsv1.ExportBatchRequest{Batch: "new"})
	w.ok(err)
	_, err = c.FinishExport(t.Context(), &scsv1.FinishExportRequest{ExportId: id, Written: true})
	w.ok(err)
	at := timestamppb.New
	for _, f := range []struct {
		name string
		req  *scsv1.ListKeysRequest
		want int
	}{
		{"all", &scsv1.ListKeysRequest{}, 5},
		{"exported", &scsv1.ListKeysRequest{Exported: proto.Bool(true)}, 2},
		{"not exported", &scsv1.ListKeysRequest{Exported: proto.Bool(false)}, 3},
		{"created after", &scsv1.ListKeysRequest{CreatedAfter: at(between)}, 2},
		{"created before", &scsv1.ListKeysRequest{CreatedBefore: at(between)}, 3},
		{"created within", &scsv1.ListKeysRequest{CreatedAfter: at(begun), CreatedBefore: at(between)}, 3},
		{"changed after", &scsv1.ListKeysRequest{ChangedAfter: at(between)}, 3},
		{"changed before", &scsv1.ListKeysRequest{ChangedBefore: at(between)}, 2},
		{"before the beginning", &scsv1.ListKeysRequest{ChangedBefore: at(begun)}, 0},
		{"by batch, state and age", &scsv1.ListKeysRequest{Batch: "old", State: scsv1.KeyState_KEY_STATE_REVOKED, ChangedAfter: at(between)}, 1},
	} {
		var got int
		for {
			f.req.PageSize = 2
			page, err := c.ListKeys(t.Context(), f.req)
			w.ok(err)
			got += len(page.GetKeys())
			if f.req.PageToken = page.GetNextPageToken(); f.req.PageToken == "" {
				break
			}
		}
		if got != f.want {
			t.Errorf("%s: got %d pairs, want %d", f.name, got, f.want)
		}
	}
	page, err := c.ListKeys(t.Context(), &scsv1.ListKeysRequest{PageSize: 1, CreatedAfter: at(begun)})
	w.ok(err)
	_, err = c.ListKeys(t.Context(), &scsv1.ListKeysRequest{PageSize: 1, ChangedAfter: at(begun), PageToken: page.GetNextPageToken()})
	refused(t, err, codes.InvalidArgument, "BadPageToken")
	for want, req := range map[string]*scsv1.ListKeysRequest{
		"[created_after]":  {CreatedAfter: &timestamppb.Timestamp{Seconds: -1}},
		"[changed_before]": {ChangedBefore: &timestamppb.Timestamp{Nanos: -1}},
		"[created_before]": {CreatedAfter: at(between), CreatedBefore: at(begun)},
	} {
		_, err := c.ListKeys(t.Context(), req)
		if got := fmt.Sprint(fields(err)); got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
