package amtsim

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestFaults sends requests that are wrong in one place each.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, nil)
	const (
		enum    = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
		general = "AMT_GeneralSettings"
		auth    = "AMT_AuthorizationService"
	)
	good := fmt.Sprintf(testEnvelope, actGet, uriOf(general), 1, "", "")
	edit := func(old, replacement string) string {
		s := strings.Replace(good, old, replacement, 1)
		if s == good {
			t.Fatalf("%q is not in the request", old)
		}
		return s
	}
	op := func(action, class, selectors, body string) string {
		return fmt.Sprintf(testEnvelope, action, uriOf(class), 1, selectors, body)
	}
	method := func(class, name, body string) string { return op(uriOf(class)+"/"+name, class, "", body) }
	setAdmin := func(args ...string) string {
		return method(auth, "SetAdminAclEntryEx", wrap(auth, "SetAdminAclEntryEx_INPUT", args...))
	}
	putGeneral := func(args ...string) string { return op(actPut, general, "", wrap(general, general, args...)) }
	pull := func(inner string) string {
		return op(actPull, general, "", `<n:Pull xmlns:n="`+enum+`">`+inner+`</n:Pull>`)
	}
	const id, right, pw = "Intel(r) AMT: General Settings", "", "AAAAAAAAAAAAAAAAAAAAAA=="
	for _, tt := range []struct {
		name, body string
		code       int
		fault      string
	}{
		{"as it should be", good, 200, right},
		{"no XML", "hello", 400, "e:SchemaValidationError"},
		{"document type", "<!DOCTYPE x>" + good, 400, "e:SchemaValidationError"},
		{"SOAP 1.1", strings.ReplaceAll(good, "http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/"), 500, "a:VersionMismatch"},
		{"no body", edit("<s:Body></s:Body>", ""), 400, "e:SchemaValidationError"},
		{"two in the body", edit("<s:Body></s:Body>", "<s:Body><x/><y/></s:Body>"), 400, "e:SchemaValidationError"},
		{"a body for Get", edit("<s:Body></s:Body>", "<s:Body><x/></s:Body>"), 400, "e:SchemaValidationError"},
		{"no action", edit("<a:Action>"+actGet+"</a:Action>", ""), 400, "b:MessageInformationHeaderRequired"},
		{"no message ID", edit("<a:MessageID>1</a:MessageID>", ""), 400, "b:MessageInformationHeaderRequired"},
		{"no To", edit("<a:To>/wsman</a:To>", ""), 400, "b:MessageInformationHeaderRequired"},
		{"another To", edit("<a:To>/wsman", "<a:To>/other"), 400, "b:DestinationUnreachable"},
		{"a header twice", edit("<a:To>/wsman</a:To>", "<a:To>/wsman</a:To><a:To>/wsman</a:To>"), 400, "b:InvalidMessageInformationHeader"},
		{"another ReplyTo", edit("role/anonymous", "role/none"), 400, "b:InvalidMessageInformationHeader"},
		{"no timeout", edit("PT60S", "soon"), 400, "b:InvalidMessageInformationHeader"},
		{"a timeout with a fraction", edit("PT60S", "PT60.000S"), 200, right},
		{"no class", edit("<w:ResourceURI>"+uriOf(general)+"</w:ResourceURI>", ""), 400, "b:DestinationUnreachable"},
		{"unknown class", edit("AMT_GeneralSettings", "AMT_Nothing"), 400, "b:DestinationUnreachable"},
		{"class of another schema", edit("amt-schema", "ips-schema"), 400, "b:DestinationUnreachable"},
		{"unknown action", edit("transfer/Get", "transfer/Fetch"), 400, "b:ActionNotSupported"},
		{"method of another class", op(uriOf(auth)+"/GetUuid", general, "", ""), 400, "b:ActionNotSupported"},
		{"small envelope", edit("<a:To>", "<w:MaxEnvelopeSize>49999</w:MaxEnvelopeSize><a:To>"), 400, "e:EncodingLimit"},
		{"large envelope", edit("<a:To>", "<w:MaxEnvelopeSize>51200</w:MaxEnvelopeSize><a:To>"), 200, right},
		{"options", edit("<a:To>", `<w:OptionSet s:mustUnderstand="true"/><a:To>`), 400, "e:InvalidOptions"},
		{"options that need not be understood", edit("<a:To>", `<w:OptionSet/><a:To>`), 200, right},
		{"unknown header", edit("<a:To>", `<x:Y xmlns:x="u"/><a:To>`), 200, right},
		{"unknown header to understand", edit("<a:To>", `<x:Y xmlns:x="u" s:mustUnderstand="1"/><a:To>`), 500, "a:MustUnderstand"},
		{"fragment transfer", edit("<a:To>", "<w:FragmentTransfer>HostName</w:FragmentTransfer><a:To>"), 400, "e:UnsupportedFeature"},
		{"right selector", op(actGet, general, selectorSet("InstanceID", id), ""), 200, right},
		{"wrong selector value", op(actGet, general, selectorSet("InstanceID", "x"), ""), 400, "e:InvalidSelectors"},
		{"selector that is no key", op(actGet, general, selectorSet("HostName", ""), ""), 400, "e:InvalidSelectors"},
		{"empty selector set", op(actGet, general, "<w:SelectorSet/>", ""), 400, "e:InvalidSelectors"},
		{"no selector for two objects", op(actGet, "AMT_TLSSettingData", "", ""), 400, "e:InvalidSelectors"},
		{"Delete of what cannot be deleted", op(actDelete, general, "", ""), 400, "b:ActionNotSupported"},
		{"Delete without selectors", op(actDelete, "AMT_PublicKeyCertificate", "", ""), 400, "e:InvalidSelectors"},
		{"Create of what cannot be made", op(actCreate, general, "", ""), 400, "b:ActionNotSupported"},
		{"Put of what cannot be put", op(actPut, "AMT_SetupAndConfigurationService", "", ""), 400, "b:ActionNotSupported"},
		{"Put", putGeneral("HostName", "x", "InstanceID", id), 200, right},
		{"Put without its key", putGeneral("HostName", "x"), 400, "e:SchemaValidationError"},
		{"Put with another key", putGeneral("HostName", "x", "InstanceID", "y"), 400, "d:InvalidRepresentation"},
		{"Put out of order", putGeneral("InstanceID", id, "HostName", "x"), 400, "e:SchemaValidationError"},
		{"Put with an unknown property", putGeneral("HostNames", "x", "InstanceID", id), 400, "e:SchemaValidationError"},
		{"Put with a wrong bool", putGeneral("InstanceID", id, "PingResponseEnabled", "True"), 400, "d:InvalidRepresentation"},
		{"Put with a wrong number", putGeneral("DDNSTTL", "-1", "InstanceID", id), 400, "d:InvalidRepresentation"},
		{"Put with a bad host name", putGeneral("HostName", "a b", "InstanceID", id), 500, "e:InternalError"},
		{"Put with a body of another class", op(actPut, general, "", wrap(auth, general, "InstanceID", id)), 400, "e:SchemaValidationError"},
		{"method", method(auth, "GetAdminAclEntry", wrap(auth, "GetAdminAclEntry_INPUT")), 200, right},
		{"method without body", method(auth, "GetAdminAclEntry", ""), 400, "e:SchemaValidationError"},
		{"method with another body", method(auth, "GetAdminAclEntry", wrap(auth, "GetAdmin_INPUT")), 400, "e:SchemaValidationError"},
		{"method with text", method(auth, "GetAdminAclEntry", wrap(auth, "GetAdminAclEntry_INPUT")[:0]+
			`<h:GetAdminAclEntry_INPUT xmlns:h="`+uriOf(auth)+`">x</h:GetAdminAclEntry_INPUT>`), 400, "e:SchemaValidationError"},
		{"method with an unknown input", method(auth, "GetAdminAclEntry", wrap(auth, "GetAdminAclEntry_INPUT", "X", "1")), 400, "e:SchemaValidationError"},
		{"inputs out of order", setAdmin("DigestPassword", pw, "Username", "admin"), 400, "e:SchemaValidationError"},
		{"missing input", setAdmin("Username", "admin"), 400, "e:SchemaValidationError"},
		{"input twice", setAdmin("Username", "admin", "Username", "admin", "DigestPassword", pw), 400, "e:SchemaValidationError"},
		{"input that is no number", method(auth, "GetUserAclEntryEx", wrap(auth, "GetUserAclEntryEx_INPUT", "Handle", "one")), 400, "e:InvalidParameter"},
		{"number with a leading zero", method(auth, "GetUserAclEntryEx", wrap(auth, "GetUserAclEntryEx_INPUT", "Handle", "01")), 400, "e:InvalidParameter"},
		{"input with an attribute", strings.Replace(setAdmin("Username", "admin", "DigestPassword", pw), "<h:Username>", `<h:Username x="1">`, 1), 400, "e:InvalidParameter"},
		{"input of another namespace", strings.Replace(setAdmin("Username", "admin", "DigestPassword", pw),
			"<h:Username>admin</h:Username>", `<Username>admin</Username>`, 1), 400, "e:SchemaValidationError"},
		{"enumeration with a filter", op(actEnum, general, "", `<n:Enumerate xmlns:n="`+enum+`"><w:Filter>x</w:Filter></n:Enumerate>`), 400, "c:FilteringNotSupported"},
		{"optimised enumeration", op(actEnum, general, "", `<n:Enumerate xmlns:n="`+enum+`"><w:OptimizeEnumeration/></n:Enumerate>`), 400, "e:UnsupportedFeature"},
		{"enumeration without body", op(actEnum, general, "", ""), 400, "e:SchemaValidationError"},
		{"enumeration with selectors", op(actEnum, general, selectorSet("InstanceID", id), `<n:Enumerate xmlns:n="`+enum+`"/>`), 400, "e:InvalidSelectors"},
		{"pull of an unknown context", pull(`<n:EnumerationContext>7</n:EnumerationContext>`), 500, "c:InvalidEnumerationContext"},
		{"pull without context", pull(``), 500, "c:InvalidEnumerationContext"},
		{"pull out of order", pull(`<n:MaxElements>1</n:MaxElements><n:EnumerationContext>7</n:EnumerationContext>`), 400, "e:SchemaValidationError"},
		{"pull of nothing", pull(`<n:EnumerationContext>7</n:EnumerationContext><n:MaxElements>0</n:MaxElements>`), 400, "e:SchemaValidationError"},
	} {
		a, err := c.post(tt.body)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if a.code != tt.code || a.fault() != tt.fault && !(tt.fault == "a:VersionMismatch" && a.fault() == tt.fault) {
			t.Errorf("%s: got %d %q, want %d %q: %s", tt.name, a.code, a.fault(), tt.code, tt.fault, a.raw)
		}
	}
	if c.challenges != 1 || c.dials != 2 {
		t.Errorf("%d challenges and %d connections, want 1 and 2: a fault must not cost the session", c.challenges, c.dials)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT62, nil)
	a, err := c.post(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>` +
		`<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>`)
	if err != nil || a.code != 200 || a.xml.text("ProductVersion") != "AMT 6.2" {
		t.Errorf("got %v, %v", a, err)
	}
}

// TestFaultMessage looks at a whole fault: prefixes, RelatesTo, action, one chunk.
func TestFaultMessage(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, nil)
	a := c.get("AMT_Nothing", "")
	for _, part := range []string{
		`<a:Envelope xmlns:g="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"`, `<b:RelatesTo>1</b:RelatesTo>`,
		`<b:Action a:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/fault</b:Action>`,
		`<b:MessageID>uuid:00000000-8086-8086-8086-000000000001</b:MessageID></a:Header>`,
		`<a:Code><a:Value>a:Sender</a:Value><a:Subcode><a:Value>b:DestinationUnreachable</a:Value></a:Subcode></a:Code>`,
		`<a:Detail></a:Detail>`,
	} {
		if !strings.Contains(a.raw, part) {
			t.Errorf("no %s in %s", part, a.raw)
		}
	}
	b := c.put("AMT_GeneralSettings", "", "HostName", "-", "InstanceID", generalID)
	if b.code != 500 || b.status() != 12 || !strings.Contains(b.raw, "<a:Detail><a:Text>AMT-STATUS 12</a:Text></a:Detail>") {
		t.Errorf("%d %s", b.code, b.raw)
	}
}

// raw sends bytes on a new connection and returns all that comes back.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(conn)
	return string(b)
}

// TestHTTPForm compares the header lines of a 401 and of a reply with those that
// devices send, in their order.
func TestHTTPForm(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	addr := waitClear(t, d)
	got := raw(t, addr, "POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	nonce := quoted(head, "nonce")
	want := []string{
		"HTTP/1.1 401 Unauthorized",
		`WWW-Authenticate: Digest realm="` + d.Snapshot().Realm + `", nonce="` + nonce + `",stale="false",qop="auth"`,
		"Content-Type: text/html",
		"Server: Intel(R) Active Management Technology 9.0.31.1487",
		fmt.Sprintf("Content-Length: %d", len(body)),
		"Connection: close",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if len(nonce) != 32 || strings.Contains(nonce, "=") {
		t.Errorf("nonce %q", nonce)
	}
	reply := captureReply(t, c)
	head, chunks, _ := strings.Cut(reply, "\r\n\r\n")
	var names []string
	for _, l := range strings.Split(head, "\r\n")[1:] {
		name, _, _ := strings.Cut(l, ":")
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "Date Server X-Frame-Options Content-Type Transfer-Encoding" {
		t.Errorf("header %s", got)
	}
	if !strings.HasPrefix(chunks, "0220\r\n<?xml") || chunks[6+544:6+544+8] != "\r\n02FA\r\n" || !strings.HasSuffix(chunks, "\r\n0\r\n\r\n") {
		t.Errorf("chunks %s", chunks)
	}
}

// recorder keeps what a connection reads.
type recorder struct {
	net.Conn
	sb strings.Builder
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.sb.Write(b[:n])
	return n, err
}

// captureReply is the raw reply to a Get.
func captureReply(t *testing.T, c *client) string {
	t.Helper()
	c.get("AMT_GeneralSettings", "")
	rec := &recorder{Conn: c.conn}
	c.br = bufio.NewReader(rec)
	c.get("AMT_GeneralSettings", "")
	return rec.sb.String()
}

// TestHTTPRefuses sends requests that are no WS-Man, with a good log-in.
func TestHTTPRefuses(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, nil)
	c.get("AMT_GeneralSettings", "")
	const typ = "Content-Type: application/soap+xml; charset=utf-8\r\n"
	for _, tt := range []struct {
		name     string
		old, new string
		code     int
	}{
		{"no content type", typ, "", 200},
		{"without charset", typ, "Content-Type: application/soap+xml\r\n", 200},
		{"text/xml", typ, "Content-Type: text/xml; charset=utf-8\r\n", 415},
		{"another charset", typ, "Content-Type: application/soap+xml; charset=utf-16\r\n", 415},
		{"GET", "POST ", "GET ", 401}, // the log-in covers the method
		{"another path", "/wsman HTTP", "/wsman2 HTTP", 401},
		{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", 400},
		{"no host", "Host: device\r\n", "", 400},
		{"too large", "Content-Length: ", "Content-Length: 99999", 413},
		{"long header", "Host: device\r\n", "Host: device\r\nX: " + strings.Repeat("y", 100<<10) + "\r\n", 413},
		{"no HTTP", "POST /wsman HTTP/1.1", "\x16\x03\x01", 400},
	} {
		c.request = func(s string) string { return strings.Replace(s, tt.old, tt.new, 1) }
		c.keepNonce = true
		a, err := c.try(actGet, "AMT_GeneralSettings", "", "")
		c.request, c.keepNonce = nil, false
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			c.close()
		} else if a.code != tt.code {
			t.Errorf("%s: got %d, want %d", tt.name, a.code, tt.code)
		}
	}
	if a := c.get("AMT_GeneralSettings", ""); a.code != 200 {
		t.Errorf("afterwards: %d", a.code)
	}
}

// TestChunkedRequest: a body in chunks is read like any other.
func TestChunkedRequest(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, nil)
	c.request = func(s string) string {
		head, body, _ := strings.Cut(s, "\r\n\r\n")
		i := strings.Index(head, "Content-Length:")
		return head[:i] + "Transfer-Encoding: chunked\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 100, body[:100], len(body)-100, body[100:])
	}
	if a := c.get("AMT_GeneralSettings", ""); a.code != 200 {
		t.Errorf("got %d %s", a.code, a.raw)
	}
}

// TestWrongMethodAndPath logs in for them, and is refused then.
func TestWrongMethodAndPath(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	addr := waitClear(t, d)
	c.get("AMT_GeneralSettings", "")
	for target, want := range map[string]int{"GET /wsman": 405, "POST /": 404, "GET /index.htm": 404} {
		method, path, _ := strings.Cut(target, " ")
		response := md5Hex(strings.Join([]string{
			md5Hex("admin:" + c.realm + ":" + testAdmin), c.nonce, "00000063", "0a", "auth", md5Hex(method + ":" + path),
		}, ":"))
		got := raw(t, addr, target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Digest username=\"admin\", realm=\""+c.realm+
			"\", nonce=\""+c.nonce+"\", uri=\""+path+"\", qop=auth, nc=00000063, cnonce=\"0a\", response=\""+response+"\"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
		if err != nil || resp.StatusCode != want || !resp.Close {
			t.Errorf("%s: got %q, %v, want %d", target, got, err, want)
		}
	}
}
