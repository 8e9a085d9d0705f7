package amtsim

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/media"
	"github.com/amtscs/amtscs/setupbin"
)

// Errors of booting.
var (
	// ErrNotFactory is returned when a device that was set up before is given
	// values: MEBx does not look at a USB key then.
	ErrNotFactory = errors.New("the device is not in its factory state")
	// ErrSetup is returned for values that MEBx refuses; the error names the
	// value, never its content.
	ErrSetup = errors.New("MEBx refuses the values")
	// ErrUSB is returned when no record could be taken: the file cannot be read by
	// this firmware, or is used up.
	ErrUSB = errors.New("no record could be taken")
)

// insert takes the next record of a setup.bin, or of the one in a disk image, and
// applies it.
func (d *Device) insert(path string) error {
	if d.Phase() != amt.Factory {
		return ErrNotFactory
	}
	g := d.opt.Generation
	rec, err := media.Consume(path, g.files()...)
	if err != nil {
		if errors.Is(err, setupbin.ErrVersion) {
			err = fmt.Errorf("AMT %v reads setup.bin up to version %v: %w", g, g.NewestFile, err)
		}
		return fmt.Errorf("device %d: %w: %w", d.opt.Index, ErrUSB, err)
	}
	s, err := readRecord(rec)
	if err == nil {
		err = d.apply(s)
	}
	return d.booting(err, fmt.Sprintf("record %d of a USB key, PID %v", rec.Number, s.Pair.PID))
}

// enter applies values that were typed in or came from the factory.
func (d *Device) enter(s Setup, from string) error {
	err := d.apply(s)
	return d.booting(err, fmt.Sprintf("%s, PID %v", from, s.Pair.PID))
}

// booting reports the outcome of a boot.
func (d *Device) booting(err error, from string) error {
	if err != nil {
		d.event(EventBootFailed, nil, "%s: %v", from, err)
		return fmt.Errorf("device %d: %s: %w", d.opt.Index, from, err)
	}
	d.event(EventBoot, nil, "from %s, %v", from, d.Phase())
	return nil
}

// readRecord decodes the variables that firmware of the PSK era knows. Others are
// passed over.
func readRecord(rec *setupbin.Record) (Setup, error) {
	s := Setup{CurrentPassword: amt.NewSecretString(amt.FactoryPassword)}
	for _, e := range rec.Entries {
		read, ok := variables[[2]uint16{e.Module, e.Variable}]
		if ok && !read(&s, e.Value) {
			return s, fmt.Errorf("%w: variable %s", ErrSetup, e.ID())
		}
	}
	return s, nil
}

// variables read one entry each; false means that the value is not of its form.
var variables = map[[2]uint16]func(s *Setup, v setupbin.Raw) bool{
	{1, 1}: func(s *Setup, v setupbin.Raw) bool { s.CurrentPassword = amt.NewSecret(v); return len(v) > 0 },
	{1, 2}: func(s *Setup, v setupbin.Raw) bool { s.NewPassword = amt.NewSecret(v); return len(v) > 0 },
	{1, 3}: func(_ *Setup, v setupbin.Raw) bool { return len(v) == 1 && v[0] == 1 },
	{2, 1}: func(s *Setup, v setupbin.Raw) bool { return copy(s.Pair.PID[:], v) == len(v) && len(v) == amt.PIDLen },
	{2, 2}: func(s *Setup, v setupbin.Raw) bool { s.Pair.PPS = amt.NewSecret(v); return len(v) == amt.PPSLen },
	{2, 4}: func(s *Setup, v setupbin.Raw) bool { s.ServerName = string(v); return len(v) > 0 && len(v) <= 255 },
	{2, 10}: func(s *Setup, v setupbin.Raw) bool {
		if len(v) != 1 || v[0] > 7 {
			return false
		}
		bits := v[0] & 3
		s.Redirection = &bits
		return true
	},
	{2, 11}: func(s *Setup, v setupbin.Raw) bool {
		s.HostName = string(v)
		return len(v) > 0 && len(v) <= maxHostName
	},
	{2, 12}: func(s *Setup, v setupbin.Raw) bool { s.Domain = string(v); return len(v) > 0 && len(v) <= 255 },
	{2, 13}: func(s *Setup, v setupbin.Raw) bool {
		s.StaticIP = len(v) == 1 && v[0] == 1
		return len(v) == 1 && (v[0] == 1 || v[0] == 2)
	},
	{2, 17}: func(s *Setup, v setupbin.Raw) bool {
		if len(v) != 4 {
			return false
		}
		s.ServerAddr = netip.AddrFrom4([4]byte{v[3], v[2], v[1], v[0]})
		return true
	},
	{2, 18}: func(s *Setup, v setupbin.Raw) bool {
		if len(v) != 2 {
			return false
		}
		s.ServerPort = binary.LittleEndian.Uint16(v)
		return s.ServerPort != 0
	},
	{2, 25}: func(s *Setup, v setupbin.Raw) bool {
		on := len(v) == 1 && v[0] == 1
		s.KVM = &on
		return len(v) == 1 && v[0] <= 1
	},
	{2, 26}: func(s *Setup, v setupbin.Raw) bool {
		if len(v) != 1 || v[0] > 1 && v[0] != 255 {
			return false
		}
		c := uint32(v[0])
		if v[0] == 255 {
			c = consentAll
		}
		s.Consent = &c
		return true
	},
}

// apply is what MEBx does with values: authenticate, check all, then take all.
func (d *Device) apply(s Setup) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.flash
	if f.Phase != amt.Factory {
		return ErrNotFactory
	}
	if err := f.checkSetup(s); err != nil {
		return err
	}
	if !s.NewPassword.IsZero() {
		f.MEBxPassword, f.MEBxChanged = s.NewPassword, true
		f.AdminHA1 = ha1(f.AdminUser, f.Realm, f.MEBxPassword)
	}
	f.Server = serverHint{s.ServerAddr, s.ServerPort, s.ServerName}
	f.HostName, f.Domain = s.HostName, s.Domain
	f.Ethernet.DHCP = !s.StaticIP
	if s.Redirection != nil {
		f.Redirection = 32768 + uint32(*s.Redirection>>1&1|*s.Redirection<<1&2)
		f.Listener = *s.Redirection != 0
	}
	if s.KVM != nil {
		f.KVM = *s.KVM
	}
	if s.Consent != nil {
		f.OptIn.Required = *s.Consent
	}
	if !s.Pair.PPS.IsZero() {
		f.Pair = s.Pair
		d.beginSetup(nil)
	}
	return d.save()
}

func (f *flash) checkSetup(s Setup) error {
	if !s.CurrentPassword.IsZero() && !s.CurrentPassword.Equal(f.MEBxPassword) {
		return fmt.Errorf("%w: the current MEBx password is another", ErrSetup)
	}
	if s.NewPassword.IsZero() && !f.MEBxChanged {
		return fmt.Errorf("%w: the MEBx password is still the factory's and no new one is given", ErrSetup)
	}
	if !s.NewPassword.IsZero() {
		if err := amt.CheckPassword(s.NewPassword); err != nil {
			return fmt.Errorf("%w: %w", ErrSetup, err)
		}
	}
	return checkPair(s.Pair)
}

// checkPair applies the firmware's checks to a pair, which may be absent: no
// dashes, the alphabet, and nine check characters.
func checkPair(p amt.Pair) error {
	if p.PID == (amt.PID{}) && p.PPS.IsZero() {
		return nil
	}
	if err := p.PID.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if p.PPS.Len() != amt.PPSLen {
		return fmt.Errorf("%w: the PPS: %w", ErrSetup, amt.ErrPairLength)
	}
	pps, err := amt.ParsePPS(string(p.PPS.Reveal()))
	if err == nil && !pps.Equal(p.PPS) { // lower case
		err = amt.ErrPairAlphabet
	}
	if err != nil {
		return fmt.Errorf("%w: the PPS: %w", ErrSetup, err)
	}
	return nil
}

// beginSetup enters In-Setup: hellos begin, and the interface opens; every
// connection but keep is closed. The caller
// holds d.mu.
func (d *Device) beginSetup(keep net.Conn) {
	d.ram.schedule++
	d.ram.setupBegan = d.opt.Now()
	d.setPhase(amt.InSetup, keep)
}

// windowOver reports whether the set-up interface closed. The caller holds d.mu.
func (d *Device) windowOver() bool {
	return d.opt.Window > 0 && d.opt.Now().Sub(d.ram.setupBegan) >= d.opt.Window
}

// bootOperational makes the device one that was set up before.
func (d *Device) bootOperational(ctx context.Context) error {
	o := *d.opt.Operational
	o.User = orDefault(o.User, amt.AdminUser)
	id := d.opt.UUID.String()
	o.HostName = orDefault(o.HostName, "amt-"+id[len(id)-12:])
	var key keyPair
	var der []byte
	if o.TLS {
		k, err := d.opt.Keys.Take(ctx)
		if err != nil {
			return err
		}
		key.Key = k
		if der, err = d.selfSigned(o.HostName, key); err != nil {
			return err
		}
	}
	d.mu.Lock()
	f := &d.flash
	f.HostName, f.Domain, _ = strings.Cut(o.HostName, ".")
	f.AdminUser, f.AdminSet = o.User, true
	f.AdminHA1 = ha1(o.User, f.Realm, o.Password)
	f.MEBxPassword, f.MEBxChanged, f.ClockSet = o.Password, true, true
	if o.TLS {
		f.Keys, f.NextKey = []keyPair{key}, 1
		f.Certs, f.NextCert = []certificate{{DER: der}}, 1
		f.Credential = certID(0)
		f.TLS.Remote.Enabled = true
	}
	d.setPhase(amt.Operational, nil)
	err := d.save()
	d.mu.Unlock()
	return d.booting(err, "an earlier set-up")
}

// selfSigned makes a certificate of the device's own.
func (d *Device) selfSigned(host string, key keyPair) ([]byte, error) {
	now := d.opt.Now()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage:    x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Key.Public(), key.Key)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	return der, nil
}
