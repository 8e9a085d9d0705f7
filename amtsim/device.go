package amtsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/amtscs/amtscs/amt"
)

// Device is one simulated PC. Make it with New; its methods are safe for
// concurrent use.
type Device struct {
	opt Options

	eventMu sync.Mutex // guards the order of OnEvent

	mu       sync.Mutex // guards all below
	flash    flash
	ram      ram
	changed  chan struct{} // closed and replaced at each change of phase
	running  bool
	booted   bool
	restored bool // from the state file
	main     net.Listener
	clear    net.Listener // nil unless HTTP is served
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup // connections and listeners
}

// ErrRunning is returned by a second Run at the same time.
var ErrRunning = errors.New("the device is running already")

// New makes a device that is switched off. It opens nothing and reads nothing but
// Options.StateFile.
func New(o Options) (*Device, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Device{opt: o, changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	d.opt.Trouble = o.Trouble.clone()
	d.reset()
	if d.restored, err = d.load(); err != nil {
		return nil, fmt.Errorf("device %d: %w", o.Index, err)
	}
	return d, nil
}

// Listen opens the device's port, so that Addr is known before Run. Run calls it
// too.
func (d *Device) Listen() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.main != nil {
		return nil
	}
	ln, err := net.Listen("tcp", netip.AddrPortFrom(d.opt.Addr, d.opt.Port).String())
	if err != nil {
		return fmt.Errorf("device %d: %w", d.opt.Index, err)
	}
	d.main = ln
	return nil
}

// Addr is where the device listens for TLS; before Listen its port may be 0.
func (d *Device) Addr() netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.main == nil {
		return netip.AddrPortFrom(d.opt.Addr, d.opt.Port)
	}
	return addrOf(d.main)
}

// ClearAddr is where the device serves HTTP without TLS, or the zero AddrPort.
func (d *Device) ClearAddr() netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.clear == nil {
		return netip.AddrPort{}
	}
	return addrOf(d.clear)
}

func addrOf(ln net.Listener) netip.AddrPort {
	a, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// UUID is the board's true UUID.
func (d *Device) UUID() amt.UUID { return d.opt.UUID }

// Index is Options.Index.
func (d *Device) Index() int { return d.opt.Index }

// Generation is the firmware.
func (d *Device) Generation() *Generation { return d.opt.Generation }

// Run switches the device on: it boots at the first call (from its state file,
// else from what Options say), listens, says hello while In-Setup, and serves
// until ctx is done. It returns nil then, when every connection has ended; an
// error means that it could not start. A later Run is a restart of the firmware:
// the flash memory stays and the hello schedule begins again.
func (d *Device) Run(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	d.mu.Lock()
	ln := d.main
	d.mu.Unlock()
	d.event(EventListen, nil, "%v AMT %v", d.Phase(), d.opt.Generation)
	d.spawn(func() { d.accept(ctx, ln, false) })
	d.spawn(func() { d.announce(ctx) })
	d.spawn(func() { d.watchClear(ctx) })
	<-ctx.Done()
	return nil
}

func (d *Device) start(ctx context.Context) error {
	d.mu.Lock()
	if d.running {
		d.mu.Unlock()
		return ErrRunning
	}
	d.running = true
	d.ram = ram{}
	d.mu.Unlock()
	err := d.Listen()
	if err == nil {
		err = d.bootOnce(ctx)
	}
	if err != nil {
		d.stop()
	}
	return err
}

// bootOnce boots at the first call; Enter and Insert count as one.
func (d *Device) bootOnce(ctx context.Context) error {
	d.mu.Lock()
	booted := d.booted
	d.booted = true
	d.mu.Unlock()
	if booted {
		return nil
	}
	return d.boot(ctx)
}

// stop closes the ports and connections and waits for them: the listeners first,
// so that no connection joins late.
func (d *Device) stop() {
	d.mu.Lock()
	if d.main != nil {
		_ = d.main.Close()
		d.main = nil
	}
	if d.clear != nil {
		_ = d.clear.Close()
		d.clear = nil
	}
	for c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
	d.mu.Lock()
	d.running = false
	d.mu.Unlock()
}

// spawn runs f in a goroutine that stop waits for.
func (d *Device) spawn(f func()) {
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		f()
	}()
}

// boot fills the flash memory at the first Run.
func (d *Device) boot(ctx context.Context) error {
	switch {
	case d.restored:
		d.event(EventBoot, nil, "from its state file, %v", d.Phase())
	case d.opt.Operational != nil:
		return d.bootOperational(ctx)
	case d.opt.USB != "":
		return refusedIsNoError(d.insert(d.opt.USB))
	case !d.opt.Setup.Pair.PPS.IsZero() || !d.opt.Setup.NewPassword.IsZero():
		return refusedIsNoError(d.enter(d.opt.Setup, "values typed in"))
	}
	return nil
}

// refusedIsNoError lets a device stay in its factory state, switched on, when
// MEBx refused what it was given.
func refusedIsNoError(err error) error {
	if errors.Is(err, ErrSetup) {
		return nil
	}
	return err
}

// Enter gives s to a running or stopped device as if typed into MEBx. Only a
// device in the factory state takes it.
func (d *Device) Enter(s Setup) error {
	d.markBooted()
	return d.enter(s, "values typed in")
}

// Insert boots the device from the setup.bin at path: it takes the next record,
// which is used up even if its values are refused. Only a device in the factory
// state looks at a key.
func (d *Device) Insert(path string) error {
	d.markBooted()
	return d.insert(path)
}

func (d *Device) markBooted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.booted = true
}

// Phase is the device's ProvisioningState.
func (d *Device) Phase() amt.Phase {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flash.Phase
}

// WaitPhase waits until the device is in phase.
func (d *Device) WaitPhase(ctx context.Context, phase amt.Phase) error {
	for {
		d.mu.Lock()
		now, changed := d.flash.Phase, d.changed
		d.mu.Unlock()
		if now == phase {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("device %d is %v, not %v: %w", d.opt.Index, now, phase, ctx.Err())
		}
	}
}

// SetTrouble replaces the device's troubles, counts and all.
func (d *Device) SetTrouble(t Trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opt.Trouble = t.clone()
}

// setPhase changes the phase, tells those who wait, and closes every connection
// but keep. The caller holds d.mu.
func (d *Device) setPhase(p amt.Phase, keep net.Conn) {
	d.flash.Phase = p
	close(d.changed)
	d.changed = make(chan struct{})
	for c := range d.conns {
		if c != keep {
			_ = c.Close()
		}
	}
}
