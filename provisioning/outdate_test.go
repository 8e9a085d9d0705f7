package provisioning

import (
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// passwordProfile has fixed passwords, or random ones where a value is empty.
func passwordProfile(admin, mebx, user string) string {
	policy := func(value string) string {
		if value == "" {
			return "{policy: random}"
		}
		return `{policy: fixed, value: "` + value + `"}`
	}
	return basicProfile + "admin_password: " + policy(admin) + "\nmebx_password: " + policy(mebx) +
		"\nusers:\n  - {name: helpdesk, realms: [RemoteControl], access: network, password: " + policy(user) + "}\n"
}

// TestRetryWithOtherPasswords retries a set-up that failed late, after the
// profile's passwords were changed: the device gets those of the new version.
func TestRetryWithOtherPasswords(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, admin, mebx, user, newAdmin, newMEBx, newUser string }{
		{"other values", "First-Pass1!", "First-Pass2!", "First-Pass3!", "Second-Pass1!", "Second-Pass2!", "Second-Pass3!"},
		{"random to fixed", "", "", "", "Second-Pass1!", "Second-Pass2!", "Second-Pass3!"},
		{"fixed to random", "First-Pass1!", "First-Pass2!", "First-Pass3!", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			l.apply("default", passwordProfile(tt.admin, tt.mebx, tt.user))
			d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "CommitChanges=2057"))
			l.boot(d)
			l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
			l.apply("default", passwordProfile(tt.newAdmin, tt.newMEBx, tt.newUser))
			d.SetTrouble(amtsim.Trouble{})
			l.retry(d.UUID())
			l.operational(d)
			snap := d.Snapshot()
			has := map[string]func(s string) bool{
				"admin": func(s string) bool { return d.CheckAdmin(secret(s)) },
				"MEBx":  func(s string) bool { return snap.MEBx.Equal(secret(s)) },
				"user":  func(s string) bool { return d.CheckUser("helpdesk", secret(s)) },
			}
			for account, v := range map[string][2]string{
				"admin": {tt.admin, tt.newAdmin}, "MEBx": {tt.mebx, tt.newMEBx}, "user": {tt.user, tt.newUser},
			} {
				if v[0] != "" && has[account](v[0]) {
					t.Errorf("%s: the device still has the old password", account)
				}
				if v[1] != "" && !has[account](v[1]) {
					t.Errorf("%s: the device does not have the new password", account)
				}
			}
		})
	}
}

// TestRetryKeepsPasswords retries with another version of a profile that says the
// same of passwords: those that were drawn stay.
func TestRetryKeepsPasswords(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", passwordProfile("", "", ""))
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "CommitChanges=2057"))
	l.boot(d)
	l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	l.apply("default", passwordProfile("", "", "")+"description: another\n")
	d.SetTrouble(amtsim.Trouble{})
	l.retry(d.UUID())
	l.operational(d)
	drawn := 0
	for _, ev := range l.events(d.UUID()) {
		if ev.Type == PasswordStored {
			drawn++
		}
	}
	if drawn != 3 {
		t.Errorf("%d passwords were drawn, want 3", drawn)
	}
}

// TestClockSetBack wants a user's password to belong to the workflow that drew
// it, whatever the clock said.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	d := deviceWith(t, e, "user/x current=a")
	d.Passwords[0].Workflow, d.Workflow = 2, 2
	r := &run{e: e, dev: d, wf: &pb.Workflow{Number: 2, CreatedAt: stamp(noon.AddDate(0, 0, 1))}}
	p := &profile.Profile{Users: []profile.User{{Name: "x", Password: profile.Password{Policy: profile.RandomPassword}}}}
	got, err := r.userPasswords(t.Context(), p)
	if err != nil || !got["x"].Equal(secret("a")) {
		t.Errorf("drawn by this workflow: got another password, or %v", err)
	}
	d.Passwords[0].Workflow = 1
	if s, err := r.ownPassword("user/x"); err != nil || !s.IsZero() {
		t.Errorf("drawn by an earlier workflow: it was taken, or %v", err)
	}
}

// TestMEBxStaysKnown changes the profile's MEBx password while the answer to the
// one before is lost: when the device then refuses another, either may be in use.
func TestMEBxStaysKnown(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	d := deviceWith(t, e, "MEBx current=old", "MEBx pending=sent")
	d.Workflow = 1
	w := &pb.Workflow{Number: 1, Profile: profile.DefaultName, MebxPassword: 2, Intentions: []*pb.Intention{
		{Step: stepMEBx, Call: callSetMEBx, State: intentionLost},
	}}
	p := profile.Default()
	p.MEBx = profile.Password{Policy: profile.FixedPassword, Fixed: secret("other")}
	if err := e.outdate(&edit{d: d, w: w}, p); err != nil {
		t.Fatal(err)
	}
	if err := e.storePassword(d, accountMEBx, pending, p.MEBx.Fixed, noon); err != nil {
		t.Fatal(err)
	}
	if err := (&run{}).mebxKept(true)(&edit{d: d, w: w, now: noon}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"current?=old", "previous?=sent"} {
		if got := shown(t, e, d); !strings.Contains(got, want) || w.GetMebxPassword() != 0 {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}
