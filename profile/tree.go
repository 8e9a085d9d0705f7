package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDocument bounds documents, in bytes.
const MaxDocument = 16 << 10

// maxDepth bounds how deep a document is nested.
const maxDepth = 16

// kind is the form of a node.
type kind uint8

const (
	kindText    kind = 1
	kindNumber  kind = 2
	kindFlag    kind = 3
	kindNull    kind = 4
	kindMapping kind = 5
	kindList    kind = 6
)

var kindNames = map[kind]string{
	kindText: "text", kindNumber: "a number", kindFlag: "true or false", kindNull: "nothing",
	kindMapping: "a group of fields", kindList: "a list",
}

// node is one value of a document, the same for YAML and JSON.
type node struct {
	kind  kind
	text  string // of text, number and flag, as it stands in the document
	at    place
	keys  []key   // of a mapping
	items []*node // of a list
}

// key is one field of a mapping.
type key struct {
	name  string
	at    place
	value *node
}

// syntaxError is a fault of the document's form. Its message is fixed text: it
// quotes nothing.
type syntaxError struct {
	at      place
	problem string
}

func (e *syntaxError) Error() string { return e.problem }

// parseTree reads a document of either form.
func parseTree(doc []byte) (*node, error) {
	if len(doc) > MaxDocument {
		return nil, &syntaxError{problem: fmt.Sprintf("the document has %d bytes, at most %d", len(doc), MaxDocument)}
	}
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	if err := checkCharacters(doc); err != nil {
		return nil, err
	}
	if json.Valid(doc) {
		return parseJSON(doc)
	}
	return parseYAML(doc)
}

func checkCharacters(doc []byte) error {
	at := place{1, 1}
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		switch {
		case r == utf8.RuneError && n <= 1:
			return &syntaxError{at, "the document is not UTF-8"}
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return &syntaxError{at, "the document holds a control character"}
		case r == '\n':
			at = place{at.line + 1, 0}
		}
		at.column++
		doc = doc[n:]
	}
	return nil
}

// add puts a field into a mapping; its second name is an error.
func (n *node) add(k key) error {
	for _, have := range n.keys {
		if have.name == k.name {
			return &syntaxError{k.at, fmt.Sprintf("the field stands here for the second time; the first is in line %d", have.at.line)}
		}
	}
	n.keys = append(n.keys, k)
	return nil
}

var errDeep = errors.New("the document is nested too deep")

// jsonReader makes a tree of valid JSON.
type jsonReader struct {
	doc []byte
	dec *json.Decoder
}

func parseJSON(doc []byte) (*node, error) {
	r := &jsonReader{doc: doc, dec: json.NewDecoder(bytes.NewReader(doc))}
	r.dec.UseNumber()
	return r.value(0)
}

// next gives the next token and its place.
func (r *jsonReader) next() (json.Token, place, error) {
	start := int(r.dec.InputOffset())
	for start < len(r.doc) && bytes.IndexByte([]byte(" \t\r\n,:"), r.doc[start]) >= 0 {
		start++
	}
	before := r.doc[:start]
	line := bytes.Count(before, []byte("\n"))
	at := place{line + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
	t, err := r.dec.Token()
	if err != nil {
		return nil, at, &syntaxError{at, "this is not JSON"}
	}
	return t, at, nil
}

func (r *jsonReader) value(depth int) (*node, error) {
	t, at, err := r.next()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case string:
		return &node{kind: kindText, text: t, at: at}, nil
	case json.Number:
		return &node{kind: kindNumber, text: t.String(), at: at}, nil
	case bool:
		return &node{kind: kindFlag, text: fmt.Sprint(t), at: at}, nil
	case json.Delim:
		if depth >= maxDepth {
			return nil, &syntaxError{at, errDeep.Error()}
		}
		if t == '[' {
			return r.list(at, depth)
		}
		return r.mapping(at, depth)
	}
	return &node{kind: kindNull, at: at}, nil
}

func (r *jsonReader) list(at place, depth int) (*node, error) {
	n := &node{kind: kindList, at: at}
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.next()
	return n, err
}

func (r *jsonReader) mapping(at place, depth int) (*node, error) {
	n := &node{kind: kindMapping, at: at}
	for r.dec.More() {
		t, keyAt, err := r.next()
		if err != nil {
			return nil, err
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if err := n.add(key{name, keyAt, value}); err != nil {
			return nil, err
		}
	}
	_, _, err := r.next()
	return n, err
}
