package integration

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/integration/lab"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// sayHello sends one hello from an address of this machine.
func sayHello(t *testing.T, from netip.Addr, to string, m *hello.Message) {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 5 * time.Second}
	conn, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// pidsOf reads the PIDs of a setup.bin.
func pidsOf(t *testing.T, usb string) []amt.PID {
	t.Helper()
	b, err := os.ReadFile(usb)
	if err != nil {
		t.Fatal(err)
	}
	f, err := setupbin.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var pids []amt.PID
	for _, r := range f.Records {
		s, err := setupbin.ParseSetup(r)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, s.Pair.PID)
	}
	return pids
}

// TestForgedHellos forges hellos before, during and after a device's set-up: they
// change nothing of the pair and do not keep the device from its set-up.
func TestForgedHellos(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.serve(lab.ServerOptions{})
	usb, err := w.MakeKey(t.Context(), "forged", 1)
	if err != nil {
		t.Fatal(err)
	}
	pid := pidsOf(t, usb)[0]
	forge := func(uuid amt.UUID, last byte) {
		from := netip.MustParseAddr(w.Net + ".1").As4()
		from[3] = last
		sayHello(t, netip.AddrFrom4(from), w.Addrs.Hello, &hello.Message{CredentialsSet: true, Version: hello.PSK, UUID: uuid, PID: pid})
	}
	tarpits(t, w, 50, 59)
	for last := byte(50); last < 60; last++ {
		forge(amt.UUID{1, last}, last) // known PID, other UUIDs and addresses
	}
	time.Sleep(300 * time.Millisecond)
	if k := w.pairs()[pid.String()]; k.State != scsv1.KeyState_KEY_STATE_AVAILABLE || k.Uuid != "" {
		t.Errorf("forged hellos changed the pair: %v", k)
	}
	w.boot(usb, 1, []*amtsim.Generation{amtsim.AMT90}, nil)
	real := w.fleet.Devices()[0].Snapshot().UUID
	for last := byte(50); last < 54; last++ {
		forge(real, last) // the device's own name from elsewhere, during its set-up
	}
	w.waitOperational(1, 30*time.Second)
	forge(real, 50) // a replay of what was sent before
	forge(amt.UUID{9}, 51)
	time.Sleep(500 * time.Millisecond)
	w.checkAll(1)
}

// tarpits listens on the device port of addresses from..to and never answers.
func tarpits(t *testing.T, w *world, from, to int) {
	t.Helper()
	for last := from; last <= to; last++ {
		addr := netip.MustParseAddr(w.Net + ".1").As4()
		addr[3] = byte(last)
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(addr), uint16(w.Port))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
			}
		}()
	}
}

// TestBadDevicesAmongGood sets good devices up beside some that answer garbage,
// never end, name another UUID, hold another PPS or say nothing.
func TestBadDevicesAmongGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	w.serve(lab.ServerOptions{})
	usb, err := w.MakeKey(t.Context(), "mixed", 12)
	if err != nil {
		t.Fatal(err)
	}
	w.boot(usb, 12, fourGenerations(), func(o *amtsim.FleetOptions) {
		o.Troubles = []string{"0:garbage", "1:endless", "2:wrong-uuid", "3:wrong-pps", "4:tarpit"}
	})
	w.waitOperational(7, 60*time.Second)
	reasons := map[int]string{0: "garbage", 2: "WrongUUID", 3: "WrongPPS"}
	for i := range reasons {
		uuid := w.fleet.Devices()[i].Snapshot().UUID.String()
		if why := w.whyNot(uuid); why == "" {
			t.Errorf("device %d (%s): the server gives no reason", i, reasons[i])
		} else {
			t.Logf("device %d: %s", i, why)
		}
	}
}

// whyNot is the reason that the inbox or the device list gives for a UUID.
func (w *world) whyNot(uuid string) string {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var inbox scsv1.ListInboxResponse
		w.scsctl(&inbox, "inbox", "list")
		for _, row := range inbox.Items {
			if row.Uuid == uuid && row.Reason != "" && row.Hint != "" {
				return row.Reason + ": " + row.Hint
			}
		}
		var devices scsv1.ListDevicesResponse
		w.scsctl(&devices, "device", "list")
		for _, d := range devices.Devices {
			if d.Uuid == uuid && d.Reason != "" && d.Hint != "" {
				return d.Reason + ": " + d.Hint
			}
		}
		if time.Now().After(deadline) {
			return ""
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// TestRandomHellosDoNotGrowTheStore floods the listener with hellos of PIDs that
// nobody made.
func TestRandomHellosDoNotGrowTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.serve(lab.ServerOptions{})
	for i := range 400 {
		uuid := amt.UUID{byte(i), byte(i >> 8), 1}
		pid := amt.PID([]byte("0000037M"))
		sayHello(t, netip.MustParseAddr(w.Net+".1"), w.Addrs.Hello, &hello.Message{CredentialsSet: true, Version: hello.PSK, UUID: uuid, PID: pid})
	}
	time.Sleep(500 * time.Millisecond)
	out, err := w.Run(context.WithoutCancel(t.Context()), "inbox", "list", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), `"uuid"`); n == 0 || n > 100 {
		t.Errorf("the inbox has %d rows of one source, want 1 to 100", n)
	}
}
