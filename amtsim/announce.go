package amtsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
)

// hellosInAll is the length of the schedule: retry counts 0 to 14.
const hellosInAll = 15

// helloTimeout bounds one try to reach the server.
const helloTimeout = 10 * time.Second

// helloWait is the firmware's wait before the hello with this retry count: five a
// minute apart, five ten minutes, five an hour.
func helloWait(retry int) time.Duration {
	switch {
	case retry < 5:
		return time.Minute
	case retry < 10:
		return 10 * time.Minute
	}
	return time.Hour
}

// announce says hello whenever set-up begins, until the schedule is over or the
// phase changes.
func (d *Device) announce(ctx context.Context) {
	last := -1
	for ctx.Err() == nil {
		d.mu.Lock()
		epoch, phase, changed := d.ram.schedule, d.flash.Phase, d.changed
		if phase == amt.InSetup && d.ram.setupBegan.IsZero() {
			d.ram.setupBegan = d.opt.Now() // a restart within set-up
		}
		d.mu.Unlock()
		if phase == amt.InSetup && epoch != last {
			last = epoch
			d.schedule(ctx, epoch)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// schedule sends the hellos of one set-up.
func (d *Device) schedule(ctx context.Context, epoch int) {
	for retry := range hellosInAll {
		wait := helloWait(retry)
		if retry == 0 && !d.opt.HelloDelay {
			wait = 0
		}
		if !d.waitInSetup(ctx, epoch, time.Duration(float64(wait)/d.opt.ClockFactor)) {
			return
		}
		d.sayHello(ctx, uint32(retry))
	}
	d.event(EventHelloEnd, nil, "after %d hellos", hellosInAll)
}

// waitInSetup waits; false means that this set-up is over.
func (d *Device) waitInSetup(ctx context.Context, epoch int, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	for over := false; ; {
		d.mu.Lock()
		still := d.flash.Phase == amt.InSetup && d.ram.schedule == epoch && !d.windowOver()
		changed := d.changed
		d.mu.Unlock()
		if !still || ctx.Err() != nil {
			return false
		}
		if over {
			return true
		}
		select {
		case <-t.C:
			over = true
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// sayHello sends one message to the first server that takes it.
func (d *Device) sayHello(ctx context.Context, retry uint32) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	d.mu.Lock()
	m := hello.Message{
		CredentialsSet: d.flash.MEBxChanged || d.flash.AdminSet, Version: hello.PSK, Retry: retry,
		UUID: d.opt.UUID, PID: d.flash.Pair.PID,
	}
	servers := d.servers()
	d.mu.Unlock()
	fields := map[string]any{"retry": retry, "pid": m.PID.String()}
	to, err := d.deliver(ctx, servers, &m)
	if err != nil {
		d.event(EventHelloFailed, fields, "retry %d: %v", retry, err)
		return
	}
	d.mu.Lock()
	d.ram.hellos++
	d.mu.Unlock()
	fields["server"] = to
	d.event(EventHello, fields, "retry %d, PID %v, to %s", retry, m.PID, to)
}

// deliver connects from the device's own address, writes, and closes.
func (d *Device) deliver(ctx context.Context, servers []string, m *hello.Message) (string, error) {
	b, err := m.AppendBinary(nil)
	if err != nil {
		return "", err
	}
	var errs []error
	for _, to := range servers {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.opt.Addr, 0))}
		c, err := dialer.DialContext(ctx, "tcp", to)
		if err == nil {
			_ = c.SetWriteDeadline(time.Now().Add(helloTimeout))
			_, err = c.Write(b)
			err = errors.Join(err, c.Close())
		}
		if err == nil {
			return to, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no server reached: %w", errors.Join(errs...))
}

// servers lists where hellos go, the first that answers taken: Options.Server;
// else the address from MEBx; else the name from MEBx; else provisionserver in the
// device's domain and alone. The caller holds d.mu.
func (d *Device) servers() []string {
	f := &d.flash
	port := strconv.Itoa(int(orDefault(f.Server.Port, amt.HelloPort)))
	if s := d.opt.Server; s != "" {
		if _, _, err := net.SplitHostPort(s); err == nil {
			return []string{s}
		}
		return []string{net.JoinHostPort(s, port)}
	}
	if f.Server.Addr.IsValid() && !f.Server.Addr.IsUnspecified() {
		return []string{net.JoinHostPort(f.Server.Addr.String(), port)}
	}
	var list []string
	if f.Server.Name != "" {
		list = append(list, net.JoinHostPort(f.Server.Name, port))
	}
	if f.Domain != "" {
		list = append(list, net.JoinHostPort(amt.DefaultServerName+"."+f.Domain, port))
	}
	return append(list, net.JoinHostPort(amt.DefaultServerName, port))
}
