package amtsim

import (
	"strings"
	"testing"
)

const generalClass = "AMT_GeneralSettings"

// TestDigest changes one thing of a good log-in each time.
func TestDigest(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, nil)
	other := func(name, value string) func(string) string {
		return func(h string) string {
			i := strings.Index(h, name+"=")
			end := strings.IndexByte(h[i:]+",", ',') + i
			return h[:i] + name + "=" + value + h[end:]
		}
	}
	drop := func(name string) func(string) string {
		return func(h string) string {
			i := strings.Index(h, name+"=")
			end := strings.IndexByte(h[i:]+",", ',') + i
			return strings.TrimSuffix(h[:i]+strings.TrimLeft(h[min(end+1, len(h)):], " "), ", ")
		}
	}
	for _, tt := range []struct {
		name   string
		change func(string) string
		ok     bool
	}{
		{"as it should be", func(h string) string { return h }, true},
		{"with algorithm", func(h string) string { return h + ", algorithm=MD5" }, true},
		{"with opaque", func(h string) string { return h + `, opaque="x"` }, true},
		{"quoted qop", other("qop", `"auth"`), true},
		{"no spaces", func(h string) string { return strings.ReplaceAll(h, ", ", ",") }, true},
		{"another algorithm", func(h string) string { return h + ", algorithm=SHA-256" }, false},
		{"basic", func(string) string { return "Basic YWRtaW46YWRtaW4=" }, false},
		{"empty", func(string) string { return "Digest " }, false},
		{"another user", other("username", `"Admin"`), false},
		{"another realm", other("realm", `"x"`), false},
		{"another uri", other("uri", `"/"`), false},
		{"another qop", other("qop", "auth-int"), false},
		{"short nc", other("nc", "1"), false},
		{"nc that is no hex", other("nc", "0000000x"), false},
		{"another cnonce", other("cnonce", `"ff"`), false},
		{"another response", other("response", `"00000000000000000000000000000000"`), false},
		{"short response", other("response", `"0"`), false},
		{"nonce of another device", other("nonce", `"AQAAAAAAAAAAAAAAe21c2JL8T4i8od1w"`), false},
		{"no username", drop("username"), false},
		{"no realm", drop("realm"), false},
		{"no nonce", drop("nonce"), false},
		{"no uri", drop("uri"), false},
		{"no qop", drop("qop"), false},
		{"no nc", drop("nc"), false},
		{"no cnonce", drop("cnonce"), false},
		{"no response", drop("response"), false},
		{"twice", func(h string) string { return h + `, uri="/wsman"` }, false},
		{"open quote", func(h string) string { return h + `, x="` }, false},
		{"no comma", func(h string) string { return h + ` x=1` }, false},
	} {
		c.get(generalClass, "") // have a nonce
		c.authorize, c.keepNonce = tt.change, true
		a := c.get(generalClass, "")
		c.authorize, c.keepNonce = nil, false
		if (a.code == 200) != tt.ok || !tt.ok && a.code != 401 {
			t.Errorf("%s: got %d", tt.name, a.code)
		}
	}
}

// TestFailedLogins counts them and says nothing of why.
func TestFailedLogins(t *testing.T) {
	t.Parallel()
	var seen events
	d, c := operational(t, AMT90, func(o *Options) { o.OnEvent = seen.add })
	c.pass = "Wrong123!"
	if a := c.get(generalClass, ""); a.code != 401 || !strings.Contains(a.header.Get("Www-Authenticate"), `stale="false"`) {
		t.Errorf("got %d %v", a.code, a.header)
	}
	if challenged, failed := d.Logins(); challenged != 2 || failed != 1 || !seen.has(EventLogin) {
		t.Errorf("%d challenged, %d failed", challenged, failed)
	}
}

// TestACLChange: every change of an account resets the digest session.
func TestACLChange(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	const auth = "AMT_AuthorizationService"
	c.get(generalClass, "")
	steps := []struct {
		method string
		args   []string
	}{
		{"AddUserAclEntryEx", []string{"DigestUsername", "joe", "DigestPassword", md5Base64("joe", c.realm, "Secret12!"), "AccessPermission", "2", "Realms", "13"}},
		{"SetAclEnabledState", []string{"Handle", "3", "Enabled", "false"}},
		{"UpdateUserAclEntryEx", []string{"Handle", "3", "DigestUsername", "jim", "DigestPassword", md5Base64("jim", c.realm, "Secret12!"), "AccessPermission", "2", "Realms", "3"}},
		{"RemoveUserAclEntry", []string{"Handle", "3"}},
		{"SetAdminAclEntryEx", []string{"Username", "root1", "DigestPassword", md5Base64("root1", c.realm, "Another1!")}},
	}
	for i, s := range steps {
		if c.challenges != i+1 {
			t.Fatalf("before %s: %d challenges, want %d", s.method, c.challenges, i+1)
		}
		c.want(c.invoke(auth, s.method, s.args...), Success)
		c.keepNonce = true
		a := c.get(generalClass, "")
		c.keepNonce = false
		if a.code != 401 {
			t.Fatalf("after %s: %d, want a challenge", s.method, a.code)
		}
		if i == len(steps)-1 {
			c.user, c.pass = "root1", "Another1!"
		} else if !strings.Contains(a.header.Get("Www-Authenticate"), `stale="true"`) {
			t.Errorf("after %s: %v, want stale", s.method, a.header)
		}
		c.get(generalClass, "")
	}
	if a := c.get(generalClass, ""); a.code != 200 || d.Snapshot().AdminUser != "root1" {
		t.Errorf("new administrator: %d", a.code)
	}
}

func TestNonceTroubles(t *testing.T) {
	t.Parallel()
	t.Run("strict", func(t *testing.T) {
		t.Parallel()
		_, c := operational(t, AMT90, func(o *Options) { o.Trouble.StrictNonce = true })
		for range 3 {
			c.get(generalClass, "")
		}
		if c.challenges != 1 {
			t.Errorf("%d challenges for counts in order", c.challenges)
		}
		c.nc-- // the same count again
		c.get(generalClass, "")
		c.nc++ // one left out
		if a := c.get(generalClass, ""); a.code != 200 || c.challenges != 3 {
			t.Errorf("%d challenges, want 3", c.challenges)
		}
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		_, c := operational(t, AMT90, func(o *Options) { o.Trouble.NonceReset = 3 })
		for range 7 {
			c.get(generalClass, "")
		}
		if c.challenges != 3 {
			t.Errorf("%d challenges, want 3", c.challenges)
		}
	})
	t.Run("stale-false", func(t *testing.T) {
		t.Parallel()
		_, c := operational(t, AMT90, func(o *Options) { o.Trouble.NonceReset, o.Trouble.StaleFalse = 1, true })
		c.get(generalClass, "")
		c.keepNonce = true
		if a := c.get(generalClass, ""); !strings.Contains(a.header.Get("Www-Authenticate"), `stale="false"`) {
			t.Errorf("got %v", a.header)
		}
	})
	t.Run("login-lock", func(t *testing.T) {
		t.Parallel()
		_, c := operational(t, AMT90, func(o *Options) { o.Trouble.LoginLock = 2 })
		for _, pass := range []string{"Wrong123!", "Wrong123!", testAdmin} {
			c.pass = pass
			if a := c.get(generalClass, ""); a.code != 401 {
				t.Errorf("got %d", a.code)
			}
		}
	})
}

// TestUserLogin: a user's realms open some classes, not others; set-up knows the
// administrator alone.
func TestUserLogin(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	add := func(name, access string, realms ...string) {
		args := []string{"DigestUsername", name, "DigestPassword", md5Base64(name, d.Snapshot().Realm, "Secret12!"), "AccessPermission", access}
		for _, r := range realms {
			args = append(args, "Realms", r)
		}
		c.want(c.invoke("AMT_AuthorizationService", "AddUserAclEntryEx", args...), Success)
	}
	add("reader", "2", "13")
	add("all", "1", "3")
	add("local", "0", "3")
	for _, tt := range []struct {
		user, class string
		code        int
	}{
		{"reader", generalClass, 200},
		{"reader", "AMT_AuthorizationService", 400},
		{"reader", "AMT_TimeSynchronizationService", 400},
		{"all", "AMT_AuthorizationService", 200},
		{"local", generalClass, 401},
		{"nobody", generalClass, 401},
		{"$$uns", generalClass, 401},
	} {
		u := plainClient(t, func() string { return waitClear(t, d) }, tt.user, "Secret12!")
		if a := u.get(tt.class, ""); a.code != tt.code || a.code == 400 && a.fault() != "e:AccessDenied" {
			t.Errorf("%s reads %s: %d %s", tt.user, tt.class, a.code, a.fault())
		}
	}
	u := plainClient(t, func() string { return waitClear(t, d) }, "reader", "Secret12!")
	if a := u.putHostName("x", ""); a.fault() != "e:AccessDenied" {
		t.Errorf("reader writes: %d %s", a.code, a.fault())
	}
}
