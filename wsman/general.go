package wsman

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amtscs/amtscs/amt"
)

const (
	classGeneral  = "AMT_GeneralSettings"
	classEthernet = "AMT_EthernetPortSettings"
	classSoftware = "CIM_SoftwareIdentity"
	classTime     = "AMT_TimeSynchronizationService"
)

// GeneralSettings is AMT_GeneralSettings. Other properties than those below are
// reached through Object: PingResponseEnabled, RmcpPingResponseEnabled,
// AMTNetworkEnabled (0 or 1), IdleWakeTimeout (minutes), SharedFQDN.
type GeneralSettings struct{ *Object }

// GeneralSettings reads AMT_GeneralSettings: one request.
func (c *Client) GeneralSettings(ctx context.Context) (GeneralSettings, error) {
	o, err := c.Get(ctx, classGeneral)
	if err != nil {
		return GeneralSettings{}, err
	}
	return GeneralSettings{o}, nil
}

// PutGeneralSettings writes g and returns what the device made of it.
func (c *Client) PutGeneralSettings(ctx context.Context, g GeneralSettings) (GeneralSettings, error) {
	o, err := c.put(ctx, g.Object)
	if err != nil {
		return GeneralSettings{}, err
	}
	return GeneralSettings{o}, nil
}

// DigestRealm is "Digest:" and 32 hex digits, the realm of every login; see
// CheckRealm.
func (g GeneralSettings) DigestRealm() string { return g.Value("DigestRealm") }

// HostName is the name without its domain.
func (g GeneralSettings) HostName() string { return g.Value("HostName") }

// DomainName is the DNS domain.
func (g GeneralSettings) DomainName() string { return g.Value("DomainName") }

// CheckRealm reports whether realm has the form of AMT's digest realms: "Digest:"
// and 32 hex digits.
func CheckRealm(realm string) error {
	const prefix = "Digest:"
	ok := len(realm) == len(prefix)+32 && realm[:len(prefix)] == prefix
	for i := len(prefix); ok && i < len(realm); i++ {
		c := realm[i]
		ok = c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
	}
	if !ok {
		return fmt.Errorf("%w: a digest realm of another form than Digest: and 32 hex digits", ErrUnexpectedReply)
	}
	return nil
}

// EthernetPort is AMT_EthernetPortSettings. Properties: DHCPEnabled,
// IpSyncEnabled, SharedStaticIp, IPAddress, SubnetMask, DefaultGateway,
// PrimaryDNS, SecondaryDNS (dotted), MACAddress (dashed).
type EthernetPort struct{ *Object }

// EthernetPort reads port n, 0 wired or 1 WiFi: one request.
func (c *Client) EthernetPort(ctx context.Context, n int) (EthernetPort, error) {
	o, err := c.Get(ctx, classEthernet, Instance("Intel(r) AMT Ethernet Port Settings "+strconv.Itoa(n)))
	if err != nil {
		return EthernetPort{}, err
	}
	return EthernetPort{o}, nil
}

// PutEthernetPort writes p and returns what the device made of it.
func (c *Client) PutEthernetPort(ctx context.Context, p EthernetPort) (EthernetPort, error) {
	o, err := c.put(ctx, p.Object, Instance(p.Value("InstanceID")))
	if err != nil {
		return EthernetPort{}, err
	}
	return EthernetPort{o}, nil
}

// Versions reads CIM_SoftwareIdentity, InstanceID ("AMT", "Build Number", "Sku")
// to VersionString: two requests.
func (c *Client) Versions(ctx context.Context) (map[string]string, error) {
	type row struct{ id, version string }
	rows, err := instances(ctx, c, classSoftware, func(o *Object) (row, error) {
		return row{o.Value("InstanceID"), o.Value("VersionString")}, nil
	})
	if err != nil {
		return nil, err
	}
	versions := make(map[string]string, len(rows))
	for _, r := range rows {
		versions[r.id] = r.version
	}
	return versions, nil
}

// AMTVersion reads the instance "AMT" of CIM_SoftwareIdentity: one request, or
// three where the firmware refuses to read it by its selector.
func (c *Client) AMTVersion(ctx context.Context) (amt.Version, error) {
	o, err := c.Get(ctx, classSoftware, Instance("AMT"))
	text := o.Value("VersionString")
	if _, fault := errors.AsType[*Fault](err); fault || err == nil && o.Value("InstanceID") != "AMT" {
		var all map[string]string
		all, err = c.Versions(ctx)
		text = all["AMT"]
	}
	if err != nil {
		return amt.Version{}, err
	}
	v, err := amt.ParseVersion(text)
	if err != nil {
		return amt.Version{}, fmt.Errorf("%s: %w: %.40q is no version", classSoftware, ErrUnexpectedReply, text)
	}
	return v, nil
}

// LowAccuracyTime reads the device's clock by GetLowAccuracyTimeSynch, to the
// second.
func (c *Client) LowAccuracyTime(ctx context.Context) (time.Time, error) {
	var t time.Time
	err := c.invoke(ctx, Input(classTime, "GetLowAccuracyTimeSynch"), nil, func(o *Object) error {
		n, err := o.Uint("Ta0")
		t = time.Unix(int64(n), 0)
		return err
	})
	return t, err
}

// SetHighAccuracyTime sets the clock: ta0 is what LowAccuracyTime returned, tm1
// our time when its answer came, tm2 our time now, all sent as UNIX seconds. The
// device moves its clock by ((tm1+tm2)-(ta0+ta3))/2, where ta3 is its time when
// the call comes (Intel, detailed description 15). Statuses: 36, 38, 1.
//
// It must not be repeated with the same ta0: that would undo half of it.
func (c *Client) SetHighAccuracyTime(ctx context.Context, ta0, tm1, tm2 time.Time) error {
	in := Input(classTime, "SetHighAccuracyTimeSynch")
	for _, a := range []struct {
		name string
		at   time.Time
	}{{"Ta0", ta0}, {"Tm1", tm1}, {"Tm2", tm2}} {
		in.Add(a.name, strconv.FormatInt(a.at.Unix(), 10))
	}
	return c.invoke(ctx, in, nil, nil)
}

// SetTime does both with the given clock and returns how far the device's clock
// was ahead of it. After ErrLost it may simply be called again.
func (c *Client) SetTime(ctx context.Context, now func() time.Time) (time.Duration, error) {
	ta0, err := c.LowAccuracyTime(ctx)
	if err != nil {
		return 0, err
	}
	tm1 := now()
	return ta0.Sub(tm1), c.SetHighAccuracyTime(ctx, ta0, tm1, now())
}
