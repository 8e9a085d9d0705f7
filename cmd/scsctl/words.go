package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// eventTypes are the types of events, as the server writes them.
var eventTypes = []string{
	"StateChanged", "StatusChanged", "SetupStarted", "PairClaimed", "PairSpent", "NextPairStored", "NextPairSet", "NextPairRefused",
	"DuplicatePairSeen", "PasswordStored", "PasswordSet", "MEBxPasswordKept", "CertificateIssued", "Rewound", "DeviceAssigned",
	"PairAdmitted", "ProfileApplied", "CertificatesSuperseded",
}

// reasons are the codes of docs/reasons.md, any of which a row of the inbox may
// have.
var reasons = []string{
	"UnknownPID", "SpentPID", "RevokedPID", "RetiredPID", "ExpiredBatch", "PKINotConfigured", "UnknownHelloVersion", "AbsentUUID", "DuplicatePair",
	"AlreadyOperational", "SetupCancelled", "AddressNotAllowed", "DialFailed", "KeyMismatch", "PIDUnknownToDevice", "NoPSK", "TLSFailed",
	"LoginFailed", "UUIDMismatch", "NotInSetup", "FirmwareSpeaksSOAPOnly", "UnexpectedAnswer",
	"NameNeeded", "NameTaken", "ProfileMissing", "ProfileUnfit", "NoAnswer", "DeviceBusy", "ClockRefused", "KeyRefused",
	"KeyGenerationBusy", "CertificateNotIssued", "CertificateMismatch", "CertificateRefused", "TrustedRootRefused", "CredentialRefused",
	"ClientCertificateAbsent", "SettingRefused", "SettingNotKept", "MEBxPasswordRefused", "NextPairNotTaken", "AdminPasswordRefused",
	"PasswordNotProven", "CommitDataMissing", "CommitRefused", "FlashWriteLimit", "CommitUnproven", "DeviceCertificateWrong",
	"AuditBlocked", "NotPermitted", "TooManyRewinds", "StoreFailed", "Superseded", "ByOperator", "InternalFault",
}

// valueOf finds a value of a flag in a list, in any case and with or without dashes.
func valueOf(flag, value string, list []string) (string, error) {
	for _, w := range list {
		if strings.EqualFold(w, strings.ReplaceAll(value, "-", "")) {
			return w, nil
		}
	}
	return "", usage("--%s %q: want %s", flag, value, strings.Join(list, ", "))
}

// listed is a flag that knows its values.
type listed interface{ words() []string }

// tellValues adds the values of such flags to their help, where it names none
// already: some commands take a part of them only.
func tellValues(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		l, ok := f.Value.(listed)
		if !ok {
			return
		}
		for _, w := range l.words() {
			if strings.Contains(strings.ToLower(f.Usage), w) {
				return
			}
		}
		f.Usage += ": " + strings.Join(l.words(), ", ")
	})
	for _, s := range c.Commands() {
		tellValues(s)
	}
}
