package provisioning

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Accounts of a device's passwords; a digest user's is userAccount.
const (
	accountAdmin = amt.AdminUser
	accountMEBx  = "MEBx"
	userPrefix   = "user/"
)

const (
	pending  = pb.PasswordRole_PASSWORD_ROLE_PENDING
	current  = pb.PasswordRole_PASSWORD_ROLE_CURRENT
	previous = pb.PasswordRole_PASSWORD_ROLE_PREVIOUS
)

func userAccount(name string) string { return userPrefix + name }

var roleNames = map[pb.PasswordRole]string{pending: "pending", current: "current", previous: "previous"}

func passwordID(uuid amt.UUID, number uint64) string {
	return fmt.Sprintf("devices/%v/passwords/%d", uuid, number)
}

// password finds a version of an account's password, nil when there is none.
func password(d *pb.Device, account string, role pb.PasswordRole) *pb.Password {
	for _, p := range d.GetPasswords() {
		if p.GetAccount() == account && p.GetRole() == role {
			return p
		}
	}
	return nil
}

// openPassword unseals p; the empty secret for nil.
func (e *Engine) openPassword(d *pb.Device, p *pb.Password) (amt.Secret, error) {
	if p == nil {
		return amt.Secret{}, nil
	}
	s, err := e.cfg.Sealer.Open(p.GetSealed(), passwordID(uuidOf(d.GetUuid()), p.GetNumber()))
	if err != nil {
		return amt.Secret{}, fmt.Errorf("opening the %s password of %s: %w", roleNames[p.GetRole()], p.GetAccount(), err)
	}
	return s, nil
}

// storePassword adds a version of an account's password to the record. What had
// the role before loses it: a pending or current one becomes previous.
func (e *Engine) storePassword(d *pb.Device, account string, role pb.PasswordRole, s amt.Secret, now time.Time) error {
	number := d.GetLastPassword() + 1
	sealed, err := e.cfg.Sealer.Seal(s, passwordID(uuidOf(d.GetUuid()), number))
	if err != nil {
		return fmt.Errorf("sealing the password of %s: %w", account, err)
	}
	if old := password(d, account, role); old != nil {
		makePrevious(d, old)
	}
	d.LastPassword = number
	d.Passwords = append(d.Passwords, &pb.Password{
		Account: account, Role: role, Number: number, Sealed: sealed, At: stamp(now), Workflow: d.GetWorkflow(),
	})
	return nil
}

// makePrevious lets p take the place of the previous version. One in doubt stays
// so until another is proven.
func makePrevious(d *pb.Device, p *pb.Password) {
	dropPassword(d, p.GetAccount(), previous)
	p.Role = previous
}

func dropPassword(d *pb.Device, account string, role pb.PasswordRole) {
	d.Passwords = slices.DeleteFunc(d.Passwords, func(p *pb.Password) bool {
		return p.GetAccount() == account && p.GetRole() == role
	})
}

// promote makes the pending version the current one, which the device proved.
func promote(d *pb.Device, account string) {
	p := password(d, account, pending)
	if p == nil {
		return
	}
	if old := password(d, account, current); old != nil {
		makePrevious(d, old)
	}
	p.Role = current
	for _, p := range d.GetPasswords() {
		if p.GetAccount() == account {
			p.Doubtful = false
		}
	}
}

// doubt marks both versions of an account: one of them is in use.
func doubt(d *pb.Device, account string) {
	for _, p := range d.GetPasswords() {
		if p.GetAccount() == account && p.GetRole() != previous {
			p.Doubtful = true
		}
	}
}

// doubtAll marks the previous version too: the device may have been reset.
func doubtAll(d *pb.Device, account string) {
	for _, p := range d.GetPasswords() {
		if p.GetAccount() == account {
			p.Doubtful = true
		}
	}
}

// candidate is a password that may log in as administrator.
type candidate struct {
	name   string
	secret amt.Secret
	// account and role name the version in the device's record that it is; empty
	// for one that is not there.
	account string
	role    pb.PasswordRole
}

// candidates lists the passwords that may log in, each value once, the likeliest
// first: admin pending, admin current, MEBx pending, MEBx current, admin
// previous, and the factory's only if the hello said that it was not changed. A
// pair that is new to the device brings its own MEBx password, which then comes
// first; behind it the one known before, if a person set another. d is nil for a device that is not in the store.
func (e *Engine) candidates(d *pb.Device, pair keystore.Secrets, newPair, credentialsSet bool) ([]candidate, error) {
	var list []candidate
	add := func(c candidate) {
		same := func(o candidate) bool { return o.secret.Equal(c.secret) }
		if !c.secret.IsZero() && !slices.ContainsFunc(list, same) {
			list = append(list, c)
		}
	}
	addStored := func(account string, role pb.PasswordRole) error {
		s, err := e.openPassword(d, password(d, account, role))
		add(candidate{name: account + " " + roleNames[role], secret: s, account: account, role: role})
		return err
	}
	addPair := func() {
		add(candidate{name: "the pair's new password", secret: pair.NewPassword})
		factory := amt.NewSecretString(amt.FactoryPassword)
		if !pair.CurrentPassword.Equal(factory) {
			add(candidate{name: "the pair's current password", secret: pair.CurrentPassword})
		}
		if !pair.PreviousPassword.Equal(factory) {
			add(candidate{name: "the pair's previous password", secret: pair.PreviousPassword})
		}
	}
	if newPair || d == nil {
		addPair()
	}
	if d != nil {
		for _, v := range []struct {
			account string
			role    pb.PasswordRole
		}{{accountAdmin, pending}, {accountAdmin, current}, {accountMEBx, pending}, {accountMEBx, current}, {accountAdmin, previous}} {
			if err := addStored(v.account, v.role); err != nil {
				return nil, err
			}
		}
	}
	addPair()
	if !credentialsSet {
		add(candidate{name: "the factory's password", secret: amt.NewSecretString(amt.FactoryPassword)})
	}
	return list, nil
}

// learn brings the record in line with the password that logged in.
func (e *Engine) learn(d *pb.Device, c candidate, now time.Time) error {
	switch {
	case c.account == accountAdmin && c.role == current:
		return nil
	case c.account == accountAdmin && c.role == pending:
		promote(d, accountAdmin)
		return nil
	}
	cur, err := e.openPassword(d, password(d, accountAdmin, current))
	if err != nil || cur.Equal(c.secret) {
		return err
	}
	return e.storePassword(d, accountAdmin, current, c.secret, now)
}

// shownAccount is an account as people know it.
func shownAccount(account string) string { return strings.TrimPrefix(account, userPrefix) }
