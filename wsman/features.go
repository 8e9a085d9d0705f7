package wsman

import "context"

// States of AMT_RedirectionService.
const (
	RedirectionOff  uint32 = 32768
	RedirectionIDER uint32 = 32769
	RedirectionSOL  uint32 = 32770
	RedirectionBoth uint32 = 32771
)

// Values of IPS_OptInService OptInRequired.
const (
	ConsentNone uint32 = 0
	ConsentKVM  uint32 = 1
	ConsentAll  uint32 = 4294967295
)

// RedirectionService is AMT_RedirectionService (SOL and IDE-R).
type RedirectionService struct{ *Object }

// RedirectionService reads it.
func (c *Client) RedirectionService(ctx context.Context) (RedirectionService, error) {
	panic("not yet")
}

// PutRedirectionService writes it.
func (c *Client) PutRedirectionService(ctx context.Context, r RedirectionService) (RedirectionService, error) {
	panic("not yet")
}

// RequestRedirection asks for RedirectionOff, IDER, SOL or Both.
func (c *Client) RequestRedirection(ctx context.Context, state uint32) error { panic("not yet") }

// KVM is CIM_KVMRedirectionSAP (AMT 6.0 and later; absent on Standard
// Manageability: see IsAbsent).
type KVM struct{ *Object }

// KVM reads it.
func (c *Client) KVM(ctx context.Context) (KVM, error) { panic("not yet") }

// RequestKVM switches KVM on or off.
func (c *Client) RequestKVM(ctx context.Context, on bool) error { panic("not yet") }

// OptIn is IPS_OptInService (AMT 6.0 and later).
type OptIn struct{ *Object }

// OptIn reads it.
func (c *Client) OptIn(ctx context.Context) (OptIn, error) { panic("not yet") }

// PutOptIn writes it.
func (c *Client) PutOptIn(ctx context.Context, o OptIn) (OptIn, error) { panic("not yet") }

// PowerScheme is AMT_SystemPowerScheme: a power package.
type PowerScheme struct {
	InstanceID  string // "SCHEME 0"
	GUID        [16]byte
	Description string
}

// PowerSchemes lists the power packages that the device offers.
func (c *Client) PowerSchemes(ctx context.Context) ([]PowerScheme, error) { panic("not yet") }

// CurrentPowerScheme returns the InstanceID of the package in force.
func (c *Client) CurrentPowerScheme(ctx context.Context) (string, error) { panic("not yet") }

// SetPowerScheme puts a package in force.
func (c *Client) SetPowerScheme(ctx context.Context, instanceID string) error { panic("not yet") }
