package profile

import (
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Schema is the version of the documents that this package reads and writes:
// their field "version".
const Schema = 1

// Profile is one document. Base gives the values of fields that a document
// leaves out.
type Profile struct {
	Name        string
	Description string      // "" allowed; one line
	MinAMT      amt.Version // zero: any; engines refuse older firmware
	HostName    HostName
	Domain      string // DNS domain of host names made from the pattern
	Network     Network
	TLS         TLS
	Certificate Certificate
	Admin       Password // of amt.AdminUser; never KeepPassword
	MEBx        Password
	Users       []User // digest users beside admin
	Features    Features
	Power       amt.PowerPackage // zero: left as it is
	NextPair    NextPair
}

// HostName says how a device gets its name when none was assigned to its UUID;
// an assigned FQDN always wins.
type HostName struct {
	// Pattern makes the host name, with placeholders in braces (see
	// Placeholders). "": not by a pattern.
	Pattern string
	// ReverseDNS takes the name that DNS gives for the device's address, when
	// the pattern is empty and the name leads back to the address.
	ReverseDNS bool
	// Shared says that operating system and AMT share the name (SharedFQDN).
	Shared bool
}

// Network is what AMT_GeneralSettings and AMT_EthernetPortSettings take.
type Network struct {
	Ping     bool    // answer ICMP echo requests
	RMCPPing bool    // answer RMCP pings
	Static   *Static // nil: DHCP
}

// Static is a fixed IPv4 configuration, for a profile of one device.
type Static struct {
	Address netip.Prefix // with its length, as 192.0.2.10/24
	Gateway netip.Addr   // zero: none
	DNS     []netip.Addr // up to two
}

// TLSMode is how a device serves WS-Man after set-up.
type TLSMode uint8

// The modes, by their stored values.
const (
	ServerTLS TLSMode = 1 // the device shows its certificate
	MutualTLS TLSMode = 2 // and asks for the caller's: AMT 6.0 and later
	NoTLS     TLSMode = 3 // clear text on port 16992
)

// TLS is what AMT_TLSSettingData takes.
type TLS struct {
	Mode TLSMode
	// AllowPlain must be set with NoTLS; with TLS it leaves port 16992 open
	// beside 16993 (AcceptNonSecureConnections).
	AllowPlain bool
	// TrustedCNs are ends of common names, one of which a caller's certificate
	// must have, for MutualTLS. Empty: any name.
	TrustedCNs []string
}

// Certificate is what the device's certificate shall be.
type Certificate struct {
	Lifetime time.Duration // whole hours
}

// PasswordPolicy says where a password comes from.
type PasswordPolicy uint8

// The policies, by their stored values.
const (
	KeepPassword   PasswordPolicy = 1 // MEBx only: as it is
	RandomPassword PasswordPolicy = 2 // drawn for each device
	FixedPassword  PasswordPolicy = 3 // the same for all devices of the profile
)

// Password says what a password shall be.
type Password struct {
	Policy PasswordPolicy
	Length int        // of RandomPassword
	Fixed  amt.Secret // of FixedPassword; empty in a document without its secrets
}

// Access is from where a user may call (AccessPermission of
// AMT_AuthorizationService).
type Access uint8

// The accesses, by their WS-Man values.
const (
	LocalAccess   Access = 0
	NetworkAccess Access = 1
	AnyAccess     Access = 2
)

// User is a digest user beside admin.
type User struct {
	Name     string
	Realms   []amt.Realm // in the document's order
	Access   Access
	Password Password // never KeepPassword
}

// Consent is for what a person at the device must agree (OptInRequired of
// IPS_OptInService), AMT 6.0 and later.
type Consent uint32

// The consents, by their WS-Man values.
const (
	ConsentNone Consent = 0
	ConsentKVM  Consent = 1
	ConsentAll  Consent = 0xffffffff
)

// Features are the redirection features; firmware without KVM ignores KVM and
// Consent.
type Features struct {
	SOL, IDER, KVM bool
	Consent        Consent
}

// NextPair says whether set-up gives a device the pair for its next set-up.
type NextPair uint8

// The choices, by their stored values.
const (
	NextPairOptional NextPair = 1 // a device that refuses it is set up all the same
	NextPairRequired NextPair = 2
	NextPairOff      NextPair = 3
)
