package wsman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get and commit are a call that may be repeated and one that must not.
func get(ctx context.Context, c *Client) error { _, err := c.GeneralSettings(ctx); return err }

func commit(ctx context.Context, c *Client) error { return c.CommitChanges(ctx) }

const (
	callGet    = classGeneral + ".Get"
	callCommit = classSetup + ".CommitChanges"
)

var commitOK = answer{xml: outputXML(classSetup, "CommitChanges")}

// warm makes the login, so that the call under test is the second.
func warm(t *testing.T, d *device, c *Client) {
	t.Helper()
	d.on("AMT_Warm.Get", answer{xml: objectXML("AMT_Warm")})
	if _, err := c.Get(t.Context(), "AMT_Warm"); err != nil {
		t.Fatal(err)
	}
}

// TestUnusableAnswers: each is an error, ErrLost too for a call that must not be
// repeated, and none is asked for again.
func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		a    answer
	}{
		{"empty body", answer{raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}},
		{"HTML", answer{text: "<html><body>index.htm</body></html>"}},
		{"text", answer{text: "OK"}},
		{"envelope cut short", answer{text: "<a:Envelope xmlns:a='http://www.w3.org/2003/05/soap-envelope'><a:Body>"}},
		{"SOAP 1.1", answer{text: "<a:Envelope xmlns:a='http://schemas.xmlsoap.org/soap/envelope/'><a:Body/></a:Envelope>"}},
		{"empty SOAP body", answer{}},
		{"another message", answer{wrong: true, xml: general.xml}},
		{"another action", answer{action: actionPut + "Response", xml: general.xml}},
		{"another class", answer{xml: objectXML("AMT_AuditLog")}},
		{"another namespace", answer{xml: elementXML(baseIPS+classGeneral, classGeneral)}},
		{"two elements", answer{xml: general.xml + general.xml}},
		{"text in the body", answer{xml: "pc1"}},
		{"DTD", answer{text: `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`}},
		{"no HTTP", answer{raw: "SSH-2.0-dropbear\r\n", close: true}},
		{"HTTP 500 without a fault", answer{status: 500, xml: general.xml}},
		{"HTTP 403 page", answer{status: 403, text: "<html>Forbidden</html>"}},
		{"redirect", answer{status: 307, header: "Location: http://127.0.0.1:1/\r\n", text: "<html/>"}},
		{"bad chunk", answer{raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}},
		{"too long", answer{text: strings.Repeat(" ", 70<<10)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			c := d.client(func(c *Config) { c.MaxReply = 64 << 10 })
			warm(t, d, c)
			d.on("*", tt.a)
			if err := get(t.Context(), c); !errors.Is(err, ErrUnexpectedReply) || errors.Is(err, ErrLost) || IsTemporary(err) {
				t.Errorf("get: %v", err)
			}
			if err := commit(t.Context(), c); !errors.Is(err, ErrUnexpectedReply) || !errors.Is(err, ErrLost) || IsTemporary(err) {
				t.Errorf("commit: %v", err)
			}
			if n := len(d.calls()); n != 3 {
				t.Errorf("%d calls: %v", n, d.calls())
			}
		})
	}
}

// TestConnectionFails: what may be repeated is, what must not be is ErrLost after
// one sending.
func TestConnectionFails(t *testing.T) {
	t.Parallel()
	cut := answer{raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0220\r\n<?xml", close: true}
	for _, tt := range []struct {
		name string
		a    answer
	}{{"closed before the answer", answer{drop: true}}, {"cut in the answer", cut}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			c := d.client()
			warm(t, d, c)
			d.on(callGet, tt.a, tt.a, general)
			if err := get(t.Context(), c); err != nil {
				t.Errorf("get: %v", err)
			}
			d.on(callCommit, tt.a, commitOK)
			err := commit(t.Context(), c)
			if !errors.Is(err, ErrLost) || IsTemporary(err) || !(errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Errorf("commit: %v", err)
			}
			if got, want := strings.Count(strings.Join(d.calls(), " "), "CommitChanges"), 1; got != want {
				t.Errorf("CommitChanges was sent %d times", got)
			}
			d.set(func(d *device) { d.scripts[callGet] = []answer{tt.a} })
			if err := get(t.Context(), c); !errors.Is(err, ErrUnreachable) || !IsTemporary(err) {
				t.Errorf("get for ever: %v", err)
			}
			if got, want := strings.Count(strings.Join(d.calls(), " "), callGet), 3+4; got != want {
				t.Errorf("Get was sent %d times, want %d", got, want)
			}
		})
	}
}

// TestStaleConnection: the device closes an idle connection. A call that must not
// be repeated is then sent exactly once, on another.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	d.on("AMT_Warm.Get", answer{xml: objectXML("AMT_Warm"), close: true})
	warm(t, d, c)
	d.on(callCommit, commitOK)
	for range 20 {
		if _, err := c.Get(t.Context(), "AMT_Warm"); err != nil {
			t.Fatal(err)
		}
		// Without a wait the close may not have been seen yet: the call is then either
		// not sent, and repeated, or lost, but never sent twice.
		before := len(d.calls())
		err := commit(t.Context(), c)
		if err != nil && !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
		if n := len(d.calls()) - before; n > 1 || n == 0 && err == nil {
			t.Fatalf("sent %d times, error %v", n, err)
		}
	}
}

// TestIdleLimit: a call that must not be repeated does not trust a connection
// that has been idle for long.
func TestIdleLimit(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	now := time.Unix(1000, 0)
	c := d.client(func(c *Config) { c.Now = func() time.Time { return now } })
	warm(t, d, c)
	d.on(callGet, general)
	d.on(callCommit, commitOK)
	steps := []struct {
		wait time.Duration
		call func(context.Context, *Client) error
		want int64
	}{{9 * time.Second, commit, 2}, {time.Hour, get, 2}, {11 * time.Second, commit, 3}}
	for i, s := range steps {
		now = now.Add(s.wait)
		if err := s.call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := c.Stats().Connections; got != s.want {
			t.Errorf("step %d: %d connections, want %d", i, got, s.want)
		}
	}
}

// TestBusy: HTTP 503 is repeated for every kind of call, within bounds, and a
// long Retry-After does not make us wait.
func TestBusy(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	warm(t, d, c)
	busy := answer{status: 503, header: "Retry-After: 3600\r\n", text: "busy"}
	d.on(callCommit, busy, busy, commitOK)
	if err := commit(t.Context(), c); err != nil {
		t.Errorf("commit: %v", err)
	}
	d.on(callGet, busy)
	if err := get(t.Context(), c); !errors.Is(err, ErrBusy) || !IsTemporary(err) {
		t.Errorf("get: %v", err)
	}
	if n := strings.Count(strings.Join(d.calls(), " "), callGet); n != 4 {
		t.Errorf("Get was sent %d times, want 4", n)
	}
}

// TestBusyThenCanceled: HTTP 503 says that the call was not executed, so giving up
// while waiting loses nothing.
func TestBusyThenCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := newDevice(t)
	c := d.client(func(c *Config) {
		c.RetryWaitMin, c.RetryWaitMax = time.Hour, time.Hour
		c.Hooks.Request = func(call string, _ time.Duration, _ error) {
			if call == callCommit {
				time.AfterFunc(time.Millisecond, cancel)
			}
		}
	})
	warm(t, d, c)
	d.on(callCommit, answer{status: 503, text: "busy"})
	if err := commit(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
}

// TestFaultsAreNotRepeated: HTTP 400 and 500 are answers.
func TestFaultsAreNotRepeated(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	warm(t, d, c)
	for i, tt := range []struct {
		a         answer
		want      Fault
		absent    bool
		duplicate bool
		temporary bool
	}{
		{answer{status: 400, xml: faultXML("e:AlreadyExists", "it exists", "")}, Fault{Status: 400, Code: "Sender", Subcode: "AlreadyExists", Reason: "it exists"}, false, true, false},
		{answer{status: 400, xml: faultXML("b:DestinationUnreachable", "no route", "")}, Fault{Status: 400, Code: "Sender", Subcode: "DestinationUnreachable", Reason: "no route"}, true, false, false},
		{answer{status: 400, xml: faultXML("e:AccessDenied", "no", "")}, Fault{Status: 400, Code: "Sender", Subcode: "AccessDenied", Reason: "no"}, false, false, false},
		{answer{status: 500, xml: faultXML("e:InternalError", "oops", "AMT-STATUS 2082")}, Fault{Status: 500, Code: "Sender", Subcode: "InternalError", Reason: "oops", PTStatus: 2082}, false, false, true},
		{answer{status: 500, xml: faultXML("e:InternalError", "oops", "AMT-STATUS 2066")}, Fault{Status: 500, Code: "Sender", Subcode: "InternalError", Reason: "oops", PTStatus: 2066}, true, false, false},
		{answer{status: 400, action: "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", xml: "<a:Fault/>"}, Fault{Status: 400}, true, false, false},
	} {
		class := fmt.Sprintf("AMT_T%d", i)
		d.on(class+".Get", tt.a)
		_, err := c.Get(t.Context(), class)
		tt.want.Call = class + ".Get"
		var f *Fault
		if !errors.As(err, &f) || *f != tt.want {
			t.Errorf("%d: got %+v (%v), want %+v", i, f, err, tt.want)
		}
		if IsAbsent(err) != tt.absent || IsDuplicate(err) != tt.duplicate || IsTemporary(err) != tt.temporary {
			t.Errorf("%d: absent %v, duplicate %v, temporary %v", i, IsAbsent(err), IsDuplicate(err), IsTemporary(err))
		}
	}
	if n := len(d.calls()); n != 7 {
		t.Errorf("%d calls", n)
	}
	d.on(callCommit, answer{status: 400, wrong: true, xml: faultXML("e:X", "", "")})
	if err := commit(t.Context(), c); !errors.Is(err, ErrLost) {
		t.Errorf("a fault for another message: %v", err)
	}
}

// TestNoWSMan: AMT 2.x answers 404, or closes each connection.
func TestNoWSMan(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]answer{"404": {status: 404, text: "<html>not found</html>"}, "close": {drop: true}} {
		d := newDevice(t)
		d.on("*", a)
		if err := get(t.Context(), d.client()); !errors.Is(err, ErrNoWSMan) || IsTemporary(err) || errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		d = newDevice(t)
		c := d.client()
		warm(t, d, c)
		d.on("*", a)
		if err := get(t.Context(), c); errors.Is(err, ErrNoWSMan) {
			t.Errorf("%s after an envelope: %v", name, err)
		}
	}
	d := newDevice(t)
	d.on("*", answer{drop: true})
	if err := commit(t.Context(), d.client()); !errors.Is(err, ErrLost) {
		t.Errorf("commit: %v", err)
	}
}

// TestTarpit: a device that says nothing, or never ends, is cut.
func TestTarpit(t *testing.T) {
	t.Parallel()
	endless := answer{raw: "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n<"}
	for name, a := range map[string]answer{"silent": {hang: true}, "endless": endless} {
		d := newDevice(t)
		c := d.client(func(c *Config) { c.Timeout = 300 * time.Millisecond })
		warm(t, d, c)
		d.on("*", a)
		start := time.Now()
		if err := get(t.Context(), c); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !IsTemporary(err) {
			t.Errorf("%s: get: %v", name, err)
		}
		if err := commit(t.Context(), c); !errors.Is(err, ErrLost) {
			t.Errorf("%s: commit: %v", name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if n := len(d.calls()); n != 3 {
			t.Errorf("%s: %v", name, d.calls())
		}
	}
}

// TestContext: the caller's context ends a call at once.
func TestContext(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	warm(t, d, c)
	d.on("*", answer{hang: true})
	for _, f := range []func(context.Context, *Client) error{get, commit} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		err := f(ctx, c)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || IsTemporary(err) {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := commit(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, ErrLost) {
		t.Errorf("canceled before: %v", err)
	}
}

// TestDialErrors: a refused connection is tried again, anything else is not, and
// nothing is lost because nothing was sent.
func TestDialErrors(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on(callCommit, commitOK)
	own := errors.New("the pre-shared key does not match")
	tries := 0
	c := d.client(func(c *Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context) (net.Conn, error) {
			switch tries++; tries {
			case 1:
				return nil, own
			case 2, 3:
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return dial(ctx)
		}
	})
	err := commit(t.Context(), c)
	if !errors.Is(err, own) || !errors.Is(err, ErrUnreachable) || IsTemporary(err) || errors.Is(err, ErrLost) || tries != 1 {
		t.Errorf("own error: %v after %d tries", err, tries)
	}
	if err := commit(t.Context(), c); err != nil || tries != 5 { // one more dial after the 401
		t.Errorf("refused: %v after %d tries", err, tries)
	}
}

// TestClose: Close ends a call under way and all later ones; it may come twice.
func TestClose(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	warm(t, d, c)
	d.on("*", answer{hang: true})
	errs := make(chan error)
	go func() { errs <- get(t.Context(), c) }()
	for len(d.calls()) < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("under way: %v", err)
	}
	if err := get(t.Context(), c); !errors.Is(err, ErrClosed) {
		t.Errorf("later: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileDialling: a connection that comes after Close is closed.
func TestCloseWhileDialling(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	dialling, closed := make(chan struct{}), make(chan struct{})
	c, err := New(Config{Address: "[fe80::1%eth0]:16993", Dial: func(context.Context) (net.Conn, error) {
		close(dialling)
		<-closed
		return here, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	go func() { errs <- get(t.Context(), c) }()
	<-dialling
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	close(closed)
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection stays open: %v", err)
	}
}

// TestHostHeader: a zone stays out of it.
func TestHostHeader(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"[fe80::1%eth0]:16993": "[fe80::1]:16993", "192.0.2.1:16993": "192.0.2.1:16993", "pc1.example.com:16993": "pc1.example.com:16993"} {
		d := newDevice(t)
		d.on("*", general)
		if err := get(t.Context(), d.client(func(c *Config) { c.Address = address })); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if got := d.last().host; got != want {
			t.Errorf("%s: Host %q, want %q", address, got, want)
		}
	}
}

// TestConcurrent: calls from many goroutines go one after the other over one
// connection.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.set(func(d *device) { d.resetEach = 7 })
	d.on("*", general)
	c := d.client()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if err := get(t.Context(), c); err != nil {
					t.Error(err)
				}
				if i == 3 {
					c.SetCredentials("", amt.NewSecretString(testPassword))
				}
				_, _, _ = c.Realm(), c.Server(), c.Stats()
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Requests != 40 || s.Connections > s.Challenges+1 {
		t.Errorf("%+v", s)
	}
}

// TestLogAndHooks: names and outcomes are told, bodies and secrets are not.
func TestLogAndHooks(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on(classSetup+".SetMEBxPassword", answer{xml: outputXML(classSetup, "SetMEBxPassword", "ReturnValue=16")})
	d.on(callGet, general)
	var log bytes.Buffer
	var told []string
	secret := amt.NewSecretString("S3cret&Word")
	c := d.client(func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Hooks = Hooks{
			Request:    func(call string, _ time.Duration, err error) { told = append(told, fmt.Sprint(call, " ", err)) },
			Challenge:  func() { told = append(told, "challenge") },
			Connection: func() { told = append(told, "connection") },
			Bytes: func(in, out int64) {
				if in <= 0 || out <= 0 {
					t.Errorf("bytes %d, %d", in, out)
				}
			},
		}
	})
	err := c.SetMEBxPassword(t.Context(), secret)
	var s *StatusError
	if !errors.As(err, &s) || s.Status != StatusNotPermitted || s.Vendor || Class(s.Status) != Operator {
		t.Errorf("got %v", err)
	}
	_ = get(t.Context(), c)
	if got, want := strings.Join(told, "; "), "connection; challenge; connection; "+classSetup+".SetMEBxPassword <nil>; "+callGet+" <nil>"; got != want {
		t.Errorf("hooks\ngot  %s\nwant %s", got, want)
	}
	for _, want := range []string{"call=" + classSetup + ".SetMEBxPassword", "NOT_PERMITTED (16)", "call=" + callGet, "outcome=ok"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	all := log.String() + fmt.Sprintf("%v %+v %#v %s", c, c, c, err)
	for _, leak := range []string{"S3cret", testPassword, "Envelope", "response=", "wlbEK"} {
		if strings.Contains(all, leak) {
			t.Errorf("%q leaks", leak)
		}
	}
}

// TestConfig holds what New refuses.
func TestConfig(t *testing.T) {
	t.Parallel()
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("no") }
	for name, c := range map[string]Config{
		"nothing": {}, "no address": {Dial: dial}, "no dial": {Address: "a:1"}, "no port": {Address: "a", Dial: dial}, "blank": {Address: "a b:1", Dial: dial},
		"form": {Address: "a:1", Dial: dial, PSKForm: 9}, "no randomness": {Address: "a:1", Dial: dial, Rand: strings.NewReader("")},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
