package amtsim

import (
	"crypto/subtle"
	"maps"
	"slices"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Call is one WS-Man request that reached a device with a good log-in.
type Call struct {
	At    time.Time // the real clock
	Class string    // "AMT_GeneralSettings"; empty for Identify
	Op    string    // "Get", "Put", "Enumerate", ... or the method
	// Status is what a method returned, or the number inside a fault.
	Status Status
	// Fault is the subcode of the fault that answered, such as
	// "e:InvalidSelectors", or what a trouble did: "dropped before", ...
	Fault string
}

// Name is Class.Op.
func (c Call) Name() string {
	if c.Class == "" {
		return c.Op
	}
	return c.Class + "." + c.Op
}

// Account is a digest or Kerberos user of a Snapshot.
type Account struct {
	Handle   uint32
	Name     string
	HA1      amt.Secret // MD5(name:realm:password), 16 bytes
	Access   uint32
	Realms   []amt.Realm
	Disabled bool
	System   bool
}

// TLSSetting is one instance of AMT_TLSSettingData in a Snapshot.
type TLSSetting struct {
	Enabled, Mutual, AcceptNonSecure bool
	TrustedCN                        []string
}

// Certificate is one AMT_PublicKeyCertificate of a Snapshot.
type Certificate struct {
	InstanceID string
	DER        []byte
	Root       bool
	Presented  bool // by the TLS server
}

// Snapshot is the truth about a device at one moment, for tests to compare a
// server's store with.
type Snapshot struct {
	UUID       amt.UUID
	Version    amt.Version
	Phase      amt.Phase
	Realm      string
	Pair       amt.Pair // zero when the device has none
	Pending    amt.Pair // waits for a commit
	AdminUser  string
	AdminHA1   amt.Secret
	MEBx       amt.Secret
	HostName   string
	Domain     string
	ClockSet   bool
	Clock      time.Time // the device's own
	Keys       []string  // InstanceIDs
	Certs      []Certificate
	Remote     TLSSetting
	Local      TLSSetting
	TLSPending bool
	Users      []Account
	State      uint32 // EnabledState of AMT_RedirectionService
	Listener   bool
	KVM        bool
	Consent    uint32 // IPS_OptInService.OptInRequired
	DHCP       bool
	Ping       bool
	RMCPPing   bool
	Power      string // InstanceID of the power scheme
	Hellos     int    // sent since the device was switched on
}

// Snapshot copies the device's state.
func (d *Device) Snapshot() Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.flash
	s := Snapshot{
		UUID: d.opt.UUID, Version: d.opt.Generation.Version, Phase: f.Phase, Realm: f.Realm, Pair: f.Pair, Pending: f.Pending,
		AdminUser: f.AdminUser, AdminHA1: f.AdminHA1, MEBx: f.MEBxPassword, HostName: f.HostName, Domain: f.Domain,
		ClockSet: f.ClockSet, Clock: d.now(), Remote: f.TLS.Remote.export(), Local: f.TLS.Local.export(),
		TLSPending: f.PendingTLS != nil, State: f.Redirection, Listener: f.Listener, KVM: f.KVM, Consent: f.OptIn.Required,
		DHCP: f.Ethernet.DHCP, Ping: f.General.PingResponseEnabled, RMCPPing: f.General.RmcpPingResponseEnabled,
		Power: schemeID(f.PowerScheme), Hellos: d.ram.hellos,
	}
	for _, k := range f.Keys {
		s.Keys = append(s.Keys, keyID(k.Handle))
	}
	for _, c := range f.Certs {
		id := certID(c.Handle)
		s.Certs = append(s.Certs, Certificate{InstanceID: id, DER: slices.Clone(c.DER), Root: c.Root, Presented: id == f.Credential})
	}
	for _, u := range f.Users {
		s.Users = append(s.Users, Account{
			Handle: u.Handle, Name: u.Name, HA1: u.HA1, Access: u.Access, Realms: slices.Clone(u.Realms),
			Disabled: u.Disabled, System: u.System,
		})
	}
	return s
}

func (t tlsSetting) export() TLSSetting {
	return TLSSetting{Enabled: t.Enabled, Mutual: t.Mutual, AcceptNonSecure: t.AcceptClear, TrustedCN: slices.Clone(t.TrustedCN)}
}

// CheckAdmin reports whether password logs the administrator in.
func (d *Device) CheckAdmin(password amt.Secret) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return sameHA1(ha1(d.flash.AdminUser, d.flash.Realm, password), d.flash.AdminHA1)
}

// CheckUser reports whether password logs the user called name in.
func (d *Device) CheckUser(name string, password amt.Secret) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.flash.Users {
		if u.Name == name && !u.Disabled {
			return sameHA1(ha1(name, d.flash.Realm, password), u.HA1)
		}
	}
	return false
}

func sameHA1(a, b amt.Secret) bool {
	return subtle.ConstantTimeCompare(a.Reveal(), b.Reveal()) == 1 && !a.IsZero()
}

// maxCalls bounds the log of calls, whose older ones are counted only; maxNames
// bounds the counters, since a client can name any class.
const (
	maxCalls = 4096
	maxNames = 512
)

// otherCalls counts what there is no counter for.
const otherCalls = "other"

// Calls lists the calls since the device was switched on, the oldest first; only
// the last 4096 are kept.
func (d *Device) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ram.calls)
}

// Counts is how often each call came since the device was switched on, by
// Call.Name; beyond 512 names, further ones are counted as "other".
func (d *Device) Counts() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.ram.counts)
}

// Logins is how many requests were challenged with a 401 since the device was
// switched on, and how many log-ins failed for good.
func (d *Device) Logins() (challenged, failed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ram.challenged, d.ram.failed
}

// record notes a call. The caller holds d.mu.
func (d *Device) record(c Call) {
	if d.ram.counts == nil {
		d.ram.counts = make(map[string]int)
	}
	name := c.Name()
	if _, known := d.ram.counts[name]; !known && len(d.ram.counts) >= maxNames {
		name = otherCalls
	}
	d.ram.counts[name]++
	if len(d.ram.calls) >= maxCalls {
		d.ram.calls = append(d.ram.calls[:0], d.ram.calls[maxCalls/2:]...)
	}
	d.ram.calls = append(d.ram.calls, c)
}
