package settings

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mebxPassword = "Staging1!"

// lab is a simulated device in set-up, without TLS, and a client of it.
type lab struct {
	t      *testing.T
	dev    *amtsim.Device
	client *wsman.Client

	mu    sync.Mutex // Protects calls.
	calls []string   // "AMT_GeneralSettings.Put", as the device reports them
}

// newLab starts a device of that firmware.
func newLab(t *testing.T, g *amtsim.Generation, change ...func(*amtsim.Options)) *lab {
	t.Helper()
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		t.Fatal(err)
	}
	pps, err := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t}
	o := amtsim.Options{
		Generation: g, Addr: netip.MustParseAddr("127.0.0.1"), EphemeralPort: true, PlainSetup: true, Server: "127.0.0.1:1",
		Setup:   amtsim.Setup{Pair: amt.Pair{PID: pid, PPS: pps}, NewPassword: amt.NewSecretString(mebxPassword)},
		OnEvent: l.event,
	}
	for _, f := range change {
		f(&o)
	}
	if l.dev, err = amtsim.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.dev.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	wait, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	phase := amt.InSetup
	if o.Operational != nil {
		phase = amt.Operational
	}
	if err := l.dev.WaitPhase(wait, phase); err != nil {
		t.Fatal(err)
	}
	// The clear port opens a little after the phase is known.
	for o.Operational != nil && !l.dev.ClearAddr().IsValid() && wait.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	l.client = l.login(amt.AdminUser, mebxPassword)
	return l
}

// operational makes a device that was set up before and serves clear text.
func operational(o *amtsim.Options) {
	o.Setup, o.Operational = amtsim.Setup{}, &amtsim.Operational{Password: amt.NewSecretString(mebxPassword)}
}

// login returns a client of the device with these credentials.
func (l *lab) login(user, password string) *wsman.Client {
	l.t.Helper()
	addr := l.dev.Addr().String()
	if l.dev.Phase() == amt.Operational {
		addr = l.dev.ClearAddr().String()
	}
	c, err := wsman.New(wsman.Config{
		Address: addr, User: user, Password: amt.NewSecretString(password), RetryWaitMin: time.Millisecond, RetryWaitMax: 5 * time.Millisecond,
		Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) },
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (l *lab) event(e amtsim.Event) {
	if e.Kind == amtsim.EventCall {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls = append(l.calls, fmt.Sprint(e.Fields["call"]))
	}
}

// count is how many calls of that name the device has answered.
func (l *lab) count(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.calls {
		if c == call || strings.HasSuffix(c, "."+call) {
			n++
		}
	}
	return n
}

// apply applies every setting of p and returns the results by name.
func (l *lab) apply(p *profile.Profile, d Device, j Journal) (map[string]Result, error) {
	l.t.Helper()
	results := map[string]Result{}
	for _, s := range For(p, d) {
		r, err := s.Apply(l.t.Context(), l.client, j)
		if err != nil {
			return results, err
		}
		if r.Name != s.Name() {
			l.t.Errorf("%s: the result is of %q", s.Name(), r.Name)
		}
		results[r.Name] = r
	}
	return results, nil
}

// diary is a Journal that writes everything down; fail makes it refuse.
type diary struct {
	lines []string
	fail  error
}

func (j *diary) Intend(_ context.Context, call string) (func(context.Context, error) error, error) {
	if j.fail != nil {
		return nil, j.fail
	}
	j.lines = append(j.lines, "intend "+call)
	return func(_ context.Context, err error) error {
		outcome := "ok"
		if err != nil {
			outcome = "failed"
		}
		j.lines = append(j.lines, outcome+" "+call)
		return nil
	}, nil
}

// testProfile asks for something of every part.
func testProfile() *profile.Profile {
	power, err := amt.ParsePowerPackage("desktop-s3")
	if err != nil {
		panic(err)
	}
	return &profile.Profile{
		Name:     "test",
		HostName: profile.HostName{Shared: false},
		Network:  profile.Network{Ping: false, RMCPPing: true},
		TLS:      profile.TLS{Mode: profile.ServerTLS},
		Users: []profile.User{
			{Name: "desk", Realms: []amt.Realm{amt.RealmRemoteControl, amt.RealmHardwareAsset}, Access: profile.AnyAccess},
			{Name: "sol", Realms: []amt.Realm{amt.RealmRedirection}, Access: profile.NetworkAccess},
		},
		Features: profile.Features{SOL: true, IDER: true, KVM: true, Consent: profile.ConsentAll},
		Power:    power,
	}
}

const (
	deskPassword = "Desk1-Passw0rd!"
	solPassword  = "Sol1-Passw0rd!"
)

func testDevice(g *amtsim.Generation) Device {
	return Device{
		FQDN: "pc1.corp.example.com", Version: g.Version,
		Passwords: map[string]amt.Secret{"desk": amt.NewSecretString(deskPassword), "sol": amt.NewSecretString(solPassword)},
	}
}

// outcomes lists results as "name=Outcome" in the order of names.
func outcomes(results map[string]Result) string {
	var s []string
	for name, r := range results {
		s = append(s, name+"="+r.Outcome.String())
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}
