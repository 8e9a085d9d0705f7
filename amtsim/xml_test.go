package amtsim

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// appendElement writes e in one way that parseXML reads back: each element
// declares its namespace, each attribute of a namespace its own prefix.
func appendElement(b []byte, e *element) []byte {
	b = append(b, '<')
	b = append(b, e.name...)
	b = append(b, ` xmlns="`...)
	b = append(appendEscaped(b, e.space), '"')
	for i, a := range e.attrs {
		if a.space == "" {
			b = append(append(append(b, ' '), a.name...), `="`...)
		} else if a.space == xmlNS {
			b = append(append(append(b, " xml:"...), a.name...), `="`...)
		} else {
			b = fmt.Appendf(b, ` xmlns:p%d="%s" p%d:%s="`, i, appendEscaped(nil, a.space), i, a.name)
		}
		b = append(appendEscapedAttr(b, a.value), '"')
	}
	b = append(b, '>')
	b = appendEscaped(b, e.text)
	for _, k := range e.kids {
		b = appendElement(b, k)
	}
	return append(append(append(b, "</"...), e.name...), '>')
}

// appendEscapedAttr escapes what must not stand raw in an attribute.
func appendEscapedAttr(b []byte, s string) []byte {
	return append(b, strings.NewReplacer("\t", "&#9;", "\n", "&#10;").Replace(string(appendEscaped(nil, s)))...)
}

// stdParse reads a document with encoding/xml into the same shape.
func stdParse(s string) (*element, error) {
	dec := xml.NewDecoder(strings.NewReader(s))
	var stack []*element
	var root *element
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			e := &element{space: tok.Name.Space, name: tok.Name.Local}
			for _, a := range tok.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					e.attrs = append(e.attrs, attribute{a.Name.Space, a.Name.Local, a.Value})
				}
			}
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.kids, top.text = append(top.kids, e), ""
			} else {
				root = e
			}
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 && len(stack[len(stack)-1].kids) == 0 {
				stack[len(stack)-1].text += string(tok)
			}
		}
	}
}

var goodXML = []string{
	`<a/>`,
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a></a>\n",
	`<?xml version='1.0' standalone='yes'?><a b='1' c="2"/>`,
	`<a> text &lt;&gt;&amp;&apos;&quot; &#65;&#x42;&#13; </a>`,
	`<p:a xmlns:p="u:1"><p:b xmlns:p="u:2" p:x="1" x="2"/><c xmlns="u:3"/></p:a>`,
	`<a xmlns="u:1"> <b xmlns=""/> <c/> </a>`,
	`<w:Selector Name="InstanceID" xmlns:w="u" >x</w:Selector >`,
	`<a xml:lang="en-US">é€😀</a>`,
	"<a>1\r\n2\r3</a>",
	strings.Repeat("<a>", 32) + strings.Repeat("</a>", 32),
}

func TestParseXML(t *testing.T) {
	t.Parallel()
	for _, s := range goodXML {
		got, err := parseXML(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		want, err := stdParse(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, encoding/xml has %+v, %v", s, got, want, err)
		}
	}
}

func TestParseXMLRefuses(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty": "", "no element": "text", "two roots": "<a/><b/>", "text behind": "<a/>x", "open": "<a>", "open tag": "<a",
		"other end tag": "<a></b>", "other prefix": `<p:a xmlns:p="u" xmlns:q="u"></q:a>`, "document type": "<!DOCTYPE a><a/>",
		"comment": "<a><!-- x --></a>", "CDATA": "<a><![CDATA[x]]></a>", "instruction": "<a><?x y?></a>",
		"undeclared prefix": "<p:a/>", "undeclared attribute prefix": `<a p:b="1"/>`, "prefix out of scope": `<a><b xmlns:p="u"/><p:c/></a>`,
		"attribute twice": `<a b="1" b="2"/>`, "attribute twice by namespace": `<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>`,
		"prefix twice": `<a xmlns:p="u" xmlns:p="u"/>`, "default twice": `<a xmlns="u" xmlns="v"/>`,
		"no quotes": "<a b=1/>", "no value": "<a b/>", "no space": `<a b="1"c="2"/>`, "less-than in attribute": `<a b="<"/>`,
		"line break in attribute": "<a b=\"1\n2\"/>", "unknown entity": "<a>&nbsp;</a>", "entity without end": "<a>&lt</a>",
		"bare ampersand": "<a>1 & 2</a>", "bad reference": "<a>&#x110000;</a>", "reference to nothing": "<a>&#;</a>",
		"reference to NUL": "<a>&#0;</a>", "signed reference": "<a>&#+65;</a>", "control": "<a>\x01</a>", "not UTF-8": "<a>\xff</a>",
		"]]>": "<a>]]></a>", "mixed before": "<a>x<b/></a>", "mixed behind": "<a><b/>x</a>", "mixed between": "<a><b/>x<b/></a>",
		"XML 1.1": `<?xml version="1.1"?><a/>`, "Latin-1": `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`,
		"late declaration": ` <?xml version="1.0"?><a/>`, "unbinding a prefix": `<a xmlns:p=""/>`, "binding xml": `<a xmlns:xml="u"/>`,
		"binding to xml's": `<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>`, "two colons": `<p:q:a xmlns:p="u"/>`,
		"too deep": strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33), "digit first": "<1a/>",
		"too many": "<a>" + strings.Repeat("<b/>", maxElements) + "</a>",
	} {
		if _, err := parseXML(s); !errors.Is(err, errXML) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

// FuzzParseXML: what is accepted is what encoding/xml reads, and writing it and
// reading it again gives the same tree and the same bytes.
func FuzzParseXML(f *testing.F) {
	for _, s := range goodXML {
		f.Add(s)
	}
	f.Add(fmt.Sprintf(testEnvelope, actGet, uriOf("AMT_GeneralSettings"), 1, "", ""))
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseXML(s)
		if err != nil {
			return
		}
		std, err := stdParse(s)
		if err != nil || !reflect.DeepEqual(e, std) {
			t.Fatalf("%q: got %+v, encoding/xml has %+v, %v", s, e, std, err)
		}
		b := appendElement(nil, e)
		again, err := parseXML(string(b))
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%q: written as %q it reads as %+v, %v", s, b, again, err)
		}
		if b2 := appendElement(nil, again); string(b) != string(b2) {
			t.Fatalf("written as %q and then as %q", b, b2)
		}
	})
}

// FuzzAnswer: whatever a client sends after its log-in, the device answers with a
// reply or fault that encoding/xml can read.
func FuzzAnswer(f *testing.F) {
	get := fmt.Sprintf(testEnvelope, actGet, uriOf("AMT_GeneralSettings"), 1, "", "")
	f.Add(get)
	f.Add(fmt.Sprintf(testEnvelope, actPut, uriOf("AMT_TLSSettingData"), 2, selectorSet("InstanceID", tlsRemoteID),
		wrap("AMT_TLSSettingData", "AMT_TLSSettingData", "Enabled", "true")))
	f.Add(fmt.Sprintf(testEnvelope, uriOf("AMT_AuthorizationService")+"/SetAdminAclEntryEx", uriOf("AMT_AuthorizationService"), 3, "",
		wrap("AMT_AuthorizationService", "SetAdminAclEntryEx_INPUT", "Username", "admin", "DigestPassword", "AAAAAAAAAAAAAAAAAAAAAA==")))
	f.Add(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>` +
		`<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>`)
	f.Add(fmt.Sprintf(testEnvelope, actCreate, uriOf("AMT_TLSCredentialContext"), 4, "", wrap("AMT_TLSCredentialContext", "AMT_TLSCredentialContext",
		"ElementInContext", epr("AMT_PublicKeyCertificate", "InstanceID", "x"))))
	d, err := New(Options{Generation: AMT90, Addr: loopback(), Keys: testPool()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		x := &exchange{user: login{admin: true}}
		r, fault, v := d.answer(t.Context(), x, body)
		var b []byte
		switch {
		case v != answered || (r == nil) == (fault == nil):
			t.Fatalf("verdict %v, reply %v, fault %v", v, r, fault)
		case fault != nil:
			b = fault.appendTo(nil, x.env.messageID, 1)
		default:
			b = r.appendTo(nil, x.env.messageID, 1)
		}
		if err := xml.Unmarshal(b, new(node)); err != nil {
			t.Fatalf("%v in the answer to %q: %s", err, body, b)
		}
	})
}
