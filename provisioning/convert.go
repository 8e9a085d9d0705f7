package provisioning

import (
	"crypto/x509"

	"github.com/amtscs/amtscs/amt"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// shownName is what a device is called: what it has, else what it was assigned.
func shownName(d *pb.Device) string {
	if d.GetFqdn() != "" {
		return d.GetFqdn()
	}
	return d.GetAssignedFqdn()
}

func shownProfile(d *pb.Device) string {
	if d.GetProfile() != "" {
		return d.GetProfile()
	}
	return d.GetAssignedProfile()
}

func deviceOf(d *pb.Device) Device {
	uuid := uuidOf(d.GetUuid())
	dev := Device{
		UUID: uuid, CreatedAt: instant(d.GetCreatedAt()), ChangedAt: instant(d.GetChangedAt()),
		FQDN: shownName(d), AssignedFQDN: d.GetAssignedFqdn(),
		Profile: shownProfile(d), AssignedProfile: d.GetAssignedProfile(), ProfileVersion: d.GetProfileVersion(),
		AssignedBatch: d.GetAssignedBatch(),
		PID:           pidOf(d.GetCurrentPid()), NextPID: pidOf(d.GetNextPid()), NextPIDInDoubt: d.GetNextPidDoubtful(),
		NeedsVisit: d.GetNeedsVisit(), Address: d.GetAddress(), Realm: d.GetRealm(),
		HelloAt: instant(d.GetHelloAt()), Certificate: d.GetCertificate(),
		Operational: d.GetOperational(), OperationalAt: instant(d.GetOperationalAt()),
		State: State(d.GetState()), Status: Status(d.GetStatus()), Step: d.GetStep(),
		Reason: Reason(d.GetReason()), Detail: d.GetDetail(), Since: instant(d.GetSince()), NextTry: instant(d.GetNextTryAt()),
	}
	dev.Version, _ = amt.ParseVersion(d.GetVersion()) // empty while unknown
	if d.GetWorkflow() != 0 {
		dev.Workflow = workflowID(uuid, d.GetWorkflow())
	}
	if cert, err := x509.ParseCertificate(d.GetCertificate()); err == nil {
		dev.NotAfter = cert.NotAfter
		dev.Serial, _ = amt.SerialOf(cert.SerialNumber) // zero for a foreign one
	}
	return dev
}

func workflowOf(w *pb.Workflow) Workflow {
	uuid := uuidOf(w.GetUuid())
	wf := Workflow{
		ID: workflowID(uuid, w.GetNumber()), UUID: uuid, Number: w.GetNumber(), Kind: amt.Kind(w.GetKind()),
		State: State(w.GetState()), Status: Status(w.GetStatus()), Step: shownStep(w),
		Reason: Reason(w.GetReason()), Detail: w.GetDetail(), NextTry: instant(w.GetNextTryAt()), Tries: int(w.GetTries()),
		CreatedAt: instant(w.GetCreatedAt()), ChangedAt: instant(w.GetChangedAt()), Since: instant(w.GetSince()),
		EndedAt: instant(w.GetEndedAt()), PID: pidOf(w.GetPid()), Profile: w.GetProfile(), FQDN: w.GetFqdn(),
		Rewinds: int(w.GetRewinds()), Who: w.GetWho(), Why: w.GetWhy(),
	}
	for _, in := range w.GetIntentions() {
		wf.Calls = append(wf.Calls, Intention{
			Step: stepName(in.GetStep()), Call: in.GetCall(), State: intentionNames[in.GetState()],
			At: instant(in.GetAt()), Outcome: in.GetOutcome(),
		})
	}
	return wf
}

var intentionNames = map[pb.IntentionState]string{
	pb.IntentionState_INTENTION_STATE_PENDING:  "pending",
	pb.IntentionState_INTENTION_STATE_DONE:     "done",
	pb.IntentionState_INTENTION_STATE_REFUSED:  "refused",
	pb.IntentionState_INTENTION_STATE_LOST:     "lost",
	pb.IntentionState_INTENTION_STATE_RESOLVED: "resolved",
}
