package wsman

// Attr is an attribute of an element; namespace declarations are not kept.
type Attr struct{ Space, Name, Value string }

// Object is an element of a reply or request: an ordered tree in which unknown
// elements and their order are kept, so that Get, a change and Put send back
// the whole object. An element has either text or children.
//
// It may hold secrets: it prints as its name only.
type Object struct {
	Space, Name string // namespace URI and local name
	Attrs       []Attr
	Text        string
	Children    []*Object
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
