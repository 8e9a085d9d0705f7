package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

// importParts sends an import message by message.
func (w *world) importParts(c scsv1.KeyServiceClient, parts ...*scsv1.ImportKeysRequest) (*scsv1.ImportKeysResponse, error) {
	w.t.Helper()
	stream, err := c.ImportKeys(w.t.Context())
	w.ok(err)
	for _, p := range parts {
		if err := stream.Send(p); err != nil && !errors.Is(err, io.EOF) {
			w.t.Fatal(err)
		}
	}
	return stream.CloseAndRecv()
}

func headerPart(h *scsv1.ImportHeader) *scsv1.ImportKeysRequest {
	return &scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: h}}
}

func rowsPart(rows ...*scsv1.ImportRow) *scsv1.ImportKeysRequest {
	return &scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: rows}}}
}

func endPart(files ...*scsv1.ImportFile) *scsv1.ImportKeysRequest {
	return &scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_End{End: &scsv1.ImportEnd{Files: files}}}
}

func TestImportFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	used := row(t, "list.csv:2")
	used.Used = true
	h := &scsv1.ImportHeader{
		Batch: "dell", Source: "list.csv", Vendor: "Dell", OrderNumber: "4711", Notes: "hall 3",
		ExpireTime: timestamppb.New(time.Now().Add(time.Hour)), CurrentPassword: "F@ctory-1", ListConflicts: true,
	}
	sum := bytes.Repeat([]byte{7}, 32)
	end := endPart(&scsv1.ImportFile{Name: "list.csv", Sha256: sum})
	resp, err := w.importParts(c, headerPart(h), rowsPart(row(t, "list.csv:1"), used), end)
	w.ok(err)
	b := resp.GetBatch()
	if !resp.GetStored() || resp.GetUsed() != 1 || b.GetVendor() != "Dell" || b.GetOrderNumber() != "4711" || b.GetNotes() != "hall 3" ||
		!b.GetHasCurrentPassword() || b.GetExpired() || b.GetExpireTime() == nil {
		t.Errorf("got %v", resp)
	}
	if len(b.GetFiles()) != 1 || b.GetFiles()[0].GetImportedBy() != "paul" || b.GetFiles()[0].GetAdded() != 2 || !bytes.Equal(b.GetFiles()[0].GetSha256(), sum) {
		t.Errorf("got %v", b.GetFiles())
	}
	if e := w.lastEntry("KeyService.ImportKeys", "dell", audit.Done); e.Reason != fmt.Sprintf("2 new, 0 known, 0 left out; SHA-256 %x", sum) {
		t.Errorf("got %q", e.Reason)
	}
	// Again: no second file, no other batch, and yet an audit entry.
	before := len(w.entries())
	for _, name := range []string{"dell", "copy"} {
		again := &scsv1.ImportHeader{Batch: name}
		resp, err = w.importParts(c, headerPart(again), rowsPart(row(t, "list.csv:1")), end)
		w.ok(err)
		if !resp.GetStored() || resp.GetAdded() != 0 || len(resp.GetBatch().GetFiles()) > 1 {
			t.Errorf("%s: got %v", name, resp)
		}
	}
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "copy"})
	refused(t, err, codes.NotFound, "NoBatch")
	if n := len(w.entries()) - before; n != 2 {
		t.Errorf("%d audit entries of two imports", n)
	}
	conflict := row(t, "list.csv:9")
	conflict.Pid = row(t, "list.csv:1").GetPid()
	resp, err = w.importParts(c, headerPart(h), rowsPart(conflict))
	w.ok(err)
	if resp.GetStored() || len(resp.GetConflictingPids()) != 1 || resp.GetConflictingPids()[0] != conflict.GetPid() {
		t.Errorf("got %v", resp)
	}
	w.hides("F@ctory-1", used.GetPps())
}

func TestImportFactsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	good := &scsv1.ImportFile{Name: "a.csv", Sha256: make([]byte, 32)}
	past := timestamppb.New(time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		h    *scsv1.ImportHeader
		end  *scsv1.ImportKeysRequest
		want string
	}{
		{&scsv1.ImportHeader{Batch: "b", ExpireTime: past}, endPart(), "[header.expire_time]"},
		{&scsv1.ImportHeader{Batch: "b", ExpireTime: &timestamppb.Timestamp{Seconds: 1 << 60}}, endPart(), "[header.expire_time]"},
		{&scsv1.ImportHeader{Batch: "b", CurrentPassword: strings.Repeat("x", 33)}, endPart(), "[header.current_password]"},
		{&scsv1.ImportHeader{Batch: "b", CurrentPassword: "ä"}, endPart(), "[header.current_password]"},
		{&scsv1.ImportHeader{Batch: "b", Notes: "two\nlines"}, endPart(), "[header.notes]"},
		{&scsv1.ImportHeader{Batch: "b"}, endPart(&scsv1.ImportFile{Sha256: []byte{1}}), "[end.files.name end.files.sha256]"},
		{&scsv1.ImportHeader{Batch: "b"}, endPart(make([]*scsv1.ImportFile, 101)...), "[end.files"},
	} {
		_, err := w.importParts(c, headerPart(tt.h), rowsPart(row(t, "a.csv:1")), tt.end)
		if got := fmt.Sprint(fields(err)); !strings.HasPrefix(got, tt.want) {
			t.Errorf("got %v, %v, want %s", got, err, tt.want)
		}
	}
	_, err := w.importParts(c, headerPart(&scsv1.ImportHeader{Batch: "b"}), endPart(good), rowsPart(row(t, "a.csv:1")))
	refused(t, err, codes.InvalidArgument, "WrongMessageOrder")
	_, err = c.GetBatch(t.Context(), &scsv1.GetBatchRequest{Name: "b"})
	refused(t, err, codes.NotFound, "NoBatch")
}

func TestBatchIsSetAndRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.user("boss", access.Admin)
	c := scsv1.NewKeyServiceClient(boss)
	_, err := c.GenerateKeys(t.Context(), generate("request-1", "lab", 3))
	w.ok(err)
	text := func(s string) *string { return &s }
	resp, err := c.UpdateBatch(t.Context(), &scsv1.UpdateBatchRequest{
		Name: "lab", Vendor: text("Dell"), OrderNumber: text("1"), Profile: text("default"), CurrentPassword: text("F@ctory-1"), Reason: "late",
		ExpireTime: timestamppb.New(time.Now().Add(-time.Minute)),
	})
	w.ok(err)
	if b := resp.GetBatch(); b.GetVendor() != "Dell" || b.GetProfile() != "default" || !b.GetExpired() || !b.GetHasCurrentPassword() || b.GetSource() != "generated" {
		t.Errorf("got %v", b)
	}
	if e := w.lastEntry("KeyService.UpdateBatch", "lab", audit.Done); e.Reason != "changes profile, vendor, order number, expiry, current password: late" {
		t.Errorf("got %+v", e)
	}
	_, err = c.GenerateKeys(t.Context(), generate("request-2", "lab", 3))
	refused(t, err, codes.FailedPrecondition, "BatchExpired")
	_, _, err = export(c, t, &scsv1.ExportBatchRequest{Batch: "lab"})
	refused(t, err, codes.FailedPrecondition, "BatchExpired")
	resp, err = c.UpdateBatch(t.Context(), &scsv1.UpdateBatchRequest{Name: "lab", NeverExpires: true, CurrentPassword: text(""), Vendor: text(""), Reason: "new list"})
	w.ok(err)
	if b := resp.GetBatch(); b.GetVendor() != "" || b.GetOrderNumber() != "1" || b.GetExpired() || b.GetExpireTime() != nil || b.GetHasCurrentPassword() {
		t.Errorf("got %v", b)
	}
	for want, req := range map[string]*scsv1.UpdateBatchRequest{
		"never_expires":    {Name: "lab", NeverExpires: true, ExpireTime: timestamppb.Now()},
		"current_password": {Name: "lab", CurrentPassword: text(" x"), Reason: "x"},
		"vendor":           {Name: "lab", Vendor: text("a\nb")},
		"name":             {},
	} {
		_, err := c.UpdateBatch(t.Context(), req)
		if got := fields(err); len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	_, err = c.UpdateBatch(t.Context(), &scsv1.UpdateBatchRequest{Name: "lab", Profile: text("none")})
	refused(t, err, codes.NotFound, "NoProfile")
	_, err = c.UpdateBatch(t.Context(), &scsv1.UpdateBatchRequest{Name: "none"})
	refused(t, err, codes.NotFound, "NoBatch")

	for _, want := range []int64{3, 0} {
		resp, err := c.RetireBatch(t.Context(), &scsv1.RetireBatchRequest{Name: "lab", Reason: "closed"})
		w.ok(err)
		if resp.GetRetired() != want || resp.GetBatch().GetRetireTime() == nil || resp.GetBatch().GetCounts()[0].GetState() != scsv1.KeyState_KEY_STATE_RETIRED {
			t.Errorf("got %v", resp)
		}
	}
	if e := w.lastEntry("KeyService.RetireBatch", "lab", audit.Done); e.Reason != "closed" {
		t.Errorf("got %+v", e)
	}
	_, err = c.RetireBatch(t.Context(), &scsv1.RetireBatchRequest{Name: "none"})
	refused(t, err, codes.NotFound, "NoBatch")
	_, err = c.GenerateKeys(t.Context(), generate("request-3", "lab", 3))
	refused(t, err, codes.FailedPrecondition, "BatchRetired")
	w.hides("F@ctory-1")
}

func TestKeyMappings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	column := func(field string, at int32, name string) *scsv1.KeyMappingColumn {
		return &scsv1.KeyMappingColumn{Field: field, Position: at, Column: name}
	}
	m := &scsv1.KeyMapping{Name: "dell", Columns: []*scsv1.KeyMappingColumn{column("pid", 3, ""), column("pps", 0, "Pass Phrase")}, Separator: "tab", Skip: 2, Notes: "x"}
	_, err := c.SetKeyMapping(t.Context(), &scsv1.SetKeyMappingRequest{Mapping: m})
	w.ok(err)
	w.lastEntry("KeyService.SetKeyMapping", "dell", audit.Done)
	got, err := c.GetKeyMapping(t.Context(), &scsv1.GetKeyMappingRequest{Name: "dell"})
	w.ok(err)
	if g := got.GetMapping(); fmt.Sprint(g.GetColumns()) != fmt.Sprint(m.GetColumns()) || g.GetSeparator() != "tab" || g.GetSkip() != 2 || g.GetChangedBy() != "paul" {
		t.Errorf("got %v", g)
	}
	list, err := c.ListKeyMappings(t.Context(), &scsv1.ListKeyMappingsRequest{})
	w.ok(err)
	if len(list.GetMappings()) != 1 || list.GetNextPageToken() != "" {
		t.Errorf("got %v", list)
	}
	for want, bad := range map[string]*scsv1.KeyMapping{
		"mapping.name":      {Columns: m.GetColumns()},
		"mapping.separator": {Name: "x", Columns: m.GetColumns(), Separator: "|"},
		"mapping.columns":   {Name: "x", Columns: m.GetColumns()[:1]},
	} {
		_, err := c.SetKeyMapping(t.Context(), &scsv1.SetKeyMappingRequest{Mapping: bad})
		if f := fields(err); len(f) != 1 || f[0] != want {
			t.Errorf("got %v, %v, want %s", f, err, want)
		}
	}
	m.Name = "a b"
	_, err = c.SetKeyMapping(t.Context(), &scsv1.SetKeyMappingRequest{Mapping: m})
	refused(t, err, codes.InvalidArgument, "BadMappingName")
	_, err = c.DeleteKeyMapping(t.Context(), &scsv1.DeleteKeyMappingRequest{Name: "dell"})
	w.ok(err)
	_, err = c.DeleteKeyMapping(t.Context(), &scsv1.DeleteKeyMappingRequest{Name: "dell"})
	refused(t, err, codes.NotFound, "NoMapping")
	_, err = c.GetKeyMapping(t.Context(), &scsv1.GetKeyMappingRequest{Name: "dell"})
	refused(t, err, codes.NotFound, "NoMapping")
}

func (w *world) importDevices(c scsv1.DeviceServiceClient, h *scsv1.ImportDevicesHeader, rows ...*scsv1.ImportDevicesRow) (*scsv1.ImportDevicesResponse, error) {
	w.t.Helper()
	stream, err := c.ImportDevices(w.t.Context())
	w.ok(err)
	w.ok(stream.Send(&scsv1.ImportDevicesRequest{Part: &scsv1.ImportDevicesRequest_Header{Header: h}}))
	for len(rows) > 0 {
		n := min(len(rows), 1000)
		part := &scsv1.ImportDevicesRequest_Rows{Rows: &scsv1.ImportDevicesRows{Rows: rows[:n]}}
		if err := stream.Send(&scsv1.ImportDevicesRequest{Part: part}); err != nil && !errors.Is(err, io.EOF) {
			w.t.Fatal(err)
		}
		rows = rows[n:]
	}
	return stream.CloseAndRecv()
}

func pcRow(i int) *scsv1.ImportDevicesRow {
	return &scsv1.ImportDevicesRow{Place: fmt.Sprintf("pcs.csv:%d", i), Uuid: fmt.Sprintf("d2ffc23e-9dd1-412d-860a-54b2039b%04x", i), Fqdn: fmt.Sprintf("pc%d.example.com", i)}
}

func TestImportDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewDeviceServiceClient(w.user("olga", access.Operator))
	secret := pcRow(2)
	secret.MebxPassword = "F@ctory-77"
	twin := pcRow(3)
	twin.Fqdn = "pc1.example.com"
	bad, noProfile := pcRow(4), pcRow(5)
	bad.Uuid, noProfile.Profile = "leaked-secret", "none"
	rows := []*scsv1.ImportDevicesRow{pcRow(1), secret, twin, bad, noProfile}
	h := &scsv1.ImportDevicesHeader{Source: "pcs.csv", Profile: "default"}
	for _, skip := range []bool{false, true} {
		h.SkipBad = skip
		resp, err := w.importDevices(c, h, rows...)
		w.ok(err)
		if resp.GetStored() != skip || resp.GetRows() != 5 || resp.GetAdded() != 2 || resp.GetConflicts() != 1 || resp.GetBad() != 2 || resp.GetPasswords() != 1 {
			t.Errorf("skip %v: got %v", skip, resp)
		}
		want := "not stored (dry run: false): 5 rows, 1 with passwords"
		if skip {
			want = ""
		}
		if e := w.lastEntry("DeviceService.ImportDevices", "pcs.csv", audit.Done); e.Reason != want {
			t.Errorf("skip %v: the audit log has %q, want %q", skip, e.Reason, want)
		}
		reasons := map[string]string{}
		for _, r := range resp.GetRejected() {
			reasons[r.GetPlace()] = r.GetReason()
		}
		if fmt.Sprint(reasons) != "map[pcs.csv:3:NameTaken pcs.csv:4:BadRow pcs.csv:5:NoProfile]" {
			t.Errorf("got %v", reasons)
		}
	}
	resp, err := w.importDevices(c, &scsv1.ImportDevicesHeader{Source: "guess.csv", DryRun: true}, secret)
	w.ok(err)
	// Whether a password is the known one can be seen from this.
	if e := w.lastEntry("DeviceService.ImportDevices", "guess.csv", audit.Done); resp.GetStored() || e.Reason != "not stored (dry run: true): 1 rows, 1 with passwords" {
		t.Errorf("a dry run: got %v, %+v", resp, e)
	}
	d, err := c.GetDevice(t.Context(), &scsv1.GetDeviceRequest{Uuid: secret.GetUuid()})
	w.ok(err)
	if d.GetDevice().GetFqdn() != "pc2.example.com" || d.GetDevice().GetProfile() != "default" {
		t.Errorf("got %v", d)
	}
	p, err := c.RevealDevicePassword(t.Context(), &scsv1.RevealDevicePasswordRequest{Uuid: secret.GetUuid()})
	w.ok(err)
	if len(p.GetPasswords()) != 1 || p.GetPasswords()[0].GetUser() != "MEBx" || p.GetPasswords()[0].GetPassword() != "F@ctory-77" {
		t.Errorf("got %v", p)
	}
	w.hides("F@ctory-77")
}

func TestImportDevicesRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewDeviceServiceClient(w.user("olga", access.Operator))
	many := make([]*scsv1.ImportDevicesRow, provisioning.MaxListed+1)
	for i := range many {
		many[i] = pcRow(i)
	}
	_, err := w.importDevices(c, &scsv1.ImportDevicesHeader{}, many...)
	refused(t, err, codes.InvalidArgument, "ListTooLong")
	_, err = w.importDevices(c, &scsv1.ImportDevicesHeader{Source: "a\nb", Profile: strings.Repeat("x", 300)})
	if got := fmt.Sprint(fields(err)); got != "[header.source header.profile]" {
		t.Errorf("got %v", got)
	}
	stream, err := c.ImportDevices(t.Context())
	w.ok(err)
	w.ok(stream.Send(&scsv1.ImportDevicesRequest{}))
	_, err = stream.CloseAndRecv()
	refused(t, err, codes.InvalidArgument, "WrongMessageOrder")
	list, err := c.ListDevices(t.Context(), &scsv1.ListDevicesRequest{})
	w.ok(err)
	if len(list.GetDevices()) != 0 {
		t.Errorf("got %v", list)
	}
}
