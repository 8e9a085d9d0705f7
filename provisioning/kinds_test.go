package provisioning

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/wsman"
)

// TestReallocate unprovisions a device in part, as a later set-up will: it says
// hello with the pair that its first set-up gave it.
func TestReallocate(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	first := l.operational(d)
	if first.NextPID == (amt.PID{}) || first.NextPID == first.PID {
		t.Fatalf("pair %v, next %v", first.PID, first.NextPID)
	}
	l.callDevice(d, first, func(ctx context.Context, c *wsman.Client) error { return c.PartialUnprovision(ctx) })
	second := l.await(d.UUID(), "Operational again", func(dev Device) bool { return dev.Operational && dev.Workflow != first.Workflow })
	if second.PID != first.NextPID || second.NextPID == first.NextPID || second.NextPID == (amt.PID{}) {
		t.Errorf("pair %v, next %v; before %v, %v", second.PID, second.NextPID, first.PID, first.NextPID)
	}
	if second.FQDN != first.FQDN || second.Profile != first.Profile || second.Serial == first.Serial {
		t.Errorf("got %s %s %v, before %s %s %v", second.FQDN, second.Profile, second.Serial, first.FQDN, first.Profile, first.Serial)
	}
	err := l.store.View(t.Context(), func(r kv.Reader) error {
		old, err := l.auth.Get(r, first.Serial)
		if err != nil || old.Revocation == nil || old.Revocation.Reason != ca.Superseded {
			t.Errorf("the first certificate is not superseded: %+v, %v", old.Revocation, err)
		}
		if now, err := l.auth.Get(r, second.Serial); err != nil || now.Revocation != nil {
			t.Errorf("the second certificate: %+v, %v", now.Revocation, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.truth(d)
}

// callDevice makes a call at an Operational device with its stored password.
func (l *lab) callDevice(d *amtsim.Device, dev Device, call func(context.Context, *wsman.Client) error) {
	l.t.Helper()
	list, err := l.engine.Passwords(l.t.Context(), Act{Who: "lab"}, d.UUID())
	if err != nil {
		l.t.Fatal(err)
	}
	dial, err := l.engine.tlsDialer(netip.MustParseAddrPort(dev.Address), dev.FQDN, dev.Version, false)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := wsman.New(wsman.Config{Address: dev.Address, Password: list[0].Password, Dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx) }})
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := call(l.t.Context(), c); err != nil {
		l.t.Fatal(err)
	}
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	const profile = `
version: 1
name: default
host_name: {pattern: "pc-{hash12}"}
domain: example.com
tls: {mode: mutual, trusted_cns: [console.example.com]}
`
	var l *lab
	l = newLab(t, func(c *Config) {
		c.ClientCertificate = func() (*tls.Certificate, error) {
			cert, err := l.auth.IssueConsole(context.Background(), ca.ConsoleRequest{Name: "console.example.com", PublicKey: &testKeys()[3].PublicKey})
			if err != nil {
				return nil, err
			}
			return &tls.Certificate{Certificate: [][]byte{cert.Raw, l.auth.APIIntermediate().Raw}, PrivateKey: testKeys()[3]}, nil
		}
	})
	l.apply("default", profile)
	_, _, err := l.engine.ApplyProfile(t.Context(), operatorAct, doc(strings.Replace(profile, "console.example.com", "other.example.com", 1)))
	if !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), "tls.trusted_cns") {
		t.Errorf("a profile that locks the server out: got %v", err)
	}
	l.apply("default", strings.Replace(profile, "console.example.com", ".Example.COM", 1))
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "drop-after=AddTrustedRootCertificate"))
	l.boot(d)
	l.operational(d)
	if snap := d.Snapshot(); !snap.Remote.Mutual || len(snap.Remote.TrustedCN) != 1 {
		t.Errorf("got %+v", snap.Remote)
	}
	old := l.device(l.pairs(1)[0], amtsim.AMT32, nil)
	l.boot(old)
	dev := l.await(old.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if dev.Reason != ProfileUnfit {
		t.Errorf("AMT 3.2 with mutual TLS: got %s", dev.Reason)
	}
}

func TestMutualTLSWithoutACertificate(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", "version: 1\nname: default\nhost_name: {pattern: \"pc-{hash12}\"}\ndomain: example.com\ntls: {mode: mutual}\n")
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if dev.Reason != ClientCertificateAbsent {
		t.Errorf("got %s", dev.Reason)
	}
}

// plainProfile does without TLS.
const plainProfile = basicProfile + "tls: {mode: off, allow_plain: true}\n"

func TestWithoutTLS(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", plainProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.operational(d)
	if snap := d.Snapshot(); len(snap.Keys) != 0 || snap.Remote.Enabled || !dev.Serial.IsZero() {
		t.Errorf("keys %v, TLS %t, serial %v", snap.Keys, snap.Remote.Enabled, dev.Serial)
	}
}

func TestNextPair(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, nextPair string
		psk            amtsim.PSKPolicy
		visit          bool
	}{
		{"at commit", "optional", amtsim.PSKAtCommit, false},
		{"at once", "required", amtsim.PSKAtOnce, false},
		{"unknown to the firmware", "optional", amtsim.PSKFault, true},
		{"not wanted", "off", amtsim.PSKAtCommit, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			l.apply("default", basicProfile+"next_pair: "+tt.nextPair+"\n")
			d := l.device(l.pairs(1)[0], amtsim.AMT90, func(o *amtsim.Options) { o.PSK = tt.psk })
			l.boot(d)
			dev := l.operational(d)
			if want := !tt.visit && tt.nextPair != "off"; (dev.NextPID != amt.PID{}) != want || dev.NeedsVisit != tt.visit {
				t.Errorf("next %v, needs a visit: %t", dev.NextPID, dev.NeedsVisit)
			}
		})
	}
}

// TestUnknownPassword logs in with a password that the store does not have.
func TestUnknownPassword(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, func(o *amtsim.Options) {
		o.Setup.NewPassword, _ = amt.DrawPassword(rand.Reader, 12)
	})
	l.boot(d)
	l.inboxRow(d.UUID(), LoginFailed)
	l.untouched(p)
	time.Sleep(50 * time.Millisecond)
	if _, failed := d.Logins(); failed > 3*d.Snapshot().Hellos {
		t.Errorf("%d failed log-ins in %d hellos", failed, d.Snapshot().Hellos)
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	a := netip.IPv6Loopback()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		t.Skip("no IPv6 here")
	}
	_ = ln.Close()
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.Addr = a })
	l.boot(d)
	l.say(a, pskHello(d.UUID(), p.pid))
	dev := l.operational(d)
	if got := netip.MustParseAddrPort(dev.Address).Addr(); got != a {
		t.Errorf("got %v", got)
	}
}
