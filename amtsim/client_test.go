package amtsim

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/tlspsk"
)

// client is a small WS-Man client of the tests' own: raw HTTP, RFC 2617 digest,
// replies read with encoding/xml.
type client struct {
	t    *testing.T
	dial func() (net.Conn, error)
	user string
	pass string

	conn              net.Conn
	br                *bufio.Reader
	realm, nonce      string
	nc, message       int
	challenges, dials int
	keepNonce         bool                       // do not log in again after a 401
	authorize         func(header string) string // changes Authorization
	request           func(req string) string    // changes the whole request
}

// node is any element of a reply.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Kids    []node     `xml:",any"`
}

// find is the first element below n with that local name.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	if n.XMLName.Local == name {
		return n
	}
	for i := range n.Kids {
		if f := n.Kids[i].find(name); f != nil {
			return f
		}
	}
	return nil
}

func (n *node) text(name string) string {
	if f := n.find(name); f != nil {
		return strings.TrimSpace(f.Text)
	}
	return ""
}

func (n *node) texts(name string) []string {
	var list []string
	for i := range n.Kids {
		if n.Kids[i].XMLName.Local == name {
			list = append(list, n.Kids[i].Text)
		}
		list = append(list, n.Kids[i].texts(name)...)
	}
	return list
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	raw    string
	xml    *node
}

// fault is the subcode, or "".
func (a *answer) fault() string {
	if f := a.xml.find("Fault"); f != nil {
		values := f.texts("Value")
		return values[len(values)-1]
	}
	return ""
}

// status is ReturnValue, or the number of an AMT-STATUS, or -1.
func (a *answer) status() int {
	n := -1
	if v := a.xml.text("ReturnValue"); v != "" {
		_, _ = fmt.Sscan(v, &n)
	} else if d := a.xml.find("Detail"); d != nil {
		_, _ = fmt.Sscanf(strings.TrimSpace(d.text("Text")), "AMT-STATUS %d", &n)
	}
	return n
}

func md5Hex(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// exchange sends one request and reads the reply on the open connection.
func (c *client) exchange(body, authorization string) (*answer, error) {
	if c.conn == nil {
		conn, err := c.dial()
		if err != nil {
			return nil, err
		}
		c.conn, c.br = conn, bufio.NewReader(conn)
		c.dials++
	}
	req := "POST /wsman HTTP/1.1\r\nHost: device\r\n" + authorization +
		"Content-Type: application/soap+xml; charset=utf-8\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
	if c.request != nil {
		req = c.request(req)
	}
	_ = c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c.conn, req); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.Close {
		c.close()
	}
	a := &answer{code: resp.StatusCode, header: resp.Header, raw: string(b), xml: new(node)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/soap+xml") {
		err = xml.Unmarshal(b, a.xml)
	}
	return a, err
}

func (c *client) digest() string {
	if c.nonce == "" {
		return ""
	}
	c.nc++
	nc := fmt.Sprintf("%08x", c.nc)
	response := md5Hex(strings.Join([]string{
		md5Hex(c.user + ":" + c.realm + ":" + c.pass), c.nonce, nc, "0a1b", "auth", md5Hex("POST:/wsman"),
	}, ":"))
	h := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="/wsman", qop=auth, nc=%s, cnonce="0a1b", response="%s"`,
		c.user, c.realm, c.nonce, nc, response)
	if c.authorize != nil {
		h = c.authorize(h)
	}
	return "Authorization: " + h + "\r\n"
}

// post sends a body and logs in when challenged, once.
func (c *client) post(body string) (*answer, error) {
	a, err := c.exchange(body, c.digest())
	if err != nil {
		c.close()
		return nil, err
	}
	if a.code != 401 || c.keepNonce {
		return a, nil
	}
	c.challenges++
	challenge := a.header.Get("Www-Authenticate")
	c.realm, c.nonce, c.nc = quoted(challenge, "realm"), quoted(challenge, "nonce"), 0
	a, err = c.exchange(body, c.digest())
	if err != nil {
		c.close()
	}
	return a, err
}

func quoted(header, name string) string {
	_, after, _ := strings.Cut(header, name+`="`)
	v, _, _ := strings.Cut(after, `"`)
	return v
}

const testEnvelope = `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" ` +
	`xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>` +
	`<a:Action>%s</a:Action><a:To>/wsman</a:To><w:ResourceURI>%s</w:ResourceURI><a:MessageID>%d</a:MessageID><a:ReplyTo><a:Address>` +
	`http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo><w:OperationTimeout>PT60S</w:OperationTimeout>` +
	`%s</s:Header><s:Body>%s</s:Body></s:Envelope>`

// uriOf finds the base of a class by its prefix.
func uriOf(class string) string {
	switch class[:3] {
	case "CIM":
		return "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/" + class
	case "IPS":
		return "http://intel.com/wbem/wscim/1/ips-schema/1/" + class
	}
	return "http://intel.com/wbem/wscim/1/amt-schema/1/" + class
}

// do sends one operation and fails the test when nothing comes back.
func (c *client) do(action, class, selectors, body string) *answer {
	c.t.Helper()
	a, err := c.try(action, class, selectors, body)
	if err != nil {
		c.t.Fatalf("%s of %s: %v", action, class, err)
	}
	return a
}

func (c *client) try(action, class, selectors, body string) (*answer, error) {
	c.message++
	return c.post(fmt.Sprintf(testEnvelope, action, uriOf(class), c.message, selectors, body))
}

const (
	actGet    = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
	actPut    = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Put"
	actCreate = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create"
	actDelete = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete"
	actEnum   = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate"
	actPull   = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull"
)

func (c *client) get(class, selectors string) *answer {
	c.t.Helper()
	return c.do(actGet, class, selectors, "")
}

// invoke calls a method with elements given as name, value pairs.
func (c *client) invoke(class, method string, args ...string) *answer {
	c.t.Helper()
	return c.do(uriOf(class)+"/"+method, class, "", wrap(class, method+"_INPUT", args...))
}

func (c *client) tryInvoke(class, method string, args ...string) (*answer, error) {
	return c.try(uriOf(class)+"/"+method, class, "", wrap(class, method+"_INPUT", args...))
}

func (c *client) put(class, selectors string, args ...string) *answer {
	c.t.Helper()
	return c.do(actPut, class, selectors, wrap(class, class, args...))
}

// wrap makes an element of the class with children; a value that begins with < is
// XML.
func wrap(class, name string, args ...string) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, `<h:%s xmlns:h="%s">`, name, uriOf(class))
	for i := 0; i < len(args); i += 2 {
		v := args[i+1]
		if !strings.HasPrefix(v, "<") {
			var esc strings.Builder
			_ = xml.EscapeText(&esc, []byte(v))
			v = esc.String()
		}
		fmt.Fprintf(&sb, `<h:%s>%s</h:%s>`, args[i], v, args[i])
	}
	fmt.Fprintf(&sb, `</h:%s>`, name)
	return sb.String()
}

func selectorSet(pairs ...string) string {
	var sb strings.Builder
	sb.WriteString("<w:SelectorSet>")
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&sb, `<w:Selector Name="%s">%s</w:Selector>`, pairs[i], pairs[i+1])
	}
	return sb.String() + "</w:SelectorSet>"
}

func epr(class, key, value string) string {
	return `<a:Address>/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>` + uriOf(class) + `</w:ResourceURI>` +
		selectorSet(key, value) + `</a:ReferenceParameters>`
}

// pull enumerates a class and gives its items.
func (c *client) pull(class string) []node {
	c.t.Helper()
	const ns = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
	ctx := c.do(actEnum, class, "", `<n:Enumerate xmlns:n="`+ns+`"/>`).xml.text("EnumerationContext")
	a := c.do(actPull, class, "", `<n:Pull xmlns:n="`+ns+`"><n:EnumerationContext>`+ctx+
		`</n:EnumerationContext><n:MaxElements>999</n:MaxElements><n:MaxCharacters>99999</n:MaxCharacters></n:Pull>`)
	items := a.xml.find("Items")
	if items == nil || a.xml.find("EndOfSequence") == nil {
		c.t.Fatalf("pull of %s: %d %s", class, a.code, a.raw)
	}
	return items.Kids
}

// want fails unless the answer has this ReturnValue or AMT-STATUS.
func (c *client) want(a *answer, status Status) *answer {
	c.t.Helper()
	if a.status() != int(status) {
		c.t.Fatalf("status %d, want %v: %d %s", a.status(), status, a.code, a.raw)
	}
	return a
}

// pskClient dials the device's set-up interface with a pair.
func pskClient(t *testing.T, d *Device, pair amt.Pair, password string) *client {
	t.Helper()
	c := &client{t: t, user: "admin", pass: password}
	c.dial = func() (net.Conn, error) {
		raw, err := net.Dial("tcp", d.Addr().String())
		if err != nil {
			return nil, err
		}
		conn := tlspsk.Client(raw, tlspsk.PairConfig(pair))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return conn, nil
	}
	t.Cleanup(c.close)
	return c
}

// tlsClient dials the device after its commit, with static RSA suites.
func tlsClient(t *testing.T, d *Device, config *tls.Config, user, password string) *client {
	t.Helper()
	config = config.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS12
	config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA}
	c := &client{t: t, user: user, pass: password}
	c.dial = func() (net.Conn, error) {
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: config}
		return dialer.DialContext(t.Context(), "tcp", d.Addr().String())
	}
	t.Cleanup(c.close)
	return c
}

// plainClient dials without TLS.
func plainClient(t *testing.T, addr func() string, user, password string) *client {
	t.Helper()
	c := &client{t: t, user: user, pass: password}
	c.dial = func() (net.Conn, error) { return net.DialTimeout("tcp", addr(), 10*time.Second) }
	t.Cleanup(c.close)
	return c
}
