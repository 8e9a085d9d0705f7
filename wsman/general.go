package wsman

import (
	"context"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// GeneralSettings is AMT_GeneralSettings.
type GeneralSettings struct{ *Object }

// GeneralSettings reads AMT_GeneralSettings.
func (c *Client) GeneralSettings(ctx context.Context) (GeneralSettings, error) { panic("not yet") }

// PutGeneralSettings writes g and returns what the device made of it.
func (c *Client) PutGeneralSettings(ctx context.Context, g GeneralSettings) (GeneralSettings, error) {
	panic("not yet")
}

// DigestRealm is "Digest:" and 32 hex digits.
func (g GeneralSettings) DigestRealm() string { panic("not yet") }

// HostName is the name without its domain.
func (g GeneralSettings) HostName() string { panic("not yet") }

// DomainName is the domain.
func (g GeneralSettings) DomainName() string { panic("not yet") }

// EthernetPort is AMT_EthernetPortSettings.
type EthernetPort struct{ *Object }

// EthernetPort reads port n: 0 wired, 1 WiFi.
func (c *Client) EthernetPort(ctx context.Context, n int) (EthernetPort, error) { panic("not yet") }

// PutEthernetPort writes p.
func (c *Client) PutEthernetPort(ctx context.Context, p EthernetPort) (EthernetPort, error) {
	panic("not yet")
}

// Versions reads CIM_SoftwareIdentity: InstanceID ("AMT", "Build Number", "Sku")
// to VersionString.
func (c *Client) Versions(ctx context.Context) (map[string]string, error) { panic("not yet") }

// AMTVersion reads the instance "AMT" alone, in one request where the firmware
// allows it.
func (c *Client) AMTVersion(ctx context.Context) (amt.Version, error) { panic("not yet") }

// LowAccuracyTime reads the device's clock (GetLowAccuracyTimeSynch, seconds).
func (c *Client) LowAccuracyTime(ctx context.Context) (time.Time, error) { panic("not yet") }

// SetHighAccuracyTime sets the clock: ta0 is what LowAccuracyTime returned, tm1
// our time when its answer came, tm2 our time now.
func (c *Client) SetHighAccuracyTime(ctx context.Context, ta0, tm1, tm2 time.Time) error {
	panic("not yet")
}

// SetTime does both with the given clock and returns how far the device's clock
// was ahead.
func (c *Client) SetTime(ctx context.Context, now func() time.Time) (time.Duration, error) {
	panic("not yet")
}
