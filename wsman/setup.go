package wsman

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

const classSetup = "AMT_SetupAndConfigurationService"

// SetupService is AMT_SetupAndConfigurationService.
type SetupService struct {
	State         amt.Phase  // ProvisioningState: 0 pre, 1 in, 2 post
	Mode          uint32     // ProvisioningMode: 1 enterprise (admin control), 4 client control
	PasswordModel uint32     // 0, 1 or 2; 0 if the firmware does not tell
	OTP           amt.Secret // ProvisioningServerOTP, decoded: readable only while in provisioning
	ZeroTouch     bool       // ZeroTouchConfigurationEnabled
}

// SetupService reads AMT_SetupAndConfigurationService.
func (c *Client) SetupService(ctx context.Context) (SetupService, error) {
	o, err := c.Get(ctx, classSetup)
	if err != nil {
		return SetupService{}, err
	}
	state, err := o.Uint("ProvisioningState")
	if err != nil {
		return SetupService{}, err
	}
	if state > uint32(amt.Operational) {
		return SetupService{}, fmt.Errorf("%s: %w: ProvisioningState %d", classSetup, ErrUnexpectedReply, state)
	}
	s := SetupService{
		State:         amt.Phase(state),
		Mode:          o.number("ProvisioningMode"),
		PasswordModel: o.number("PasswordModel"),
		ZeroTouch:     o.truth("ZeroTouchConfigurationEnabled"),
	}
	if otp, err := o.octets("ProvisioningServerOTP"); err == nil {
		s.OTP = amt.NewSecret(otp)
	}
	return s, nil
}

// UUID calls GetUuid, whose UUID is base64 of 16 bytes in SMBIOS order (DMT).
func (c *Client) UUID(ctx context.Context) (amt.UUID, error) {
	var u amt.UUID
	err := c.invoke(ctx, Input(classSetup, "GetUuid"), nil, func(o *Object) error {
		b, err := o.octets("UUID")
		if err != nil {
			return err
		}
		if len(b) != len(u) {
			return fmt.Errorf("%w: a UUID of %d bytes", ErrUnexpectedReply, len(b))
		}
		u = amt.UUIDFromSMBIOS([16]byte(b))
		return nil
	})
	return u, err
}

// SetMEBxPassword sets the MEBx password. Statuses: 16 (the device's policy keeps
// the old one), 2054 (the password breaks the rules), 1.
func (c *Client) SetMEBxPassword(ctx context.Context, password amt.Secret) error {
	return c.invoke(ctx, Input(classSetup, "SetMEBxPassword").Add("Password", string(password.Reveal())), nil, nil)
}

// PSKForm is the form of PID and PPS in SetTLSPSK.
type PSKForm uint8

// The forms; unverified, see SetTLSPSK.
const (
	PSKBase64 PSKForm = 1 // base64 of the ASCII octets
	PSKPlain  PSKForm = 2 // the characters as text
)

// SetTLSPSK gives the device the pair of its next set-up. Statuses 42 and 43 say
// that the form of PID or PPS is wrong; firmware from 11.0 on lacks the method
// (Intel's class library for that version has none).
//
// Unverified: the names PID and PPS come from MeshCentral's amt.js; that the two
// are octet arrays, and thus base64 as all octet arrays of AMT are, is from
// memory. Config.PSKForm chooses.
func (c *Client) SetTLSPSK(ctx context.Context, pair amt.Pair) error {
	return c.invoke(ctx, c.pskInput(pair), nil, nil)
}

func (c *Client) pskInput(pair amt.Pair) *Object {
	form := func(b []byte) string {
		if c.cfg.PSKForm == PSKPlain {
			return string(b)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	return Input(classSetup, "SetTLSPSK").Add("PID", form(pair.PID[:])).Add("PPS", form(pair.PPS.Reveal()))
}

// CommitChanges ends set-up. The device may drop the connection after taking
// effect: the error is then ErrLost, and only reading SetupService anew tells.
// Statuses: 2057 (key, certificate, time, host name or MEBx password missing), 38,
// 1.
func (c *Client) CommitChanges(ctx context.Context) error {
	return c.invoke(ctx, Input(classSetup, "CommitChanges"), nil, nil)
}

// Unprovision returns the device to factory mode, where only a new pair brings
// it back. mode is 1 for enterprise, the only value that works from AMT 6.0 on.
// Statuses: 16, 36, 2076, 1.
func (c *Client) Unprovision(ctx context.Context, mode uint32) error {
	in := Input(classSetup, "Unprovision")
	in.SetUint("ProvisioningMode", mode)
	return c.invoke(ctx, in, nil, nil)
}

// PartialUnprovision returns the device to set-up mode and keeps its admin entry,
// TLS-PSK pair, names and server address. Statuses: 16, 2076, 1.
func (c *Client) PartialUnprovision(ctx context.Context) error {
	return c.invoke(ctx, Input(classSetup, "PartialUnprovision"), nil, nil)
}

// ExtendProvisioningPeriod sets for how many hours (1 to 24; 0 ends it) the
// network interface stays open in set-up mode.
func (c *Client) ExtendProvisioningPeriod(ctx context.Context, hours uint32) error {
	in := Input(classSetup, "ExtendProvisioningPeriod")
	in.SetUint("Duration", hours)
	return c.invoke(ctx, in, nil, nil)
}

// octets decodes a property that holds base64.
func (o *Object) octets(name string) ([]byte, error) {
	s := strings.Join(strings.Fields(o.Value(name)), "")
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%w: %v has no base64 in %s", ErrUnexpectedReply, o, name)
	}
	return b, nil
}
