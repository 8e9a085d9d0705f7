package wsman

import (
	"context"
	"fmt"
)

const (
	classTLSContext  = "AMT_TLSCredentialContext"
	classTLSSettings = "AMT_TLSSettingData"
	classTLSEndpoint = "AMT_TLSProtocolEndpointCollection"

	// tlsEndpoint is the ElementName that all known consoles send; devices answer
	// it with a blank before Instances.
	tlsEndpoint = "TLSProtocolEndpointInstances Collection"
)

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

// CreateTLSCredential makes cert the certificate of TLS. IsDuplicate(err) means
// that there is one: then PutTLSCredential.
func (c *Client) CreateTLSCredential(ctx context.Context, cert Handle) error {
	o := NewObject(classTLSContext)
	endpoint := Reference{Class: classTLSEndpoint, Selectors: []Selector{{Name: "ElementName", Value: tlsEndpoint}}}
	o.Children = []*Object{
		certificateReference(cert).element(o.Space, "ElementInContext"),
		endpoint.element(o.Space, "ElementProvidingContext"),
	}
	_, err := c.Create(ctx, o)
	return err
}

func certificateReference(h Handle) Reference {
	return Reference{Class: classCertificate, Selectors: []Selector{Instance(string(h))}}
}

// PutTLSCredential makes cert the certificate of TLS in place of old's, whose
// object it sends back with the one reference changed. It sends no selectors, as
// MeshCentral does.
func (c *Client) PutTLSCredential(ctx context.Context, old TLSCredential, cert Handle) error {
	if old.Object == nil {
		return fmt.Errorf("%w: a TLS credential without its object", ErrArgument)
	}
	o := old.Object.Clone()
	for i, k := range o.Children {
		if k.Is(o.Space, "ElementInContext") {
			o.Children[i] = certificateReference(cert).element(o.Space, "ElementInContext")
		}
	}
	_, err := c.put(ctx, o)
	return err
}

// TLSCredentials lists the certificates that TLS presents, none or one: two
// requests.
func (c *Client) TLSCredentials(ctx context.Context) ([]TLSCredential, error) {
	return instances(ctx, c, classTLSContext, func(o *Object) (TLSCredential, error) {
		ref, err := parseReference(o.Child("ElementInContext"))
		if err != nil {
			return TLSCredential{}, err
		}
		return TLSCredential{Certificate: Handle(ref.Selected("InstanceID")), Object: o}, nil
	})
}

// DeleteTLSCredential removes one by its two references, which are its keys.
func (c *Client) DeleteTLSCredential(ctx context.Context, old TLSCredential) error {
	var sel []Selector
	for _, name := range []string{"ElementInContext", "ElementProvidingContext"} {
		ref, err := parseReference(old.Object.Child(name))
		if err != nil {
			return fmt.Errorf("%w: a TLS credential without %s", ErrArgument, name)
		}
		sel = append(sel, Selector{Name: name, Ref: ref})
	}
	return c.Delete(ctx, classTLSContext, sel...)
}

// TLSSettings is one AMT_TLSSettingData. Changes take effect at CommitChanges,
// except TrustedCN alone; whether a Get before it shows the new values or the
// old ones is unverified.
type TLSSettings struct{ *Object }

// TLSSettings reads the instance TLSRemote or TLSLocal: one request.
func (c *Client) TLSSettings(ctx context.Context, instance string) (TLSSettings, error) {
	o, err := c.Get(ctx, classTLSSettings, Instance(instance))
	if err != nil {
		return TLSSettings{}, err
	}
	return readTLSSettings(o)
}

// PutTLSSettings writes s and returns what the device answers.
func (c *Client) PutTLSSettings(ctx context.Context, s TLSSettings) (TLSSettings, error) {
	o, err := c.put(ctx, s.Object, Instance(s.InstanceID()))
	if err != nil {
		return TLSSettings{}, err
	}
	return readTLSSettings(o)
}

func readTLSSettings(o *Object) (TLSSettings, error) {
	for _, name := range []string{"Enabled", "MutualAuthentication"} {
		if _, err := o.Bool(name); err != nil {
			return TLSSettings{}, err
		}
	}
	return TLSSettings{o}, nil
}

// InstanceID is TLSRemote or TLSLocal.
func (s TLSSettings) InstanceID() string { return s.Value("InstanceID") }

// Enabled says that the interface speaks TLS.
func (s TLSSettings) Enabled() bool { return s.truth("Enabled") }

// Mutual says that the device asks for the caller's certificate.
func (s TLSSettings) Mutual() bool { return s.truth("MutualAuthentication") }

// AcceptPlain says that clear text is served beside TLS; always true on firmware
// too old to have the property.
func (s TLSSettings) AcceptPlain() bool {
	return !s.Has("AcceptNonSecureConnections") || s.truth("AcceptNonSecureConnections")
}

// TrustedCN are the ends of common names that a caller's certificate may have.
func (s TLSSettings) TrustedCN() []string { return s.Values("TrustedCN") }

// Change sets the four properties in s; AcceptNonSecureConnections only if the
// firmware has it.
func (s TLSSettings) Change(enabled, mutual, plain bool, trusted []string) {
	s.SetBool("Enabled", enabled)
	s.SetBool("MutualAuthentication", mutual)
	if s.Has("AcceptNonSecureConnections") {
		s.SetBool("AcceptNonSecureConnections", plain)
	}
	s.Set("TrustedCN", trusted...)
}
