package access

import (
	"fmt"
	"strings"
)

// Role is what a user is. Each user has one.
type Role uint8

// The roles, by their stored values.
const (
	Admin       Role = 1 // everything, users included
	Operator    Role = 2 // devices, profiles, retries
	Staging     Role = 3 // USB keys, and watching set-up
	Procurement Role = 4 // OEM key batches
	Desk        Role = 5 // service desk: looks at devices
	Auditor     Role = 6 // reads the audit log
)

// Roles lists all roles by their stored values.
func Roles() []Role { return []Role{Admin, Operator, Staging, Procurement, Desk, Auditor} }

// String names the role as people write it.
func (r Role) String() string {
	switch r {
	case Admin:
		return "admin"
	case Operator:
		return "operator"
	case Staging:
		return "staging"
	case Procurement:
		return "procurement"
	case Desk:
		return "desk"
	case Auditor:
		return "auditor"
	}
	return fmt.Sprintf("unknown role (%d)", uint8(r))
}

// ParseRole reads a role's name in any case; anything else is ErrRole.
func ParseRole(s string) (Role, error) {
	var names []string
	for _, r := range Roles() {
		if strings.EqualFold(s, r.String()) {
			return r, nil
		}
		names = append(names, r.String())
	}
	return 0, fmt.Errorf("%w: %q: want one of %s", ErrRole, s, strings.Join(names, ", "))
}

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return r >= Admin && r <= Auditor }
