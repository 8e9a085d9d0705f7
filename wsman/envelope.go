package wsman

import (
	"fmt"
	"strings"
)

// Bases of the class namespaces.
const (
	baseAMT = "http://intel.com/wbem/wscim/1/amt-schema/1/"
	baseIPS = "http://intel.com/wbem/wscim/1/ips-schema/1/"
	baseCIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
)

// Values of a request's header. The timeout is the one that known consoles send;
// firmware raises what is below 30 s.
const (
	path             = "/wsman"
	anonymous        = nsAddressing + "/role/anonymous"
	operationTimeout = "PT60S"
	contentType      = "application/soap+xml; charset=utf-8"
	usualRequest     = 2 << 10 // bytes that most requests fit into
)

// Actions of the intrinsic operations; a reply's is the same and "Response".
const (
	actionGet       = nsTransfer + "/Get"
	actionPut       = nsTransfer + "/Put"
	actionCreate    = nsTransfer + "/Create"
	actionDelete    = nsTransfer + "/Delete"
	actionEnumerate = nsEnumeration + "/Enumerate"
	actionPull      = nsEnumeration + "/Pull"
)

// ResourceURI is the namespace of a class by its prefix AMT_, IPS_ or CIM_; a
// name with another prefix is taken for CIM.
func ResourceURI(class string) string {
	switch {
	case strings.HasPrefix(class, "AMT_"):
		return baseAMT + class
	case strings.HasPrefix(class, "IPS_"):
		return baseIPS + class
	}
	return baseCIM + class
}

// className is the last segment of a resource URI.
func className(uri string) string { return uri[strings.LastIndexByte(uri, '/')+1:] }

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

// Selected returns the value of the selector of that name, "" if there is none.
func (r *Reference) Selected(name string) string {
	if r == nil {
		return ""
	}
	for _, s := range r.Selectors {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// leaf is an element with text.
func leaf(space, name, text string) *Object { return &Object{Space: space, Name: name, Text: text} }

// node is an element with children; nil children are left out.
func node(space, name string, children ...*Object) *Object {
	o := &Object{Space: space, Name: name}
	for _, c := range children {
		if c != nil {
			o.Children = append(o.Children, c)
		}
	}
	return o
}

// element writes r as the element name: address, resource and selectors, the
// form in which consoles send references (a:Address is the path, not a host).
func (r Reference) element(space, name string) *Object {
	return node(space, name,
		leaf(nsAddressing, "Address", path),
		node(nsAddressing, "ReferenceParameters",
			leaf(nsWSMan, "ResourceURI", ResourceURI(r.Class)),
			selectorSet(r.Selectors)))
}

// selectorSet is nil for no selectors.
func selectorSet(sel []Selector) *Object {
	if len(sel) == 0 {
		return nil
	}
	set := node(nsWSMan, "SelectorSet")
	for _, s := range sel {
		o := leaf(nsWSMan, "Selector", s.Value)
		if s.Ref != nil {
			o = node(nsWSMan, "Selector", s.Ref.element(nsAddressing, "EndpointReference"))
		}
		o.Attrs = []Attr{{Name: "Name", Value: s.Name}}
		set.Children = append(set.Children, o)
	}
	return set
}

// parseReference reads the reference that element o holds. Its resource URI may
// be wrong (a recorded AddKey names certificates) and is not judged here.
func parseReference(o *Object) (*Reference, error) {
	return parseReferenceDepth(o, 0)
}

func parseReferenceDepth(o *Object, depth int) (*Reference, error) {
	params := o.child(nsAddressing, "ReferenceParameters")
	if params == nil || depth > 3 {
		return nil, fmt.Errorf("%w: %v is no reference", ErrUnexpectedReply, o)
	}
	r := &Reference{}
	if uri := params.child(nsWSMan, "ResourceURI"); uri != nil {
		r.Class = className(strings.TrimSpace(uri.Text))
	}
	set := params.child(nsWSMan, "SelectorSet")
	if set == nil {
		return r, nil
	}
	for _, c := range set.Children {
		if !c.Is(nsWSMan, "Selector") {
			continue
		}
		s := Selector{Name: c.attr("Name"), Value: strings.TrimSpace(c.Text)}
		if epr := c.child(nsAddressing, "EndpointReference"); epr != nil {
			ref, err := parseReferenceDepth(epr, depth+1)
			if err != nil {
				return nil, err
			}
			s.Ref = ref
		}
		r.Selectors = append(r.Selectors, s)
	}
	return r, nil
}

// request is one message to the device.
type request struct {
	name      string // for errors and logs: "AMT_GeneralSettings.Get"
	action    string
	resource  string // resource URI
	selectors []Selector
	body      *Object // nil for an empty body
	repeat    repeat
}

// repeat says what may be done when no answer came.
type repeat uint8

const (
	again   repeat = 1 // send it again: Get, Put, Enumerate, Get* methods
	restart repeat = 2 // the caller starts anew: Pull
	once    repeat = 3 // nothing: the effect is unknown
)

// encode writes the envelope. The header's elements and their order are those
// of the consoles that firmware is used to (Action, To, ResourceURI, MessageID,
// ReplyTo, OperationTimeout, SelectorSet). Identify has no header (DSP0226 11).
func (r *request) encode(messageID string) ([]byte, error) {
	header := node(nsSOAP, "Header")
	if r.action != "" {
		header = node(nsSOAP, "Header",
			leaf(nsAddressing, "Action", r.action),
			leaf(nsAddressing, "To", path),
			leaf(nsWSMan, "ResourceURI", r.resource),
			leaf(nsAddressing, "MessageID", messageID),
			node(nsAddressing, "ReplyTo", leaf(nsAddressing, "Address", anonymous)),
			leaf(nsWSMan, "OperationTimeout", operationTimeout),
			selectorSet(r.selectors))
	}
	e := &encoder{prefixes: map[string]string{nsSOAP: "s", nsAddressing: "a", nsWSMan: "w"}}
	e.b.Grow(usualRequest)
	e.b.WriteString(`<?xml version="1.0" encoding="utf-8"?>` +
		`<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:a="` + nsAddressing + `" xmlns:w="` + nsWSMan + `">`)
	e.element(header)
	e.element(node(nsSOAP, "Body", r.body))
	e.b.WriteString(`</s:Envelope>`)
	if e.err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, e.err)
	}
	return e.b.Bytes(), nil
}
