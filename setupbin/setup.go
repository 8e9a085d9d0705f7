package setupbin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/amtscs/amtscs/amt"
)

// SetupRecord is what a record for set-up by PID and PPS says.
type SetupRecord struct {
	CurrentPassword amt.Secret // 1/1: of MEBx; empty stands for the factory's
	NewPassword     amt.Secret // 1/2: what MEBx shall have then
	NoAMT           bool       // 1/3 = 0 instead of 1: select no manageability
	Pair            amt.Pair   // 2/1 and 2/2
	FQDN            string     // 2/4, from version 2: the configuration server's name
	Server          netip.Addr // 2/17, from version 2.1: its IPv4 address
	Port            uint16     // 2/18, from version 2.1: its port; 0: not in the record
	Settings        Settings   // further variables; ParseSetup leaves them alone
}

// ErrNoSetup is returned for a record that holds no PID and PPS.
var ErrNoSetup = errors.New("no set-up record")

// Record gives the record that a file of version v holds for s. It refuses what
// the version does not have, naming both, and what firmware would refuse.
func (s SetupRecord) Record(v Version) (*Record, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("making a set-up record: %w", err)
	}
	more, err := s.Settings.Entries()
	if err != nil {
		return nil, fmt.Errorf("making a set-up record: %w", err)
	}
	list := append(s.entries(), more...)
	slices.SortStableFunc(list, compare)
	r := NewRecord(list...)
	if err := r.Check(v); err != nil {
		return nil, fmt.Errorf("making a set-up record: %w", err)
	}
	return r, nil
}

// check says what has no form in a record.
func (s SetupRecord) check() error {
	switch {
	case s.NewPassword.IsZero():
		return fmt.Errorf("variable 1/2 New MEBx password: %w: it is empty", ErrVariable)
	case s.Pair.PPS.IsZero():
		return fmt.Errorf("variable 2/2 PPS: %w: it is empty", ErrVariable)
	case s.Server.IsValid() && !s.Server.Unmap().Is4():
		return fmt.Errorf("variable 2/17 Provisioning server IPv4: %w: %v is no IPv4 address: name the server by its FQDN", ErrVariable, s.Server)
	}
	return nil
}

// entries lists the entries in their order; it is where the secrets leave for
// the file.
func (s SetupRecord) entries() []Entry {
	current, choice := s.CurrentPassword.Reveal(), byte(1)
	if len(current) == 0 {
		current = []byte(amt.FactoryPassword)
	}
	if s.NoAMT {
		choice = 0
	}
	list := []Entry{
		{Module: ModuleME, Variable: 1, Value: current},
		{Module: ModuleME, Variable: 2, Value: s.NewPassword.Reveal()},
		{Module: ModuleME, Variable: 3, Value: Raw{choice}},
		{Module: ModuleAMT, Variable: 1, Value: append(Raw{}, s.Pair.PID[:]...)},
		{Module: ModuleAMT, Variable: 2, Value: s.Pair.PPS.Reveal()},
	}
	if s.FQDN != "" {
		list = append(list, Entry{Module: ModuleAMT, Variable: 4, Value: Raw(s.FQDN)})
	}
	if s.Server.IsValid() {
		a := s.Server
		list = append(list, Entry{Module: ModuleAMT, Variable: 17, Value: reverse(a)})
	}
	if s.Port != 0 {
		list = append(list, Entry{Module: ModuleAMT, Variable: 18, Value: binary.LittleEndian.AppendUint16(nil, s.Port)})
	}
	return list
}

// ParseSetup reads what a record says of set-up, and checks the pair. Variables
// that SetupRecord does not hold are passed over; the first of a repeated one
// counts. Dashes in PID and PPS are taken, and passwords of any length. A record
// without a PID and a PPS is ErrNoSetup; other errors are ErrVariable and never
// show a value.
func ParseSetup(r *Record) (SetupRecord, error) {
	var s SetupRecord
	seen := map[uint16]bool{}
	for _, e := range r.Entries {
		if seen[id(e)] {
			continue
		}
		seen[id(e)] = true
		if err := s.set(e); err != nil {
			return SetupRecord{}, fmt.Errorf("record %d: variable %s: %w: %w", r.Number, e.Describe(), ErrVariable, err)
		}
	}
	if !seen[varPID] || !seen[varPPS] {
		return SetupRecord{}, fmt.Errorf("record %d: %w: it lacks 2/1 PID or 2/2 PPS", r.Number, ErrNoSetup)
	}
	return s, nil
}

// set takes one entry.
func (s *SetupRecord) set(e Entry) (err error) {
	switch b := e.Value; id(e) {
	case varCurrentPassword:
		s.CurrentPassword = amt.NewSecret(b)
	case varNewPassword:
		s.NewPassword = amt.NewSecret(b)
	case varManageability:
		s.NoAMT = len(b) == 1 && b[0] == 0
	case varPID:
		s.Pair.PID, err = amt.ParsePID(string(b))
	case varPPS:
		s.Pair.PPS, err = amt.ParsePPS(string(b))
	case varServerFQDN:
		s.FQDN = string(b)
		err = checkName(s.FQDN)
	case varServerIPv4:
		if len(b) != 4 {
			return fmt.Errorf("%d bytes, want 4", len(b))
		}
		s.Server = reversed(b)
	case varServerPort:
		if len(b) != 2 {
			return fmt.Errorf("%d bytes, want 2", len(b))
		}
		s.Port = binary.LittleEndian.Uint16(b)
	}
	return err
}
