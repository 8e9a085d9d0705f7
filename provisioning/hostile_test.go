package provisioning

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

func randomUUID() (u amt.UUID) {
	_, _ = rand.Read(u[:])
	return u
}

func pskHello(uuid amt.UUID, pid amt.PID) *hello.Message {
	return &hello.Message{CredentialsSet: true, Version: hello.PSK, UUID: uuid, PID: pid}
}

// say hands a hello to the engine and waits until it is stored.
func (l *lab) say(peer netip.Addr, m *hello.Message) {
	l.t.Helper()
	if err := l.engine.Hello(l.t.Context(), netip.AddrPortFrom(peer, 40000), m); err != nil {
		l.t.Fatal(err)
	}
	if err := l.engine.Flush(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) move(pid amt.PID, do func(tx kv.Tx) error) {
	l.t.Helper()
	if err := l.store.Update(l.t.Context(), do); err != nil {
		l.t.Fatalf("moving %v: %v", pid, err)
	}
}

func TestHellosForTheInbox(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.AllowLoopback = true })
	pairs := l.pairs(4)
	by := keystore.Move{Who: "lab"}
	spent, revoked := pairs[0].pid, pairs[1].pid
	l.move(revoked, func(tx kv.Tx) error { return l.keys.Revoke(tx, revoked, by) })
	l.move(spent, func(tx kv.Tx) error {
		uuid := randomUUID()
		if err := l.keys.Claim(tx, spent, uuid, by); err != nil {
			return err
		}
		return l.keys.Spend(tx, spent, by)
	})
	unknown, _ := amt.DrawPID(rand.Reader)
	garbled := amt.PID{'a', 0, 0xff, '\n', 1, 2, 3, 4}
	tests := []struct {
		name string
		m    *hello.Message
		peer string
		want Reason
	}{
		{"unknown PID", pskHello(randomUUID(), unknown), "", UnknownPID},
		{"a PID outside its alphabet", pskHello(randomUUID(), garbled), "", UnknownPID},
		{"spent", pskHello(randomUUID(), spent), "", SpentPID},
		{"revoked", pskHello(randomUUID(), revoked), "", RevokedPID},
		{"PKI", &hello.Message{Version: hello.PKI, UUID: randomUUID()}, "", PKINotConfigured},
		{"a later version", &hello.Message{Version: 9, UUID: randomUUID()}, "", UnknownHelloVersion},
		{"no UUID", pskHello(amt.UUID{}, pairs[2].pid), "", AbsentUUID},
		{"multicast peer", pskHello(randomUUID(), pairs[2].pid), "224.0.0.9", AddressNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peer := l.address(9)
			if tt.peer != "" {
				peer = netip.MustParseAddr(tt.peer)
			}
			l.say(peer, tt.m)
			l.say(peer, tt.m)
			row := l.inboxRow(tt.m.UUID, tt.want)
			if row.Count != 2 || row.PID != tt.m.PID || row.FirstAt.After(row.LastAt) || row.Reason.Hint() == "" {
				t.Errorf("got %+v, want a count of 2", row)
			}
			if err := l.engine.Dismiss(t.Context(), Act{Who: "lab"}, row.ID); err != nil {
				t.Fatal(err)
			}
			if err := l.engine.Dismiss(t.Context(), Act{Who: "lab"}, row.ID); !errors.Is(err, ErrNoInboxRow) {
				t.Errorf("dismissing it again: got %v", err)
			}
			if err := l.engine.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.say(peer, tt.m)
			if row := l.inboxRow(tt.m.UUID, tt.want); row.Count != 1 {
				t.Errorf("after it was dismissed: got a count of %d", row.Count)
			}
		})
	}
	if n := l.seen.attemptCount("authenticated"); n != 0 || len(l.seen.attempts) != 0 {
		t.Errorf("something was dialled: %v", l.seen.attempts)
	}
}

// TestStrangeHello sends a hello of an unknown version by TCP.
func TestStrangeHello(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	conn, err := net.Dial("tcp", l.hellos.String())
	if err != nil {
		t.Fatal(err)
	}
	uuid := randomUUID()
	wire := uuid.SMBIOS()
	_, err = conn.Write(append([]byte{1, 0, 7, 0, 3, 0, 0, 0}, wire[:]...))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if row := l.inboxRow(uuid, UnknownHelloVersion); row.Retry != 3 {
		t.Errorf("got %+v", row)
	}
}

// TestForgedHellos names a known PID with other UUIDs and from other addresses,
// before and while the real device is set up.
func TestForgedHellos(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Limits.AttemptsPerPID = 4 })
	p := l.pairs(1)[0]
	d := l.device(p, amtsim.AMT90, trouble(t, "latency=10ms"))
	forge := func(n int) {
		for i := range n {
			_ = l.engine.Hello(context.Background(), netip.AddrPortFrom(l.address(100+i%100), 1), pskHello(randomUUID(), p.pid))
			_ = l.engine.Hello(context.Background(), netip.AddrPortFrom(l.address(100+i%100), 1), pskHello(d.UUID(), p.pid))
		}
	}
	forge(200)
	if err := l.engine.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.untouched(p)
	l.boot(d)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				forge(20)
			}
		}
	}()
	dev := l.operational(d)
	close(stop)
	<-done
	if host := netip.MustParseAddrPort(dev.Address).Addr(); host != d.Addr().Addr() {
		t.Errorf("the store has the address %v, the device %v", host, d.Addr())
	}
	if devices, err := l.engine.Devices(t.Context(), DeviceFilter{}, Page{}); err != nil || len(devices.Devices) != 1 {
		t.Errorf("got %d devices, %v, want one", len(devices.Devices), err)
	}
}

// TestDuplicatePair boots two PCs with one pair.
func TestDuplicatePair(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	p := l.pairs(1)[0]
	first := l.device(p, amtsim.AMT90, trouble(t, "latency=30ms"))
	l.boot(first)
	l.await(first.UUID(), "Authenticated", func(dev Device) bool { return dev.State >= Authenticated })
	second := l.device(p, amtsim.AMT90, nil)
	l.boot(second)
	row := l.inboxRow(second.UUID(), DuplicatePair)
	if row.PID != p.pid {
		t.Errorf("got %+v", row)
	}
	l.operational(first)
	if _, err := l.engine.Device(t.Context(), second.UUID()); !errors.Is(err, ErrNoDevice) {
		t.Errorf("the second PC is in the store: %v", err)
	}
	n := 0
	for _, ev := range l.events(first.UUID()) {
		if ev.Type == DuplicatePairSeen {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events tell of the second PC, want 1", n)
	}
}

// TestRandomFlood sends hellos with random PIDs: the store must not grow beyond
// the inbox' bounds, and must not tell of them in events.
func TestRandomFlood(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Limits.Inbox, c.Limits.InboxPerSource = 300, 20 })
	before := len(l.events(amt.UUID{}))
	for i := range 5000 {
		var pid amt.PID
		_, _ = rand.Read(pid[:])
		peer := netip.AddrPortFrom(l.address(i%100), 7)
		for l.engine.Hello(t.Context(), peer, pskHello(randomUUID(), pid)) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err := l.engine.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, perPeer := 0, map[string]int{}
	err := l.store.View(t.Context(), func(r kv.Reader) error {
		rows = 0
		return inbox.Scan(r, kv.Range{}, func(_ []byte, m *pb.InboxRow) error {
			rows++
			perPeer[m.GetPeer()]++
			return nil
		})
	})
	if err != nil || rows != 300 {
		t.Errorf("%d rows, %v, want 300", rows, err)
	}
	for peer, n := range perPeer {
		if n > 2*20 { // the closure may run twice
			t.Errorf("%s has %d rows", peer, n)
		}
	}
	if after := len(l.events(amt.UUID{})); after != before {
		t.Errorf("the flood made %d events", after-before)
	}
	// What survives a restart is bounded as well.
	l.crash()
	st, err := l.engine.Statistics(t.Context())
	if err != nil || st.Inbox != 300 {
		t.Errorf("after a restart: %d rows, %v", st.Inbox, err)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, func(c *Config) { c.Limits.HelloQueue = 3 }) // nobody takes hellos out
	l := &lab{engine: e, seen: newRecorder(), base: [4]byte{127, 1, 2, 3}}
	e.cfg.Observe = l.seen
	m := pskHello(randomUUID(), amt.PID{})
	for range 3 {
		if err := l.engine.Hello(t.Context(), netip.AddrPortFrom(l.address(1), 1), m); err != nil {
			t.Fatal(err)
		}
	}
	err := l.engine.Hello(t.Context(), netip.AddrPortFrom(l.address(1), 1), m)
	if !errors.Is(err, hello.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	if l.seen.hellos["queue_full"] != 1 {
		t.Errorf("counted %v", l.seen.hellos)
	}
	if err := e.Run(canceled()); err != nil {
		t.Fatal(err)
	}
	if err := e.Hello(t.Context(), netip.AddrPortFrom(l.address(1), 1), m); !errors.Is(err, ErrStopped) {
		t.Errorf("after Run: got %v, want ErrStopped", err)
	}
}

// TestTarpits holds every dial of many forged attempts; a running set-up and a
// new device's are not starved.
func TestTarpits(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) {
		c.Limits.AttemptWorkers, c.Timing.Dial = 8, 500*time.Millisecond
	})
	pairs := l.pairs(9)
	for i := range 8 {
		ln, err := net.Listen("tcp", netip.AddrPortFrom(l.address(200+i), l.port).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				if _, err := ln.Accept(); err != nil { // and say nothing
					return
				}
			}
		}()
		for range 3 {
			l.say(l.address(200+i), pskHello(randomUUID(), pairs[i].pid))
		}
	}
	d := l.device(pairs[8], amtsim.AMT90, nil)
	l.boot(d)
	l.operational(d)
}

func (l *lab) events(uuid amt.UUID) []Event {
	l.t.Helper()
	var all []Event
	after := uint64(0)
	for {
		list, scanned, err := l.engine.Events(l.t.Context(), after, EventFilter{UUID: uuid}, 1000)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, list...)
		if len(list) == 0 {
			return all
		}
		after = scanned
	}
}
