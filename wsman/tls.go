package wsman

import "context"

// InstanceIDs of AMT_TLSSettingData.
const (
	TLSRemote = "Intel(r) AMT 802.3 TLS Settings" // the network interface
	TLSLocal  = "Intel(r) AMT LMS TLS Settings"   // the host's own interface
)

// TLSCredential is an AMT_TLSCredentialContext: which certificate TLS presents.
type TLSCredential struct {
	Certificate Handle
	Object      *Object
}

// TLSSettings is one AMT_TLSSettingData. Changes take effect at CommitChanges,
// except TrustedCN alone.
type TLSSettings struct{ *Object }

// CreateTLSCredential makes cert the certificate of TLS. IsDuplicate(err) means
// that another is: then PutTLSCredential.
func (c *Client) CreateTLSCredential(ctx context.Context, cert Handle) error { panic("not yet") }

// PutTLSCredential makes cert the certificate of TLS in place of old's.
func (c *Client) PutTLSCredential(ctx context.Context, old TLSCredential, cert Handle) error {
	panic("not yet")
}

// TLSCredentials lists the certificates that TLS presents, none or one.
func (c *Client) TLSCredentials(ctx context.Context) ([]TLSCredential, error) { panic("not yet") }

// DeleteTLSCredential removes one.
func (c *Client) DeleteTLSCredential(ctx context.Context, old TLSCredential) error { panic("not yet") }

// TLSSettings reads the instance TLSRemote or TLSLocal.
func (c *Client) TLSSettings(ctx context.Context, instance string) (TLSSettings, error) {
	panic("not yet")
}

// PutTLSSettings writes s.
func (c *Client) PutTLSSettings(ctx context.Context, s TLSSettings) (TLSSettings, error) {
	panic("not yet")
}
