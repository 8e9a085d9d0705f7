package amtsim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amtscs/amtscs/amt"
)

// stateVersion is written into state files and refused when it is another.
const stateVersion = 1

// ErrState is returned for a state file that this program did not write, or that
// belongs to another device.
var ErrState = errors.New("not a state file of this device")

// state is the JSON form of the flash memory. What flash keeps out of it, secrets
// for the most part, stands in Secrets, in clear.
type state struct {
	Version    int
	Generation string
	UUID       string
	Flash      flash
	Secrets    stateSecrets
}

type stateSecrets struct {
	MEBxPassword, AdminHA1 []byte
	PID, PPS               []byte
	PendingPID, PendingPPS []byte
	Keys                   map[int][]byte // PKCS#1, by handle
	Users                  map[uint32][]byte
}

// save writes the flash memory to Options.StateFile, if there is one, so that a
// killed process finds either the old or the new one. The caller holds d.mu.
func (d *Device) save() error {
	if d.opt.StateFile == "" {
		return nil
	}
	b, err := json.MarshalIndent(d.state(), "", "  ")
	if err != nil {
		return fmt.Errorf("device state: %w", err)
	}
	dir, name := filepath.Split(d.opt.StateFile)
	tmp := filepath.Join(dir, "."+name+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("device state: %w", err)
	}
	if err := os.Rename(tmp, d.opt.StateFile); err != nil {
		return fmt.Errorf("device state: %w", err)
	}
	return nil
}

func (d *Device) state() state {
	f := d.flash
	s := state{Version: stateVersion, Generation: d.opt.Generation.Name, UUID: d.opt.UUID.String(), Flash: f, Secrets: stateSecrets{
		MEBxPassword: f.MEBxPassword.Reveal(), AdminHA1: f.AdminHA1.Reveal(),
		PID: f.Pair.PID[:], PPS: f.Pair.PPS.Reveal(), PendingPID: f.Pending.PID[:], PendingPPS: f.Pending.PPS.Reveal(),
		Keys: make(map[int][]byte), Users: make(map[uint32][]byte),
	}}
	for _, k := range f.Keys {
		s.Secrets.Keys[k.Handle] = x509.MarshalPKCS1PrivateKey(k.Key)
	}
	for _, u := range f.Users {
		s.Secrets.Users[u.Handle] = u.HA1.Reveal()
	}
	return s
}

// load reads the state file; false means that there is none. New calls it.
func (d *Device) load() (bool, error) {
	if d.opt.StateFile == "" {
		return false, nil
	}
	b, err := os.ReadFile(d.opt.StateFile)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("device state: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil || s.Version != stateVersion || s.Generation != d.opt.Generation.Name {
		return false, fmt.Errorf("%s: %w", d.opt.StateFile, ErrState)
	}
	f, err := s.flash()
	if err == nil {
		d.opt.UUID, err = amt.ParseUUID(s.UUID)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w: %w", d.opt.StateFile, ErrState, err)
	}
	d.flash = f
	return true, nil
}

func (s *state) flash() (flash, error) {
	f, from := s.Flash, s.Secrets
	f.MEBxPassword, f.AdminHA1 = amt.NewSecret(from.MEBxPassword), amt.NewSecret(from.AdminHA1)
	if len(from.PID) != amt.PIDLen || len(from.PendingPID) != amt.PIDLen {
		return f, amt.ErrPairLength
	}
	f.Pair = amt.Pair{PID: amt.PID(from.PID), PPS: amt.NewSecret(from.PPS)}
	f.Pending = amt.Pair{PID: amt.PID(from.PendingPID), PPS: amt.NewSecret(from.PendingPPS)}
	for i := range f.Keys {
		key, err := parseKey(from.Keys[f.Keys[i].Handle])
		if err != nil {
			return f, err
		}
		f.Keys[i].Key = key
	}
	for i := range f.Users {
		f.Users[i].HA1 = amt.NewSecret(from.Users[f.Users[i].Handle])
	}
	return f, nil
}

func parseKey(der []byte) (*rsa.PrivateKey, error) {
	if len(der) == 0 {
		return nil, errors.New("a key pair without its key")
	}
	return x509.ParsePKCS1PrivateKey(der)
}
