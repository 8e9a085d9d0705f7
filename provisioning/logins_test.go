package provisioning

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/wsman"
)

func TestLoginsAreCounted(t *testing.T) {
	t.Parallel()
	l := newLogins(3)
	for range 2 {
		l.take()
	}
	l.giveBack() // nobody answered
	if got := []bool{l.take(), l.take(), l.take()}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("got %v: three may be refused, no more", got)
	}
	l.taken()
	l.refused()
	if got := []bool{l.take(), l.take(), l.take()}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("got %v: behind one that was taken they are counted anew", got)
	}
}

func TestPasswordsInTurn(t *testing.T) {
	t.Parallel()
	list := func(names string) (l []candidate) {
		for _, r := range names {
			l = append(l, candidate{name: string(r)})
		}
		return l
	}
	tests := []struct {
		names string
		turn  int
		want  string
	}{
		{"", 5, ""},
		{"abc", 0, "abc"},
		{"abc", 1, "abc"}, // all are tried each time: the likeliest stays first
		{"abcdefgh", 0, "abcdefgh"},
		{"abcdefgh", 1, "defghabc"},
		{"abcdefgh", 2, "ghabcdef"},
		{"abcd", 1, "dabc"},
		{"abcd", 4, "abcd"},
	}
	for _, tt := range tests {
		got := ""
		for _, c := range inTurn(list(tt.names), tt.turn, 3) {
			got += c.name
		}
		if got != tt.want {
			t.Errorf("%q, turn %d: got %q, want %q", tt.names, tt.turn, got, tt.want)
		}
	}
	for n := 1; n <= 8; n++ { // whatever the number of passwords, each has its turn
		tried := map[string]bool{}
		for turn := range 8 {
			order := inTurn(list("abcdefgh"[:n]), turn, 3)
			for _, c := range order[:min(3, len(order))] {
				tried[c.name] = true
			}
		}
		if len(tried) != n {
			t.Errorf("of %d passwords %d were tried", n, len(tried))
		}
	}
}

// lockOut makes an Operational device refuse every login, as firmware may after a
// failed one; that one is made here.
func (l *lab) lockOut(d *amtsim.Device) {
	dev := l.record(d)
	d.SetTrouble(amtsim.Trouble{LoginLock: 1})
	dial, err := l.engine.tlsDialer(netip.MustParseAddrPort(dev.Address), dev.FQDN, dev.Version, false)
	if err != nil {
		l.t.Error(err)
		return
	}
	c, err := wsman.New(wsman.Config{
		Address: dev.Address, User: amt.AdminUser, Password: amt.NewSecretString("Wrong-1!"),
		Dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx) },
	})
	if err != nil {
		l.t.Error(err)
		return
	}
	_, _ = c.UUID(context.Background()) // to be refused
	_ = c.Close()
}

// TestLockedDeviceIsLeftAlone: a device that commits and then refuses every login
// fails the workflow at once. A name in the DNS that leads elsewhere changes
// nothing of that.
func TestLockedDeviceIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		forward map[string][]netip.Addr
	}{{"alone", nil}, {"with a stale name", map[string][]netip.Addr{"pc1.example.com": {netip.MustParseAddr("127.0.0.99")}}}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := makeLab(t, nil)
			var d *amtsim.Device
			var once atomic.Bool
			l.tune = func(c *Config) {
				c.Resolver = &names{forward: tt.forward}
				c.StepHook = func(at string) {
					if at == "16-before" && once.CompareAndSwap(false, true) {
						if d.WaitPhase(t.Context(), amt.Operational) == nil {
							l.lockOut(d)
						}
					}
				}
			}
			l.open(true)
			l.apply("default", basicProfile)
			d = l.device(l.pairs(1)[0], amtsim.AMT90, nil)
			if _, err := l.engine.Assign(t.Context(), operatorAct, d.UUID(), Assignment{FQDN: "pc1.example.com"}); err != nil {
				t.Fatal(err)
			}
			l.boot(d)
			dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
			if dev.Reason != LoginFailed {
				t.Errorf("got %s: %s", dev.Reason, dev.Detail)
			}
			if _, failed := d.Logins(); failed > 3+1 {
				t.Errorf("%d logins were refused, want 3 and the one that locked it", failed)
			}
		})
	}
}

// TestResetPCRefusesAll: a PC that comes back from a reset with the same pair and a
// password of its own refuses three and is not asked again, whatever other
// addresses hellos have named.
func TestResetPCRefusesAll(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	for i := range 5 {
		l.say(l.address(90+i), pskHello(d.UUID(), p.pid))
	}
	again := l.device(p, amtsim.AMT90, func(o *amtsim.Options) {
		o.UUID, o.Addr = d.UUID(), d.Addr().Addr()
		o.Setup.NewPassword = amt.NewSecretString("Its-0wn-Word!")
	})
	l.boot(again)
	dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if dev.Reason != LoginFailed {
		t.Errorf("got %s: %s", dev.Reason, dev.Detail)
	}
	if _, failed := again.Logins(); failed > 3 {
		t.Errorf("%d logins were refused, want 3", failed)
	}
}

// TestEveryPasswordHasItsTurn: a PC whose password is the fourth that it may have
// is let in at its second hello.
func TestEveryPasswordHasItsTurn(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", fullProfile)
	pairs := l.pairs(2)
	d := l.device(pairs[0], amtsim.AMT90, nil)
	off := l.boot(d)
	l.operational(d)
	off()
	// Only the pair was entered anew; the password is the one of the first set-up.
	again := l.device(pairs[1], amtsim.AMT90, func(o *amtsim.Options) {
		o.UUID, o.Addr = d.UUID(), d.Addr().Addr()
		o.Setup.NewPassword = pairs[0].secrets.NewPassword
	})
	l.boot(again)
	l.inboxRow(d.UUID(), AlreadyOperational)
	if _, err := l.engine.Retry(t.Context(), operatorAct, d.UUID()); err != nil {
		t.Fatal(err)
	}
	l.inboxRow(d.UUID(), LoginFailed)
	l.say(d.Addr().Addr(), pskHello(d.UUID(), pairs[1].pid))
	l.await(d.UUID(), "let in", func(dev Device) bool { return dev.PID == pairs[1].pid })
	l.operational(again)
	if _, failed := again.Logins(); failed > 3 {
		t.Errorf("%d logins were refused before the right password had its turn", failed)
	}
}
