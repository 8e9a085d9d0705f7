package amtsim

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// TestFleet: devices take records, addresses, firmware and troubles in turn.
func TestFleet(t *testing.T) {
	t.Parallel()
	server := listen(t)
	var records [][]setupbin.Entry
	var pairs []amt.Pair
	for range 5 {
		p := drawPair(t)
		pairs = append(pairs, p)
		records = append(records, basic(t, entry(2, 1, p.PID.Wire()), entry(2, 2, string(p.PPS.Reveal()))))
	}
	base := netip.MustParseAddr("127.78.0.254")
	f, err := NewFleet(FleetOptions{
		Count: 5, Generations: []*Generation{AMT32, AMT90}, Seed: "fleet", StateDir: t.TempDir(), Troubles: []string{"1:wrong-uuid", "tarpit"},
		Device: Options{Addr: base, EphemeralPort: true, USB: stick(t, setupbin.V2, records...), Server: server.ln.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	if err := f.WaitPhase(ctx, amt.InSetup); err != nil {
		t.Error(err)
	}
	seen := map[amt.UUID]bool{}
	for range 5 {
		m, from := server.next(t)
		seen[m.UUID] = from.Addr().IsLoopback()
	}
	addr := base
	for i, d := range f.Devices() {
		if s := d.Snapshot(); d.Addr().Addr() != addr || s.Pair.PID != pairs[i].PID || !seen[d.UUID()] || d.Index() != i {
			t.Errorf("device %d: %v %+v", i, d.Addr(), s)
		}
		if d.Generation() != []*Generation{AMT32, AMT90}[i%2] || d.opt.Trouble.WrongUUID != (i == 1) || !d.opt.Trouble.Tarpit {
			t.Errorf("device %d: AMT %v, %+v", i, d.Generation(), d.opt.Trouble)
		}
		addr = addr.Next()
	}
	if n := f.Count(amt.InSetup); n != 5 {
		t.Errorf("%d In-Setup", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := NewFleet(FleetOptions{Count: 1, Seed: "fleet", Device: Options{Addr: base}})
	if err != nil || again.Devices()[0].UUID() != f.Devices()[0].UUID() {
		t.Errorf("the seed gives another UUID: %v", err)
	}
}

func TestFleetRefused(t *testing.T) {
	t.Parallel()
	good := Options{Addr: loopback(), EphemeralPort: true}
	for name, o := range map[string]FleetOptions{
		"none":         {Device: good},
		"no address":   {Count: 1},
		"bad trouble":  {Count: 1, Device: good, Troubles: []string{"nonsense"}},
		"no more room": {Count: 2, Device: Options{Addr: netip.MustParseAddr("255.255.255.255")}},
	} {
		if _, err := NewFleet(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	few, err := NewFleet(FleetOptions{Count: 2, Device: Options{Addr: loopback(), EphemeralPort: true, USB: stick(t, setupbin.V2, basic(t))}})
	if err != nil {
		t.Fatal(err)
	}
	if err := few.Run(t.Context()); !errors.Is(err, setupbin.ErrUsedUp) || !strings.Contains(err.Error(), "device 1") {
		t.Errorf("one record for two devices: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := few.WaitPhase(ctx, amt.Operational); err == nil {
		t.Error("a fleet that is off is Operational")
	}
}

func TestKeyPool(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(path, []byte(pemKeys(testKeys()[:2]...)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := NewKeyPool(nil)
	if err := p.Load(path); err != nil || p.Len() != 2 {
		t.Fatalf("%d keys, %v", p.Len(), err)
	}
	for i := range 2 {
		if k, err := p.Take(t.Context()); err != nil || !k.Equal(testKeys()[i]) {
			t.Errorf("key %d: %v", i, err)
		}
	}
	var b bytes.Buffer
	if err := WriteKeys(t.Context(), &b, nil, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Load(path); err != nil || p.Len() != 1 {
		t.Errorf("written keys: %d, %v", p.Len(), err)
	}
	for name, text := range map[string]string{"empty": "", "text": "hello", "another block": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Load(path); !errors.Is(err, ErrKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// TestManyDevices sets thirty devices up at once.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	const n = 30
	errs := make(chan error, n)
	for range n {
		d := device(t, AMT90, nil)
		go func() {
			c := pskClient(t, d, testPair(t), testMEBx)
			_, err := c.try(actGet, generalClass, "", "")
			c.close()
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	_ = ca
}

func BenchmarkGet(b *testing.B) {
	d, err := New(Options{Generation: AMT90, Addr: loopback()})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.NewReplacer("%s</a:Action>", actGet+"</a:Action>", "%s</w:ResourceURI>", uriOf(generalClass)+"</w:ResourceURI>",
		"%d", "1", "%s", "").Replace(testEnvelope)
	x := new(exchange)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		*x = exchange{user: login{admin: true}}
		r, f, _ := d.answer(b.Context(), x, body)
		if f != nil {
			b.Fatal(f.why)
		}
		out := getBuffer()
		*out = r.appendTo(*out, "1", 1)
		putBuffer(out)
		putBuffer(r.body)
	}
}
