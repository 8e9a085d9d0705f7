package amtsim

import (
	"strconv"
	"sync"
)

// buffers holds the memory of replies between them.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func getBuffer() *[]byte {
	b, _ := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

func putBuffer(b *[]byte) {
	if cap(*b) <= 1<<16 {
		buffers.Put(b)
	}
}

// reply is an answer that is no fault.
type reply struct {
	action   string // with "Response"
	resource string // empty for Identify
	g, h     string // what the prefixes g and h stand for; empty leaves one out
	common   bool   // declare the prefix of nsCommon behind them
	body     *[]byte
}

// appendTo appends the envelope as devices write it: the prefixes a to f are
// always the same, g is the class or the operation, h the class of pulled items.
func (r *reply) appendTo(b []byte, relatesTo string, id uint64) []byte {
	b = append(b, `<?xml version="1.0" encoding="UTF-8"?><a:Envelope xmlns:a="`+nsSOAP+`" xmlns:b="`+nsAddressing+
		`" xmlns:c="`+nsWSMan+`" xmlns:d="`+nsTrust+`" xmlns:e="`+nsSecurity+`" xmlns:f="`+nsBinding+`"`...)
	b = appendPrefix(b, 'g', r.g)
	b = appendPrefix(b, 'h', r.h)
	switch {
	case r.common && r.h == "":
		b = appendPrefix(b, 'h', nsCommon)
	case r.common:
		b = appendPrefix(b, 'i', nsCommon)
	}
	b = append(b, ` xmlns:xsi="`+nsXSI+`"><a:Header><b:To>`+anonymous+`</b:To>`...)
	b = appendHeader(b, relatesTo, r.action, id)
	if r.resource != "" {
		b = append(b, `<c:ResourceURI>`...)
		b = appendEscaped(b, r.resource)
		b = append(b, `</c:ResourceURI>`...)
	}
	b = append(b, `</a:Header><a:Body>`...)
	b = append(b, *r.body...)
	return append(b, `</a:Body></a:Envelope>`...)
}

func appendPrefix(b []byte, prefix byte, uri string) []byte {
	if uri == "" {
		return b
	}
	b = append(b, ` xmlns:`...)
	b = append(b, prefix, '=', '"')
	b = appendEscaped(b, uri)
	return append(b, '"')
}

// appendHeader appends RelatesTo, Action and MessageID, whose number counts up.
func appendHeader(b []byte, relatesTo, action string, id uint64) []byte {
	if relatesTo != "" {
		b = append(b, `<b:RelatesTo>`...)
		b = appendEscaped(b, relatesTo)
		b = append(b, `</b:RelatesTo>`...)
	}
	b = append(b, `<b:Action a:mustUnderstand="true">`...)
	b = appendEscaped(b, action)
	b = append(b, `</b:Action><b:MessageID>uuid:00000000-8086-8086-8086-`...)
	b = appendHex(b, id, 12)
	return append(b, `</b:MessageID>`...)
}

// appendTo appends the fault's envelope, whose prefixes are others than a reply's.
func (f *fault) appendTo(b []byte, relatesTo string, id uint64) []byte {
	b = append(b, `<?xml version="1.0" encoding="UTF-8"?><a:Envelope xmlns:g="`+nsBinding+`" xmlns:f="`+nsEventing+
		`" xmlns:e="`+nsWSMan+`" xmlns:d="`+nsTransfer+`" xmlns:c="`+nsEnumeration+`" xmlns:b="`+nsAddressing+
		`" xmlns:a="`+nsSOAP+`" xmlns:h="`+nsTrust+`" xmlns:i="`+nsSecurity+`" xmlns:xsi="`+nsXSI+
		`"><a:Header><b:To>`+anonymous+`</b:To>`...)
	b = appendHeader(b, relatesTo, f.action(), id)
	b = append(b, `</a:Header><a:Body><a:Fault><a:Code><a:Value>`...)
	b = append(b, f.code...)
	b = append(b, `</a:Value>`...)
	if f.subcode != "" {
		b = append(b, `<a:Subcode><a:Value>`...)
		b = append(b, f.subcode...)
		b = append(b, `</a:Value></a:Subcode>`...)
	}
	b = append(b, `</a:Code><a:Reason><a:Text xml:lang="en-US">`...)
	b = appendEscaped(b, f.reason)
	b = append(b, `</a:Text></a:Reason><a:Detail>`...)
	if f.detail != "" {
		b = append(b, `<a:Text>`...)
		b = appendEscaped(b, f.detail)
		b = append(b, `</a:Text>`...)
	}
	return append(b, `</a:Detail></a:Fault></a:Body></a:Envelope>`...)
}

// value is one property or output of an object: one text, several of an array, or
// a reference.
type value struct {
	name  string
	texts []string
	ref   *reference
}

// object is an instance of a class, or the output of a method, in wire order.
type object []value

func (o *object) str(name string, texts ...string) { *o = append(*o, value{name: name, texts: texts}) }

func (o *object) bool(name string, v bool) { o.str(name, strconv.FormatBool(v)) }

func (o *object) num(name string, v ...uint32) {
	texts := make([]string, len(v))
	for i, n := range v {
		texts[i] = uintText(uint64(n))
	}
	o.str(name, texts...)
}

func (o *object) point(name string, ref *reference) { *o = append(*o, value{name: name, ref: ref}) }

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }

// appendTo appends the object as an element with the prefix.
func (o object) appendTo(b []byte, prefix byte, name string) []byte {
	b = appendOpen(b, prefix, name)
	for _, v := range o {
		if v.ref != nil {
			b = appendOpen(b, prefix, v.name)
			b = v.ref.appendTo(b)
			b = appendClose(b, prefix, v.name)
			continue
		}
		for _, t := range v.texts {
			b = appendOpen(b, prefix, v.name)
			b = appendEscaped(b, t)
			b = appendClose(b, prefix, v.name)
		}
	}
	return appendClose(b, prefix, name)
}

func appendOpen(b []byte, prefix byte, name string) []byte {
	b = append(b, '<', prefix, ':')
	b = append(b, name...)
	return append(b, '>')
}

func appendClose(b []byte, prefix byte, name string) []byte {
	b = append(b, '<', '/', prefix, ':')
	b = append(b, name...)
	return append(b, '>')
}

// appendTo appends the inside of an endpoint reference.
func (r *reference) appendTo(b []byte) []byte {
	b = append(b, `<b:Address>`+anonymous+`</b:Address><b:ReferenceParameters><c:ResourceURI>`...)
	b = appendEscaped(b, r.resource)
	b = append(b, `</c:ResourceURI><c:SelectorSet>`...)
	for _, s := range r.selectors {
		b = append(b, `<c:Selector Name="`...)
		b = appendEscaped(b, s.name)
		b = append(b, `">`...)
		if s.ref != nil {
			b = append(b, `<b:EndpointReference>`...)
			b = s.ref.appendTo(b)
			b = append(b, `</b:EndpointReference>`...)
		} else {
			b = appendEscaped(b, s.value)
		}
		b = append(b, `</c:Selector>`...)
	}
	return append(b, `</c:SelectorSet></b:ReferenceParameters>`...)
}

// pointTo is a reference to an object by one key.
func pointTo(uri, key, value string) *reference {
	return &reference{resource: uri, selectors: []selector{{name: key, value: value}}}
}

// appendHex appends n in upper-case hex, padded with zeros to digits.
func appendHex(b []byte, n uint64, digits int) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := digits - 1; i >= 0; i-- {
		b = append(b, hexDigits[n>>(4*i)&15])
	}
	return b
}
