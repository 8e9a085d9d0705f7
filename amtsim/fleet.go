package amtsim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/amtscs/amtscs/amt"
)

// FleetOptions describe many devices that differ in little.
type FleetOptions struct {
	// Device is what they have in common. Its Addr is the first device's; each
	// further one has the next address. Index, UUID, Generation and StateFile are
	// set by the fleet; USB makes each device take the next record.
	Device Options
	// Count is the number of devices.
	Count int
	// Generations are given to the devices in turn; AMT 9.0 if empty.
	Generations []*Generation
	// Seed, if not empty, makes UUIDs, and with them realms, the same each time.
	Seed string
	// StateDir, if set, keeps a state file for each device.
	StateDir string
	// Setups, if any, are what device i is told in MEBx, instead of Device.Setup.
	Setups []Setup
	// Troubles are ParseTrouble lists, applied to each device by its index.
	Troubles []string
}

// Fleet is many devices.
type Fleet struct{ devices []*Device }

// NewFleet makes the devices; it opens nothing.
func NewFleet(o FleetOptions) (*Fleet, error) {
	if o.Count < 1 {
		return nil, fmt.Errorf("%w: %d devices, want 1 or more", ErrOptions, o.Count)
	}
	if len(o.Generations) == 0 {
		o.Generations = []*Generation{AMT90}
	}
	base := o.Device
	if base.Keys == nil {
		base.Keys = NewKeyPool(base.Rand)
	}
	f := new(Fleet)
	addr := base.Addr
	for i := range o.Count {
		if !addr.IsValid() {
			return nil, fmt.Errorf("%w: no address is left for device %d", ErrOptions, i)
		}
		d, err := o.device(base, i, addr)
		if err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
		f.devices = append(f.devices, d)
		addr = addr.Next()
	}
	return f, nil
}

func (o *FleetOptions) device(d Options, i int, addr netip.Addr) (*Device, error) {
	d.Index, d.Addr = i, addr
	d.Generation = o.Generations[i%len(o.Generations)]
	d.UUID = o.uuid(i)
	if o.StateDir != "" {
		d.StateFile = filepath.Join(o.StateDir, fmt.Sprintf("device-%04d.json", i))
	}
	if i < len(o.Setups) {
		d.Setup = o.Setups[i]
	}
	d.Trouble = d.Trouble.clone()
	for _, list := range o.Troubles {
		if err := ParseTrouble(list, i, &d.Trouble); err != nil {
			return nil, err
		}
	}
	return New(d)
}

// uuid is device i's UUID by the seed, or zero: drawn by New.
func (o *FleetOptions) uuid(i int) amt.UUID {
	if o.Seed == "" {
		return amt.UUID{}
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("amtsim "+o.Seed+" "), uint64(i)))
	u := amt.UUID(sum[:16])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

// Devices lists them by their index.
func (f *Fleet) Devices() []*Device { return f.devices }

// Run opens every port, boots the devices one after the other (so that records
// go to them in order), and runs them until ctx is done.
func (f *Fleet) Run(ctx context.Context) error {
	for _, d := range f.devices {
		if err := d.Listen(); err != nil {
			f.stop()
			return err
		}
	}
	for _, d := range f.devices {
		if err := d.bootOnce(ctx); err != nil {
			f.stop()
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range f.devices {
		g.Go(func() error { return d.Run(ctx) })
	}
	return g.Wait()
}

func (f *Fleet) stop() {
	for _, d := range f.devices {
		d.stop()
	}
}

// WaitPhase waits until every device is in phase; the error names those that are
// not.
func (f *Fleet) WaitPhase(ctx context.Context, phase amt.Phase) error {
	var errs []error
	for _, d := range f.devices {
		if err := d.WaitPhase(ctx, phase); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Count is the number of devices in phase.
func (f *Fleet) Count(phase amt.Phase) int {
	n := 0
	for _, d := range f.devices {
		if d.Phase() == phase {
			n++
		}
	}
	return n
}
