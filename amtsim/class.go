package amtsim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// Schema bases of resource URIs.
const (
	baseAMT = "http://intel.com/wbem/wscim/1/amt-schema/1/"
	baseIPS = "http://intel.com/wbem/wscim/1/ips-schema/1/"
	baseCIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
)

// kind is the type of a property or parameter.
type kind uint8

const (
	kString kind = 1
	kBool   kind = 2
	kUint8  kind = 3
	kUint16 kind = 4
	kUint32 kind = 5
	kBase64 kind = 6 // uint8 array
	kRef    kind = 7 // endpoint reference
)

// field is a property of a class or a parameter of a method. Fields come on the
// wire in the order of their table; in a class that is the order of the ASCII
// codes.
type field struct {
	name string
	kind kind
	// key marks a property that selects the object: a Put must name it with the
	// object's own value.
	key bool
	// write marks a property that a Put changes; a Put may hold the others, whose
	// values are checked for their form and not used.
	write bool
	// need marks what must be there.
	need bool
	// array allows more than one element.
	array bool
	// max is the most bytes of a string or of decoded base64; 0 is 1024.
	max int
	// since is the first release with this property; zero is every one.
	since amt.Version
}

// method is an extrinsic method of a class.
type method struct {
	in []field
	// gate says whether the firmware has the method; nil is yes.
	gate func(d *Device) bool
	// selects makes the object that the selectors name part of the call, which
	// then needs them.
	selects bool
	// read marks a method that changes nothing, so that the realms for reading
	// suffice.
	read bool
	// run carries the method out with d.mu held. Outputs go to x.out.
	run func(d *Device, x *exchange, in *input) Status
}

// class is one resource.
type class struct {
	name, uri string
	// gate says whether the firmware has the class; nil is yes.
	gate  func(g *Generation) bool
	props []field
	// common says that replies with objects of the class declare one more prefix,
	// for DMTF's common types, which none of them uses: recorded so.
	common bool
	// list gives all objects, in the order of enumeration, with d.mu held.
	list func(d *Device) []object
	// put and del change object i; create makes one. Nil refuses the operation.
	put    func(d *Device, x *exchange, in *input) *fault
	del    func(d *Device, x *exchange) *fault
	create func(d *Device, x *exchange, in *input) (*reference, *fault)
	// read lists the realms that may read, besides PTAdministration.
	read    []amt.Realm
	methods map[string]*method
}

func newClass(base, name string, c class) *class {
	c.name, c.uri = name, base+name
	return &c
}

// input is a body whose form was checked against a table.
type input struct {
	fields []field
	got    [][]*element
}

// readInput checks the children of e against fields. bad makes the fault for a
// wrong value.
func readInput(e *element, uri string, fields []field, v amt.Version, bad func(string) *fault) (*input, *fault) {
	in := &input{fields: fields, got: make([][]*element, len(fields))}
	at := 0
	for _, k := range e.kids {
		if k.space != uri {
			return nil, faultSchema(fmt.Sprintf("element %q of another namespace", k.name))
		}
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == k.name })
		switch {
		case i < 0 || !v.AtLeast(fields[i].since.Major, fields[i].since.Minor):
			return nil, faultSchema(fmt.Sprintf("unknown element %q", k.name))
		case i < at:
			return nil, faultSchema(fmt.Sprintf("element %q out of order", k.name))
		case len(in.got[i]) > 0 && !fields[i].array:
			return nil, faultSchema(fmt.Sprintf("element %q twice", k.name))
		}
		at = i
		if !fields[i].valid(k) {
			return nil, bad(fmt.Sprintf("element %q has a wrong value", k.name))
		}
		in.got[i] = append(in.got[i], k)
	}
	if len(e.kids) == 0 && strings.TrimSpace(e.text) != "" {
		return nil, faultSchema("text where elements belong")
	}
	for i, f := range fields {
		if f.need && len(in.got[i]) == 0 {
			return nil, faultSchema(fmt.Sprintf("no element %q", f.name))
		}
	}
	return in, nil
}

// valid reports whether e holds a value of the field's kind.
func (f field) valid(e *element) bool {
	for _, a := range e.attrs {
		if a.space != nsXSI || a.name != "type" {
			return false
		}
	}
	if f.kind == kRef {
		return parseReference(e) != nil
	}
	if len(e.kids) > 0 {
		return false
	}
	most := orDefault(f.max, 1024)
	switch f.kind {
	case kBool:
		return e.text == "true" || e.text == "false" || e.text == "1" || e.text == "0"
	case kUint8, kUint16, kUint32:
		_, ok := parseUint(e.text, map[kind]int{kUint8: 8, kUint16: 16, kUint32: 32}[f.kind])
		return ok
	case kBase64:
		return base64.StdEncoding.DecodedLen(len(e.text)) <= most+2
	}
	return len(e.text) <= most
}

// parseUint reads digits without sign and without leading zeros.
func parseUint(s string, bits int) (uint64, bool) {
	if !isDigits(s) || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

func (in *input) elements(name string) []*element {
	i := slices.IndexFunc(in.fields, func(f field) bool { return f.name == name })
	return in.got[i]
}

// has reports whether the element is there.
func (in *input) has(name string) bool { return len(in.elements(name)) > 0 }

func (in *input) str(name string) string {
	if e := in.elements(name); len(e) > 0 {
		return e[0].text
	}
	return ""
}

func (in *input) strs(name string) []string {
	var list []string
	for _, e := range in.elements(name) {
		list = append(list, e.text)
	}
	return list
}

func (in *input) bool(name string) bool { s := in.str(name); return s == "true" || s == "1" }

func (in *input) num(name string) uint32 {
	n, _ := parseUint(in.str(name), 32)
	return uint32(n)
}

func (in *input) nums(name string) []uint32 {
	var list []uint32
	for _, s := range in.strs(name) {
		n, _ := parseUint(s, 32)
		list = append(list, uint32(n))
	}
	return list
}

// bytes decodes base64 strictly; ok is false for what is none.
func (in *input) bytes(name string) (b []byte, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(in.str(name))
	return b, err == nil
}

func (in *input) ref(name string) *reference {
	if e := in.elements(name); len(e) > 0 {
		return parseReference(e[0])
	}
	return nil
}

// setBool, setNum and setStr take a property over if the Put holds it.
func (in *input) setBool(name string, into *bool) {
	if in.has(name) {
		*into = in.bool(name)
	}
}

func (in *input) setNum(name string, into *uint32) {
	if in.has(name) {
		*into = in.num(name)
	}
}

func (in *input) setStr(name string, into *string) {
	if in.has(name) {
		*into = in.str(name)
	}
}

// find picks the object that the selectors name: each must be a key with the
// object's value, and one object must be left.
func (c *class) find(objects []object, selectors []selector) (int, *fault) {
	for _, s := range selectors {
		i := slices.IndexFunc(c.props, func(f field) bool { return f.name == s.name })
		if i < 0 || !c.props[i].key {
			return 0, faultSelectors(fmt.Sprintf("%q is no key", s.name))
		}
	}
	found := -1
	for i, o := range objects {
		if !o.selected(selectors) {
			continue
		}
		if found >= 0 {
			return 0, faultSelectors("more than one object")
		}
		found = i
	}
	if found < 0 {
		return 0, faultSelectors("no such object")
	}
	return found, nil
}

func (o object) selected(selectors []selector) bool {
	for _, s := range selectors {
		i := slices.IndexFunc(o, func(v value) bool { return v.name == s.name })
		if i < 0 || !o[i].equals(s) {
			return false
		}
	}
	return true
}

func (v value) equals(s selector) bool {
	if v.ref == nil || s.ref == nil {
		return v.ref == nil && s.ref == nil && canonical(v.texts[0]) == canonical(s.value)
	}
	if v.ref.resource != s.ref.resource || len(v.ref.selectors) != len(s.ref.selectors) {
		return false
	}
	for i, want := range v.ref.selectors {
		got := s.ref.selectors[i]
		if got.name != want.name || got.ref != nil || canonical(got.value) != canonical(want.value) {
			return false
		}
	}
	return true
}

// The two spellings of AMT_TLSProtocolEndpointCollection's only key: what devices
// return, and what clients send, which devices take.
const (
	collectionName      = "TLSProtocolEndpoint Instances Collection"
	collectionAlternate = "TLSProtocolEndpointInstances Collection"
)

func canonical(s string) string {
	if s == collectionAlternate {
		return collectionName
	}
	return s
}

// sameKeys reports whether a Put names the object by its own keys.
func (c *class) sameKeys(in *input, o object) bool {
	for _, f := range c.props {
		if !f.key {
			continue
		}
		i := slices.IndexFunc(o, func(v value) bool { return v.name == f.name })
		if i < 0 || f.kind == kRef { // an association is what a Put changes
			continue
		}
		if canonical(in.str(f.name)) != canonical(o[i].texts[0]) {
			return false
		}
	}
	return true
}
