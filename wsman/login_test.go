package wsman

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

// TestDigestVector is the example of RFC 2617 section 3.5, and its RFC 2069
// form, MD5 of HA1:nonce:HA2, computed with
// Python's hashlib.
func TestDigestVector(t *testing.T) {
	t.Parallel()
	l := login{
		user: "Mufasa", password: amt.NewSecretString("Circle Of Life"),
		realm: "testrealm@host.com", nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop: true,
	}
	if _, err := l.header("GET", "/dir/index.html", zeros{}); err != nil {
		t.Fatal(err)
	}
	if got, want := l.response("GET", "/dir/index.html", "00000001", "0a4f113b"), "6629fae49393a05397450978507c4ef1"; got != want {
		t.Errorf("qop auth: got %s, want %s", got, want)
	}
	l.qop = false
	if got, want := l.response("GET", "/dir/index.html", "", ""), "670fd8c2df070c60b045671b8b24ff02"; got != want {
		t.Errorf("no qop: got %s, want %s", got, want)
	}
}

// zeros is a source of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLoginHeader shows the whole header, quoting included.
func TestLoginHeader(t *testing.T) {
	t.Parallel()
	l := login{user: `a"b\c`, password: amt.NewSecretString("x")}
	h := http.Header{"Www-Authenticate": {"Negotiate", `Digest realm="r", nonce="n", opaque="o,p", algorithm=MD5, qop="auth,auth-int"`}}
	if stale, err := l.take(h); err != nil || stale {
		t.Fatalf("take: %v, %v", stale, err)
	}
	got, err := l.header("POST", "/wsman", zeros{})
	if err != nil {
		t.Fatal(err)
	}
	// The response was computed with Python's hashlib from the inputs of RFC 2617.
	want := `Digest username="a\"b\\c", realm="r", nonce="n", uri="/wsman", response="2a6961a5bb2b29a31677ab22a0bcd663", ` +
		`qop=auth, nc=00000001, cnonce="00000000000000000000000000000000", algorithm=MD5, opaque="o,p"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, _ = l.header("POST", "/wsman", zeros{}); !strings.Contains(got, "nc=00000002") {
		t.Errorf("the second use has %s", got)
	}
}

// TestTake holds which challenges are answered.
func TestTake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		ok, stale    bool
	}{
		{"AMT 11", `Digest realm="Digest:A4", nonce="wl+B",stale="false",qop="auth"`, true, false},
		{"quoted stale", `Digest realm="Digest:A4", nonce="wl+B",stale="true",qop="auth"`, true, true},
		{"stale token", `Digest realm="Digest:A4", nonce="wl+B", stale=TRUE`, true, true},
		{"AMT 14", `Digest realm="Digest:A4", nonce="wl+B",stale="false",qop="auth,auth-int"`, true, false},
		{"auth-int first", `Digest realm="r", nonce="n", qop="auth-int, auth"`, true, false},
		{"after another scheme", `Negotiate, Digest realm="r", nonce="n"`, true, false},
		{"after a blob", `Negotiate YII/+g==, Digest realm="r", nonce="n"`, true, false},
		{"empty realm", `Digest realm="", nonce="n"`, true, false},
		{"only auth-int", `Digest realm="r", nonce="n", qop="auth-int"`, false, false},
		{"SHA-256", `Digest realm="r", nonce="n", algorithm=SHA-256`, false, false},
		{"MD5-sess", `Digest realm="r", nonce="n", algorithm=MD5-sess`, false, false},
		{"control character", "Digest realm=\"r\x01\", nonce=\"n\"", false, false},
		{"not ASCII", "Digest realm=\"r\", nonce=\"n\xff\"", false, false},
		{"no nonce", `Digest realm="r"`, false, false},
		{"no realm", `Digest nonce="n"`, false, false},
		{"Basic", `Basic realm="r"`, false, false},
		{"open quote", `Digest realm="r, nonce="n"`, false, false},
		{"nothing", ``, false, false},
	} {
		var l login
		stale, err := l.take(http.Header{"Www-Authenticate": {tt.header}})
		if (err == nil) != tt.ok || stale != tt.stale {
			t.Errorf("%s: stale %v, error %v", tt.name, stale, err)
		}
	}
}

// TestLogin is the usual course: one challenge, then the nonce is kept.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(*device)
		want  Stats // of three calls
	}{
		{"AMT", func(*device) {}, Stats{Requests: 3, Challenges: 1, Connections: 2}},
		{"open after 401", func(d *device) { d.keepOpen = true }, Stats{Requests: 3, Challenges: 1, Connections: 1}},
		{"auth,auth-int", func(d *device) { d.qop = `"auth,auth-int"` }, Stats{Requests: 3, Challenges: 1, Connections: 2}},
		{"unquoted qop", func(d *device) { d.qop = `auth` }, Stats{Requests: 3, Challenges: 1, Connections: 2}},
		{"no qop", func(d *device) { d.qop = "" }, Stats{Requests: 3, Challenges: 1, Connections: 2}},
		{"opaque", func(d *device) { d.extra = `,opaque="x",algorithm=MD5` }, Stats{Requests: 3, Challenges: 1, Connections: 2}},
		{"no login", func(d *device) { d.noAuth = true }, Stats{Requests: 3, Connections: 1}},
		{"nonce reset each time", func(d *device) { d.resetEach = 1 }, Stats{Requests: 3, Challenges: 3, Connections: 4}},
		{"nonce reset, said so", func(d *device) { d.resetEach, d.staleWord = 2, `"true"` }, Stats{Requests: 3, Challenges: 2, Connections: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			d.set(tt.setup)
			d.on("*", general)
			c := d.client()
			for range 3 {
				if _, err := c.GeneralSettings(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got := c.Stats()
			if got.BytesIn == 0 || got.BytesOut == 0 {
				t.Errorf("no bytes counted: %+v", got)
			}
			if got.BytesIn, got.BytesOut = 0, 0; got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if want := testRealm; c.Realm() != want && tt.name != "no login" {
				t.Errorf("realm %q, want %q", c.Realm(), want)
			}
			if !strings.HasPrefix(c.Server(), "Intel(R) Active Management Technology") {
				t.Errorf("server %q", c.Server())
			}
		})
	}
}

// TestWrongPassword: one refused login, and nothing more is sent until there are
// other credentials.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on("*", general)
	c := d.client(func(c *Config) { c.Password = amt.NewSecretString("wrong") })
	for range 3 {
		if _, err := c.GeneralSettings(t.Context()); !errors.Is(err, ErrUnauthorized) || IsTemporary(err) {
			t.Fatalf("got %v", err)
		}
	}
	if n := d.refused(); n != 1 {
		t.Errorf("%d refused logins, want 1", n)
	}
	c.SetCredentials("", amt.NewSecretString(testPassword))
	if _, err := c.GeneralSettings(t.Context()); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	if n := d.refused(); n != 1 {
		t.Errorf("%d refused logins in all, want 1", n)
	}
}

// TestStaleForEver: a device that calls every nonce stale gets two logins a call.
func TestStaleForEver(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.set(func(d *device) { d.password, d.lies = "another", true })
	c := d.client()
	if _, err := c.GeneralSettings(t.Context()); !errors.Is(err, ErrUnauthorized) {
		t.Fatalf("got %v", err)
	}
	if n := d.refused(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

// TestSetAdminThenLogin: after a change of the administrator the next call
// carries the new password, on the nonce at hand or the next.
func TestSetAdminThenLogin(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{false, true} {
		d := newDevice(t)
		d.on(classGeneral+".Get", general)
		d.on(classAuthorization+".SetAdminAclEntryEx", answer{xml: outputXML(classAuthorization, "SetAdminAclEntryEx")})
		d.on(classSetup+".CommitChanges", answer{xml: outputXML(classSetup, "CommitChanges")})
		c := d.client()
		if _, err := c.GeneralSettings(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh := amt.NewSecretString("N3w Passw0rd!")
		if err := c.SetAdmin(t.Context(), amt.AdminUser, fresh); err != nil {
			t.Fatal(err)
		}
		d.set(func(d *device) {
			d.password = "N3w Passw0rd!"
			if reset {
				d.nonce += 7
			}
		})
		c.SetCredentials(amt.AdminUser, fresh)
		if _, err := c.GeneralSettings(t.Context()); err != nil {
			t.Fatalf("reset %v: %v", reset, err)
		}
		if err := c.CommitChanges(t.Context()); err != nil {
			t.Fatalf("reset %v: %v", reset, err)
		}
		s := c.Stats()
		if want := map[bool]int64{false: 1, true: 2}[reset]; s.Challenges != want || s.Connections != want+1 || d.refused() != 0 {
			t.Errorf("reset %v: %+v, %d refused", reset, s, d.refused())
		}
	}
}

// TestNonceExpiresUnderOnce: a 401 says that the call was not executed, so even a
// call that must not be repeated is sent again with the next nonce.
func TestNonceExpiresUnderOnce(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on(classGeneral+".Get", general)
	d.on(classSetup+".CommitChanges", answer{xml: outputXML(classSetup, "CommitChanges")})
	c := d.client()
	if _, err := c.GeneralSettings(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.set(func(d *device) { d.nonce++ })
	if err := c.CommitChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(d.calls(), " "); got != classGeneral+".Get "+classSetup+".CommitChanges" {
		t.Errorf("calls: %s", got)
	}
}

// TestNoChallenge: a 401 without a digest we know is an unexpected reply.
func TestNoChallenge(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.set(func(d *device) { d.qop = `"auth-int"` })
	c := d.client()
	_, err := c.GeneralSettings(t.Context())
	if !errors.Is(err, ErrUnexpectedReply) || !errors.Is(err, errNoDigest) {
		t.Errorf("got %v", err)
	}
}

// TestOnlyRealm wants nothing made of the password to go to a peer that names
// another realm than the one that is wanted.
func TestOnlyRealm(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on(classGeneral+".Get", general)
	stranger := d.client(func(c *Config) { c.Realm = "Digest:00000000000000000000000000000000" })
	if _, err := stranger.GeneralSettings(t.Context()); !errors.Is(err, ErrUnexpectedReply) {
		t.Errorf("another realm: got %v", err)
	}
	if got := d.calls(); len(got) != 0 {
		t.Errorf("another realm: the device answered %v", got)
	}
	known := d.client(func(c *Config) { c.Realm = testRealm })
	if _, err := known.GeneralSettings(t.Context()); err != nil {
		t.Errorf("its own realm: %v", err)
	}
}
