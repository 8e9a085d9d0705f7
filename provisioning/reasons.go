package provisioning

// Reason is a stable code that says why a hello was not followed, or why a
// workflow waits or failed. docs/reasons.md shows the table.
type Reason string

// Why a hello led to no workflow.
const (
	UnknownPID             Reason = "UnknownPID"
	SpentPID               Reason = "SpentPID"
	RevokedPID             Reason = "RevokedPID"
	RetiredPID             Reason = "RetiredPID"
	ExpiredBatch           Reason = "ExpiredBatch"
	PKINotConfigured       Reason = "PKINotConfigured"
	UnknownHelloVersion    Reason = "UnknownHelloVersion"
	AbsentUUID             Reason = "AbsentUUID"
	DuplicatePair          Reason = "DuplicatePair"
	AlreadyOperational     Reason = "AlreadyOperational"
	SetupCancelled         Reason = "SetupCancelled"
	AddressNotAllowed      Reason = "AddressNotAllowed"
	DialFailed             Reason = "DialFailed"
	KeyMismatch            Reason = "KeyMismatch"
	PIDUnknownToDevice     Reason = "PIDUnknownToDevice"
	NoPSK                  Reason = "NoPSK"
	TLSFailed              Reason = "TLSFailed"
	LoginFailed            Reason = "LoginFailed"
	UUIDMismatch           Reason = "UUIDMismatch"
	NotInSetup             Reason = "NotInSetup"
	FirmwareSpeaksSOAPOnly Reason = "FirmwareSpeaksSOAPOnly"
	UnexpectedAnswer       Reason = "UnexpectedAnswer"
)

// Why a workflow waits or failed.
const (
	NameNeeded              Reason = "NameNeeded"
	NameTaken               Reason = "NameTaken"
	ProfileMissing          Reason = "ProfileMissing"
	ProfileUnfit            Reason = "ProfileUnfit"
	NoAnswer                Reason = "NoAnswer"
	DeviceBusy              Reason = "DeviceBusy"
	ClockRefused            Reason = "ClockRefused"
	KeyRefused              Reason = "KeyRefused"
	KeyGenerationBusy       Reason = "KeyGenerationBusy"
	CertificateNotIssued    Reason = "CertificateNotIssued"
	CertificateMismatch     Reason = "CertificateMismatch"
	CertificateRefused      Reason = "CertificateRefused"
	TrustedRootRefused      Reason = "TrustedRootRefused"
	CredentialRefused       Reason = "CredentialRefused"
	ClientCertificateAbsent Reason = "ClientCertificateAbsent"
	SettingRefused          Reason = "SettingRefused"
	SettingNotKept          Reason = "SettingNotKept"
	MEBxPasswordRefused     Reason = "MEBxPasswordRefused"
	NextPairNotTaken        Reason = "NextPairNotTaken"
	AdminPasswordRefused    Reason = "AdminPasswordRefused"
	PasswordNotProven       Reason = "PasswordNotProven"
	CommitDataMissing       Reason = "CommitDataMissing"
	CommitRefused           Reason = "CommitRefused"
	FlashWriteLimit         Reason = "FlashWriteLimit"
	CommitUnproven          Reason = "CommitUnproven"
	DeviceCertificateWrong  Reason = "DeviceCertificateWrong"
	AuditBlocked            Reason = "AuditBlocked"
	NotPermitted            Reason = "NotPermitted"
	TooManyRewinds          Reason = "TooManyRewinds"
	StoreFailed             Reason = "StoreFailed"
	Superseded              Reason = "Superseded"
	ByOperator              Reason = "ByOperator"
	InternalFault           Reason = "InternalFault"
)

// ReasonInfo explains a reason to people.
type ReasonInfo struct {
	Code    Reason
	Meaning string // what is so, in one sentence
	Hint    string // what a person can do about it; empty when there is nothing to do
}

// Reasons is the table of all reasons, in the order of docs/reasons.md.
func Reasons() []ReasonInfo { return append([]ReasonInfo(nil), reasons...) }

// Info explains r; a code that is not in the table explains itself as unknown.
func (r Reason) Info() ReasonInfo {
	if i, ok := reasonIndex[r]; ok {
		return reasons[i]
	}
	return ReasonInfo{Code: r, Meaning: "This code is unknown to this version of the server."}
}

// Hint is what a person can do about r.
func (r Reason) Hint() string { return r.Info().Hint }

// Meaning is what r says, in one sentence.
func (r Reason) Meaning() string { return r.Info().Meaning }

var reasonIndex = func() map[Reason]int {
	m := map[Reason]int{}
	for i, r := range reasons {
		m[r.Code] = i
	}
	return m
}()
