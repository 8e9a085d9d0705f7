package profile

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// knownProblems are messages of the YAML parser that are fixed text. Others may
// quote the document and are not shown.
var knownProblems = map[string]bool{
	"mapping value is not allowed in this context":                       true,
	"value is not allowed in this context":                               true,
	"value is not allowed in this context. map key-value is pre-defined": true,
	"block sequence entries are not allowed in this context":             true,
	"unexpected key name":                                                true,
	"non-map value is specified":                                         true,
	"could not find flow mapping end token '}'":                          true,
	"sequence end token ']' not found":                                   true,
	"',' or ']' must be specified":                                       true,
	"',' or '}' must be specified":                                       true,
	"could not find end character of double-quoted text":                 true,
	"could not find end character of single-quoted text":                 true,
	"tab character cannot use as a map key directly":                     true,
	"tab character cannot use as a sequence delimiter":                   true,
	"found a tab character where an indentation space is expected":       true,
	"found character '\t' that cannot start any token":                   true,
}

// parseYAML makes a tree of the YAML subset that a profile needs: no anchors,
// aliases, tags or merge keys, and one document.
func parseYAML(doc []byte) (n *node, err error) {
	defer func() {
		if recover() != nil { // a fault of the parser must not end the server
			n, err = nil, &syntaxError{problem: "this is not YAML"}
		}
	}()
	file, err := parser.ParseBytes(doc, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, yamlError(err)
	}
	var body ast.Node
	for _, d := range file.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body == nil || directive {
			continue
		}
		if body != nil {
			return nil, &syntaxError{placeOf(d.Body.GetToken()), "a second document begins here: a profile is one document"}
		}
		body = d.Body
	}
	if body == nil {
		return nil, &syntaxError{problem: "the document is empty"}
	}
	return convert(body, 0)
}

// yamlError keeps the place of an error and drops its text, which shows lines of
// the document.
func yamlError(err error) error {
	e := &syntaxError{problem: "this is not YAML: check indentation, quotes and brackets here and in the lines before"}
	var ye yaml.Error
	if errors.As(err, &ye) {
		e.at = placeOf(ye.GetToken())
		if knownProblems[ye.GetMessage()] {
			e.problem = "this is not YAML: " + ye.GetMessage()
		}
	}
	return e
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

// convert makes a tree of a parsed YAML node.
func convert(a ast.Node, depth int) (*node, error) {
	at := placeOf(a.GetToken())
	if depth > maxDepth {
		return nil, &syntaxError{at, errDeep.Error()}
	}
	switch a := a.(type) {
	case *ast.MappingNode:
		return convertMapping(a.Values, depth)
	case *ast.MappingValueNode:
		return convertMapping([]*ast.MappingValueNode{a}, depth)
	case *ast.SequenceNode:
		n := &node{kind: kindList, at: at}
		for _, v := range a.Values {
			item, err := convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case *ast.StringNode:
		return &node{kind: kindText, text: a.Value, at: at}, nil
	case *ast.LiteralNode:
		return &node{kind: kindText, text: a.Value.Value, at: at}, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return &node{kind: kindNumber, text: a.GetToken().Value, at: at}, nil
	case *ast.BoolNode:
		return &node{kind: kindFlag, text: strings.ToLower(a.GetToken().Value), at: at}, nil
	case *ast.NullNode:
		return &node{kind: kindNull, at: at}, nil
	}
	return nil, &syntaxError{at, "a profile has no anchors, aliases, tags and merge keys: write the value out"}
}

func convertMapping(values []*ast.MappingValueNode, depth int) (*node, error) {
	n := &node{kind: kindMapping}
	for _, v := range values {
		t := v.Key.GetToken()
		k := key{name: t.Value, at: placeOf(t)}
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			return nil, &syntaxError{k.at, "a profile has no anchors, aliases, tags and merge keys: write the value out"}
		}
		if s, ok := v.Key.(*ast.StringNode); ok {
			k.name = s.Value
		}
		value, err := convert(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		k.value = value
		if err := n.add(k); err != nil {
			return nil, err
		}
		if n.at == (place{}) {
			n.at = k.at
		}
	}
	return n, nil
}

// print appends a tree as block YAML; every line but the first begins with
// indent.
func (n *node) print(b []byte, indent string) []byte {
	for i, k := range n.keys {
		if i > 0 {
			b = append(b, indent...)
		}
		b = append(b, k.name+":"...)
		b = k.value.printValue(b, indent)
	}
	return b
}

func (n *node) printValue(b []byte, indent string) []byte {
	switch n.kind {
	case kindMapping:
		b = append(b, "\n  "+indent...)
		return n.print(b, indent+"  ")
	case kindList:
		for _, item := range n.items {
			b = append(b, "\n"+indent+"  - "...)
			if item.kind == kindMapping {
				b = item.print(b, indent+"    ")
				b = b[:len(b)-1]
				continue
			}
			b = append(b, item.scalar()...)
		}
		return append(b, '\n')
	}
	return append(b, " "+n.scalar()+"\n"...)
}

// scalar is the value in the plain style where that is safe in every version of
// YAML, else in double quotes.
func (n *node) scalar() string {
	if n.kind != kindText || plain(n.text) {
		return n.text
	}
	var sb strings.Builder
	enc := json.NewEncoder(&sb)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(n.text) // a string always encodes
	return strings.TrimSuffix(sb.String(), "\n")
}

// plain reports whether text needs no quotes: letters, digits, dots, hyphens and
// underscores, beginning with a letter, and no word with a meaning.
func plain(s string) bool {
	switch strings.ToLower(s) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan":
		return false
	}
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789.-_", c)) {
			return false
		}
	}
	return true
}
