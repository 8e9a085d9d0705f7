package wsman

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

const (
	testRealm    = "Digest:A4070000000000000000000000000000"
	testPassword = "Passw0rd!"
)

// seen is a request as the scripted device read it.
type seen struct {
	call      string // "AMT_GeneralSettings.Get"
	messageID string
	body      string
	auth      map[string]string // nil without Authorization
	header    http.Header
	host      string
}

// answer is what the scripted device does with one authenticated request.
type answer struct {
	status int    // 0 means 200
	xml    string // the SOAP body's content; "" for an empty body
	action string // "" means the request's and "Response"
	raw    string // bytes to write instead of an HTTP answer made of the above
	text   string // HTTP body instead of an envelope
	header string // more header lines, each with its \r\n
	drop   bool   // close without an answer
	hang   bool   // say nothing until the test ends
	close  bool   // close after the answer
	wrong  bool   // relate to another message
}

// device is a scripted HTTP server with AMT's manners: the digest form, the
// connection that closes after a 401, and chunks of odd sizes. Scripts are queues
// of answers by call; the last one stays.
type device struct {
	t  *testing.T
	ln net.Listener

	mu        sync.Mutex // Protects all below.
	password  string
	scripts   map[string][]answer
	seen      []seen
	conns     int
	nonce     int
	used      map[string]bool // nc of this nonce
	fails     int             // logins refused
	qop       string          // in the challenge, quotes included; "" for none
	extra     string          // more challenge parameters
	staleWord string          // what a 401 to an old nonce says
	keepOpen  bool            // do not close after a 401
	noAuth    bool            // ask for no login
	resetEach int             // new nonce after that many requests
	lies      bool            // call the nonce stale when the password is wrong
	slow      bool            // answer byte by byte
	mishaps   map[string][]mishap
	served    int
	stop      chan struct{}
}

func newDevice(t *testing.T) *device {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &device{
		t: t, ln: ln, password: testPassword, scripts: map[string][]answer{},
		qop: `"auth"`, staleWord: `"false"`, used: map[string]bool{}, mishaps: map[string][]mishap{}, stop: make(chan struct{}),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns++
			d.mu.Unlock()
			wg.Go(func() { d.serve(conn) })
		}
	})
	t.Cleanup(func() { close(d.stop); _ = ln.Close(); wg.Wait() })
	return d
}

// on appends answers to the script of a call; "*" is for all calls without one.
func (d *device) on(call string, a ...answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scripts[call] = append(d.scripts[call], a...)
}

// set changes the device under its lock.
func (d *device) set(f func(*device)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// calls lists the authenticated calls so far.
func (d *device) calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, s := range d.seen {
		out = append(out, s.call)
	}
	return out
}

// refused is how many logins failed by the password.
func (d *device) refused() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fails
}

func (d *device) last() seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.seen) == 0 {
		d.t.Fatal("the device saw no call")
	}
	return d.seen[len(d.seen)-1]
}

var (
	reAction  = regexp.MustCompile(`<a:Action>([^<]*)</a:Action>`)
	reMessage = regexp.MustCompile(`<a:MessageID>([^<]*)</a:MessageID>`)
	reClass   = regexp.MustCompile(`<w:ResourceURI>[^<]*/([A-Za-z0-9_]+)</w:ResourceURI><a:MessageID>`)
	reParam   = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^,\s]+))`)
)

// serve answers the requests of one connection.
func (d *device) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	go func() { <-d.stop; _ = conn.Close() }()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		s := read(req, body)
		if refusal, ok := d.login(s); !ok {
			_, _ = io.WriteString(conn, refusal)
			if strings.Contains(refusal, "\r\nConnection: close") {
				return
			}
			continue
		}
		if !d.answer(conn, s) {
			return
		}
	}
}

func read(req *http.Request, body []byte) seen {
	s := seen{body: string(body), header: req.Header, host: req.Host, call: "Identify"}
	if m := reMessage.FindStringSubmatch(s.body); m != nil {
		s.messageID = m[1]
	}
	if m := reAction.FindStringSubmatch(s.body); m != nil {
		s.call = "?." + m[1][strings.LastIndexByte(m[1], '/')+1:]
		if c := reClass.FindStringSubmatch(s.body); c != nil {
			s.call = c[1] + s.call[1:]
		}
	}
	if a := req.Header.Get("Authorization"); a != "" {
		s.auth = map[string]string{"": a}
		for _, m := range reParam.FindAllStringSubmatch(a, -1) {
			s.auth[m[1]] = m[2] + m[3]
		}
	}
	return s
}

// login checks the digest and returns the 401 if it does not hold.
func (d *device) login(s seen) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noAuth {
		return "", true
	}
	current := fmt.Sprintf("wlbEK1EtAAAAAAAAWW5aUHFp+mQ%05d", d.nonce)
	stale := `"false"`
	if s.auth != nil && len(d.mishaps[s.call]) > 0 && d.mishaps[s.call][0] == nonceGone {
		d.expire(s.call)
		current = ""
	}
	if s.auth != nil {
		if s.auth["nonce"] != current {
			stale = d.staleWord
		} else if d.digest(s.auth) && !d.used[s.auth["nc"]] {
			d.used[s.auth["nc"]] = d.qop != ""
			if d.served++; d.resetEach > 0 && d.served%d.resetEach == 0 {
				d.nonce++
				d.used = map[string]bool{}
			}
			return "", true
		} else {
			d.fails++
			if d.lies {
				stale = `"true"`
			}
		}
	}
	d.nonce++
	d.used = map[string]bool{}
	qop := ""
	if d.qop != "" {
		qop = ",qop=" + d.qop
	}
	page := "<html><head><title>Intel&reg; Active Management Technology</title></head><body>Log on failed.</body></html>"
	return fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=%q, nonce=\"wlbEK1EtAAAAAAAAWW5aUHFp+mQ%05d\",stale=%s%s%s\r\n"+
		"Content-Type: text/html\r\nServer: Intel(R) Active Management Technology 11.8.50.3425\r\nContent-Length: %d\r\n%s\r\n%s",
		testRealm, d.nonce, stale, qop, d.extra, len(page), map[bool]string{false: "Connection: close\r\n"}[d.keepOpen], page), false
}

// digest recomputes the response from the request, written apart from the
// client's.
func (d *device) digest(a map[string]string) bool {
	sum := func(s string) string { b := md5.Sum([]byte(s)); return hex.EncodeToString(b[:]) }
	ha1 := sum(a["username"] + ":" + testRealm + ":" + d.password)
	ha2 := sum("POST:" + a["uri"])
	want := sum(ha1 + ":" + a["nonce"] + ":" + ha2)
	if d.qop != "" {
		want = sum(strings.Join([]string{ha1, a["nonce"], a["nc"], a["cnonce"], "auth", ha2}, ":"))
	}
	return a["realm"] == testRealm && a["response"] == want
}

// answer does what the script says and reports whether the connection goes on.
func (d *device) answer(conn net.Conn, s seen) bool {
	d.mu.Lock()
	d.seen = append(d.seen, s)
	key := s.call
	if len(d.scripts[key]) == 0 {
		key = "*"
	}
	var a answer
	if q := d.scripts[key]; len(q) > 0 {
		a = q[0]
		if len(q) > 1 {
			d.scripts[key] = q[1:]
		}
	} else {
		a = answer{status: 400, xml: faultXML("b:DestinationUnreachable", "no such class", "")}
	}
	slow := d.slow
	d.mu.Unlock()
	switch {
	case a.drop:
		return false
	case a.hang:
		<-d.stop
		return false
	case a.raw != "":
		_, _ = io.WriteString(conn, a.raw)
		return !a.close
	}
	if slow {
		trickle(conn, a.http(s))
	} else {
		_, _ = conn.Write(a.http(s))
	}
	return !a.close
}

// http makes the bytes of an HTTP answer with AMT's headers and chunks.
func (a answer) http(s seen) []byte {
	if a.status == 0 {
		a.status = 200
	}
	text := a.text
	if text == "" {
		text = a.envelope(s)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nServer: Intel(R) Active Management Technology 15.0.23.1706\r\nX-Frame-Options: DENY\r\n"+
		"Content-Type: application/soap+xml; charset=UTF-8\r\n%sTransfer-Encoding: chunked\r\n\r\n", a.status, http.StatusText(a.status), a.header)
	for i, sizes := 0, []int{544, 762, 17}; len(text) > 0; i++ {
		n := min(sizes[i%3], len(text))
		fmt.Fprintf(&b, "%04X\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// envelope wraps a's XML as the recorded devices do: a for SOAP, b for
// addressing, c for WS-Man; g is the class, which the script declares itself.
func (a answer) envelope(s seen) string {
	action := a.action
	if action == "" {
		action = reAction.ReplaceAllString(reAction.FindString(s.body), "$1") + "Response"
	}
	id := s.messageID
	if a.wrong {
		id += "0"
	}
	return `<?xml version="1.0" encoding="UTF-8"?><a:Envelope xmlns:a="http://www.w3.org/2003/05/soap-envelope" xmlns:b="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
		`xmlns:c="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:e="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><a:Header>` +
		`<b:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</b:To><b:RelatesTo>` + id + `</b:RelatesTo>` +
		`<b:Action a:mustUnderstand="true">` + action + `</b:Action><b:MessageID>uuid:00000000-8086-8086-8086-000000000001</b:MessageID>` +
		`</a:Header><a:Body>` + a.xml + `</a:Body></a:Envelope>`
}

// objectXML is an instance of class with properties "Name=value".
func objectXML(class string, props ...string) string {
	return elementXML(ResourceURI(class), class, props...)
}

// outputXML is <Method>_OUTPUT; a ReturnValue of 0 is added unless given.
func outputXML(class, method string, props ...string) string {
	if len(props) == 0 || !strings.HasPrefix(props[len(props)-1], "ReturnValue=") {
		props = append(props, "ReturnValue=0")
	}
	return elementXML(ResourceURI(class), method+"_OUTPUT", props...)
}

func elementXML(space, name string, props ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<g:%s xmlns:g=%q>", name, space)
	for _, p := range props {
		n, v, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, "<g:%s>%s</g:%s>", n, v, n)
	}
	fmt.Fprintf(&b, "</g:%s>", name)
	return b.String()
}

// eprXML is the content of a reference to an InstanceID.
func eprXML(class, id string) string {
	return `<b:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</b:Address><b:ReferenceParameters><c:ResourceURI>` + ResourceURI(class) +
		`</c:ResourceURI><c:SelectorSet><c:Selector Name="InstanceID">` + id + `</c:Selector></c:SelectorSet></b:ReferenceParameters>`
}

// enumXML and pullXML are the bodies of the two halves of an enumeration.
func enumXML(id string) string {
	return elementXML(nsEnumeration, "EnumerateResponse", "EnumerationContext="+id)
}

func pullXML(items ...string) string {
	return elementXML(nsEnumeration, "PullResponse", "Items="+strings.Join(items, ""), "EndOfSequence=")
}

// faultXML is a fault's body; detail is "" or a text.
func faultXML(subcode, reason, detail string) string {
	if detail != "" {
		detail = "<a:Text>" + detail + "</a:Text>"
	}
	return `<a:Fault><a:Code><a:Value>a:Sender</a:Value><a:Subcode><a:Value>` + subcode + `</a:Value></a:Subcode></a:Code>` +
		`<a:Reason><a:Text xml:lang="en-US">` + reason + `</a:Text></a:Reason><a:Detail>` + detail + `</a:Detail></a:Fault>`
}

// client returns a client of d with short waits; change alters its configuration.
func (d *device) client(change ...func(*Config)) *Client {
	d.t.Helper()
	cfg := Config{
		Address: d.ln.Addr().String(),
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", d.ln.Addr().String())
		},
		Password:     amt.NewSecretString(testPassword),
		RetryWaitMin: time.Millisecond,
		RetryWaitMax: 4 * time.Millisecond,
		Timeout:      5 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// general is a usual answer to a Get of AMT_GeneralSettings.
var general = answer{xml: objectXML(classGeneral, "DigestRealm="+testRealm, "DomainName=", "HostName=pc1", "PingResponseEnabled=true")}
