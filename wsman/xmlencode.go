package wsman

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Namespaces of a request (DSP0226 1.0 table of prefixes).
const (
	nsSOAP        = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing  = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsWSMan       = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
	nsTransfer    = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	nsEnumeration = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
	nsIdentity    = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
)

// encoder writes a tree as XML. A namespace that is not in scope is declared on
// the element that needs it.
type encoder struct {
	b        bytes.Buffer
	prefixes map[string]string // URI to prefix, in scope
	drawn    int
	err      error
}

// encodeXML writes o as a document of its own.
func encodeXML(o *Object) ([]byte, error) {
	e := &encoder{prefixes: map[string]string{}}
	e.b.WriteString(`<?xml version="1.0" encoding="utf-8"?>`)
	e.element(o)
	if e.err != nil {
		return nil, e.err
	}
	return e.b.Bytes(), nil
}

// element writes o and everything below it.
func (e *encoder) element(o *Object) {
	var fresh []string // URIs declared here
	tag := e.qualify(o.Space, o.Name, &fresh)
	attrs := make([]string, len(o.Attrs))
	for i, a := range o.Attrs {
		attrs[i] = e.qualify(a.Space, a.Name, &fresh)
	}
	e.b.WriteByte('<')
	e.b.WriteString(tag)
	for _, uri := range fresh {
		e.attribute("xmlns:"+e.prefixes[uri], uri)
	}
	for i, a := range o.Attrs {
		e.attribute(attrs[i], a.Value)
	}
	e.b.WriteByte('>')
	e.text(o.Text, false)
	for _, c := range o.Children {
		e.element(c)
	}
	e.b.WriteString("</")
	e.b.WriteString(tag)
	e.b.WriteByte('>')
	for _, uri := range fresh {
		delete(e.prefixes, uri)
	}
}

// qualify returns prefix:name, and notes a namespace that must be declared.
func (e *encoder) qualify(space, name string, fresh *[]string) string {
	switch space {
	case "":
		return name
	case xmlSpace:
		return "xml:" + name
	}
	p, ok := e.prefixes[space]
	if !ok {
		p = e.draw()
		e.prefixes[space] = p
		*fresh = append(*fresh, space)
	}
	return p + ":" + name
}

// draw returns a prefix that no other namespace of the document has.
func (e *encoder) draw() string {
	e.drawn++
	if e.drawn == 1 {
		return "h"
	}
	return "h" + strconv.Itoa(e.drawn)
}

func (e *encoder) attribute(name, value string) {
	e.b.WriteByte(' ')
	e.b.WriteString(name)
	e.b.WriteString(`="`)
	e.text(value, true)
	e.b.WriteByte('"')
}

// text writes s escaped. Tab and line feed stay as they are in content and are
// escaped in attributes, where a parser would make them spaces.
func (e *encoder) text(s string, attr bool) {
	done := 0 // s[:done] is written
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !isXMLChar(r) {
			if e.err == nil {
				e.err = fmt.Errorf("%w: character %d of a value cannot stand in XML", ErrArgument, i+1)
			}
			return
		}
		if form := escape(r, attr); form != "" {
			e.b.WriteString(s[done:i])
			e.b.WriteString(form)
			done = i + n
		}
		i += n
	}
	e.b.WriteString(s[done:])
}

// escape is how r is written when it cannot stand as it is, else "".
func escape(r rune, attr bool) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '"' && attr:
		return "&quot;"
	case r == '\r' || (r == '\n' || r == '\t') && attr:
		return "&#" + strconv.Itoa(int(r)) + ";"
	}
	return ""
}

// isXMLChar is the production Char of XML 1.0.
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
