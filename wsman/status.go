package wsman

import "fmt"

// PTStatus is a status of Intel AMT: the ReturnValue of a method, or the n of a
// fault's "AMT-STATUS n".
type PTStatus uint32

// Statuses that callers tell apart; the rest are in the table below.
const (
	StatusSuccess       PTStatus = 0
	StatusNotPermitted  PTStatus = 16
	StatusFlashLimit    PTStatus = 38
	StatusDataMissing   PTStatus = 2057
	StatusDuplicate     PTStatus = 2058
	StatusUnsupported   PTStatus = 2066
	StatusNotFound      PTStatus = 2068
	StatusKeyInProgress PTStatus = 2082
)

// StatusClass sorts statuses by what a caller does about them.
type StatusClass uint8

// The classes.
const (
	Retry       StatusClass = 1 // wait and call again
	AlreadyDone StatusClass = 2 // it is there already: verify
	Operator    StatusClass = 3 // a person must act on the device or its policy
	Bug         StatusClass = 4 // our mistake or a bad profile
)

// String names the class.
func (c StatusClass) String() string {
	switch c {
	case Retry:
		return "Retry"
	case AlreadyDone:
		return "AlreadyDone"
	case Operator:
		return "Operator"
	case Bug:
		return "Bug"
	}
	return fmt.Sprintf("unknown class (%d)", uint8(c))
}

type statusRow struct {
	name  string
	class StatusClass
	hint  string
}

// statuses is the table of PT_STATUS (MeshCentral AmtStatusCodes; MOF texts).
// The names are Intel's without the prefix PT_STATUS_.
var statuses = map[PTStatus]statusRow{
	0:    {"SUCCESS", AlreadyDone, ""},
	1:    {"INTERNAL_ERROR", Bug, "the firmware failed: restart the PC and try again"},
	2:    {"NOT_READY", Retry, "the firmware is starting"},
	3:    {"INVALID_PT_MODE", Bug, "the device is in another operational mode than the call needs"},
	12:   {"INVALID_NAME", Bug, "the name has characters or a length that AMT refuses"},
	16:   {"NOT_PERMITTED", Operator, "the device's policy forbids it, or the user lacks the realm"},
	23:   {"MAX_LIMIT_REACHED", Bug, "no free slot: delete keys, certificates or users that nothing uses"},
	25:   {"AUTHENTICATION_FAILED", Bug, "the user name or password is wrong"},
	26:   {"INVALID_DHCP_MODE", Bug, "the address settings contradict the DHCP mode"},
	27:   {"INVALID_IP_ADDRESS", Bug, "correct the IP address in the profile"},
	28:   {"INVALID_DOMAIN_NAME", Bug, "correct the domain name in the profile"},
	30:   {"REQUEST_UNEXPECTED", Bug, "the call does not fit the device's state"},
	32:   {"INVALID_PROVISIONING_STATE", Bug, "the device is not in set-up: read its provisioning state"},
	34:   {"INVALID_TIME", Bug, "check the server's clock"},
	35:   {"INVALID_INDEX", Bug, "the entry does not exist"},
	36:   {"INVALID_PARAMETER", Bug, "a value in the profile is refused by this firmware"},
	37:   {"INVALID_NETMASK", Bug, "correct the subnet mask in the profile"},
	38:   {"FLASH_WRITE_LIMIT_EXCEEDED", Operator, "the firmware protects its flash: wait some hours with the PC powered"},
	42:   {"INVALID_PID_FORMAT", Bug, "the firmware expects another form of the PID"},
	43:   {"INVALID_PPS_FORMAT", Bug, "the firmware expects another form of the PPS"},
	46:   {"MAX_CONNECTIONS_REACHED", Retry, "other consoles hold the device's connections"},
	47:   {"RNG_GENERATION_IN_PROGRESS", Retry, "the firmware is gathering randomness"},
	48:   {"RNG_NOT_READY", Retry, "the firmware is gathering randomness"},
	49:   {"CERTIFICATE_NOT_READY", Retry, "the firmware is making its certificate"},
	1024: {"DISABLED_BY_POLICY", Bug, "the feature is switched off in MEBx"},
	2053: {"INVALID_HANDLE", Bug, "the entry does not exist"},
	2054: {"INVALID_PASSWORD", Bug, "the password breaks AMT's rules"},
	2055: {"INVALID_REALM", Bug, "this firmware does not know one of the realms"},
	2057: {"DATA_MISSING", Bug, "commit needs a certificate, the time, a host name or a changed MEBx password"},
	2058: {"DUPLICATE", AlreadyDone, "it is there already"},
	2060: {"PKI_MISSING_KEYS", Bug, "there is no key for the certificate"},
	2061: {"PKI_GENERATING_KEYS", Retry, "the firmware is making a key"},
	2062: {"INVALID_KEY", Bug, "the firmware refuses the key's form or size"},
	2063: {"INVALID_CERT", Bug, "the firmware refuses the certificate: size, signature algorithm or form"},
	2064: {"CERT_KEY_NOT_MATCH", Bug, "the certificate is for another key"},
	2065: {"MAX_KERB_DOMAIN", Bug, "too many Kerberos domains"},
	2066: {"UNSUPPORTED", Bug, "this firmware does not have the feature"},
	2068: {"NOT_FOUND", Bug, "the object does not exist"},
	2069: {"INVALID_CREDENTIALS", Bug, "the credentials are refused"},
	2075: {"AUDIT_FAIL", Operator, "the audit log is full or locked: the auditor must act"},
	2076: {"BLOCKING_COMPONENT", Operator, "a component blocks the call: the auditor or the host's software must act"},
	2081: {"USER_CONSENT_REQUIRED", Bug, "the call needs the user's consent"},
	2082: {"OPERATION_IN_PROGRESS", Retry, "the firmware is still at an earlier call"},
}

// Class sorts s; a status that is not in the table is a Bug.
func Class(s PTStatus) StatusClass { return s.Class() }

// Class sorts s; a status that is not in the table is a Bug.
func (s PTStatus) Class() StatusClass {
	if row, ok := statuses[s]; ok {
		return row.class
	}
	return Bug
}

// String is the name and number, such as "DATA_MISSING (2057)".
func (s PTStatus) String() string {
	if row, ok := statuses[s]; ok {
		return fmt.Sprintf("%s (%d)", row.name, uint32(s))
	}
	return fmt.Sprintf("unknown status (%d)", uint32(s))
}

// Hint says what an operator can do, "" if nothing is known.
func (s PTStatus) Hint() string { return statuses[s].hint }
