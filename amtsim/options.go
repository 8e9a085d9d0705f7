package amtsim

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Setup is what a device is told in MEBx: by hand, by the OEM, or by a setup
// record. Only Pair and a new MEBx password are needed to reach In-Setup.
type Setup struct {
	// Pair is checked as firmware checks it: alphabet and check characters.
	Pair amt.Pair
	// CurrentPassword must be the device's MEBx password; empty means that it is
	// not asked for, as when the OEM wrote the values at the factory.
	CurrentPassword amt.Secret
	// NewPassword replaces the MEBx password; empty keeps it. It must be strong.
	NewPassword amt.Secret
	// ServerAddr, ServerPort and ServerName say where hellos go; Options.Server
	// comes first. Zero values leave the firmware's defaults.
	ServerAddr netip.Addr
	ServerPort uint16
	ServerName string
	// HostName and Domain are the device's own name.
	HostName, Domain string
	// StaticIP turns DHCP off: a host name is then not needed for a commit.
	StaticIP bool
	// Redirection holds SOL (1) and IDER (2) bits to switch on; KVM and Consent
	// (IPS_OptInService.OptInRequired) as in WS-Man. Nil leaves the defaults.
	Redirection *uint8
	KVM         *bool
	Consent     *uint32
}

// Operational makes a device that was set up before: no hello, no pair.
type Operational struct {
	// User and Password log in by digest; User is "admin" if empty.
	User     string
	Password amt.Secret
	// TLS serves a self-signed certificate on Port; without it the device serves
	// WS-Man in clear on ClearPort only.
	TLS bool
	// HostName is the certificate's name; "amt" and the UUID's end if empty.
	HostName string
}

// MEBxPolicy says when SetMEBxPassword is obeyed (LMS, MEBx password policy).
type MEBxPolicy uint8

// The policies of firmware.
const (
	// MEBxDuringSetup obeys while the device is In-Setup: the default.
	MEBxDuringSetup MEBxPolicy = 0
	// MEBxDefaultOnly obeys only while the password is still the factory's and
	// only in PKI set-up: with a pair it always answers NOT_PERMITTED.
	MEBxDefaultOnly MEBxPolicy = 1
	// MEBxAnytime obeys in every phase.
	MEBxAnytime MEBxPolicy = 2
)

// PSKPolicy says what SetTLSPSK does during set-up; all three are unverified. In
// an Operational device both other policies take the new pair at once.
type PSKPolicy uint8

// The policies of SetTLSPSK.
const (
	// PSKAtCommit keeps the new pair aside until CommitChanges: the default.
	PSKAtCommit PSKPolicy = 0
	// PSKAtOnce makes the new pair the device's own before the reply.
	PSKAtOnce PSKPolicy = 1
	// PSKFault does not know the method.
	PSKFault PSKPolicy = 2
)

// Limits are the sizes of a device's tables. None was found in a document, so all
// are unverified; zero means the default.
type Limits struct {
	Users        int // 15 besides the administrator and the firmware's own
	Keys         int // 4 key pairs
	Certificates int // 4 certificates of the device
	Roots        int // 4 trusted roots
	Connections  int // no limit; one more is closed without a word
}

// MaxCertificate is the most bytes of a certificate's DER (class page of
// AMT_PublicKeyCertificate, X509Certificate).
const MaxCertificate = 4100

// Options describe one device. Generation and Addr are needed; the zero value of
// each other field is the documented default.
type Options struct {
	// Index numbers the device in events and in the names of a fleet.
	Index int
	// Generation is the firmware.
	Generation *Generation
	// UUID is the board's; zero draws one from Rand.
	UUID amt.UUID
	// Addr is the address the device listens on and its hellos leave from.
	Addr netip.Addr
	// Port serves set-up and certificate TLS; 0 is amt.PortTLS, and EphemeralPort
	// lets the system choose one for each device.
	Port uint16
	// EphemeralPort takes any free port for TLS and for HTTP.
	EphemeralPort bool
	// ClearPort serves HTTP without TLS once the device is Operational and allows
	// it; 0 is Port - 1, as in firmware.
	ClearPort uint16

	// Setup is applied at the first Run, unless Pair is empty and no password is
	// given: then the device stays in the factory state until Enter or Insert.
	Setup Setup
	// USB, if set, is the path of a setup.bin, or of a disk image with one, that the
	// device boots from at the first Run: it takes the next record, and the file is
	// updated.
	USB string
	// Operational, if set, starts a device that was set up before.
	Operational *Operational
	// MEBxPassword is the one before Setup; empty is the factory's.
	MEBxPassword amt.Secret
	// StateFile, if set, keeps the device's flash memory, secrets in clear, so
	// that it survives a restart: a file that is there wins over Setup, USB and
	// Operational.
	StateFile string

	// Server is HOST or HOST:PORT of the hello listener and stands for DNS; empty
	// uses what MEBx was told, else amt.DefaultServerName.
	Server string
	// ClockFactor divides the waits between hellos: 60 makes a minute a second; 0
	// is 1. Nothing else is hastened.
	ClockFactor float64
	// HelloDelay sends the first hello after the first wait instead of at once.
	// Which of the two firmware does is unverified.
	HelloDelay bool
	// Window closes the set-up interface that long after set-up began (real time,
	// not ClockFactor's); 0 never does.
	Window time.Duration
	// PlainSetup serves the set-up interface without TLS, for a foreign TLS-PSK
	// terminator before it.
	PlainSetup bool

	// ClockSkew is how far the device's clock is off until it is set.
	ClockSkew time.Duration
	// MEBx, PSK and the fields below choose between readings of unverified facts.
	MEBx MEBxPolicy
	PSK  PSKPolicy
	// ForgetPair drops the pair at a commit that brought no new one.
	ForgetPair bool
	// AdminFollowsMEBx changes the digest password of the administrator together
	// with the MEBx password until SetAdminAclEntryEx separates the two.
	AdminFollowsMEBx bool
	// TLSReadCurrent makes Get of AMT_TLSSettingData show the settings in force
	// instead of those that wait for a commit.
	TLSReadCurrent bool
	// RefuseSHA256 makes firmware without Generation.SHA256 answer INVALID_CERT.
	RefuseSHA256 bool
	// Limits bound the device's tables.
	Limits Limits

	// Trouble is what goes wrong.
	Trouble Trouble
	// Keys gives device keys; nil makes a pool of the device's own.
	Keys *KeyPool
	// OnEvent, if set, is told of each event, in order, from one goroutine at a
	// time. It must not call the device.
	OnEvent func(Event)
	// Now and Rand are the clock and the source of randomness; nil means the real
	// ones. Rand must be safe for concurrent use.
	Now  func() time.Time
	Rand io.Reader
}

// ErrOptions is returned by New for options that cannot work.
var ErrOptions = errors.New("options refused")

// withDefaults checks o and fills what is zero.
func (o Options) withDefaults() (Options, error) {
	if o.Generation == nil {
		return o, fmt.Errorf("%w: no firmware generation", ErrOptions)
	}
	if !o.Addr.IsValid() {
		return o, fmt.Errorf("%w: no address to listen on", ErrOptions)
	}
	if o.Operational != nil && o.Operational.Password.IsZero() {
		return o, fmt.Errorf("%w: an operational device needs a password", ErrOptions)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.ClockFactor <= 0 {
		o.ClockFactor = 1
	}
	if o.MEBxPassword.IsZero() {
		o.MEBxPassword = amt.NewSecretString(amt.FactoryPassword)
	}
	if !o.EphemeralPort {
		o.Port = orDefault(o.Port, amt.PortTLS)
		o.ClearPort = orDefault(o.ClearPort, o.Port-1)
	}
	if o.Keys == nil {
		o.Keys = NewKeyPool(o.Rand)
	}
	o.Limits.Users = orDefault(o.Limits.Users, 15)
	o.Limits.Keys = orDefault(o.Limits.Keys, 4)
	o.Limits.Certificates = orDefault(o.Limits.Certificates, 4)
	o.Limits.Roots = orDefault(o.Limits.Roots, 4)
	if o.UUID == (amt.UUID{}) {
		if _, err := io.ReadFull(o.Rand, o.UUID[:]); err != nil {
			return o, fmt.Errorf("drawing a UUID: %w", err)
		}
		o.UUID[6], o.UUID[8] = o.UUID[6]&0x0f|0x40, o.UUID[8]&0x3f|0x80
	}
	return o, nil
}

// orDefault is v, or def for the zero value.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
