package settings

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// TestApply makes a device of each firmware as the profile says, finds nothing
// left to do, and counts the requests, of which a whole set-up has 60.
func TestApply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		g        *amtsim.Generation
		version  bool // tell the version
		first    string
		second   string
		requests int64
	}{
		{
			amtsim.AMT90, true, "consent=Changed ethernet=Same general=Changed kvm=Changed power=Changed redirection=Changed tls=Changed users=Changed",
			"consent=Same ethernet=Same general=Same kvm=Same power=Changed redirection=Same tls=Same users=Changed", 36,
		},
		{
			amtsim.AMT32, true, "consent=Unsupported ethernet=Same general=Changed kvm=Unsupported power=Changed redirection=Changed tls=Changed users=Changed",
			"consent=Unsupported ethernet=Same general=Same kvm=Unsupported power=Changed redirection=Same tls=Same users=Changed", 30,
		},
		{
			amtsim.AMT32, false, "consent=Unsupported ethernet=Same general=Changed kvm=Unsupported power=Changed redirection=Changed tls=Changed users=Changed",
			"consent=Unsupported ethernet=Same general=Same kvm=Unsupported power=Changed redirection=Same tls=Same users=Changed", 32,
		},
	} {
		t.Run(fmt.Sprint(tt.g, tt.version), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tt.g)
			d := testDevice(tt.g)
			if !tt.version {
				d.Version = amt.Version{}
			}
			var j diary
			got, err := l.apply(testProfile(), d, &j)
			if err != nil {
				t.Fatal(err)
			}
			if outcomes(got) != tt.first {
				t.Errorf("got  %s\nwant %s", outcomes(got), tt.first)
			}
			if n := l.client.Stats().Requests; n > tt.requests {
				t.Errorf("%d requests, want at most %d", n, tt.requests)
			}
			if want := []string{"intend AddUserAclEntryEx desk", "ok AddUserAclEntryEx desk", "intend AddUserAclEntryEx sol", "ok AddUserAclEntryEx sol"}; !slices.Equal(j.lines, want) {
				t.Errorf("journal %v", j.lines)
			}
			if got, err = l.apply(testProfile(), d, nil); err != nil || outcomes(got) != tt.second {
				t.Errorf("again: %v\ngot  %s\nwant %s", err, outcomes(got), tt.second)
			}
			if n := l.count("AddUserAclEntryEx"); n != 2 {
				t.Errorf("users were added %d times", n)
			}
			checkDevice(t, l)
		})
	}
}

// checkDevice looks at what the profile became.
func checkDevice(t *testing.T, l *lab) {
	t.Helper()
	ctx := t.Context()
	g, err := l.client.GeneralSettings(ctx)
	if err != nil || g.HostName() != "pc1" || g.DomainName() != "corp.example.com" || g.Value("PingResponseEnabled") != "false" {
		t.Errorf("general: %s.%s, %v", g.HostName(), g.DomainName(), err)
	}
	r, err := l.client.RedirectionService(ctx)
	if err != nil || r.State() != wsman.RedirectionBoth || !r.Listening() {
		t.Errorf("redirection: %d, %v", r.State(), err)
	}
	s, err := l.client.TLSSettings(ctx, wsman.TLSRemote)
	if err != nil || !s.Enabled() || s.Mutual() || s.AcceptPlain() {
		t.Errorf("TLS: %v", err)
	}
	local, err := l.client.TLSSettings(ctx, wsman.TLSLocal)
	if err != nil || local.Enabled() {
		t.Errorf("local TLS: %v, %v", local.Enabled(), err)
	}
	list, err := readUsers(ctx, l.client)
	desk, ok := find(list, "desk")
	if err != nil || len(list) != 2 || !ok || desk.user.Access != wsman.AccessBoth || realmNames(desk.user.Realms) != "HardwareAsset RemoteControl" {
		t.Errorf("users: %+v, %v", list, err)
	}
}

// TestCompare finds every difference and writes nothing.
func TestCompare(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	d := testDevice(amtsim.AMT90)
	d.LocalTLS = true
	var found []string
	for _, s := range For(testProfile(), d) {
		r, err := s.Compare(t.Context(), l.client)
		if err != nil {
			t.Fatal(err)
		}
		if (len(r.Differences) > 0) != (r.Outcome == Differs) {
			t.Errorf("%s: %v with %d differences", r.Name, r.Outcome, len(r.Differences))
		}
		for _, diff := range r.Differences {
			found = append(found, r.Name+" "+diff.String())
		}
	}
	for _, want := range []string{
		"general HostName: want pc1, got (none)", "general DomainName: want corp.example.com, got (none)", "kvm KVM: want on, got off",
		"tls Enabled: want true, got false", "local-tls Enabled: want true, got false", "users user desk: want present, got (none)",
	} {
		if !slices.Contains(found, want) {
			t.Errorf("not found: %s", want)
		}
	}
	if text := strings.Join(found, "\n"); strings.Contains(text, deskPassword) || strings.Contains(text, mebxPassword) {
		t.Error("a password leaks")
	}
	for _, call := range []string{"Put", "Create", "Delete", "RequestStateChange", "SetPowerScheme", "AddUserAclEntryEx", "UpdateUserAclEntryEx"} {
		if n := l.count(call); n != 0 {
			t.Errorf("%d %s", n, call)
		}
	}
}

// TestLostAnswers drops the connection once before or after each writing call:
// the result is the same, and no user is added twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		"AMT_GeneralSettings.Put", "AMT_RedirectionService.RequestStateChange", "AMT_RedirectionService.Put", "CIM_KVMRedirectionSAP.RequestStateChange",
		"IPS_OptInService.Put", "SetPowerScheme", "AMT_TLSSettingData.Put", "AddUserAclEntryEx", "UpdateUserAclEntryEx", "RemoveUserAclEntry",
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(call, after), func(t *testing.T) {
				t.Parallel()
				trouble := amtsim.Trouble{DropBefore: []amtsim.CallTrouble{{Call: call, Times: 1}}}
				if after {
					trouble = amtsim.Trouble{DropAfter: []amtsim.CallTrouble{{Call: call, Times: 1}}}
				}
				l := newLab(t, amtsim.AMT90, operational)
				old := wsman.User{Name: "sol", Access: wsman.AccessLocal, Realms: []amt.Realm{amt.RealmGeneralInfo}}
				stranger := wsman.User{Name: "stranger", Access: wsman.AccessLocal, Realms: []amt.Realm{amt.RealmGeneralInfo}}
				for _, u := range []wsman.User{old, stranger} {
					if _, err := l.client.AddUser(t.Context(), u, amt.NewSecretString("Old-Passw0rd!")); err != nil {
						t.Fatal(err)
					}
				}
				l.dev.SetTrouble(trouble)
				d := testDevice(amtsim.AMT90)
				d.Prune = true
				if _, err := l.apply(testProfile(), d, nil); err != nil {
					t.Fatal(err)
				}
				checkDevice(t, l)
				for user, password := range map[string]string{"desk": deskPassword, "sol": solPassword} {
					if _, err := l.login(user, password).AMTVersion(t.Context()); errors.Is(err, wsman.ErrUnauthorized) {
						t.Errorf("%s cannot log in: %v", user, err)
					}
				}
			})
		}
	}
}

// TestLostForEver: a device that drops every time is ErrLost or unreachable, not
// an endless loop.
func TestLostForEver(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	l.dev.SetTrouble(amtsim.Trouble{DropBefore: []amtsim.CallTrouble{{Call: "AddUserAclEntryEx", Times: amtsim.Always}}})
	if _, err := l.apply(testProfile(), testDevice(amtsim.AMT90), nil); !errors.Is(err, wsman.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// TestRefusals: the status of a refusal comes through, with the part's name.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for call, part := range map[string]string{
		"AMT_GeneralSettings.Put": "general", "AMT_RedirectionService.RequestStateChange": "redirection", "AddUserAclEntryEx": "users",
		"AMT_TLSSettingData.Put": "tls", "AMT_TLSSettingData.Get": "tls", "SetPowerScheme": "power",
	} {
		l := newLab(t, amtsim.AMT90)
		l.dev.SetTrouble(amtsim.Trouble{Refuse: []amtsim.Refusal{{CallTrouble: amtsim.CallTrouble{Call: call, Times: amtsim.Always}, Status: 38}}})
		var j diary
		_, err := l.apply(testProfile(), testDevice(amtsim.AMT90), &j)
		if s, ok := wsman.StatusOf(err); err == nil || !strings.HasPrefix(err.Error(), part+": ") || ok && s != 38 {
			t.Errorf("%s: %v", call, err)
		}
		if part == "users" && (len(j.lines) != 2 || j.lines[1] != "failed AddUserAclEntryEx desk") {
			t.Errorf("journal %v", j.lines)
		}
	}
}

// TestUsers: other users stay and are noted, or go; a user without a password is
// compared only.
func TestUsers(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	ctx := t.Context()
	stranger := wsman.User{Name: "stranger", Access: wsman.AccessLocal, Realms: []amt.Realm{amt.RealmGeneralInfo}}
	if _, err := l.client.AddUser(ctx, stranger, amt.NewSecretString("Old-Passw0rd!")); err != nil {
		t.Fatal(err)
	}
	p, d := testProfile(), testDevice(amtsim.AMT90)
	r, err := users(p, d).Apply(ctx, l.client, nil)
	if err != nil || r.Outcome != Changed || r.Note != "not in the profile: stranger" {
		t.Fatalf("%+v, %v", r, err)
	}
	d.Passwords = nil
	if r, err = users(p, d).Apply(ctx, l.client, nil); err != nil || r.Outcome != Same {
		t.Errorf("without passwords: %+v, %v", r, err)
	}
	p.Users[0].Realms = []amt.Realm{amt.RealmEventManager}
	if r, err = users(p, d).Apply(ctx, l.client, nil); !errors.Is(err, ErrNoPassword) {
		t.Errorf("a change without a password: %+v, %v", r, err)
	}
	d = testDevice(amtsim.AMT90)
	d.Prune = true
	r, err = users(p, d).Apply(ctx, l.client, nil)
	if err != nil || len(r.Differences) != 2 || r.Note != "" {
		t.Errorf("with pruning: %+v, %v", r, err)
	}
	list, err := readUsers(ctx, l.client)
	if _, ok := find(list, "stranger"); err != nil || ok || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	fail := errors.New("disk full")
	p.Users = append(p.Users, profile.User{Name: "late", Realms: []amt.Realm{amt.RealmGeneralInfo}})
	d.Passwords["late"] = amt.NewSecretString(deskPassword)
	before := l.count("AddUserAclEntryEx")
	if _, err = users(p, d).Apply(ctx, l.client, &diary{fail: fail}); !errors.Is(err, fail) || l.count("AddUserAclEntryEx") != before {
		t.Errorf("the call was made without its intention: %v", err)
	}
}

// TestTLS holds what each mode writes.
func TestTLS(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	for _, tt := range []struct {
		tls  profile.TLS
		want string
	}{
		{profile.TLS{Mode: profile.ServerTLS}, "true false false []"},
		{profile.TLS{Mode: profile.ServerTLS, AllowPlain: true, TrustedCNs: []string{"x"}}, "true false true []"},
		{profile.TLS{Mode: profile.NoTLS, AllowPlain: true}, "false false true []"},
	} {
		p := testProfile()
		p.TLS = tt.tls
		r, err := remoteTLS(p).Apply(t.Context(), l.client, nil)
		if err != nil || r.Outcome != Changed || r.Note == "" {
			t.Fatalf("%+v: %+v, %v", tt.tls, r, err)
		}
		s, err := l.client.TLSSettings(t.Context(), wsman.TLSRemote)
		if got := fmt.Sprint(s.Enabled(), s.Mutual(), s.AcceptPlain(), s.TrustedCN()); err != nil || got != tt.want {
			t.Errorf("%+v: got %s, want %s (%v)", tt.tls, got, tt.want, err)
		}
	}
}

// TestEthernet goes to a static address and back.
func TestEthernet(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	p := testProfile()
	p.Network.Static = &profile.Static{
		Address: netip.MustParsePrefix("192.0.2.10/23"), Gateway: netip.MustParseAddr("192.0.2.1"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
	for _, want := range []string{"192.0.2.10 255.255.254.0 192.0.2.1 192.0.2.53 ", ""} {
		r, err := ethernet(p).Apply(t.Context(), l.client, nil)
		if err != nil || r.Outcome != Changed {
			t.Fatalf("%+v, %v", r, err)
		}
		e, err := l.client.EthernetPort(t.Context(), wired)
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			var got []string
			for _, f := range addressFields {
				got = append(got, e.Value(f))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if dhcp := e.Value("DHCPEnabled"); dhcp != fmt.Sprint(want == "") {
			t.Errorf("DHCP %s", dhcp)
		}
		p.Network.Static = nil
	}
}

// TestCanceled: a done context ends Apply.
func TestCanceled(t *testing.T) {
	t.Parallel()
	l := newLab(t, amtsim.AMT90)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range For(testProfile(), testDevice(amtsim.AMT90)) {
		if _, err := s.Apply(ctx, l.client, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", s.Name(), err)
		}
	}
}

// TestStrings holds what people read.
func TestStrings(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{Same.String(), "Same"},
		{Changed.String(), "Changed"},
		{Differs.String(), "Differs"},
		{Unsupported.String(), "Unsupported"},
		{Outcome(9).String(), "unknown outcome (9)"},
		{redirectionState(wsman.RedirectionOff), "off"},
		{redirectionState(wsman.RedirectionIDER), "IDER"},
		{redirectionState(wsman.RedirectionSOL), "SOL"},
		{redirectionState(wsman.RedirectionBoth), "SOL and IDER"},
		{redirectionState(1), "unknown (1)"},
		{consentName(0), "none"},
		{consentName(1), "kvm"},
		{consentName(4294967295), "all"},
		{consentName(7), "unknown (7)"},
		{accessName(0), "local"},
		{accessName(1), "network"},
		{accessName(2), "any"},
		{accessName(3), "unknown (3)"},
		{realmNames([]amt.Realm{5, 2, 5}), "Redirection RemoteControl"},
		{canonical("010.0.0.1"), "010.0.0.1"},
		{canonical("0.0.0.0"), ""},
		{canonical("192.0.2.1"), "192.0.2.1"},
		{printable("pc1"), "pc1"},
		{printable("a\u202eb"), `"a\u202eb"`},
		{printable("\u009b2J"), `"\u009b2J"`},
		{printable(strings.Repeat("x", 300)), strings.Repeat("x", 200)},
		{Difference{"a", "", "b"}.String(), "a: want (none), got b"},
		{unsupported("x").Error(), "x"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("got %q, want %q", tt[0], tt[1])
		}
	}
}
