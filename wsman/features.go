package wsman

import (
	"context"
	"fmt"

	"github.com/amtscs/amtscs/amt"
)

const (
	classRedirection = "AMT_RedirectionService"
	classKVM         = "CIM_KVMRedirectionSAP"
	classOptIn       = "IPS_OptInService"
	classPowerScheme = "AMT_SystemPowerScheme"
	classElementData = "CIM_ElementSettingData"
)

// EnabledState of AMT_RedirectionService, and what RequestRedirection takes.
const (
	RedirectionOff  uint32 = 32768
	RedirectionIDER uint32 = 32769
	RedirectionSOL  uint32 = 32770
	RedirectionBoth uint32 = 32771
)

// Values of OptInRequired in IPS_OptInService.
const (
	ConsentNone uint32 = 0
	ConsentKVM  uint32 = 1
	ConsentAll  uint32 = 4294967295
)

// RedirectionService is AMT_RedirectionService (SOL and IDE-R).
type RedirectionService struct{ *Object }

// RedirectionService reads it: one request.
func (c *Client) RedirectionService(ctx context.Context) (RedirectionService, error) {
	o, err := c.Get(ctx, classRedirection)
	return RedirectionService{o}, firstError(err, func() error { return o.check("EnabledState") })
}

// PutRedirectionService writes r and returns what the device made of it.
func (c *Client) PutRedirectionService(ctx context.Context, r RedirectionService) (RedirectionService, error) {
	o, err := c.put(ctx, r.Object)
	return RedirectionService{o}, firstError(err, func() error { return o.check("EnabledState") })
}

// State is RedirectionOff, IDER, SOL or Both.
func (r RedirectionService) State() uint32 { return r.number("EnabledState") }

// Listening is ListenerEnabled: the TCP ports of redirection are open.
func (r RedirectionService) Listening() bool { return r.truth("ListenerEnabled") }

// RequestRedirection asks for RedirectionOff, IDER, SOL or Both.
func (c *Client) RequestRedirection(ctx context.Context, state uint32) error {
	in := Input(classRedirection, "RequestStateChange")
	in.SetUint("RequestedState", state)
	return c.invoke(ctx, in, nil, nil)
}

// KVM is CIM_KVMRedirectionSAP (AMT 6.0 and later; absent on Standard
// Manageability: see IsAbsent).
type KVM struct{ *Object }

// KVM reads it: one request.
func (c *Client) KVM(ctx context.Context) (KVM, error) {
	o, err := c.Get(ctx, classKVM)
	return KVM{o}, firstError(err, func() error { return o.check("EnabledState") })
}

// On reports whether KVM is enabled: state 2, or 6, enabled and nobody connected
// (recorded).
func (k KVM) On() bool { s := k.number("EnabledState"); return s == 2 || s == 6 }

// RequestKVM switches KVM on (2) or off (3).
func (c *Client) RequestKVM(ctx context.Context, on bool) error {
	in := Input(classKVM, "RequestStateChange")
	state := uint32(3)
	if on {
		state = 2
	}
	in.SetUint("RequestedState", state)
	return c.invoke(ctx, in, nil, nil)
}

// OptIn is IPS_OptInService (AMT 6.0 and later).
type OptIn struct{ *Object }

// OptIn reads it: one request.
func (c *Client) OptIn(ctx context.Context) (OptIn, error) {
	o, err := c.Get(ctx, classOptIn)
	return OptIn{o}, firstError(err, func() error { return o.check("OptInRequired") })
}

// PutOptIn writes o and returns what the device made of it.
func (c *Client) PutOptIn(ctx context.Context, o OptIn) (OptIn, error) {
	p, err := c.put(ctx, o.Object)
	return OptIn{p}, firstError(err, func() error { return p.check("OptInRequired") })
}

// Required is ConsentNone, ConsentKVM or ConsentAll.
func (o OptIn) Required() uint32 { return o.number("OptInRequired") }

// check reports a property that is not a number.
func (o *Object) check(name string) error { _, err := o.Uint(name); return err }

// firstError is err, or what next finds.
func firstError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// PowerScheme is an AMT_SystemPowerScheme: a power package.
type PowerScheme struct {
	InstanceID  string           // "SCHEME 0"
	Package     amt.PowerPackage // SchemeGUID
	Description string
}

// PowerSchemes lists the power packages that the device offers: two requests.
func (c *Client) PowerSchemes(ctx context.Context) ([]PowerScheme, error) {
	return instances(ctx, c, classPowerScheme, func(o *Object) (PowerScheme, error) {
		s := PowerScheme{InstanceID: o.Value("InstanceID"), Description: o.Value("Description")}
		b, err := o.octets("SchemeGUID")
		if err != nil {
			return s, err
		}
		if len(b) != len(s.Package) || s.InstanceID == "" {
			return s, fmt.Errorf("%w: a power scheme of %d bytes", ErrUnexpectedReply, len(b))
		}
		s.Package = amt.PowerPackage(b)
		return s, nil
	})
}

// CurrentPowerScheme returns the InstanceID of the package in force: the
// AMT_SystemPowerScheme whose CIM_ElementSettingData has IsCurrent 1 (Intel, get
// the currently active power package), "" if there is none. Two requests.
func (c *Client) CurrentPowerScheme(ctx context.Context) (string, error) {
	items, err := c.Items(ctx, classElementData)
	if err != nil {
		return "", err
	}
	for _, o := range items {
		ref, err := parseReference(o.Child("SettingData"))
		if err == nil && ref.Class == classPowerScheme && o.number("IsCurrent") == 1 {
			return ref.Selected("InstanceID"), nil
		}
	}
	return "", nil
}

// SetPowerScheme puts a package in force, by its InstanceID.
func (c *Client) SetPowerScheme(ctx context.Context, instanceID string) error {
	return c.invoke(ctx, Input(classPowerScheme, "SetPowerScheme"), []Selector{Instance(instanceID)}, nil)
}
