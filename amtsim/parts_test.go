package amtsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// TestDigestVector is the example of RFC 2617 section 3.5.
func TestDigestVector(t *testing.T) {
	t.Parallel()
	p, ok := parseAuthorization(`Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ` +
		`uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", ` +
		`opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
	if !ok {
		t.Fatal("the example cannot be read")
	}
	secret := ha1(p["username"], p["realm"], amt.NewSecretString("Circle Of Life"))
	if got := digest(secret, p, "GET"); got != p["response"] {
		t.Errorf("got %s, want %s", got, p["response"])
	}
}

// FuzzParseAuthorization: what is read can be written and read again.
func FuzzParseAuthorization(f *testing.F) {
	f.Add(`Digest username="a", realm="b", nonce="c", uri="/wsman", qop=auth, nc=00000001, cnonce="d", response="e"`)
	f.Add(`Digest username="a\"\\b",realm="b" , nonce="c", uri="/", qop="auth", nc=1, cnonce=d, response="e", algorithm=MD5, x=y`)
	f.Fuzz(func(t *testing.T, header string) {
		p, ok := parseAuthorization(header)
		if !ok {
			return
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(p)) {
			parts = append(parts, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p[name])+`"`)
		}
		again, ok := parseAuthorization("Digest " + strings.Join(parts, ", "))
		if !ok || !reflect.DeepEqual(p, again) {
			t.Fatalf("%q reads as %v, written again as %v, %v", header, p, again, ok)
		}
	})
}

func TestNonces(t *testing.T) {
	t.Parallel()
	var n, other nonces
	seen := map[string]bool{}
	for range 100 {
		s := n.issue()
		if seen[s] || len(s) != 32 || strings.Contains(s, "=") || !n.known(s) || other.known(s) {
			t.Fatalf("nonce %q", s)
		}
		seen[s] = true
	}
	s := n.issue()
	for i := range len(s) {
		changed := []byte(s)
		changed[i] ^= 1
		if n.known(string(changed)) {
			t.Errorf("changed at %d it is still known", i)
		}
	}
	n.reset()
	if n.known(s) {
		t.Error("known after a reset")
	}
	for i := range maxStrict + 10 {
		if nonce := fmt.Sprint(i); !n.next(nonce, 1) || !n.next(nonce, 2) || n.next(nonce, 2) || n.next(nonce, 4) {
			t.Errorf("counts of nonce %d", i)
		}
	}
	if len(n.last) > maxStrict {
		t.Errorf("%d nonces are kept", len(n.last))
	}
}

// TestForms are the small recognisers.
func TestForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		is        func(string) bool
		good, bad []string
	}{
		{
			"duration", isDuration,
			[]string{"PT60S", "PT60.000S", "P1D", "PT1H30M", "P1DT2H", "PT0S"},
			[]string{"", "P", "PT", "60", "PT60", "-PT1S", "PT1.5M", "PT1S1M", "P1S", "PT1D", "PT1ST", "P1DT", "PT.5S", "PT1.S", "PT1X"},
		},
		{
			"netmask", isMask,
			[]string{"255.255.255.0", "128.0.0.0", "255.255.255.255", "255.255.254.0"},
			[]string{"", "0.0.0.0", "255.0.255.0", "0.0.0.255", "255.255.255", "ffff::", "x"},
		},
		{
			"host name", isHostName,
			[]string{"a", "pc-1", "PC1", "1"},
			[]string{"", "-a", "a-", "a.b", "a b", "ä", "a_b"},
		},
		{
			"domain", isDomain,
			[]string{"example", "example.net", "a-b.c"},
			[]string{"", ".", "a..b", "a.", ".a", strings.Repeat("a", 64)},
		},
		{
			"content type", soapType,
			[]string{"", "application/soap+xml", "application/soap+xml; charset=UTF-8", `Application/SOAP+XML;charset="utf-8"`},
			[]string{"text/xml", "application/soap+xml; charset=latin1", "application/soap+xml; charset", "x"},
		},
		{
			"number", func(s string) bool { _, ok := parseUint(s, 8); return ok },
			[]string{"0", "255", "10"},
			[]string{"", "256", "-1", "+1", "01", "1.0", "0x1", " 1", "1 "},
		},
	} {
		for _, s := range tt.good {
			if !tt.is(s) {
				t.Errorf("%s: %q is refused", tt.name, s)
			}
		}
		for _, s := range tt.bad {
			if tt.is(s) {
				t.Errorf("%s: %q is taken", tt.name, s)
			}
		}
	}
}

func TestContextID(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint32]string{
		0x14: "14000000-0000-0000-0000-000000000000", 0x2E2: "E2020000-0000-0000-0000-000000000000",
		0xDEADBEEF: "EFBEADDE-0000-0000-0000-000000000000",
	} {
		if got := contextID(n); got != want {
			t.Errorf("%#x: got %s, want %s", n, got, want)
		}
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n    int
		want string
	}{{0, ""}, {1, "0001"}, {544, "0220"}, {545, "0220 0001"}, {544 + 762 + 762 + 60, "0220 02FA 02FA 003C"}} {
		var sizes []string
		rest := appendChunks(nil, bytes.Repeat([]byte("x"), tt.n), firstChunk)
		for len(rest) > 0 {
			size, after, _ := bytes.Cut(rest, []byte("\r\n"))
			sizes = append(sizes, string(size))
			_, rest, _ = bytes.Cut(after, []byte("\r\n"))
		}
		if got := strings.Join(sizes, " "); got != tt.want {
			t.Errorf("%d bytes: %s, want %s", tt.n, got, tt.want)
		}
	}
}

// pipe is a net.Conn that reads from memory.
type pipe struct {
	net.Conn
	r io.Reader
}

func (p pipe) Read(b []byte) (int, error) { return p.r.Read(b) }

// FuzzReadRequest: any bytes give a request or an error, and no body is larger
// than allowed.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"))
	f.Add([]byte("POST /wsman HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := &bounded{conn: pipe{r: bytes.NewReader(b)}}
		req, err := readRequest(bufio.NewReader(lim), lim)
		if (req == nil) != (err != nil) || req != nil && len(req.body) > maxBody {
			t.Fatalf("%q: %v, %v", b, req, err)
		}
	})
}

// FuzzState: a state file that is not ours is an error, never a panic, and one that
// is taken is written as it was read.
func FuzzState(f *testing.F) {
	dir := f.TempDir()
	o := Options{Generation: AMT90, Addr: loopback(), StateFile: filepath.Join(dir, "seed.json")}
	d, err := New(o)
	if err != nil {
		f.Fatal(err)
	}
	if err := d.Enter(Setup{Pair: testPair(f), NewPassword: amt.NewSecretString(testMEBx)}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(o.StateFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("{}"))
	f.Add(bytes.ReplaceAll(seed, []byte(`"Phase": 1`), []byte(`"Phase": 2`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := o
		o.StateFile = filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(o.StateFile, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := New(o)
		if err != nil {
			return
		}
		d.mu.Lock()
		first := d.state()
		err = d.save()
		d.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		again, err := New(o)
		if err != nil {
			t.Fatalf("what was saved is refused: %v", err)
		}
		want, _ := json.Marshal(first)
		got, _ := json.Marshal(again.state())
		if !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestSecretsStayInside: neither events nor errors show a password, a key or a PPS.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	var seen events
	d := device(t, AMT90, func(o *Options) { o.OnEvent = seen.add })
	c := pskClient(t, d, testPair(t), testMEBx)
	next := drawPair(t)
	c.invoke(setupClass, "SetMEBxPassword", "Password", "Planted1!")
	c.invoke(setupClass, "SetTLSPSK", "PID", encode(next.PID[:]), "PPS", encode(next.PPS.Reveal()))
	c.invoke(setupClass, "SetMEBxPassword", "Pass<word", "Planted1!")
	c.do(uriOf(setupClass)+"/SetMEBxPassword", setupClass, "", "<h:SetMEBxPassword_INPUT xmlns:h='x'><h:Password>Planted1!")
	c.setAdmin("admin", testAdmin)
	c.pass = "Wrong123!"
	c.get(generalClass, "")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	text := fmt.Sprintf("%+v %+v %v", seen.list, d.Calls(), d.Snapshot())
	ha := md5Base64("admin", d.Snapshot().Realm, testAdmin)
	for _, secret := range []string{testMEBx, "Planted1!", string(next.PPS.Reveal()), encode(next.PPS.Reveal()), "NKLD", testAdmin, ha} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is shown: %s", secret)
		}
	}
}

func TestEventText(t *testing.T) {
	t.Parallel()
	e := Event{Device: 3, Addr: "127.0.0.5:16993", Kind: EventHello, Text: "retry 0"}
	if got := e.String(); got != "device 3 127.0.0.5:16993 hello: retry 0" {
		t.Errorf("got %q", got)
	}
	if got := (Event{Kind: EventHelloEnd}).String(); got != "device 0  hello-end" {
		t.Errorf("got %q", got)
	}
	if got := DataMissing.String() + ", " + Status(4711).String(); got != "2057 DATA_MISSING, 4711" {
		t.Errorf("got %q", got)
	}
}

// TestCallLog is bounded, and counts what it forgets.
func TestCallLog(t *testing.T) {
	t.Parallel()
	d, err := New(Options{Generation: AMT90, Addr: loopback()})
	if err != nil {
		t.Fatal(err)
	}
	const n = maxCalls + 100
	for i := range n {
		d.record(Call{Class: "C", Op: "Op", Status: Status(i)})
	}
	for i := range 2 * maxNames {
		d.record(Call{Op: fmt.Sprint(i)})
	}
	calls, counts := d.Calls(), d.Counts()
	if len(calls) > maxCalls || calls[len(calls)-1].Op != fmt.Sprint(2*maxNames-1) || counts["C.Op"] != n || len(counts) > maxNames+1 || counts[otherCalls] == 0 {
		t.Errorf("%d calls kept, %d counters, %d of C.Op, %d others", len(calls), len(counts), counts["C.Op"], counts[otherCalls])
	}
}

// TestManyClients: clients of one device do not disturb each other.
func TestManyClients(t *testing.T) {
	t.Parallel()
	d, _ := operational(t, AMT90, nil)
	addr := waitClear(t, d)
	errs := make(chan error)
	const clients = 8
	for i := range clients {
		go func() {
			c := plainClient(t, func() string { return addr }, "admin", testAdmin)
			for range 10 {
				a, err := c.try(actGet, generalClass, "", "")
				if err == nil && a.code != 200 {
					err = fmt.Errorf("client %d: %d", i, a.code)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			c.close()
			errs <- nil
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		d.SetTrouble(Trouble{})
		_ = d.Snapshot()
	}
	if got := d.Counts()["AMT_GeneralSettings.Get"]; got != 10*clients {
		t.Errorf("%d calls", got)
	}
}

// TestCrashAnywhere kills the device behind each call of a set-up, starts it again
// from its state file, and goes on: the set-up ends as if nothing had happened.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	o := Options{
		Generation: AMT90, Addr: loopback(), EphemeralPort: true, Server: "127.0.0.1:1", Keys: testPool(),
		StateFile: filepath.Join(t.TempDir(), "state.json"),
		Setup:     Setup{Pair: testPair(t), NewPassword: amt.NewSecretString(testMEBx)},
	}
	pass := testMEBx
	step := func(act func(c *client)) *Device {
		t.Helper()
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, d)
		c := pskClient(t, d, testPair(t), pass)
		c.get(generalClass, "")
		act(c)
		c.close()
		stop()
		return d
	}
	step(func(c *client) { c.setTime() })
	var cert []byte
	step(func(c *client) {
		_, pub := c.makeKey(AMT90)
		x := ca.issue(t, "pc1.example.net", pub, nil)
		cert = x.Raw
		c.link(x)
	})
	step(func(c *client) { c.putHostName("pc1", "example.net") })
	step(func(c *client) { c.putTLS(true, false, false) })
	step(func(c *client) { c.want(c.setAdmin("admin", testAdmin), Success) })
	pass = testAdmin
	d := step(func(c *client) { c.want(c.commit(), Success) })
	if d.Phase() != amt.Operational {
		t.Fatalf("phase %v", d.Phase())
	}
	again, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, again)
	checkOperational(t, again, ca, cert)
}

// TestRestartForgets: nonces, contexts and the log of calls live in RAM.
func TestRestartForgets(t *testing.T) {
	t.Parallel()
	d, err := New(Options{
		Generation: AMT90, Addr: loopback(), EphemeralPort: true, Operational: &Operational{Password: amt.NewSecretString(testAdmin)},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, d)
	c := plainClient(t, func() string { return waitClear(t, d) }, "admin", testAdmin)
	c.get(generalClass, "")
	stop()
	c.close()
	start(t, d)
	waitClear(t, d)
	if n := len(d.Calls()); n != 0 {
		t.Errorf("%d calls are remembered", n)
	}
	if a := c.get(generalClass, ""); a.code != 200 || c.challenges != 2 {
		t.Errorf("%d, %d challenges: the nonce should be forgotten", a.code, c.challenges)
	}
}

// TestClock: the device's own clock shows in Date and moves on.
func TestClock(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, func(o *Options) { o.ClockSkew = -48 * time.Hour })
	date, err := time.Parse(time.RFC1123, c.get(generalClass, "").header.Get("Date"))
	if err != nil || time.Since(date) < 47*time.Hour {
		t.Errorf("Date %v, %v", date, err)
	}
}

// TestKerberosUser: an account by SID has no digest, and is read back as given.
func TestKerberosUser(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	sid := encode([]byte("\x01\x05binary sid"))
	args := func(sid string) []string {
		return []string{"KerberosUserSid", sid, "AccessPermission", "2", "Realms", "3"}
	}
	handle := c.want(c.invoke(authClass, "AddUserAclEntryEx", args(sid)...), Success).xml.text("Handle")
	c.want(c.invoke(authClass, "AddUserAclEntryEx", args(sid)...), Duplicate)
	c.want(c.invoke(authClass, "AddUserAclEntryEx", args(encode(make([]byte, maxSID+1)))...), InvalidParameter)
	c.want(c.invoke(authClass, "AddUserAclEntryEx", append([]string{"DigestUsername", "x"}, args(sid)...)...), InvalidParameter)
	a := c.invoke(authClass, "GetUserAclEntryEx", "Handle", handle)
	if a.xml.text("KerberosUserSid") != sid || a.xml.find("DigestUsername") != nil {
		t.Errorf("got %s", a.raw)
	}
	if d.CheckUser("", amt.Secret{}) {
		t.Error("an account without a digest logs in")
	}
}
