package settings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// ErrNoPassword is returned when a user must be added or changed and
// Device.Passwords has no password for it.
var ErrNoPassword = errors.New("no password for the user")

// entry is a digest user on the device.
type entry struct {
	handle wsman.UserHandle
	user   wsman.User
}

// accounts is the users part: AMT_AuthorizationService.
type accounts struct {
	want []profile.User
	d    Device
}

// users are the digest users beside the administrator. A user that exists is
// updated, never added twice: adding is read back when its answer is lost.
func users(p *profile.Profile, d Device) Setting {
	a := &accounts{want: p.Users, d: d}
	s := &part[[]entry]{name: "users", read: readUsers, diff: a.diff, write: a.write}
	s.always = func([]entry) bool {
		return slices.ContainsFunc(a.want, func(u profile.User) bool { _, ok := d.Passwords[u.Name]; return ok })
	}
	return s
}

// readUsers reads the digest users without the firmware's own.
func readUsers(ctx context.Context, c *wsman.Client) ([]entry, error) {
	handles, err := c.Users(ctx)
	if err != nil {
		return nil, err
	}
	var list []entry
	for _, h := range handles {
		u, err := c.User(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("handle %d: %w", h, err)
		}
		if u.Name != "" && !u.System() {
			list = append(list, entry{h, u})
		}
	}
	return list, nil
}

func find(list []entry, name string) (entry, bool) {
	i := slices.IndexFunc(list, func(e entry) bool { return e.user.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return list[i], true
}

// diff compares names, accesses and realms; passwords cannot be read.
func (a *accounts) diff(list []entry) ([]Difference, string) {
	var diff []Difference
	for _, u := range a.want {
		e, ok := find(list, u.Name)
		if !ok {
			diff = append(diff, Difference{"user " + u.Name, "present", ""})
			continue
		}
		compareField(&diff, "user "+u.Name+" access", accessName(wsman.Access(u.Access)), accessName(e.user.Access))
		compareField(&diff, "user "+u.Name+" realms", realmNames(u.Realms), realmNames(e.user.Realms))
	}
	var others []string
	for _, e := range list {
		if !a.wanted(e.user.Name) {
			others = append(others, printable(e.user.Name))
			if a.d.Prune {
				diff = append(diff, Difference{"user " + printable(e.user.Name), "", "present"})
			}
		}
	}
	if len(others) > 0 && !a.d.Prune {
		return diff, "not in the profile: " + strings.Join(others, ", ")
	}
	return diff, ""
}

func (a *accounts) wanted(name string) bool {
	return slices.ContainsFunc(a.want, func(u profile.User) bool { return u.Name == name })
}

// write removes first, so that there is room, then adds and updates.
func (a *accounts) write(ctx context.Context, c *wsman.Client, j Journal, list []entry, diff []Difference) error {
	if a.d.Prune {
		for _, e := range list {
			if a.wanted(e.user.Name) {
				continue
			}
			if err := remove(ctx, c, j, e); err != nil {
				return fmt.Errorf("user %s: %w", printable(e.user.Name), err)
			}
		}
	}
	for _, u := range a.want {
		if err := a.set(ctx, c, j, list, u, diff); err != nil {
			return fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	return nil
}

// set adds or updates one user.
func (a *accounts) set(ctx context.Context, c *wsman.Client, j Journal, list []entry, u profile.User, diff []Difference) error {
	e, exists := find(list, u.Name)
	password, given := a.d.Passwords[u.Name]
	differs := slices.ContainsFunc(diff, func(d Difference) bool {
		return d.Field == "user "+u.Name || strings.HasPrefix(d.Field, "user "+u.Name+" ")
	})
	want := wsman.User{Name: u.Name, Access: wsman.Access(u.Access), Realms: u.Realms}
	switch {
	case !given && !differs:
		return nil
	case !given:
		return ErrNoPassword
	case !exists:
		return add(ctx, c, j, want, password)
	}
	return update(ctx, c, e.handle, want, password)
}

// add adds a user. If the answer is lost the users are read: one that is there now
// was added by this call, since none was there before it.
func add(ctx context.Context, c *wsman.Client, j Journal, u wsman.User, password amt.Secret) error {
	err := journaled(ctx, j, "AddUserAclEntryEx "+u.Name, func() error {
		_, err := c.AddUser(ctx, u, password)
		return err
	})
	if !errors.Is(err, wsman.ErrLost) {
		return err
	}
	list, rerr := readUsers(ctx, c)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	if _, ok := find(list, u.Name); ok {
		return nil
	}
	return err
}

// update writes an entry; it has the same effect twice, so a lost answer is made
// good by doing it again.
func update(ctx context.Context, c *wsman.Client, h wsman.UserHandle, u wsman.User, password amt.Secret) error {
	err := c.UpdateUser(ctx, h, u, password)
	if errors.Is(err, wsman.ErrLost) && ctx.Err() == nil {
		err = c.UpdateUser(ctx, h, u, password)
	}
	return err
}

// remove removes a user. If the answer is lost the users are read: handles may be
// given anew, so a second removal could strike another.
func remove(ctx context.Context, c *wsman.Client, j Journal, e entry) error {
	err := journaled(ctx, j, "RemoveUserAclEntry "+printable(e.user.Name), func() error { return c.RemoveUser(ctx, e.handle) })
	if !errors.Is(err, wsman.ErrLost) {
		return err
	}
	list, rerr := readUsers(ctx, c)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	if _, ok := find(list, e.user.Name); !ok {
		return nil
	}
	return err
}

// accessName names an access for people.
func accessName(a wsman.Access) string {
	switch a {
	case wsman.AccessLocal:
		return "local"
	case wsman.AccessNetwork:
		return "network"
	case wsman.AccessBoth:
		return "any"
	}
	return fmt.Sprintf("unknown (%d)", uint32(a))
}

// realmNames lists realms in the order of their numbers, each once.
func realmNames(realms []amt.Realm) string {
	sorted := slices.Clone(realms)
	slices.Sort(sorted)
	var names []string
	for _, r := range slices.Compact(sorted) {
		names = append(names, r.String())
	}
	return strings.Join(names, " ")
}
