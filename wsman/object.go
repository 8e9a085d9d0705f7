package wsman

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Attr is an attribute of an element; namespace declarations are not kept.
type Attr struct{ Space, Name, Value string }

// Object is an element of a reply or request: an ordered tree in which unknown
// elements and their order are kept, so that Get, a change and Put send back
// the whole object. An element has either text or children. Space is its
// namespace URI and Name its local name; prefixes are not kept.
//
// Its accessors look at the children that have its own namespace, as the
// properties of a class have. It may hold secrets: it prints as its name only.
type Object struct {
	Space, Name string
	Attrs       []Attr
	Text        string
	Children    []*Object
}

// NewObject returns an empty instance of class, such as "AMT_TLSSettingData".
func NewObject(class string) *Object {
	return &Object{Space: ResourceURI(class), Name: class}
}

// Is reports whether o has that namespace and local name.
func (o *Object) Is(space, name string) bool { return o != nil && o.Space == space && o.Name == name }

// child returns the first child of that namespace and name, nil if there is none.
func (o *Object) child(space, name string) *Object {
	if o == nil {
		return nil
	}
	for _, c := range o.Children {
		if c.Is(space, name) {
			return c
		}
	}
	return nil
}

// Child returns the first property of that name, nil if there is none.
func (o *Object) Child(name string) *Object {
	if o == nil {
		return nil
	}
	return o.child(o.Space, name)
}

// Has reports whether there is a property of that name.
func (o *Object) Has(name string) bool { return o.Child(name) != nil }

// Value is the text of the first property of that name without surrounding
// white space, "" if there is none.
func (o *Object) Value(name string) string {
	c := o.Child(name)
	if c == nil {
		return ""
	}
	return strings.TrimSpace(c.Text)
}

// Values are the texts of all properties of that name: an array.
func (o *Object) Values(name string) []string {
	if o == nil {
		return nil
	}
	var v []string
	for _, c := range o.Children {
		if c.Is(o.Space, name) {
			v = append(v, strings.TrimSpace(c.Text))
		}
	}
	return v
}

// Uint is the number in a property; ErrUnexpectedReply if it is absent or no
// number of 32 bits.
func (o *Object) Uint(name string) (uint32, error) {
	n, err := strconv.ParseUint(o.Value(name), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %v has no number in %s", ErrUnexpectedReply, o, name)
	}
	return uint32(n), nil
}

// Bool is the truth in a property (true, false, 1 or 0); ErrUnexpectedReply if it
// is absent or something else.
func (o *Object) Bool(name string) (bool, error) {
	switch o.Value(name) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%w: %v has no boolean in %s", ErrUnexpectedReply, o, name)
}

// number and truth are Uint and Bool of properties that were checked on arrival.
func (o *Object) number(name string) uint32 { n, _ := o.Uint(name); return n }
func (o *Object) truth(name string) bool    { b, _ := o.Bool(name); return b }

// Add appends a property.
func (o *Object) Add(name, value string) *Object {
	o.Children = append(o.Children, &Object{Space: o.Space, Name: name, Text: value})
	return o
}

// Set gives a property the values (several make an array, none removes it). It
// keeps its place; a new property goes where the alphabet puts it, which is the
// order in which devices send them.
func (o *Object) Set(name string, values ...string) {
	at := -1
	for i, c := range o.Children {
		if c.Is(o.Space, name) {
			at = i
			break
		}
	}
	o.Children = slices.DeleteFunc(o.Children, func(c *Object) bool { return c.Is(o.Space, name) })
	if at < 0 {
		at = len(o.Children)
		for i, c := range o.Children {
			if c.Space == o.Space && c.Name > name {
				at = i
				break
			}
		}
	}
	fresh := make([]*Object, len(values))
	for i, v := range values {
		fresh[i] = &Object{Space: o.Space, Name: name, Text: v}
	}
	o.Children = slices.Insert(o.Children, at, fresh...)
}

// SetBool sets a property to true or false.
func (o *Object) SetBool(name string, v bool) { o.Set(name, strconv.FormatBool(v)) }

// SetUint sets a property to a number.
func (o *Object) SetUint(name string, v uint32) { o.Set(name, strconv.FormatUint(uint64(v), 10)) }

// Remove takes away all properties of that name.
func (o *Object) Remove(name string) { o.Set(name) }

// Clone returns a deep copy.
func (o *Object) Clone() *Object {
	if o == nil {
		return nil
	}
	c := *o
	c.Attrs = slices.Clone(o.Attrs)
	c.Children = nil
	for _, k := range o.Children {
		c.Children = append(c.Children, k.Clone())
	}
	return &c
}

// String is the element's name.
func (o *Object) String() string {
	if o == nil {
		return "<nil>"
	}
	return "<" + o.Name + ">"
}

// GoString is the element's name.
func (o *Object) GoString() string { return o.String() }

// Format prints the element's name in every verb, for values too.
func (o Object) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(o.String())) }

// attr is an attribute without a namespace.
func (o *Object) attr(name string) string {
	for _, a := range o.Attrs {
		if a.Space == "" && a.Name == name {
			return a.Value
		}
	}
	return ""
}

// walk calls f for o and everything below it.
func (o *Object) walk(f func(*Object)) {
	if o == nil {
		return
	}
	f(o)
	for _, c := range o.Children {
		c.walk(f)
	}
}
