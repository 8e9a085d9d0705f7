package amtsim

import (
	"crypto/md5" //nolint:gosec // HTTP digest authentication is MD5
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// flash is the device's flash memory: what a restart keeps. All of it is guarded
// by Device.mu.
type flash struct {
	Phase amt.Phase
	Realm string // "Digest:" and 32 hex digits, the device's own for good

	MEBxPassword amt.Secret `json:"-"`
	MEBxChanged  bool       // it is no longer the factory's
	Pair         amt.Pair   `json:"-"`
	Pending      amt.Pair   `json:"-"` // waits for a commit
	Server       serverHint
	AdminUser    string
	AdminHA1     amt.Secret `json:"-"` // MD5(user:realm:password), 16 bytes
	AdminSet     bool       // by the network: no longer follows the MEBx password

	HostName, Domain string
	General          general
	Ethernet         ethernet
	ClockSet         bool
	ClockOffset      time.Duration // added to the real clock

	Keys       []keyPair
	Certs      []certificate
	NextKey    int
	NextCert   int
	Credential string // InstanceID of the certificate that TLS presents
	TLS        tlsSettings
	PendingTLS *tlsSettings // nil when nothing waits for a commit

	Users    []user
	NextUser uint32

	Redirection uint32 // EnabledState, 32768 to 32771
	Listener    bool
	KVM         bool
	OptIn       optIn
	PowerScheme int
}

// ram is what a restart forgets.
type ram struct {
	nonces     nonces
	messageID  uint64
	context    uint32
	contexts   []enumeration
	requests   int // with a good log-in
	failures   int // failed log-ins in a row
	challenged int
	failed     int
	hellos     int
	schedule   int // counts the beginnings of set-up, so that announce sees each
	calls      []Call
	counts     map[string]int
	setupBegan time.Time // real clock
}

// serverHint is what MEBx was told of the server.
type serverHint struct {
	Addr netip.Addr
	Port uint16
	Name string
}

// general holds the writable properties of AMT_GeneralSettings that have no field
// of their own.
type general struct {
	DDNSPeriodicUpdateInterval    uint32
	DDNSTTL                       uint32
	DDNSUpdateByDHCPServerEnabled bool
	DDNSUpdateEnabled             bool
	DHCPv6ConfigurationTimeout    uint32
	HostOSFQDN                    string
	IdleWakeTimeout               uint32
	AMTNetworkEnabled             uint32
	PingResponseEnabled           bool
	PreferredAddressFamily        uint32
	PresenceNotificationInterval  uint32
	PrivacyLevel                  uint32
	RmcpPingResponseEnabled       bool
	SharedFQDN                    bool
	WsmanOnlyMode                 bool
}

// ethernet is the wired port's AMT_EthernetPortSettings.
type ethernet struct {
	DHCP, IPSync, SharedStatic                 bool
	Address, Mask, Gateway, Primary, Secondary string
	LinkPolicy                                 []uint32
}

// keyPair is one AMT_PublicPrivateKeyPair.
type keyPair struct {
	Handle int
	Key    *rsa.PrivateKey `json:"-"`
}

// certificate is one AMT_PublicKeyCertificate.
type certificate struct {
	Handle int
	DER    []byte
	Root   bool // trusted root, else the device's own
	Key    int  // handle of its key pair; -1 for a root
}

// tlsSettings are both instances of AMT_TLSSettingData.
type tlsSettings struct{ Remote, Local tlsSetting }

// tlsSetting is one instance.
type tlsSetting struct {
	Enabled, Mutual, AcceptClear bool
	TrustedCN                    []string
}

// optIn is IPS_OptInService.
type optIn struct{ Required, CodeTimeout, DisplayTimeout uint32 }

// user is one digest or Kerberos account.
type user struct {
	Handle   uint32
	Name     string
	HA1      amt.Secret `json:"-"`
	SID      []byte     // Kerberos; then Name and HA1 are empty
	Access   uint32     // 0 local, 1 network, 2 both
	Realms   []amt.Realm
	Disabled bool
	System   bool // the firmware's own: cannot be changed or removed
}

// reset is the factory state, except for MEBx password, realm and clock, which
// stay when there are any.
func (d *Device) reset() {
	old := d.flash
	f := flash{
		Phase: amt.Factory, Realm: old.Realm, MEBxPassword: old.MEBxPassword, MEBxChanged: old.MEBxChanged,
		ClockOffset: old.ClockOffset,
	}
	if f.Realm == "" {
		f.Realm = d.realm()
		f.MEBxPassword = d.opt.MEBxPassword
		f.MEBxChanged = string(d.opt.MEBxPassword.Reveal()) != amt.FactoryPassword
		f.ClockOffset = d.opt.ClockSkew
	}
	f.AdminUser = amt.AdminUser
	f.AdminHA1 = ha1(f.AdminUser, f.Realm, f.MEBxPassword)
	d.flash = f
	d.resetSettings()
}

// resetSettings gives everything that a profile sets its default, and forgets
// keys, certificates and users.
func (d *Device) resetSettings() {
	f := &d.flash
	f.General = general{
		DDNSPeriodicUpdateInterval: 1440, DDNSTTL: 900, DDNSUpdateByDHCPServerEnabled: true,
		IdleWakeTimeout: 1, AMTNetworkEnabled: 1, PingResponseEnabled: true, RmcpPingResponseEnabled: true, SharedFQDN: true,
	}
	f.Ethernet = ethernet{DHCP: true, IPSync: true, LinkPolicy: []uint32{1, 14}}
	f.ClockSet = false
	f.Keys, f.Certs, f.NextKey, f.NextCert, f.Credential = nil, nil, 0, 0, ""
	f.TLS = tlsSettings{Local: tlsSetting{AcceptClear: true}}
	f.PendingTLS = nil
	f.Users, f.NextUser = nil, 1
	for _, name := range d.opt.Generation.SystemUsers {
		f.Users = append(f.Users, user{Handle: f.NextUser, Name: name, Realms: []amt.Realm{amt.RealmLocalUN}, System: true})
		f.NextUser++
	}
	f.Redirection, f.Listener, f.KVM = 32768, false, false
	f.OptIn = optIn{Required: 1, CodeTimeout: 120, DisplayTimeout: 300}
	f.PowerScheme = 0
}

// realm draws the digest realm, from the UUID so that a seed gives it again.
func (d *Device) realm() string {
	sum := md5.Sum(append([]byte("realm"), d.opt.UUID[:]...)) //nolint:gosec // no secret
	return "Digest:" + strings.ToUpper(hex.EncodeToString(sum[:]))
}

// ha1 is the stored form of a digest password.
func ha1(user, realm string, password amt.Secret) amt.Secret {
	b := append([]byte(user+":"+realm+":"), password.Reveal()...)
	sum := md5.Sum(b) //nolint:gosec // HTTP digest authentication is MD5
	clear(b)
	return amt.NewSecret(sum[:])
}

// now is the device's clock.
func (d *Device) now() time.Time { return d.opt.Now().Add(d.flash.ClockOffset) }

// randomKey is 32 bytes of the nonce key; it needs no seed.
func randomKey() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return b
}
