package amtsim

import "fmt"

// Status is a PT_STATUS: the ReturnValue of a method, or the number in the detail
// of a fault (MeshCentral amt.js; Intel AMT Implementation and Reference Guide,
// "Errors and Return Values").
type Status uint32

// The statuses that a device uses by itself; a Trouble may use any number.
const (
	Success             Status = 0
	InternalError       Status = 1
	NotReady            Status = 2
	InvalidName         Status = 12
	NotPermitted        Status = 16
	MaxLimitReached     Status = 23
	InvalidIPAddress    Status = 27
	InvalidDomainName   Status = 28
	InvalidState        Status = 32 // INVALID_PROVISIONING_STATE
	InvalidIndex        Status = 35
	InvalidParameter    Status = 36
	InvalidNetmask      Status = 37
	FlashWriteLimit     Status = 38
	InvalidPIDFormat    Status = 42
	InvalidPPSFormat    Status = 43
	InvalidHandle       Status = 2053
	InvalidPassword     Status = 2054
	InvalidRealm        Status = 2055
	DataMissing         Status = 2057
	Duplicate           Status = 2058
	MissingKeys         Status = 2060
	InvalidKey          Status = 2062
	InvalidCertificate  Status = 2063
	KeyNotMatched       Status = 2064 // CERT_KEY_NOT_MATCH
	NotFound            Status = 2068
	OperationInProgress Status = 2082
)

var statusNames = map[Status]string{
	Success: "SUCCESS", InternalError: "INTERNAL_ERROR", NotReady: "NOT_READY", InvalidName: "INVALID_NAME",
	NotPermitted: "NOT_PERMITTED", MaxLimitReached: "MAX_LIMIT_REACHED", InvalidIPAddress: "INVALID_IP_ADDRESS",
	InvalidDomainName: "INVALID_DOMAIN_NAME", InvalidState: "INVALID_PROVISIONING_STATE", InvalidIndex: "INVALID_INDEX",
	InvalidParameter: "INVALID_PARAMETER", InvalidNetmask: "INVALID_NETMASK", FlashWriteLimit: "FLASH_WRITE_LIMIT_EXCEEDED",
	InvalidPIDFormat: "INVALID_PID_FORMAT", InvalidPPSFormat: "INVALID_PPS_FORMAT", InvalidHandle: "INVALID_HANDLE",
	InvalidPassword: "INVALID_PASSWORD", InvalidRealm: "INVALID_REALM", DataMissing: "DATA_MISSING",
	Duplicate: "DUPLICATE", MissingKeys: "PKI_MISSING_KEYS", InvalidKey: "INVALID_KEY", InvalidCertificate: "INVALID_CERT",
	KeyNotMatched: "CERT_KEY_NOT_MATCH", NotFound: "NOT_FOUND", OperationInProgress: "OPERATION_IN_PROGRESS",
}

// String is the number with its name.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return fmt.Sprintf("%d %s", uint32(s), name)
	}
	return fmt.Sprintf("%d", uint32(s))
}
