package wsman

import "context"

// Reference is an endpoint reference: a class and the selectors of an instance.
type Reference struct {
	Class     string // such as "AMT_PublicKeyCertificate"
	Selectors []Selector
}

// Selector names an instance by one of its keys. Ref, if not nil, is the value
// of a key that is itself a reference.
type Selector struct {
	Name, Value string
	Ref         *Reference
}

// Instance selects by InstanceID.
func Instance(id string) Selector { return Selector{Name: "InstanceID", Value: id} }

// Get reads one instance of class ("AMT_GeneralSettings").
func (c *Client) Get(ctx context.Context, class string, sel ...Selector) (*Object, error) {
	panic("not yet")
}

// Put writes o, the whole object as Get returned it, and returns the object as
// the device answers it.
func (c *Client) Put(ctx context.Context, o *Object, sel ...Selector) (*Object, error) {
	panic("not yet")
}

// Create makes an instance from o and returns its reference.
func (c *Client) Create(ctx context.Context, o *Object) (*Reference, error) { panic("not yet") }

// Delete removes an instance.
func (c *Client) Delete(ctx context.Context, class string, sel ...Selector) error { panic("not yet") }

// Enumerate starts an enumeration and returns its context.
func (c *Client) Enumerate(ctx context.Context, class string) (string, error) { panic("not yet") }

// Pull takes the next items of an enumeration; next is "" at its end.
func (c *Client) Pull(ctx context.Context, class, enumeration string) (items []*Object, next string, err error) {
	panic("not yet")
}

// Items enumerates class to the end.
func (c *Client) Items(ctx context.Context, class string) ([]*Object, error) { panic("not yet") }

// Invoke calls a method with in's children as its arguments (nil for none) and
// returns the <Method>_OUTPUT element after checking its ReturnValue.
func (c *Client) Invoke(ctx context.Context, class, method string, in *Object, sel ...Selector) (*Object, error) {
	panic("not yet")
}

// Identity is the answer to Identify.
type Identity struct{ ProtocolVersion, Vendor, Version string }

// Identify asks who serves WS-Man (DSP0226 section 11).
func (c *Client) Identify(ctx context.Context) (Identity, error) { panic("not yet") }
