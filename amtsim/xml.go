package amtsim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a request.
const (
	maxBody       = 64 << 10
	maxDepth      = 32
	maxElements   = 2048
	maxAttributes = 32
)

// xmlNS is bound to the prefix xml from the start, xmlnsNS to xmlns; no other
// prefix can have them.
const (
	xmlNS   = "http://www.w3.org/XML/1998/namespace"
	xmlnsNS = "http://www.w3.org/2000/xmlns/"
)

// errXML is the cause of every parser error; the text says what is wrong and
// where, never what stands there, since it may be a password.
var errXML = errors.New("malformed XML")

// element is an element of a request, its names resolved. An element has
// children or text, never both: white space between children is dropped.
type element struct {
	space, name string
	attrs       []attribute
	text        string
	kids        []*element
}

// attribute is an attribute other than a namespace declaration.
type attribute struct{ space, name, value string }

// attr is the value of the attribute without a namespace called name.
func (e *element) attr(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.space == "" && a.name == name {
			return a.value, true
		}
	}
	return "", false
}

// kid is the first child of that name, or nil.
func (e *element) kid(space, name string) *element {
	for _, k := range e.kids {
		if k.space == space && k.name == name {
			return k
		}
	}
	return nil
}

// xmlParser reads the XML that SOAP messages need: UTF-8, elements, attributes,
// namespaces, the five predefined entities and character references. Document
// types, processing instructions, CDATA sections and comments are refused, and
// so is text beside children.
type xmlParser struct {
	s        string
	pos      int
	elements int
	scope    int       // where the declarations of the open start tag begin
	prefixes []binding // innermost last
}

type binding struct{ prefix, uri string }

// parseXML reads a whole document. What it accepts, encoding/xml accepts too and
// reads alike.
func parseXML(s string) (*element, error) {
	p := &xmlParser{s: s, prefixes: []binding{{"xml", xmlNS}}}
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: not UTF-8", errXML)
	}
	if err := p.declaration(); err != nil {
		return nil, err
	}
	p.space()
	root, err := p.element(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos != len(p.s) {
		return nil, p.errorf("something behind the root element")
	}
	return root, nil
}

func (p *xmlParser) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", errXML, p.pos, fmt.Sprintf(format, args...))
}

// space skips white space and reports whether there was any.
func (p *xmlParser) space() bool {
	from := p.pos
	for p.pos < len(p.s) && isSpace(p.s[p.pos]) {
		p.pos++
	}
	return p.pos > from
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// take skips s if it comes next.
func (p *xmlParser) take(s string) bool {
	if !strings.HasPrefix(p.s[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

// declaration reads <?xml version="1.0" encoding="UTF-8"?>, which may be absent.
func (p *xmlParser) declaration() error {
	if !p.take("<?xml") {
		return nil
	}
	for i, want := range []string{"version", "encoding", "standalone"} {
		before := p.pos
		if !p.space() || !p.take(want) {
			if i == 0 {
				return p.errorf("an XML declaration without its version")
			}
			p.pos = before
			continue
		}
		v, err := p.attributeValue()
		if err != nil {
			return err
		}
		ok := i == 0 && v == "1.0" || i == 1 && strings.EqualFold(v, "utf-8") || i == 2 && (v == "yes" || v == "no")
		if !ok {
			return p.errorf("an XML declaration with another %s", want)
		}
	}
	p.space()
	if !p.take("?>") {
		return p.errorf("an XML declaration without end")
	}
	return nil
}

// name reads a prefix and a local name of ASCII letters, digits, '_', '-', '.'.
func (p *xmlParser) name() (prefix, local string, err error) {
	first, err := p.ncname()
	if err != nil {
		return "", "", err
	}
	if !p.take(":") {
		return "", first, nil
	}
	local, err = p.ncname()
	return first, local, err
}

func (p *xmlParser) ncname() (string, error) {
	from := p.pos
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (p.pos == from || c != '-' && c != '.' && (c < '0' || c > '9')) {
			break
		}
		p.pos++
	}
	if p.pos == from {
		return "", p.errorf("no name")
	}
	return p.s[from:p.pos], nil
}

// element reads an element from its '<' on.
func (p *xmlParser) element(depth int) (*element, error) {
	if !p.take("<") {
		return nil, p.errorf("no element")
	}
	p.elements++
	if depth >= maxDepth || p.elements > maxElements {
		return nil, p.errorf("too deep or too many elements")
	}
	scope := len(p.prefixes)
	p.scope = scope
	defer func() { p.prefixes = p.prefixes[:scope] }()
	prefix, local, err := p.name()
	if err != nil {
		return nil, err
	}
	e := &element{name: local}
	if err := p.attributes(e); err != nil {
		return nil, err
	}
	if e.space, err = p.resolve(prefix, true); err != nil {
		return nil, err
	}
	if p.take("/>") {
		return e, nil
	}
	if !p.take(">") {
		return nil, p.errorf("a start tag without end")
	}
	return e, p.content(e, prefix, depth)
}

// attributes reads the rest of a start tag up to its end, declarations first
// taken out, so that a prefix may be used before it is declared.
func (p *xmlParser) attributes(e *element) error {
	var raw []attribute // space holds the prefix
	for n := 0; ; n++ {
		spaced := p.space()
		if p.pos == len(p.s) || p.s[p.pos] == '>' || p.s[p.pos] == '/' {
			break
		}
		if !spaced || n == maxAttributes {
			return p.errorf("no space before an attribute, or too many")
		}
		prefix, local, err := p.name()
		if err != nil {
			return err
		}
		value, err := p.attributeValue()
		if err != nil {
			return err
		}
		switch {
		case prefix == "xmlns":
			err = p.bind(local, value)
		case prefix == "" && local == "xmlns":
			err = p.bind("", value)
		default:
			raw = append(raw, attribute{prefix, local, value})
		}
		if err != nil {
			return err
		}
	}
	return p.resolveAttributes(e, raw)
}

func (p *xmlParser) resolveAttributes(e *element, raw []attribute) error {
	for _, a := range raw {
		space, err := p.resolve(a.space, false)
		if err != nil {
			return err
		}
		a.space = space
		for _, b := range e.attrs {
			if a.space == b.space && a.name == b.name {
				return p.errorf("an attribute twice")
			}
		}
		e.attrs = append(e.attrs, a)
	}
	return nil
}

// bind declares a prefix for the element whose tag is being read, whose own
// declarations begin at p.scope.
func (p *xmlParser) bind(prefix, uri string) error {
	for _, b := range p.prefixes[p.scope:] {
		if b.prefix == prefix {
			return p.errorf("a prefix declared twice")
		}
	}
	if prefix == "xml" || prefix == "xmlns" || uri == xmlNS || uri == xmlnsNS || prefix != "" && uri == "" {
		return p.errorf("a prefix that cannot be declared like this")
	}
	p.prefixes = append(p.prefixes, binding{prefix, uri})
	return nil
}

func (p *xmlParser) resolve(prefix string, element bool) (string, error) {
	if prefix == "" && !element {
		return "", nil
	}
	for i := len(p.prefixes) - 1; i >= 0; i-- {
		if p.prefixes[i].prefix == prefix {
			return p.prefixes[i].uri, nil
		}
	}
	if prefix == "" {
		return "", nil
	}
	return "", p.errorf("a prefix that is not declared")
}

// attributeValue reads ="value" or ='value', white space allowed around the sign.
func (p *xmlParser) attributeValue() (string, error) {
	p.space()
	if !p.take("=") {
		return "", p.errorf("an attribute without value")
	}
	p.space()
	if p.pos == len(p.s) || p.s[p.pos] != '"' && p.s[p.pos] != '\'' {
		return "", p.errorf("an attribute without quotes")
	}
	quote := p.s[p.pos]
	p.pos++
	end := strings.IndexByte(p.s[p.pos:], quote)
	if end < 0 {
		return "", p.errorf("an attribute without end")
	}
	raw := p.s[p.pos : p.pos+end]
	if strings.ContainsAny(raw, "\t\r\n") {
		return "", p.errorf("a line break or tab in an attribute")
	}
	v, err := p.unescape(raw)
	p.pos += end + 1
	return v, err
}

// content reads children or text and the end tag.
func (p *xmlParser) content(e *element, prefix string, depth int) error {
	blank := true
	for {
		next := strings.IndexByte(p.s[p.pos:], '<')
		if next < 0 {
			return p.errorf("an element without end")
		}
		raw := p.s[p.pos : p.pos+next]
		text, err := p.unescape(raw)
		if err != nil {
			return err
		}
		p.pos += next
		blank = blank && strings.TrimLeft(raw, " \t\r\n") == ""
		if len(e.kids) == 0 {
			e.text += text
		}
		if p.take("</") {
			break
		}
		if !blank {
			return p.errorf("text beside an element")
		}
		kid, err := p.element(depth + 1)
		if err != nil {
			return err
		}
		e.kids, e.text = append(e.kids, kid), ""
	}
	if len(e.kids) > 0 && !blank {
		return p.errorf("text beside an element")
	}
	gotPrefix, local, err := p.name()
	if err != nil {
		return err
	}
	p.space()
	if gotPrefix != prefix || local != e.name || !p.take(">") {
		return p.errorf("an end tag that does not match")
	}
	return nil
}

var entities = map[string]string{"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": `"`}

// unescape resolves entities and checks that only characters of XML stand there.
// It leaves a line end as LF.
func (p *xmlParser) unescape(s string) (string, error) {
	if strings.Contains(s, "]]>") || strings.IndexByte(s, '<') >= 0 {
		return "", p.errorf("a character that must be escaped")
	}
	plain := true
	for _, r := range s {
		if !isChar(r) {
			return "", p.errorf("a character that XML does not have")
		}
		plain = plain && r != '&' && r != '\r'
	}
	if plain {
		return s, nil
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	var sb strings.Builder
	for {
		before, after, found := strings.Cut(s, "&")
		sb.WriteString(before)
		if !found {
			return sb.String(), nil
		}
		ref, rest, found := strings.Cut(after, ";")
		if !found {
			return "", p.errorf("an entity without end")
		}
		c, err := p.entity(ref)
		if err != nil {
			return "", err
		}
		sb.WriteString(c)
		s = rest
	}
}

func (p *xmlParser) entity(ref string) (string, error) {
	if c, ok := entities[ref]; ok {
		return c, nil
	}
	num, found := strings.CutPrefix(ref, "#")
	base := 10
	if hex, ok := strings.CutPrefix(num, "x"); ok {
		num, base = hex, 16
	}
	if !found || num == "" || strings.ContainsAny(num, "+-_") {
		return "", p.errorf("an entity that is not predefined")
	}
	n, err := strconv.ParseUint(num, base, 21)
	if err != nil || !isChar(rune(n)) {
		return "", p.errorf("a character reference that is none")
	}
	return string(rune(n)), nil
}

// isChar is the Char production of XML 1.0.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}

// appendEscaped appends s as the text of an element or of a quoted attribute.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '&':
			b = append(b, "&amp;"...)
		case '"':
			b = append(b, "&quot;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, c)
		}
	}
	return b
}
