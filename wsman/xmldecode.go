package wsman

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a reply, far above what firmware sends.
const (
	maxDepth    = 32
	maxElements = 20000
	maxAttrs    = 32
)

// xmlSpace is the namespace that the prefix xml always has.
const xmlSpace = "http://www.w3.org/XML/1998/namespace"

// decodeXML reads one XML document into a tree. It resolves prefixes itself, so
// that an undeclared one is an error, and refuses DTDs, processing instructions,
// mixed content, and whatever is deeper or larger than the bounds. White space
// before the declaration is let pass.
func decodeXML(b []byte) (*Object, error) {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	d := &decoder{x: xml.NewDecoder(bytes.NewReader(b))}
	root, err := d.document()
	if err != nil {
		return nil, fmt.Errorf("%w: not the XML of a reply: %w", ErrUnexpectedReply, err)
	}
	return root, nil
}

type decoder struct {
	x        *xml.Decoder
	scopes   []map[string]string // prefix to URI, innermost last
	elements int
}

// document reads the declaration, the root element and what may follow it.
func (d *decoder) document() (*Object, error) {
	var root *Object
	for first := true; ; first = false {
		tok, err := d.x.RawToken()
		if errors.Is(err, io.EOF) {
			if root == nil {
				return nil, errors.New("no element")
			}
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, errors.New("a second root element")
			}
			if root, err = d.element(t); err != nil {
				return nil, err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("text outside the root element")
			}
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return nil, errors.New("a processing instruction")
			}
		case xml.Comment:
		default:
			return nil, fmt.Errorf("a %T outside the root element", tok)
		}
	}
}

// element reads what follows the start tag s up to its end tag.
func (d *decoder) element(s xml.StartElement) (*Object, error) {
	if d.elements++; d.elements > maxElements {
		return nil, fmt.Errorf("more than %d elements", maxElements)
	}
	if len(d.scopes) >= maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	raw := s.Name
	o, err := d.open(s)
	if err != nil {
		return nil, err
	}
	defer func() { d.scopes = d.scopes[:len(d.scopes)-1] }()
	var text strings.Builder
	for {
		tok, err := d.x.RawToken()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			c, err := d.element(t)
			if err != nil {
				return nil, err
			}
			o.Children = append(o.Children, c)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if t.Name != raw {
				return nil, fmt.Errorf("element %q closed by %q", raw.Local, t.Name.Local)
			}
			return o, d.closeElement(o, text.String())
		case xml.Comment:
		default:
			return nil, fmt.Errorf("a %T inside an element", tok)
		}
	}
}

// open makes the object of a start tag and pushes its namespace scope.
func (d *decoder) open(s xml.StartElement) (*Object, error) {
	if len(s.Attr) > maxAttrs {
		return nil, fmt.Errorf("more than %d attributes", maxAttrs)
	}
	scope, err := declarations(s.Attr)
	if err != nil {
		return nil, err
	}
	d.scopes = append(d.scopes, scope)
	o := &Object{Name: s.Name.Local}
	if o.Space, err = d.resolve(s.Name, true); err != nil {
		return nil, err
	}
	for _, a := range s.Attr {
		if isDeclaration(a.Name) {
			continue
		}
		space, err := d.resolve(a.Name, false)
		if err != nil {
			return nil, err
		}
		for _, have := range o.Attrs {
			if have.Space == space && have.Name == a.Name.Local {
				return nil, fmt.Errorf("attribute %q twice", a.Name.Local)
			}
		}
		o.Attrs = append(o.Attrs, Attr{Space: space, Name: a.Name.Local, Value: a.Value})
	}
	return o, nil
}

// closeElement settles o's text: an element with children has only white space
// beside them.
func (d *decoder) closeElement(o *Object, text string) error {
	if len(o.Children) == 0 {
		o.Text = text
		return nil
	}
	if strings.TrimSpace(text) != "" {
		return fmt.Errorf("text beside the children of %q", o.Name)
	}
	return nil
}

func isDeclaration(n xml.Name) bool {
	return n.Space == "xmlns" || n.Space == "" && n.Local == "xmlns"
}

// declarations collects the namespaces that a start tag declares.
func declarations(attrs []xml.Attr) (map[string]string, error) {
	var scope map[string]string
	for _, a := range attrs {
		if !isDeclaration(a.Name) {
			continue
		}
		prefix := a.Name.Local
		if a.Name.Space == "" {
			prefix = ""
		}
		if _, twice := scope[prefix]; twice {
			return nil, fmt.Errorf("prefix %q declared twice", prefix)
		}
		if prefix != "" && a.Value == "" || prefix == "xmlns" || prefix == "xml" || a.Value == xmlSpace {
			return nil, fmt.Errorf("prefix %q declared as %q", prefix, a.Value)
		}
		if scope == nil {
			scope = make(map[string]string)
		}
		scope[prefix] = a.Value
	}
	return scope, nil
}

// resolve returns the namespace of a name; attributes have none by default.
func (d *decoder) resolve(n xml.Name, element bool) (string, error) {
	if strings.Contains(n.Local, ":") || strings.Contains(n.Space, ":") {
		return "", fmt.Errorf("name %q has a stray colon", n.Local)
	}
	switch {
	case n.Space == "xml":
		return xmlSpace, nil
	case n.Space == "xmlns":
		return "", fmt.Errorf("element %q in the prefix xmlns", n.Local)
	case n.Space == "" && !element:
		return "", nil
	}
	for i := len(d.scopes) - 1; i >= 0; i-- {
		if uri, ok := d.scopes[i][n.Space]; ok {
			return uri, nil
		}
	}
	if n.Space == "" {
		return "", nil
	}
	return "", fmt.Errorf("prefix %q is not declared", n.Space)
}
