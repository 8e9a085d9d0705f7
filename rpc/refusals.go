package rpc

import (
	"context"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/seal"
)

// Refusal is how an error of the domain is answered. Code and Reason are stable:
// programs rely on them.
type Refusal struct {
	Err    error
	Code   codes.Code
	Reason string
	Hint   string // the way out; empty when there is none
}

const (
	hintContext = "ask an administrator for a new context file: scsctl user add NAME --role ROLE --out FILE"
	hintPage    = "begin with the first page"
	hintName    = "use the names that the list command shows"
	hintFresh   = "give the PC a fresh pair"
	hintStore   = "stop the server and run scsd doctor; put the store back from a backup if it says so"
)

// refusals is the table of errors, shown in docs/api.md. The first row that
// matches counts.
var refusals = []Refusal{
	{errNoIdentity, codes.Unauthenticated, "UnknownCaller", hintContext},
	{errRole, codes.PermissionDenied, "NotPermittedByRole", "docs/api.md says which roles may; ask an administrator"},
	{errNoMethod, codes.Unimplemented, "UnknownMethod", ""},
	{errPanic, codes.Internal, "InternalFault", "the server's log tells more"},
	{errStopping, codes.Unavailable, "ServerStopping", "try again in a moment"},
	{errWatches, codes.ResourceExhausted, "TooManyWatches", "end some of this user's watches"},
	{errCalls, codes.ResourceExhausted, "TooManyCalls", "wait for some of this user's calls to end"},
	{errImports, codes.ResourceExhausted, "TooManyImports", "wait until another import has ended"},
	{errSilent, codes.Aborted, "ImportSilent", "nothing was imported: send the list again, from a file"},
	{errFull, codes.ResourceExhausted, "StoreFull", "make room on the disk of the server's data directory: nothing is lost, and set-ups go on by themselves"},
	{errAhead, codes.OutOfRange, "EventsAhead", "list, and watch after snapshot_sequence"},
	{errRepeated, codes.AlreadyExists, "RequestIDUsed", "choose a new request_id"},
	{errProtocol, codes.InvalidArgument, "WrongMessageOrder", "send the header first and then rows"},
	{errExportOfAnother, codes.PermissionDenied, "ExportOfAnother", "ask who began it, or an administrator, or wait until the export is an hour old"},
	{keystore.ErrBatchDiffers, codes.FailedPrecondition, "BatchDiffers", "choose another batch, or leave these options out; scsctl keys batch set changes a batch"},

	{provisioning.ErrNoDevice, codes.NotFound, "NoDevice", "scsctl device list shows the devices, scsctl inbox list the hellos that led to none"},
	{provisioning.ErrNoWorkflow, codes.NotFound, "NoWorkflow", "scsctl workflow list shows the workflows"},
	{provisioning.ErrNoInboxRow, codes.NotFound, "NoInboxRow", "scsctl inbox list shows the rows"},
	{provisioning.ErrNoProfile, codes.NotFound, "NoProfile", "scsctl profile list shows the profiles, scsctl profile apply FILE makes one"},
	{provisioning.ErrPairNeeded, codes.FailedPrecondition, "PairNeeded", "scsctl inbox list --reason AlreadyOperational shows them; then: scsctl device retry UUID --pid PID"},
	{provisioning.ErrState, codes.FailedPrecondition, "WrongState", "scsctl device show UUID tells where it stands"},
	{provisioning.ErrNameTaken, codes.AlreadyExists, "NameTaken", "choose another name, or give the other device a new one first"},
	{provisioning.ErrName, codes.InvalidArgument, "BadName", "a name has a host and a domain, as in pc1.example.com"},
	{provisioning.ErrAssigned, codes.AlreadyExists, "AlreadyAssigned", "use --replace to assign it anew"},
	{provisioning.ErrTwice, codes.InvalidArgument, "RowTwice", "remove one of the rows"},
	{errListLong, codes.InvalidArgument, "ListTooLong", "split the list"},
	{provisioning.ErrUUID, codes.InvalidArgument, "AbsentUUID", "have the PC's mainboard given a UUID with its maker's tool"},
	{provisioning.ErrPageToken, codes.InvalidArgument, "BadPageToken", hintPage},
	{provisioning.ErrEventsGone, codes.OutOfRange, "EventsGone", "list, and watch after snapshot_sequence"},
	{provisioning.ErrProfile, codes.InvalidArgument, "ProfileRefused", "mend the document and apply it again; nothing was stored"},
	{profile.ErrInvalid, codes.InvalidArgument, "ProfileRefused", "mend the document and apply it again; nothing was stored"},
	{provisioning.ErrFenced, codes.Aborted, "Fenced", "try again"},
	{provisioning.ErrStopped, codes.Unavailable, "ServerStopping", "try again in a moment"},
	{provisioning.ErrNotIssued, codes.FailedPrecondition, "CertificateNotIssued", ""},

	{keystore.ErrUnknownPID, codes.NotFound, "UnknownPID", "scsctl keys list shows the pairs"},
	{keystore.ErrHeld, codes.FailedPrecondition, "PairHeld", hintFresh},
	{keystore.ErrSpent, codes.FailedPrecondition, "PairSpent", hintFresh},
	{keystore.ErrRevoked, codes.FailedPrecondition, "PairRevoked", hintFresh},
	{keystore.ErrRetired, codes.FailedPrecondition, "PairRetired", hintFresh},
	{keystore.ErrMove, codes.FailedPrecondition, "PairState", "scsctl keys show PID tells where it stands"},
	{keystore.ErrExported, codes.FailedPrecondition, "AlreadyExported", "use --again if the file was lost; two PCs with one pair stop each other"},
	{keystore.ErrUUID, codes.InvalidArgument, "AbsentUUID", "have the PC's mainboard given a UUID with its maker's tool"},
	{keystore.ErrContradiction, codes.InvalidArgument, "PairTwice", "find out which of the rows the PC has, and take the others out of the list"},
	{keystore.ErrConflict, codes.AlreadyExists, "PairConflict", "the list names another PPS than the store: find out which of the two the PC has"},
	{keystore.ErrBusy, codes.Aborted, "ImportUnderWay", "try again when the other import has ended"},
	{keystore.ErrRecord, codes.InvalidArgument, "PairRefused", ""},
	{keystore.ErrNoBatch, codes.NotFound, "NoBatch", "scsctl keys batch list shows the batches"},
	{keystore.ErrBatchExists, codes.AlreadyExists, "BatchExists", "choose another name"},
	{keystore.ErrBatchName, codes.InvalidArgument, "BadBatchName", ""},
	{keystore.ErrBatchRetired, codes.FailedPrecondition, "BatchRetired", "a retired batch stays so, and its pairs with it: choose another batch for others"},
	{keystore.ErrBatchExpired, codes.FailedPrecondition, "BatchExpired", "choose another batch, or give this one more time: scsctl keys batch set NAME --expires DATE"},
	{keystore.ErrNoMapping, codes.NotFound, "NoMapping", "scsctl keys mapping list shows the mappings"},
	{keystore.ErrMappingName, codes.InvalidArgument, "BadMappingName", "choose another name"},
	{keystore.ErrNothingToExport, codes.FailedPrecondition, "NothingToExport", "pairs that were handed out before, and those of lists of PCs that have them already (model OEM), are left out: --again takes them, too"},
	{keystore.ErrExportOpen, codes.FailedPrecondition, "ExportOpen", "it may be at work just now: wait for it, or ask who began it; only if it broke off, tell how it ended with scsctl usb finish EXPORT, or scsctl usb finish --discard EXPORT"},
	{keystore.ErrExportDiscarded, codes.FailedPrecondition, "ExportDiscarded", "its pairs are free for others: destroy what was made of them, or revoke them: scsctl keys revoke PID"},
	{keystore.ErrExportWritten, codes.FailedPrecondition, "ExportWritten", "its pairs count as exported: use --again to hand them out anew"},
	{keystore.ErrNoJob, codes.NotFound, "NoExport", "only an export that was begun can be finished; how it ended is known for 30 days"},
	{keystore.ErrTempFile, codes.Internal, "TemporaryFile", "check the disk of the server's data directory; nothing was imported"},
	{keystore.ErrImportLost, codes.Aborted, "ImportLost", "begin the import again"},
	{keystore.ErrPageToken, codes.InvalidArgument, "BadPageToken", hintPage},

	{ca.ErrUnknown, codes.NotFound, "NoCertificate", "scsctl certificate list shows the certificates"},
	{ca.ErrUnfinished, codes.FailedPrecondition, "CertificateUnfinished", ""},
	{ca.ErrRevoked, codes.FailedPrecondition, "CertificateRevoked", "only keyCompromise may take the place of another reason"},
	{ca.ErrKeyCompromised, codes.InvalidArgument, "KeyCompromised", "make a new key"},
	{ca.ErrKeyInUse, codes.InvalidArgument, "KeyInUse", "make a new key"},
	{ca.ErrKey, codes.InvalidArgument, "KeyRefused", "RSA from 2048 bits, ECDSA P-256 or P-384 and Ed25519 are taken"},
	{ca.ErrNameReserved, codes.InvalidArgument, "NameReserved", "choose another name"},
	{ca.ErrName, codes.InvalidArgument, "BadName", ""},
	{ca.ErrLifetime, codes.InvalidArgument, "BadLifetime", ""},
	{ca.ErrRequest, codes.InvalidArgument, "BadCertificateRequest", "send a PKCS #10 request in DER, signed by its own key"},
	{ca.ErrIssuer, codes.FailedPrecondition, "IssuerNotValid", "check the server's clock; scsd doctor tells more"},
	{ca.ErrMismatch, codes.Internal, "CertificateMismatch", "the server's log tells more"},
	{ca.ErrReason, codes.InvalidArgument, "BadRevocationReason", ""},
	{ca.ErrPage, codes.InvalidArgument, "BadPageToken", hintPage},
	{ca.ErrExists, codes.AlreadyExists, "AuthorityExists", ""},
	{ca.ErrMissing, codes.DataLoss, "AuthorityMissing", hintStore},
	{ca.ErrDamaged, codes.DataLoss, "AuthorityDamaged", hintStore},

	{access.ErrUserName, codes.InvalidArgument, "BadUserName", "1 to 64 of a-z 0-9 . - _ + and @, a letter or digit first and last"},
	{access.ErrRole, codes.InvalidArgument, "NoSuchRole", ""},
	{access.ErrUserExists, codes.AlreadyExists, "UserExists", "choose another name, or revoke the user first"},
	{access.ErrUnknownUser, codes.NotFound, "NoUser", "scsctl user list shows the users"},
	{access.ErrLastAdmin, codes.FailedPrecondition, "LastAdmin", "add another administrator first"},
	{access.ErrExpiry, codes.InvalidArgument, "BadExpiry", ""},
	{access.ErrUnknownCertificate, codes.NotFound, "NoCertificate", hintName},
	{access.ErrCertificateTaken, codes.FailedPrecondition, "CertificateTaken", "make a new key"},
	{access.ErrRevoked, codes.FailedPrecondition, "UserRevoked", ""},
	{access.ErrExpired, codes.FailedPrecondition, "UserExpired", ""},
	{access.ErrPage, codes.InvalidArgument, "BadPageToken", hintPage},
	{access.ErrDamaged, codes.DataLoss, "UsersDamaged", hintStore},

	{audit.ErrText, codes.InvalidArgument, "BadText", "at most 1024 bytes of UTF-8 without control characters"},
	{audit.ErrBroken, codes.DataLoss, "AuditChainBroken", "keep a copy of the store as evidence, and compare with a head that was written down"},

	{seal.ErrSealed, codes.DataLoss, "SecretDoesNotOpen", hintStore},
	{seal.ErrChanged, codes.Aborted, "KeysetChanged", "try again"},
	{kv.ErrFailed, codes.Unavailable, "StoreFailed", "check the server's disk, then restart the server"},
	{kv.ErrClosed, codes.Unavailable, "ServerStopping", "try again in a moment"},
	{context.Canceled, codes.Canceled, "Cancelled", ""},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DeadlineExceeded", "give the call more time"},
}
