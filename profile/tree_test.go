package profile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// asJSON writes a tree as JSON, for comparison with other readers.
func asJSON(n *node) any {
	switch n.kind {
	case kindMapping:
		m := map[string]any{}
		for _, k := range n.keys {
			m[k.name] = asJSON(k.value)
		}
		return m
	case kindList:
		l := []any{}
		for _, item := range n.items {
			l = append(l, asJSON(item))
		}
		return l
	case kindNumber:
		return json.Number(n.text)
	case kindFlag:
		return n.text == "true"
	case kindNull:
		return nil
	}
	return n.text
}

// TestBothForms: a profile as JSON and as YAML is the same profile.
func TestBothForms(t *testing.T) {
	t.Parallel()
	p := everythingWant()
	schema := Schema
	tree := p.fields(&schema).write()
	asText, err := json.MarshalIndent(asJSON(tree), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := Open(asText, p.Secrets())
	if err != nil {
		t.Fatalf("%v\n%s", err, asText)
	}
	fromYAML, err := Open(p.Encode(), p.Secrets())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML, compare); diff != "" {
		t.Error(diff)
	}
}

// TestForeignReader: what is written means the same to a whole YAML reader.
func TestForeignReader(t *testing.T) {
	t.Parallel()
	for _, p := range []*Profile{Default(), everythingWant()} {
		var got any
		if err := yaml.Unmarshal(p.Encode(), &got); err != nil {
			t.Fatalf("%v\n%s", err, p.Encode())
		}
		schema := Schema
		want := asJSON(p.fields(&schema).write())
		if g, w := normal(t, got), normal(t, want); g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
}

func normal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestScalars(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "a.b-c_1": "a.b-c_1", "": `""`, "a b": `"a b"`, "1": `"1"`, "-": `"-"`, "a:": `"a:"`,
		"off": `"off"`, "No": `"No"`, "NULL": `"NULL"`, "true": `"true"`, "y": `"y"`, ".inf": `".inf"`, "~": `"~"`,
		"<&>": `"<&>"`, `a"b\c`: `"a\"b\\c"`, "ä": `"ä"`, "#x": `"#x"`, "2024-01-01": `"2024-01-01"`, "0x10": `"0x10"`,
	} {
		n := &node{kind: kindText, text: in}
		if got := n.scalar(); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		tree, err := parseYAML([]byte("k: " + want))
		if err != nil || tree.keys[0].value.kind != kindText || tree.keys[0].value.text != in {
			t.Errorf("%s does not read as %q: %v", want, in, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	tree, err := parseTree([]byte("{\"a\": 1,\n \"ä\": [true,\n  {\"b\": null}]}"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	var walk func(n *node)
	walk = func(n *node) {
		fmt.Fprintf(&got, "%d@%d:%d ", n.kind, n.at.line, n.at.column)
		for _, k := range n.keys {
			fmt.Fprintf(&got, "%s@%d:%d ", k.name, k.at.line, k.at.column)
			walk(k.value)
		}
		for _, item := range n.items {
			walk(item)
		}
	}
	walk(tree)
	if want := "5@1:1 a@1:2 2@1:7 ä@2:2 6@2:7 3@2:8 5@3:3 b@3:4 4@3:9 "; got.String() != want {
		t.Errorf("got  %s\nwant %s", got.String(), want)
	}
}

// TestYAMLForms reads the same field in each way that YAML has to write text.
func TestYAMLForms(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"name: office", "name: 'office'", `name: "office"`, `"name": "off\u0069ce"`, "name: >-\n  office\n", "name: |-\n  office\n",
		"name:\n  office\n", "{name: office}", "{\n  'name' : office ,\n}", "--- # begin\nname: office # end\n...\n", "%YAML 1.2\n---\nname: office\n",
	} {
		p, err := Parse("p", []byte(doc))
		if err != nil || p.Name != "office" {
			t.Errorf("%q: got %v, %v", doc, p, err)
		}
	}
}
