package wsman

import (
	"context"

	"github.com/amtscs/amtscs/amt"
)

// SetupService is AMT_SetupAndConfigurationService.
type SetupService struct {
	State         amt.Phase // ProvisioningState: 0 pre, 1 in, 2 post
	Mode          uint32    // ProvisioningMode: 1 enterprise (admin control), 4 client control
	PasswordModel uint32
	OTP           amt.Secret // ProvisioningServerOTP, decoded; empty unless in provisioning
	ZeroTouch     bool       // ZeroTouchConfigurationEnabled
}

// SetupService reads AMT_SetupAndConfigurationService.
func (c *Client) SetupService(ctx context.Context) (SetupService, error) { panic("not yet") }

// UUID calls GetUuid and converts its SMBIOS order.
func (c *Client) UUID(ctx context.Context) (amt.UUID, error) { panic("not yet") }

// SetMEBxPassword sets the MEBx password. Statuses 1, 16 (the device's policy
// keeps the old one), 2054.
func (c *Client) SetMEBxPassword(ctx context.Context, password amt.Secret) error { panic("not yet") }

// SetTLSPSK gives the device the pair of its next set-up. The form of its
// parameters is unverified: see Config.PSKForm.
func (c *Client) SetTLSPSK(ctx context.Context, pair amt.Pair) error { panic("not yet") }

// CommitChanges ends set-up. The device may drop the connection after taking
// effect: ErrLost then means that SetupService must be read anew.
func (c *Client) CommitChanges(ctx context.Context) error { panic("not yet") }

// Unprovision returns the device to factory mode: mode 1 is enterprise.
func (c *Client) Unprovision(ctx context.Context, mode uint32) error { panic("not yet") }

// PartialUnprovision returns the device to set-up mode and keeps admin, PSK,
// names and server address.
func (c *Client) PartialUnprovision(ctx context.Context) error { panic("not yet") }

// ExtendProvisioningPeriod sets how many hours (0 to 24) the network interface
// stays open in set-up mode.
func (c *Client) ExtendProvisioningPeriod(ctx context.Context, hours uint32) error { panic("not yet") }
