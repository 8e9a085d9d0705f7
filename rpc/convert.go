package rpc

import (
	"encoding/pem"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

// The enums of the API have the numbers of the domain's types; a test compares
// each value's name.

// stamp is nil for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// holder is empty for the zero UUID.
func holder(u amt.UUID) string {
	if u == (amt.UUID{}) {
		return ""
	}
	return u.String()
}

// pidText is empty for the zero PID.
func pidText(p amt.PID) string {
	if p == (amt.PID{}) {
		return ""
	}
	return p.String()
}

func keyMessage(k keystore.Key) *scsv1.Key {
	return &scsv1.Key{
		Pid: k.PID.String(), State: scsv1.KeyState(k.State), Exported: k.Exported, Batch: k.Batch, Profile: k.Profile,
		Model: scsv1.SetupModel(k.Model), Uuid: holder(k.UUID), CreateTime: stamp(k.CreatedAt), ChangeTime: stamp(k.ChangedAt),
		ChangeReason: k.Why, ChangedBy: k.Who,
	}
}

func changeMessage(c keystore.Change) *scsv1.KeyChange {
	return &scsv1.KeyChange{
		Time: stamp(c.At), Who: c.Who, Why: c.Why, Act: string(c.Act),
		From: scsv1.KeyState(c.From), To: scsv1.KeyState(c.To), Uuid: holder(c.UUID),
	}
}

func batchMessage(b keystore.Batch, now time.Time) *scsv1.Batch {
	m := &scsv1.Batch{
		Name: b.Name, Profile: b.Profile, Model: scsv1.SetupModel(b.Model), Source: b.Source,
		CreateTime: stamp(b.CreatedAt), CreatedBy: b.CreatedBy, KeyCount: int64(b.Count()), RetireTime: stamp(b.RetiredAt),
	}
	m.Vendor, m.OrderNumber, m.Notes, m.ExpireTime = b.Vendor, b.OrderNumber, b.Notes, stamp(b.ExpiresAt)
	m.HasCurrentPassword, m.Expired = b.HasCurrentPassword, b.Expired(now)
	m.Files = each(b.Files, func(f keystore.BatchFile) *scsv1.BatchFile {
		return &scsv1.BatchFile{Name: f.Name, Sha256: f.SHA256, ImportTime: stamp(f.At), ImportedBy: f.Who, Added: int64(f.Added)}
	})
	for _, s := range keystore.States() {
		if n := b.Counts[s]; n > 0 {
			m.Counts = append(m.Counts, &scsv1.KeyCount{State: scsv1.KeyState(s), Count: int64(n)})
		}
	}
	return m
}

func profileMessage(p provisioning.ProfileVersion) *scsv1.Profile {
	return &scsv1.Profile{
		Name: p.Name, Version: int64(p.Version), Description: p.Description, Document: string(p.Document),
		UpdateTime: stamp(p.At), UpdatedBy: p.Who,
	}
}

func deviceMessage(d provisioning.Device) *scsv1.Device {
	m := &scsv1.Device{
		Uuid: d.UUID.String(), Fqdn: d.FQDN, Profile: d.Profile, Batch: d.AssignedBatch,
		State: scsv1.WorkflowState(d.State), Status: scsv1.WorkflowStatus(d.Status), Step: d.Step, Since: stamp(d.Since),
		Reason: string(d.Reason), Message: message(d.Reason, d.Detail), NextAttemptTime: stamp(d.NextTry),
		Address: d.Address, Pid: pidText(d.PID), NextPid: pidText(d.NextPID),
		CertificateNotAfter: stamp(d.NotAfter), CreateTime: stamp(d.CreatedAt), LastHelloTime: stamp(d.HelloAt),
		WorkflowId: d.Workflow, NeedsVisit: d.NeedsVisit, Hint: hintOf(d.Reason),
	}
	if !d.Version.IsZero() {
		m.AmtVersion = d.Version.String()
	}
	if !d.Serial.IsZero() {
		m.CertificateSerial = d.Serial.String()
	}
	return m
}

// message is a reason in words, with what was seen.
func message(r provisioning.Reason, detail string) string {
	switch {
	case r == "":
		return detail
	case detail == "":
		return r.Meaning()
	}
	return r.Meaning() + " " + detail
}

func hintOf(r provisioning.Reason) string {
	if r == "" {
		return ""
	}
	return r.Hint()
}

func workflowMessage(f provisioning.Workflow) *scsv1.Workflow {
	return &scsv1.Workflow{
		Id: f.ID, Uuid: f.UUID.String(), Kind: f.Kind.String(),
		State: scsv1.WorkflowState(f.State), Status: scsv1.WorkflowStatus(f.Status), Step: f.Step,
		Reason: string(f.Reason), Message: message(f.Reason, f.Detail), Hint: hintOf(f.Reason),
		CreateTime: stamp(f.CreatedAt), Since: stamp(f.Since), NextAttemptTime: stamp(f.NextTry), EndTime: stamp(f.EndedAt),
		Pid: pidText(f.PID), Profile: f.Profile, Fqdn: f.FQDN, Attempts: int32(f.Tries),
	}
}

func inboxMessage(r provisioning.InboxRow) *scsv1.InboxItem {
	return &scsv1.InboxItem{
		Id: r.ID, Uuid: r.UUID.String(), Pid: pidText(r.PID), Reason: string(r.Reason), Message: message(r.Reason, r.Detail),
		Hint: hintOf(r.Reason), Peer: r.Peer, Count: int64(r.Count), FirstTime: stamp(r.FirstAt), LastTime: stamp(r.LastAt),
	}
}

func eventMessage(e provisioning.Event) *scsv1.Event {
	return &scsv1.Event{
		Sequence: e.Sequence, Time: stamp(e.At), Type: string(e.Type), Uuid: holder(e.UUID), WorkflowId: e.Workflow, Fqdn: e.FQDN,
		State: scsv1.WorkflowState(e.State), Status: scsv1.WorkflowStatus(e.Status), Step: e.Step, Reason: string(e.Reason),
		Message: e.Message, Hint: hintOf(e.Reason), Pid: pidText(e.PID), Who: e.Who,
	}
}

func certificateMessage(c ca.Certificate, now time.Time) *scsv1.Certificate {
	m := &scsv1.Certificate{
		Serial: c.Serial.String(), Purpose: scsv1.CertificatePurpose(c.Purpose), State: scsv1.CertificateState(c.State(now)),
		Subject: c.CommonName, Holder: c.Holder, NotBefore: stamp(c.NotBefore), NotAfter: stamp(c.NotAfter),
	}
	if c.Revocation != nil {
		m.RevokeTime, m.RevokeReason = stamp(c.Revocation.At), c.Revocation.Why
		m.CrlReason = scsv1.RevocationReason(c.Revocation.Reason)
		if m.RevokeReason == "" {
			m.RevokeReason = c.Revocation.Reason.String()
		}
	}
	if c.DER != nil {
		m.Pem = string(pemOf(c.DER))
	}
	return m
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func userMessage(u access.User, notAfter time.Time) *scsv1.User {
	m := &scsv1.User{
		Name: u.Name, Role: scsv1.Role(u.Role), CreateTime: stamp(u.CreatedAt), CreatedBy: u.CreatedBy, CertificateNotAfter: stamp(notAfter),
	}
	if u.Revocation != nil {
		m.RevokeTime = stamp(u.Revocation.At)
	}
	return m
}

func auditMessage(e audit.Entry) *scsv1.AuditEntry {
	return &scsv1.AuditEntry{
		Sequence: e.Sequence, Time: stamp(e.At), Who: e.Who, Role: e.Role, Method: e.Method, Object: e.Object,
		Reason: e.Reason, Outcome: scsv1.AuditOutcome(e.Outcome), Hash: e.Hash[:],
	}
}

// each maps a list.
func each[A, B any](list []A, fn func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = fn(a)
	}
	return out
}

// sequenceToken is the page token of a list that goes by sequence; 0 ends it.
func sequenceToken(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// sequence reads what sequenceToken wrote.
func (v *violations) sequence(token string) uint64 {
	if token == "" {
		return 0
	}
	n, err := strconv.ParseUint(token, 10, 64)
	if err != nil || n == 0 {
		v.add("page_token", "is not one of this list: %s", hintPage)
	}
	return n
}
