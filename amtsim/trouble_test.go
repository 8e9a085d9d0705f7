package amtsim

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

func TestBusyKeys(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, func(o *Options) { o.Trouble.BusyKeys = 2 })
	for _, want := range []Status{OperationInProgress, OperationInProgress, Success} {
		c.want(c.invoke(keyClass, "GenerateKeyPair", "KeyAlgorithm", "0", "KeyLength", "2048"), want)
	}
	if n := len(d.Snapshot().Keys); n != 1 {
		t.Errorf("%d keys", n)
	}
}

// TestRefusals: a method answers the status, another operation a fault with it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, nil)
	var tr Trouble
	if err := ParseTrouble("SetAdminAclEntryEx=38*2, AMT_GeneralSettings.Put=1*1,CommitChanges=16", 0, &tr); err != nil {
		t.Fatal(err)
	}
	d.SetTrouble(tr)
	c.get(generalClass, "")
	for _, want := range []Status{FlashWriteLimit, FlashWriteLimit, Success} {
		a := c.invoke(authClass, "SetAdminAclEntryEx", "Username", "admin", "DigestPassword", md5Base64("admin", c.realm, testAdmin))
		if a.code != 200 || a.xml.find("ReturnValue") == nil {
			t.Errorf("%d %s", a.code, a.raw)
		}
		c.want(a, want)
	}
	if a := c.putHostName("x", ""); a.code != 500 || a.fault() != "e:InternalError" || a.status() != 1 {
		t.Errorf("%d %s", a.code, a.raw)
	}
	if a := c.putHostName("x", ""); a.code != 200 || d.Snapshot().HostName != "x" {
		t.Errorf("%d %s", a.code, a.raw)
	}
	for range 3 {
		c.want(c.commit(), NotPermitted)
	}
}

// TestDrops: before a call nothing has happened, after it everything.
func TestDrops(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT90, func(o *Options) {
		o.Trouble.DropBefore = []CallTrouble{{"AddKey", 1}}
		o.Trouble.DropAfter = []CallTrouble{{"GenerateKeyPair", 1}}
	})
	gen := func() (*answer, error) {
		return c.tryInvoke(keyClass, "GenerateKeyPair", "KeyAlgorithm", "0", "KeyLength", "2048")
	}
	c.get(generalClass, "")
	if _, err := c.tryInvoke(keyClass, "AddKey", "KeyBlob", "AAAA"); err == nil || len(d.Snapshot().Keys) != 0 {
		t.Errorf("AddKey: %v, %v", err, d.Snapshot().Keys)
	}
	if _, err := gen(); err == nil || len(d.Snapshot().Keys) != 1 {
		t.Errorf("GenerateKeyPair: %v, %v", err, d.Snapshot().Keys)
	}
	if a, err := gen(); err != nil || a.status() != 0 {
		t.Errorf("the second time: %v", err)
	}
	calls := d.Calls()
	if calls[len(calls)-2].Fault != "dropped" || d.Counts()[keyClass+".GenerateKeyPair"] != 2 {
		t.Errorf("calls %+v", calls)
	}
}

func TestCommitTroubles(t *testing.T) {
	t.Parallel()
	for _, trouble := range []string{"commit-drops", "commit-ignored=1"} {
		d := device(t, AMT90, nil)
		c := pskClient(t, d, testPair(t), testMEBx)
		c.setTime()
		c.putHostName("pc", "")
		var tr Trouble
		if err := ParseTrouble(trouble, 0, &tr); err != nil {
			t.Fatal(err)
		}
		d.SetTrouble(tr)
		a, err := c.tryInvoke(setupClass, "CommitChanges")
		drops := trouble == "commit-drops"
		if (err != nil) != drops || (d.Phase() == amt.Operational) != drops {
			t.Errorf("%s: %v, %v", trouble, err, d.Phase())
		}
		if !drops && a.status() != 0 {
			t.Errorf("%s: %d", trouble, a.status())
		}
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, func(o *Options) {
		o.Trouble.Latency = []Latency{{"Put", 60 * time.Millisecond}, {"GetUuid", time.Hour}}
	})
	c.get(generalClass, "")
	began := time.Now()
	c.putHostName("x", "")
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if sleep(ctx, time.Hour) {
		t.Error("a sleep outlives its context")
	}
}

func TestWrongPPS(t *testing.T) {
	t.Parallel()
	d := device(t, AMT90, func(o *Options) { o.Trouble.WrongPPS = true })
	if _, err := pskClient(t, d, testPair(t), testMEBx).try(actGet, generalClass, "", ""); err == nil {
		t.Error("the pair's own PPS is taken")
	}
}

// TestTarpit ends with the device, not before.
func TestTarpit(t *testing.T) {
	t.Parallel()
	d, err := New(Options{
		Generation: AMT90, Addr: loopback(), EphemeralPort: true, Server: "127.0.0.1:1", Trouble: Trouble{Tarpit: true},
		Setup: Setup{Pair: testPair(t), NewPassword: amt.NewSecretString(testMEBx)},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, d)
	conn, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "hello?")
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var netErr net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("got %v, want silence", err)
	}
	stop()
}

func TestGarbageAndEndless(t *testing.T) {
	t.Parallel()
	_, c := operational(t, AMT90, func(o *Options) { o.Trouble.Garbage = true })
	if _, err := c.try(actGet, generalClass, "", ""); err == nil {
		t.Error("garbage can be read")
	}
	_, c = operational(t, AMT90, func(o *Options) { o.Trouble.Endless = true })
	conn, err := c.dial()
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	c.request = func(s string) string { return s }
	c.dial = func() (net.Conn, error) {
		conn, err := net.Dial("tcp", conn.RemoteAddr().String())
		return &limited{conn, 1 << 20}, err
	}
	c.conn = nil
	_ = conn.Close()
	if _, err := c.try(actGet, generalClass, "", ""); !errors.Is(err, errEnough) {
		t.Errorf("got %v, want more than a megabyte", err)
	}
}

var errEnough = errors.New("enough")

// limited fails after n bytes.
type limited struct {
	net.Conn
	n int
}

func (l *limited) Read(b []byte) (int, error) {
	if l.n <= 0 {
		return 0, errEnough
	}
	n, err := l.Conn.Read(b)
	l.n -= n
	return n, err
}

func TestParseTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list  string
		index int
		want  Trouble
	}{
		{"", 0, Trouble{}},
		{"AddKey=2", 0, Trouble{Refuse: []Refusal{{CallTrouble{"AddKey", Always}, 2}}}},
		{"AMT_TLSSettingData.Put=38*3", 0, Trouble{Refuse: []Refusal{{CallTrouble{"AMT_TLSSettingData.Put", 3}, 38}}}},
		{"*=1", 0, Trouble{Refuse: []Refusal{{CallTrouble{"*", Always}, 1}}}},
		{"3:tarpit", 3, Trouble{Tarpit: true}},
		{"3:tarpit", 4, Trouble{}},
		{"0-4:wrong-pps, 2-9:wrong-uuid", 3, Trouble{WrongPPS: true, WrongUUID: true}},
		{"drop-before=AddKey,drop-after=Put*2", 0, Trouble{DropBefore: []CallTrouble{{"AddKey", 1}}, DropAfter: []CallTrouble{{"Put", 2}}}},
		{"commit-drops", 0, Trouble{DropAfter: []CallTrouble{{"CommitChanges", 1}}}},
		{"latency=50ms,latency=AddKey/2s", 0, Trouble{Latency: []Latency{{"*", 50 * time.Millisecond}, {"AddKey", 2 * time.Second}}}},
		{"busy-keys=3,nonce-reset=5,login-lock=2,commit-ignored=1", 0, Trouble{BusyKeys: 3, NonceReset: 5, LoginLock: 2, CommitIgnored: 1}},
		{"garbage,endless,strict-nonce,stale-false", 0, Trouble{Garbage: true, Endless: true, StrictNonce: true, StaleFalse: true}},
	} {
		var got Trouble
		if err := ParseTrouble(tt.list, tt.index, &got); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q for %d: got %+v, %v", tt.list, tt.index, got, err)
		}
	}
	for _, bad := range []string{
		"nonsense", "AddKeys=2", "AddKey", "AddKey=", "AddKey=x", "AddKey=0", "AddKey=2*0", "AddKey=2*x", "tarpit=1", "busy-keys", "busy-keys=-1",
		"drop-before=Nothing", "drop-after=", "latency=soon", "latency=Nothing/1s", "x:tarpit", "4-2:tarpit", "-1:tarpit", "3:nonsense",
	} {
		for _, index := range []int{0, 3} { // also where it is for another device
			if err := ParseTrouble(bad, index, new(Trouble)); err == nil {
				t.Errorf("%q for %d is taken", bad, index)
			} else if !strings.Contains(err.Error(), bad) {
				t.Errorf("%q: the error does not name it: %v", bad, err)
			}
		}
	}
}

// FuzzParseTrouble: nothing breaks it, and what it takes for one device it takes
// for every device.
func FuzzParseTrouble(f *testing.F) {
	for _, s := range []string{"AddKey=2*3", "0-4:tarpit,busy-keys=1", "latency=AddKey/2s", "drop-after=*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err0, err9 := ParseTrouble(s, 0, new(Trouble)), ParseTrouble(s, 999, new(Trouble))
		if (err0 == nil) != (err9 == nil) {
			t.Errorf("%q: %v for device 0, %v for device 999", s, err0, err9)
		}
	})
}
