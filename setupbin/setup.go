package setupbin

import (
	"net/netip"

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
}

// Record gives the record that a file of version v holds for s. It refuses what
// the version does not have, naming both, and what firmware would refuse.
func (s SetupRecord) Record(v Version) (*Record, error) { panic("not yet") }

// ParseSetup reads what a record says of set-up and checks the pair and the
// lengths of the passwords. Variables that SetupRecord does not hold are passed
// over. Dashes in PID and PPS are taken.
func ParseSetup(r *Record) (SetupRecord, error) { panic("not yet") }
