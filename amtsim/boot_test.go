package amtsim

import (
	"bytes"
	"context"
	"encoding/binary"
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

// entry is one variable of a setup record.
func entry(module, variable uint16, value string) setupbin.Entry {
	return setupbin.Entry{Module: module, Variable: variable, Value: setupbin.Raw(value)}
}

// basic are the entries of a good record, each replaced by those of the same
// variable in more.
func basic(t *testing.T, more ...setupbin.Entry) []setupbin.Entry {
	t.Helper()
	p := testPair(t)
	list := []setupbin.Entry{
		entry(1, 1, "admin"), entry(1, 2, testMEBx), entry(1, 3, "\x01"), entry(2, 1, p.PID.Wire()), entry(2, 2, string(p.PPS.Reveal())),
	}
	for _, m := range more {
		replaced := false
		for i, e := range list {
			if e.ID() == m.ID() {
				list[i], replaced = m, true
			}
		}
		if !replaced {
			list = append(list, m)
		}
	}
	return list
}

// stick writes a setup.bin.
func stick(t *testing.T, v setupbin.Version, records ...[]setupbin.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "setup.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	file := setupbin.File{Header: setupbin.Header{
		Version: v, Chunks: 1, HeaderBytes: 46, Records: uint32(len(records)), RecordChunks: 1, Modules: []uint16{1, 2},
	}}
	for i, entries := range records {
		r := setupbin.NewRecord(entries...)
		r.Number = uint32(i + 1)
		file.Records = append(file.Records, r)
	}
	b, err := file.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUSB: every variable that is read has its effect.
func TestUSB(t *testing.T) {
	t.Parallel()
	port := binary.LittleEndian.AppendUint16(nil, 9999)
	path := stick(t, setupbin.V3, basic(t, entry(2, 4, "scs.example.net"), entry(2, 10, "\x01"), entry(2, 11, "pc7"), entry(2, 12, "example.net"),
		entry(2, 13, "\x01"), entry(2, 17, "\x0a\x02\x00\xc0"), entry(2, 18, string(port)), entry(2, 25, "\x01"), entry(2, 26, "\xff")))
	d := device(t, AMT90, func(o *Options) { o.Setup, o.USB, o.Server = Setup{}, path, "" })
	s := d.Snapshot()
	if s.Phase != amt.InSetup || s.Pair.PID != testPair(t).PID || !s.MEBx.Equal(amt.NewSecretString(testMEBx)) || s.HostName != "pc7" ||
		s.Domain != "example.net" || s.DHCP || s.State != 32770 || !s.Listener || !s.KVM || s.Consent != consentAll {
		t.Errorf("snapshot %+v", s)
	}
	d.mu.Lock()
	servers := d.servers()
	d.mu.Unlock()
	if len(servers) != 1 || servers[0] != "192.0.2.10:9999" {
		t.Errorf("servers %v", servers)
	}
	b, err := os.ReadFile(path)
	if err != nil || b[0x20] != 1 || b[512+4]&1 != 0 {
		t.Errorf("the record is not consumed: %v", err)
	}
}

// TestServers is the order in which the firmware looks for its server.
func TestServers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		option string
		hint   serverHint
		domain string
		want   string
	}{
		{"", serverHint{}, "", "provisionserver:9971"},
		{"", serverHint{}, "example.net", "provisionserver.example.net:9971 provisionserver:9971"},
		{"", serverHint{Name: "scs", Port: 8000}, "example.net", "scs:8000 provisionserver.example.net:8000 provisionserver:8000"},
		{"", serverHint{Addr: netip.MustParseAddr("192.0.2.1"), Name: "scs"}, "example.net", "192.0.2.1:9971"},
		{"scs2", serverHint{Addr: netip.MustParseAddr("192.0.2.1"), Port: 8000}, "", "scs2:8000"},
		{"scs2:1", serverHint{Port: 8000}, "", "scs2:1"},
		{"::1", serverHint{}, "", "[::1]:9971"},
	} {
		d := &Device{opt: Options{Server: tt.option}, flash: flash{Server: tt.hint, Domain: tt.domain}}
		if got := strings.Join(d.servers(), " "); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// TestUSBRefused: MEBx refuses the values; the record is used up all the same, and
// the device stays in its factory state.
func TestUSBRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]setupbin.Entry{
		"another current password": entry(1, 1, "Other123!"), "weak password": entry(1, 2, "password"), "no AMT": entry(1, 3, "\x00"),
		"PID with a wrong check character": entry(2, 1, "0000037N"), "dashed PID": entry(2, 1, "0000-037M"),
		"PPS with a wrong check character": entry(2, 2, "NKLEG5DCRRNQE9YZZIJL7LFLVJED69XJ"), "short PPS": entry(2, 2, "NKLD"),
		"a PID alone":    {Module: 2, Variable: 2, Value: setupbin.Raw{}},
		"lower-case PPS": entry(2, 2, "nkldg5dcrrnqe9yzzijl7lflvjed69xj"),
		"port 0":         entry(2, 18, "\x00\x00"), "DHCP 3": entry(2, 13, "\x03"), "opt-in 2": entry(2, 26, "\x02"),
	} {
		path := stick(t, setupbin.V21, basic(t, change), basic(t))
		var seen events
		d, err := New(Options{Generation: AMT90, Addr: loopback(), EphemeralPort: true, OnEvent: seen.add})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Insert(path); !errors.Is(err, ErrSetup) || d.Phase() != amt.Factory || !seen.has(EventBootFailed) {
			t.Errorf("%s: %v, %v", name, err, d.Phase())
		}
		if strings.Contains(err2text(d.Insert(path)), "NKLE") {
			t.Errorf("%s: an error shows the PPS", name)
		}
		if d.Phase() != amt.InSetup {
			t.Errorf("%s: the second record: %v", name, d.Phase())
		}
		if err := d.Insert(path); !errors.Is(err, ErrNotFactory) {
			t.Errorf("%s: a third time: %v", name, err)
		}
	}
}

func err2text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestUSBFile: a file of a later version, a used-up one and none are errors of Run.
func TestUSBFile(t *testing.T) {
	t.Parallel()
	used := stick(t, setupbin.V2, basic(t))
	if _, err := setupbin.ConsumeFile(used); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		g    *Generation
		path string
		want error
		text string
	}{
		"version 3 on AMT 3.2": {AMT32, stick(t, setupbin.V3, basic(t)), setupbin.ErrVersion, "AMT 3.2 reads setup.bin up to version 2"},
		"version 2 on AMT 2.2": {AMT22, stick(t, setupbin.V2, basic(t)), setupbin.ErrVersion, "up to version 1"},
		"version 4 on AMT 6.2": {AMT62, stick(t, setupbin.V4, basic(t)), setupbin.ErrVersion, "up to version 3"},
		"used up":              {AMT90, used, setupbin.ErrUsedUp, "every record"},
		"no file":              {AMT90, filepath.Join(t.TempDir(), "nothing"), os.ErrNotExist, "nothing"},
	} {
		before, _ := os.ReadFile(tt.path)
		d, err := New(Options{Generation: tt.g, Addr: loopback(), EphemeralPort: true, USB: tt.path})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Run(t.Context())
		if !errors.Is(err, ErrUSB) || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(tt.path); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// TestEnter: a password alone is no set-up, a pair alone needs a password.
func TestEnter(t *testing.T) {
	t.Parallel()
	d, err := New(Options{Generation: AMT90, Addr: loopback()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Enter(Setup{Pair: testPair(t)}); !errors.Is(err, ErrSetup) {
		t.Errorf("a pair alone: %v", err)
	}
	if err := d.Enter(Setup{NewPassword: amt.NewSecretString(testMEBx)}); err != nil || d.Phase() != amt.Factory {
		t.Errorf("a password alone: %v, %v", err, d.Phase())
	}
	if err := d.Enter(Setup{Pair: testPair(t), CurrentPassword: amt.NewSecretString("admin")}); !errors.Is(err, ErrSetup) {
		t.Errorf("the old password: %v", err)
	}
	if err := d.Enter(Setup{Pair: testPair(t), CurrentPassword: amt.NewSecretString(testMEBx)}); err != nil || d.Phase() != amt.InSetup {
		t.Errorf("a pair: %v, %v", err, d.Phase())
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no generation":      {Addr: loopback()},
		"no address":         {Generation: AMT90},
		"no password":        {Generation: AMT90, Addr: loopback(), Operational: &Operational{}},
		"random source dead": {Generation: AMT90, Addr: loopback(), Rand: strings.NewReader("")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestHelloSchedule: fifteen hellos with rising counts, their waits scaled down.
func TestHelloSchedule(t *testing.T) {
	t.Parallel()
	for retry, want := range map[int]time.Duration{0: time.Minute, 4: time.Minute, 5: 10 * time.Minute, 9: 10 * time.Minute, 10: time.Hour, 14: time.Hour} {
		if got := helloWait(retry); got != want {
			t.Errorf("wait before %d: %v", retry, got)
		}
	}
	server := listen(t)
	var seen events
	began := time.Now()
	d := device(t, AMT90, func(o *Options) {
		o.Server, o.ClockFactor, o.HelloDelay, o.OnEvent = server.ln.Addr().String(), 100_000, true, seen.add
	})
	for i := range hellosInAll {
		if m, _ := server.next(t); m.Retry != uint32(i) {
			t.Errorf("hello %d has retry %d", i, m.Retry)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond { // 355 min / 100,000 = 213 ms
		t.Errorf("all within %v", took)
	}
	server.quiet(t, 50*time.Millisecond)
	if !seen.has(EventHelloEnd) || d.Snapshot().Hellos != hellosInAll {
		t.Errorf("%d hellos, end told: %v", d.Snapshot().Hellos, seen.has(EventHelloEnd))
	}
}

// TestHelloServerDown: nobody listens; later somebody does.
func TestHelloServerDown(t *testing.T) {
	t.Parallel()
	server := listen(t)
	addr := server.ln.Addr().String()
	_ = server.ln.Close()
	var seen events
	device(t, AMT90, func(o *Options) { o.Server, o.ClockFactor, o.OnEvent = addr, 6000, seen.add })
	for range 500 {
		if seen.has(EventHelloFailed) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("no event of a failed hello")
}

// TestWindow: the interface closes and hellos end.
func TestWindow(t *testing.T) {
	t.Parallel()
	server := listen(t)
	d := device(t, AMT90, func(o *Options) {
		o.Server, o.ClockFactor, o.Window = server.ln.Addr().String(), 600, 50*time.Millisecond
	})
	server.next(t)
	time.Sleep(60 * time.Millisecond)
	if _, err := pskClient(t, d, testPair(t), testMEBx).try(actGet, generalClass, "", ""); err == nil {
		t.Error("the interface is open after the window")
	}
	server.quiet(t, 150*time.Millisecond)
}

// TestRestart: a second Run begins the schedule again, with what flash memory
// holds; so does a new device with the same state file.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := listen(t)
	state := filepath.Join(t.TempDir(), "device.json")
	o := Options{
		Generation: AMT90, Addr: loopback(), EphemeralPort: true, Server: server.ln.Addr().String(), Keys: testPool(), StateFile: state,
		Setup: Setup{Pair: testPair(t), NewPassword: amt.NewSecretString(testMEBx)},
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, d)
	server.next(t)
	c := pskClient(t, d, testPair(t), testMEBx)
	c.setTime()
	c.putHostName("pc", "")
	_, pub := c.makeKey(AMT90)
	c.link(newAuthority(t).issue(t, "pc1.example.net", pub, nil))
	c.putTLS(true, false, false)
	c.want(c.setAdmin("admin", testAdmin), Success)
	c.want(c.invoke(authClass, "AddUserAclEntryEx", "DigestUsername", "joe", "DigestPassword", md5Base64("joe", c.realm, "Secret12!"),
		"AccessPermission", "2", "Realms", "2"), Success)
	stop()
	stop = start(t, d)
	if m, _ := server.next(t); m.Retry != 0 || m.UUID != d.UUID() {
		t.Errorf("after a restart: %+v", m)
	}
	stop()
	info, err := os.Stat(state)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("state file: %v, %v", info, err)
	}
	again, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, d, again)
	start(t, again)
	if m, _ := server.next(t); m.UUID != d.UUID() {
		t.Errorf("after a new start: %+v", m)
	}
	c = pskClient(t, again, testPair(t), testAdmin)
	c.want(c.commit(), Success)
	checkState(t, o)
}

// checkSame compares what two devices hold.
func checkSame(t *testing.T, d, again *Device) {
	t.Helper()
	a, b := d.Snapshot(), again.Snapshot()
	if a.UUID != b.UUID || a.Realm != b.Realm || a.Pair.PID != b.Pair.PID || !a.Pair.PPS.Equal(b.Pair.PPS) || !a.AdminHA1.Equal(b.AdminHA1) ||
		!a.MEBx.Equal(b.MEBx) || a.HostName != b.HostName || len(b.Keys) != 1 || len(b.Certs) != 1 || !b.Certs[0].Presented ||
		!b.TLSPending || !b.ClockSet || b.Phase != amt.InSetup || !again.CheckUser("joe", amt.NewSecretString("Secret12!")) {
		t.Errorf("got %+v, want %+v", b, a)
	}
}

// checkState: another firmware and a damaged file are refused.
func checkState(t *testing.T, o Options) {
	t.Helper()
	other := o
	other.Generation = AMT100
	if _, err := New(other); !errors.Is(err, ErrState) {
		t.Errorf("the state of other firmware: %v", err)
	}
	if err := os.WriteFile(o.StateFile, []byte(`{"Version":1,"Generation":"9.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); !errors.Is(err, ErrState) {
		t.Errorf("a damaged state file: %v", err)
	}
}

func TestRunTwice(t *testing.T) {
	t.Parallel()
	d := device(t, AMT90, nil)
	if err := d.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.WaitPhase(ctx, amt.Operational); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	d := device(t, AMT90, nil)
	other, err := New(Options{Generation: AMT90, Addr: d.Addr().Addr(), Port: d.Addr().Port()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Run(t.Context()); err == nil {
		t.Error("two devices on one address and port")
	}
}
