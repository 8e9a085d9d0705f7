package amtsim

import "strings"

// maxContexts bounds the enumerations that are open at once; the oldest is
// forgotten first.
const maxContexts = 16

// enumeration is what is left of an Enumerate.
type enumeration struct {
	id    string
	class *class
	items []object
}

// enumerate opens an enumeration of all objects. Filters, modes and optimised
// enumeration are refused.
func (d *Device) enumerate(x *exchange) (*reply, *fault) {
	b := x.env.body
	if b == nil || b.name != "Enumerate" || b.space != nsEnumeration || strings.TrimSpace(b.text) != "" {
		return nil, faultSchema("the body is no Enumerate")
	}
	if len(x.env.selectors) > 0 {
		return nil, faultSelectors("Enumerate takes no selectors")
	}
	if len(b.kids) > 0 {
		if name := b.kids[0].name; name != "Filter" {
			return nil, faultUnsupported("enumeration with " + name)
		}
		return nil, &fault{code: sender, subcode: "c:FilteringNotSupported", reason: reasonFilter}
	}
	d.ram.context++
	id := contextID(d.ram.context)
	if len(d.ram.contexts) == maxContexts {
		d.ram.contexts = append(d.ram.contexts[:0], d.ram.contexts[1:]...)
	}
	d.ram.contexts = append(d.ram.contexts, enumeration{id, x.class, x.class.list(d)})
	r := x.newReply(nsEnumeration)
	out := object{}
	out.str("EnumerationContext", id)
	*r.body = out.appendTo(*r.body, 'g', "EnumerateResponse")
	return r, nil
}

// contextID is the counter's bytes, the lowest first, in the form of a UUID.
func contextID(n uint32) string {
	b := make([]byte, 0, 36)
	for i := range 4 {
		b = appendHex(b, uint64(n>>(8*i)&0xff), 2)
	}
	return string(b) + "-0000-0000-0000-000000000000"
}

// pull gives the next objects. Without MaxElements it gives one, as
// WS-Enumeration says.
func (d *Device) pull(x *exchange) (*reply, *fault) {
	e, most, f := d.openContext(x, "Pull")
	if f != nil {
		return nil, f
	}
	n := min(most, len(e.items))
	r := x.newReply(nsEnumeration)
	r.h, r.common = x.class.uri, x.class.common
	b := appendOpen(*r.body, 'g', "PullResponse")
	rest := e.items[n:]
	if len(rest) > 0 {
		b = appendOpen(b, 'g', "EnumerationContext")
		b = append(b, e.id...)
		b = appendClose(b, 'g', "EnumerationContext")
	}
	b = appendOpen(b, 'g', "Items")
	for _, o := range e.items[:n] {
		b = o.appendTo(b, 'h', x.class.name)
	}
	b = appendClose(b, 'g', "Items")
	if len(rest) == 0 {
		b = appendClose(appendOpen(b, 'g', "EndOfSequence"), 'g', "EndOfSequence")
		d.closeContext(e.id)
	} else {
		e.items = rest
	}
	*r.body = appendClose(b, 'g', "PullResponse")
	return r, nil
}

// release forgets an enumeration.
func (d *Device) release(x *exchange) (*reply, *fault) {
	e, _, f := d.openContext(x, "Release")
	if f != nil {
		return nil, f
	}
	d.closeContext(e.id)
	return x.newReply(""), nil
}

// openContext reads a Pull or Release and finds its enumeration.
func (d *Device) openContext(x *exchange, name string) (e *enumeration, most int, f *fault) {
	b := x.env.body
	if b == nil || b.name != name || b.space != nsEnumeration {
		return nil, 0, faultSchema("the body is no " + name)
	}
	if len(x.env.selectors) > 0 {
		return nil, 0, faultSelectors("an enumeration takes no selectors")
	}
	most = 1
	order := []string{"EnumerationContext", "MaxTime", "MaxElements", "MaxCharacters"}
	var id string
	for _, k := range b.kids {
		at := indexOf(order, k.name)
		if k.space != nsEnumeration || at < 0 || len(k.kids) > 0 || name == "Release" && at > 0 {
			return nil, 0, faultSchema(name + " with an unknown element, or out of order")
		}
		order = order[at+1:]
		n, isNum := parseUint(k.text, 31)
		switch {
		case k.name == "EnumerationContext":
			id = k.text
			continue
		case k.name == "MaxTime" && isDuration(k.text):
			continue
		case !isNum || n == 0 || k.name == "MaxTime":
			return nil, 0, faultSchema(name + " with a wrong number")
		case k.name == "MaxElements":
			most = int(n)
		}
	}
	for i := range d.ram.contexts {
		if c := &d.ram.contexts[i]; c.id == id && c.class == x.class {
			return c, most, nil
		}
	}
	return nil, 0, faultContext()
}

func indexOf(list []string, s string) int {
	for i, t := range list {
		if t == s {
			return i
		}
	}
	return -1
}

func (d *Device) closeContext(id string) {
	for i := range d.ram.contexts {
		if d.ram.contexts[i].id == id {
			d.ram.contexts = append(d.ram.contexts[:i], d.ram.contexts[i+1:]...)
			return
		}
	}
}

// identify answers DSP0226's Identify. Its form on devices, and that they want a
// log-in for it, is unverified.
func (d *Device) identify(x *exchange) (*reply, *fault) {
	if len(x.env.body.kids) > 0 || strings.TrimSpace(x.env.body.text) != "" {
		return nil, faultSchema("Identify with a content")
	}
	r := &reply{action: nsIdentify + "/IdentifyResponse", g: nsIdentify, body: getBuffer()}
	v := d.opt.Generation.Version
	out := object{}
	out.str("ProtocolVersion", nsWSMan)
	out.str("ProductVendor", "Intel(R)")
	out.str("ProductVersion", "AMT "+uintText(uint64(v.Major))+"."+uintText(uint64(v.Minor)))
	*r.body = out.appendTo(*r.body, 'g', "IdentifyResponse")
	return r, nil
}
