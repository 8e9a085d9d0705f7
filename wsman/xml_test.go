package wsman

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestDecodeXML reads names by namespace, whatever the prefixes.
func TestDecodeXML(t *testing.T) {
	t.Parallel()
	want := &Object{Space: "u:1", Name: "A", Attrs: []Attr{{"", "n", "v"}, {"u:2", "m", "w"}}, Children: []*Object{
		{Space: "u:1", Name: "B", Text: " 1 < 2 "}, {Space: "", Name: "C"}, {Space: "u:2", Name: "B", Text: "x"},
	}}
	for _, in := range []string{
		`<g:A xmlns:g="u:1" xmlns:h="u:2" n="v" h:m="w"><g:B> 1 &lt; 2 </g:B><C/><h:B>x</h:B></g:A>`,
		"\n<?xml version= \"1.0\" encoding= \"UTF-8\"?>\n<A xmlns='u:1' xmlns:a='u:2' n=\"v\" a:m='w'>\n <B> 1 <![CDATA[<]]> 2 </B>\r\n\t<C xmlns=''></C><!-- no --><B xmlns='u:2'>x</B></A>\n",
		"\xef\xbb\xbf<q:A xmlns:q='u:9' xmlns:h='u:1' h='0'/>",
	} {
		got, err := decodeXML([]byte(in))
		if strings.Contains(in, "u:9") {
			if err != nil || !got.Is("u:9", "A") || got.attr("h") != "0" {
				t.Errorf("with a mark: %v, %v", got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot %s (%v)", in, dump(got), err)
		}
	}
}

// dump shows a tree, which Object itself does not.
func dump(o *Object) string {
	if o == nil {
		return "nil"
	}
	s := fmt.Sprintf("{%q %q %q %q", o.Space, o.Name, o.Attrs, o.Text)
	for _, c := range o.Children {
		s += " " + dump(c)
	}
	return s + "}"
}

// badXML holds documents that are refused, by what is wrong with them.
var badXML = map[string]string{
	"nothing":              "",
	"text":                 "hello",
	"unclosed":             "<a>",
	"crossed":              "<a><b></a></b>",
	"closed by another":    "<x:a xmlns:x='u:1' xmlns:y='u:1'></y:a>",
	"two roots":            "<a/><b/>",
	"text after":           "<a/>b",
	"undeclared prefix":    "<x:a/>",
	"undeclared attribute": "<a x:b='1'/>",
	"out of scope":         "<a><b xmlns:x='u:1'/><x:c/></a>",
	"undeclaring":          "<a xmlns:x=''/>",
	"declared twice":       "<a xmlns:x='u:1' xmlns:x='u:2'/>",
	"xmlns as prefix":      "<xmlns:a/>",
	"xml redeclared":       "<a xmlns:xml='u:1'/>",
	"stray colon":          "<:a/>",
	"attribute twice":      "<a b='1' b='2'/>",
	"attribute twice, ns":  "<a xmlns:x='u:1' xmlns:y='u:1' x:b='1' y:b='2'/>",
	"DTD":                  "<!DOCTYPE a><a/>",
	"DTD with entities":    "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;</a>",
	"unknown entity":       "<a>&nbsp;</a>",
	"instruction":          "<?php x ?><a/>",
	"instruction inside":   "<a><?php x ?></a>",
	"second declaration":   "<a/><?xml version='1.0'?>",
	"mixed":                "<a>b<c/></a>",
	"other encoding":       "<?xml version='1.0' encoding='EBCDIC'?><a/>",
	"not UTF-8":            "<a>\xff</a>",
	"control":              "<a>\x01</a>",
	"NUL by reference":     "<a>&#0;</a>",
	"too deep":             strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1),
	"too many":             "<a>" + strings.Repeat("<b/>", maxElements) + "</a>",
	"too many attributes": "<a" + func() (s string) {
		for i := range maxAttrs + 1 {
			s += fmt.Sprintf(" a%d=''", i)
		}
		return s
	}() + "/>",
}

func TestDecodeXMLRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range badXML {
		if o, err := decodeXML([]byte(in)); !errors.Is(err, ErrUnexpectedReply) {
			t.Errorf("%s: got %s, %v", name, dump(o), err)
		}
	}
	deep := strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth)
	if _, err := decodeXML([]byte(deep)); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
}

// TestEncodeXML shows prefixes, escapes and the order of declarations.
func TestEncodeXML(t *testing.T) {
	t.Parallel()
	o := &Object{Space: "u:1", Name: "A", Attrs: []Attr{{"u:2", "m", "<\"&'\n\t>"}, {xmlSpace, "lang", "en"}}, Children: []*Object{
		{Space: "u:1", Name: "B", Text: "a&b<c>\"d'\r\n\té"}, {Name: "C"}, {Space: "u:3", Name: "D", Children: []*Object{{Space: "u:3", Name: "E"}}}, {Space: "u:3", Name: "D"},
	}}
	got, err := encodeXML(o)
	want := `<?xml version="1.0" encoding="utf-8"?><h:A xmlns:h="u:1" xmlns:h2="u:2" h2:m="&lt;&quot;&amp;'&#10;&#9;&gt;" xml:lang="en">` +
		"<h:B>a&amp;b&lt;c&gt;\"d'&#13;\n\té</h:B><C></C><h3:D xmlns:h3=\"u:3\"><h3:E></h3:E></h3:D><h4:D xmlns:h4=\"u:3\"></h4:D></h:A>"
	if err != nil || string(got) != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	if back, err := decodeXML(got); err != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("decoded again: %s, %v", dump(back), err)
	}
	for _, bad := range []string{"\x00", "a\x1b", "\xff", "\ufffe", "\xed\xa0\x80"} {
		if _, err := encodeXML(&Object{Name: "A", Text: bad}); !errors.Is(err, ErrArgument) || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := encodeXML(&Object{Name: "A", Attrs: []Attr{{"", "b", bad}}}); !errors.Is(err, ErrArgument) {
			t.Errorf("attribute %q: %v", bad, err)
		}
	}
}

// FuzzDecodeXML: what is decoded and encoded is decoded to the same.
func FuzzDecodeXML(f *testing.F) {
	for _, s := range badXML {
		if len(s) < 1000 {
			f.Add([]byte(s))
		}
	}
	d := seen{messageID: "uuid:1", body: "<a:Action>x</a:Action>"}
	for _, a := range []answer{general, {xml: pullXML(general.xml)}, {xml: faultXML("e:X", "r", "AMT-STATUS 1")}, {xml: `<g:K xmlns:g="u:1">` + eprXML(classKeyPair, "1") + `</g:K>`}} {
		f.Add([]byte(a.envelope(d)))
	}
	f.Add([]byte(`<A xmlns='u:1' xmlns:a='u:2' n="&#10;" a:m='w' xml:lang=''><B> 1 <![CDATA[<]]> 2 </B><C xmlns=''></C></A>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeXML(b)
		if err != nil {
			return
		}
		out, err := encodeXML(o)
		if err != nil {
			t.Fatalf("encoding what was decoded: %v", err)
		}
		again, err := decodeXML(out)
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%v\nfirst  %s\nsecond %s", err, dump(o), dump(again))
		}
		if !reflect.DeepEqual(o.Clone(), o) {
			t.Fatal("the clone differs")
		}
	})
}

// FuzzParseReply: whatever comes, a reply is one kind of thing and errors are
// ErrUnexpectedReply or faults.
func FuzzParseReply(f *testing.F) {
	d := seen{messageID: "uuid:1", body: "<a:Action>x</a:Action>"}
	for _, a := range []answer{general, {}, {xml: faultXML("e:X", "r", "AMT-STATUS 99999999")}, {xml: "<a:Fault><a:Code/></a:Fault>"}} {
		f.Add([]byte(a.envelope(d)), 400)
	}
	f.Fuzz(func(t *testing.T, b []byte, status int) {
		r, err := parseReply(b)
		if err != nil {
			if !errors.Is(err, ErrUnexpectedReply) {
				t.Fatal(err)
			}
			return
		}
		err = r.check(&request{name: "A.B", action: "x"}, "uuid:1", status)
		if _, fault := errors.AsType[*Fault](err); err != nil && !fault && !errors.Is(err, ErrUnexpectedReply) {
			t.Fatal(err)
		}
		_, _ = IsAbsent(err), IsDuplicate(err)
		r.body.walk(func(o *Object) { _, _ = parseReference(o) })
	})
}

// FuzzChallenges: what is parsed and written is parsed to the same.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`Digest realm="Digest:A4070000000000000000000000000000", nonce="wlbEK1EtAAAAAAAAWW5aUHFp+mQQ1j63",stale="false",qop="auth"`,
		`Negotiate YII/+g==, Digest realm = r ,, nonce="a\"b\\"`, `Digest`, `a=b`, `Basic realm="`, `Digest a="\`, `x y z`, `Negotiate a,b c=d`, "Digest a=\x80",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseChallenges(s)
		if err != nil {
			if !errors.Is(err, errChallenge) {
				t.Fatal(err)
			}
			return
		}
		parts := make([]string, len(list))
		for i, c := range list {
			parts[i] = c.String()
		}
		again, err := parseChallenges(strings.Join(parts, ", "))
		if err != nil || len(list) > 0 && !reflect.DeepEqual(again, list) {
			t.Fatalf("%q\nfirst  %q\nsecond %q, %v", parts, list, again, err)
		}
		var l login
		for _, c := range list {
			l.adopt(c)
		}
	})
}

// TestParseChallenges holds values the fuzz cannot judge.
func TestParseChallenges(t *testing.T) {
	t.Parallel()
	got, err := parseChallenges(`NEGOTIATE YII/+g==, Digest Realm="a, \"b\"", nonce=c , x="" Bearer`)
	want := []challenge{
		{scheme: "negotiate"},
		{scheme: "digest", params: []param{{"realm", `a, "b"`}, {"nonce", "c"}, {"x", ""}}},
		{scheme: "bearer"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		`a=b`, `Digest a=b,c=`, `Digest a="b`, `Digest a="b\`, `Digest a=b,a=c`, `Digest a="b";`, `@`, `Digest ` + strings.Repeat("a", 10) + "=\x01",
		"Digest a0=b" + func() (s string) {
			for i := range maxParams {
				s += fmt.Sprintf(",b%d=c", i)
			}
			return s
		}(), strings.Repeat("a,", maxParams+1),
	} {
		if got, err := parseChallenges(bad); !errors.Is(err, errChallenge) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}
