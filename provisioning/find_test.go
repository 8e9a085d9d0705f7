package provisioning

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// tarpit accepts connections at an address, says nothing, and counts them.
func (l *lab) tarpit(addr netip.AddrPort) *atomic.Int32 {
	l.t.Helper()
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = ln.Close() })
	var n atomic.Int32
	go func() {
		for {
			if _, err := ln.Accept(); err != nil {
				return
			}
			n.Add(1)
		}
	}()
	return &n
}

// moved commits a device, stops the server before step 16, and gives the device
// its second address; hellos from forged peers come later than its own. DNS knows
// the device with dns.
func moved(t *testing.T, doc string, dns bool) (l *lab, d *amtsim.Device, forged []*atomic.Int32) {
	t.Helper()
	l = makeLab(t, nil)
	hook, there := l.crashAt("16-before")
	l.tune = func(c *Config) {
		c.StepHook, c.Timing.Dial = hook, 2*time.Second
		if dns {
			c.Resolver = everyName{l.address(2)}
		}
	}
	l.open(true)
	l.apply("default", doc)
	p := l.pairs(1)[0]
	state := filepath.Join(t.TempDir(), "state.json")
	old := l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.StateFile = state })
	off := l.boot(old)
	<-there
	if err := old.WaitPhase(t.Context(), amt.Operational); err != nil {
		t.Fatal(err)
	}
	off()
	l.crash()
	d = l.device(p, amtsim.AMT90, func(o *amtsim.Options) { o.StateFile = state })
	l.say(d.Addr().Addr(), pskHello(d.UUID(), p.pid))
	hinted := func(n int) {
		for len(l.engine.soft.hints(d.UUID(), p.pid)) < n {
			time.Sleep(10 * time.Millisecond)
		}
	}
	hinted(1)
	for i := range 5 {
		at := l.address(200 + i)
		forged = append(forged, l.tarpit(netip.AddrPortFrom(at, l.port)), l.tarpit(netip.AddrPortFrom(at, l.port-1)))
		l.say(at, pskHello(d.UUID(), p.pid))
	}
	hinted(6)
	return l, d, forged
}

// everyName is a resolver that gives every name one address.
type everyName struct{ addr netip.Addr }

func (everyName) LookupAddr(context.Context, string) ([]string, error) { return nil, nil }

func (n everyName) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{n.addr}, nil
}

// TestHintsAreTriedAtOnce finds an Operational device by its hello among forged
// ones, whose peers say nothing.
func TestHintsAreTriedAtOnce(t *testing.T) {
	t.Parallel()
	l, d, _ := moved(t, basicProfile, false)
	l.boot(d)
	begun := time.Now()
	l.operational(d)
	if took := time.Since(begun); took > 7*time.Second {
		t.Errorf("it took %v, as long as one peer after the other", took)
	}
}

// TestForgedPeersInClear moves a device without TLS: it is found by its name, and
// no peer of a hello is spoken to in clear.
func TestForgedPeersInClear(t *testing.T) {
	t.Parallel()
	l, d, forged := moved(t, plainProfile, true)
	l.boot(d)
	l.operational(d)
	for i := 1; i < len(forged); i += 2 {
		if forged[i].Load() != 0 {
			t.Error("a forged peer was dialled in clear")
		}
	}
}

// TestNamesComeBeforeHints asks DNS before it follows hellos, which anybody sends.
func TestNamesComeBeforeHints(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, func(c *Config) { c.Resolver = everyName{netip.MustParseAddr("192.0.2.9")} })
	p := profile.Default()
	p.Network.Static = &profile.Static{Address: netip.MustParsePrefix("192.0.2.7/24")}
	r := &run{e: e, dev: &pb.Device{Address: "192.0.2.8:16993"}, wf: &pb.Workflow{Fqdn: "pc1.example.com"}}
	var got []string
	for ap := range r.likelyAddresses(t.Context(), p) {
		got = append(got, ap.Addr().String())
	}
	if want := "192.0.2.7 192.0.2.8 192.0.2.9"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestStrangerInClear puts a machine at the address of a device without TLS that
// asks for a login: it gets nothing that is made of a password.
func TestStrangerInClear(t *testing.T) {
	t.Parallel()
	for name, challenge := range map[string]string{"another realm": `Digest realm="Digest:00000000000000000000000000000000", nonce="n", qop="auth"`, "no login": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := makeLab(t, nil)
			hook, there := l.crashAt("16-before")
			l.tune = func(c *Config) { c.StepHook = hook }
			l.open(true)
			l.apply("default", plainProfile)
			d := l.device(l.pairs(1)[0], amtsim.AMT90, func(o *amtsim.Options) { o.StateFile = filepath.Join(t.TempDir(), "state.json") })
			off := l.boot(d)
			<-there
			if err := d.WaitPhase(t.Context(), amt.Operational); err != nil {
				t.Fatal(err)
			}
			off()
			ln, err := net.Listen("tcp", netip.AddrPortFrom(d.Addr().Addr(), l.port-1).String())
			if err != nil {
				t.Fatal(err)
			}
			var asked, told atomic.Int32
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.Header.Get("Authorization") != "" {
					told.Add(1)
				}
				if challenge != "" {
					w.Header().Set("WWW-Authenticate", challenge)
					w.WriteHeader(http.StatusUnauthorized)
				}
			})}
			go func() { _ = srv.Serve(ln) }()
			l.crash()
			for deadline := time.Now().Add(10 * time.Second); asked.Load() < 3 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
			_ = srv.Close()
			if asked.Load() < 3 || told.Load() != 0 {
				t.Errorf("the stranger asked %d times and was told %d digests", asked.Load(), told.Load())
			}
			l.boot(d)
			l.operational(d)
		})
	}
}
