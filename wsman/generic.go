package wsman

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Bounds of an enumeration, so that a device cannot keep one going for ever.
const (
	maxPulls = 64
	maxItems = 1000
	// pullRestarts is how often Items starts anew after a Pull without an answer.
	pullRestarts = 2
)

// Get reads one instance of class ("AMT_GeneralSettings").
func (c *Client) Get(ctx context.Context, class string, sel ...Selector) (*Object, error) {
	q := &request{name: class + ".Get", action: actionGet, resource: ResourceURI(class), selectors: sel, repeat: again}
	var o *Object
	err := c.call(ctx, q, func(r *reply) (err error) {
		o, err = r.expect(q.name, q.resource, class)
		return err
	})
	return o, err
}

// Put writes o, the whole object as Get returned it and changed, and returns the
// object as the device answers it: nil for the empty answer that devices give for
// some classes (recorded for AMT_MPSUsernamePassword).
func (c *Client) Put(ctx context.Context, o *Object, sel ...Selector) (*Object, error) {
	if o == nil || o.Space != ResourceURI(o.Name) {
		return nil, fmt.Errorf("%w: Put of %v, which is no instance of a class", ErrArgument, o)
	}
	q := &request{name: o.Name + ".Put", action: actionPut, resource: o.Space, selectors: sel, body: o, repeat: again}
	var answer *Object
	err := c.call(ctx, q, func(r *reply) (err error) {
		if r.body == nil {
			return nil
		}
		answer, err = r.expect(q.name, o.Space, o.Name)
		return err
	})
	return answer, err
}

// put is Put for the classes of set-up, which answer with the object.
func (c *Client) put(ctx context.Context, o *Object, sel ...Selector) (*Object, error) {
	answer, err := c.Put(ctx, o, sel...)
	if err == nil && answer == nil {
		return nil, fmt.Errorf("%s.Put: %w: its body is empty", o.Name, ErrUnexpectedReply)
	}
	return answer, err
}

// Create makes an instance from o and returns its reference.
func (c *Client) Create(ctx context.Context, o *Object) (*Reference, error) {
	if o == nil || o.Space != ResourceURI(o.Name) {
		return nil, fmt.Errorf("%w: Create of %v, which is no instance of a class", ErrArgument, o)
	}
	q := &request{name: o.Name + ".Create", action: actionCreate, resource: o.Space, body: o, repeat: once}
	var ref *Reference
	err := c.call(ctx, q, func(r *reply) error {
		created, err := r.expect(q.name, nsTransfer, "ResourceCreated")
		if err != nil {
			return err
		}
		ref, err = parseReference(created)
		return err
	})
	return ref, err
}

// Delete removes an instance.
func (c *Client) Delete(ctx context.Context, class string, sel ...Selector) error {
	q := &request{name: class + ".Delete", action: actionDelete, resource: ResourceURI(class), selectors: sel, repeat: once}
	return c.call(ctx, q, func(r *reply) error {
		if r.body != nil {
			return fmt.Errorf("%s: %w: its body holds %.40q, want nothing", q.name, ErrUnexpectedReply, r.body.Name)
		}
		return nil
	})
}

// Enumerate starts an enumeration of class and returns its context for Pull.
func (c *Client) Enumerate(ctx context.Context, class string) (string, error) {
	q := &request{
		name: class + ".Enumerate", action: actionEnumerate, resource: ResourceURI(class),
		body: node(nsEnumeration, "Enumerate"), repeat: again,
	}
	var id string
	err := c.call(ctx, q, func(r *reply) error {
		o, err := r.expect(q.name, nsEnumeration, "EnumerateResponse")
		if err != nil {
			return err
		}
		if id = o.Value("EnumerationContext"); id == "" {
			return fmt.Errorf("%s: %w: no EnumerationContext", q.name, ErrUnexpectedReply)
		}
		return nil
	})
	return id, err
}

// Pull takes the next items of an enumeration; next is "" at its end. A Pull
// without an answer cannot be repeated: start again with Enumerate.
func (c *Client) Pull(ctx context.Context, class, enumeration string) (items []*Object, next string, err error) {
	q := &request{
		name: class + ".Pull", action: actionPull, resource: ResourceURI(class), repeat: restart,
		body: node(nsEnumeration, "Pull",
			leaf(nsEnumeration, "EnumerationContext", enumeration),
			leaf(nsEnumeration, "MaxElements", "999"),
			leaf(nsEnumeration, "MaxCharacters", "99999")),
	}
	err = c.call(ctx, q, func(r *reply) error {
		o, err := r.expect(q.name, nsEnumeration, "PullResponse")
		if err != nil {
			return err
		}
		list := o.Child("Items")
		if list != nil {
			items = list.Children
		}
		if o.Has("EndOfSequence") {
			return nil
		}
		if len(items) == 0 {
			return fmt.Errorf("%s: %w: neither items nor the end", q.name, ErrUnexpectedReply)
		}
		// DSP0226 8.4: without a new context the old one stays valid.
		if next = o.Value("EnumerationContext"); next == "" {
			next = enumeration
		}
		return nil
	})
	return items, next, err
}

// Items enumerates class to the end. Items may be of derived classes.
func (c *Client) Items(ctx context.Context, class string) ([]*Object, error) {
	for try := 0; ; try++ {
		items, err := c.items(ctx, class)
		if err == nil || try >= pullRestarts || !errors.Is(err, ErrUnreachable) || isTimeout(err) {
			return items, err
		}
	}
}

func (c *Client) items(ctx context.Context, class string) ([]*Object, error) {
	id, err := c.Enumerate(ctx, class)
	if err != nil {
		return nil, err
	}
	var all []*Object
	for range maxPulls {
		items, next, err := c.Pull(ctx, class, id)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if len(all) > maxItems {
			break
		}
		if next == "" {
			return all, nil
		}
		id = next
	}
	return nil, fmt.Errorf("%s.Pull: %w: the enumeration does not end", class, ErrUnexpectedReply)
}

// instances is Items of a class that has no derived ones, mapped by read.
func instances[T any](ctx context.Context, c *Client, class string, read func(*Object) (T, error)) ([]T, error) {
	items, err := c.Items(ctx, class)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(items))
	for _, o := range items {
		if !o.Is(ResourceURI(class), class) {
			return nil, fmt.Errorf("%s.Pull: %w: an item %.40q", class, ErrUnexpectedReply, o.Name)
		}
		v, err := read(o)
		if err != nil {
			return nil, fmt.Errorf("%s.Pull: %w", class, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// Input returns the empty arguments of a method, for Add and Invoke.
func Input(class, method string) *Object {
	return &Object{Space: ResourceURI(class), Name: method + "_INPUT"}
}

// Invoke calls the method that in is the Input of and returns its
// <Method>_OUTPUT element after checking ReturnValue: another than 0 is a
// *StatusError. Methods named Get* and Enumerate* are repeated after a transport
// error, others never.
func (c *Client) Invoke(ctx context.Context, in *Object, sel ...Selector) (*Object, error) {
	var out *Object
	err := c.invoke(ctx, in, sel, func(o *Object) error { out = o; return nil })
	return out, err
}

// invoke is Invoke with a function that reads the output, so that an unusable
// one is an unusable answer.
func (c *Client) invoke(ctx context.Context, in *Object, sel []Selector, read func(*Object) error) error {
	method, ok := strings.CutSuffix(in.Name, "_INPUT")
	if !ok || method == "" {
		return fmt.Errorf("%w: Invoke of %v, which is no Input", ErrArgument, in)
	}
	q := &request{
		name: className(in.Space) + "." + method, action: in.Space + "/" + method, resource: in.Space,
		selectors: sel, body: in, repeat: once,
	}
	if strings.HasPrefix(method, "Get") || strings.HasPrefix(method, "Enumerate") {
		q.repeat = again
	}
	return c.call(ctx, q, func(r *reply) error {
		o, err := r.expect(q.name, in.Space, method+"_OUTPUT")
		if err != nil {
			return err
		}
		value, err := o.Uint("ReturnValue")
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if value != 0 {
			return statusError(q.name, value)
		}
		if read == nil {
			return nil
		}
		if err := read(o); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		return nil
	})
}

// Identity is the answer to Identify.
type Identity struct{ ProtocolVersion, Vendor, Version string }

// Identify asks who serves WS-Man (DSP0226 section 11). Its envelope has no
// addressing, so the reply's RelatesTo is not looked at. That AMT wants a login
// for it is unverified; one is given if asked for.
func (c *Client) Identify(ctx context.Context) (Identity, error) {
	q := &request{name: "Identify", body: node(nsIdentity, "Identify"), repeat: again}
	var id Identity
	err := c.call(ctx, q, func(r *reply) error {
		o, err := r.expect(q.name, nsIdentity, "IdentifyResponse")
		if err != nil {
			return err
		}
		id = Identity{o.Value("ProtocolVersion"), o.Value("ProductVendor"), o.Value("ProductVersion")}
		if id.ProtocolVersion == "" {
			return fmt.Errorf("%s: %w: no ProtocolVersion", q.name, ErrUnexpectedReply)
		}
		return nil
	})
	return id, err
}
