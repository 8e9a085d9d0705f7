package wsman

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

const classAuthorization = "AMT_AuthorizationService"

// maxUsers bounds the handles that a device may list.
const maxUsers = 256

// Access says from where a user may log in (AccessPermission).
type Access uint32

// The values of AccessPermission.
const (
	AccessLocal   Access = 0
	AccessNetwork Access = 1
	AccessBoth    Access = 2
)

// UserHandle names a user's entry on the device.
type UserHandle uint32

// User is a digest or Kerberos user's entry.
type User struct {
	Name   string // DigestUsername; empty for a Kerberos user
	SID    []byte // KerberosUserSid, binary; nil for a digest user
	Access Access
	Realms []amt.Realm
}

// System reports whether u is one of the firmware's own accounts.
func (u User) System() bool { return strings.HasPrefix(u.Name, "$$") }

// add writes u's elements in the order of Intel's MOF (DigestUsername,
// DigestPassword, KerberosUserSid, AccessPermission, Realms).
func (u User) add(in *Object, hash amt.Secret) {
	if u.SID != nil {
		in.Add("KerberosUserSid", base64.StdEncoding.EncodeToString(u.SID))
	} else {
		in.Add("DigestUsername", u.Name)
		in.Add("DigestPassword", base64.StdEncoding.EncodeToString(hash.Reveal()))
	}
	in.Add("AccessPermission", strconv.FormatUint(uint64(u.Access), 10))
	for _, r := range u.Realms {
		in.Add("Realms", strconv.Itoa(int(r)))
	}
}

// AddUser adds a user by AddUserAclEntryEx. The digest hash is made here with the
// device's realm and sent as base64 of its 16 bytes. Statuses: 12 name, 16, 23
// full, 35, 38, 2053, 2054 password, 2055 realm, 2058 the name is taken, 2065,
// 2075, 1.
//
// A device resets its digest sessions at a change of its users.
func (c *Client) AddUser(ctx context.Context, u User, password amt.Secret) (UserHandle, error) {
	in := Input(classAuthorization, "AddUserAclEntryEx")
	hash, err := c.hash(ctx, u.Name, password)
	if err != nil {
		return 0, err
	}
	u.add(in, hash)
	var h uint32
	err = c.invoke(ctx, in, nil, func(o *Object) (err error) {
		h, err = o.Uint("Handle")
		return err
	})
	return UserHandle(h), err
}

// UpdateUser replaces a user's entry, password included, by UpdateUserAclEntryEx.
func (c *Client) UpdateUser(ctx context.Context, h UserHandle, u User, password amt.Secret) error {
	hash, err := c.hash(ctx, u.Name, password)
	if err != nil {
		return err
	}
	in := handleInput("UpdateUserAclEntryEx", h)
	u.add(in, hash)
	return c.invoke(ctx, in, nil, nil)
}

// hash is the digest hash of a user of this device. Before the first challenge
// the realm is read from AMT_GeneralSettings.
func (c *Client) hash(ctx context.Context, user string, password amt.Secret) (amt.Secret, error) {
	realm := c.Realm()
	if realm == "" {
		g, err := c.GeneralSettings(ctx)
		if err != nil {
			return amt.Secret{}, fmt.Errorf("reading the digest realm: %w", err)
		}
		realm = g.DigestRealm()
		if err := CheckRealm(realm); err != nil {
			return amt.Secret{}, err
		}
	}
	return DigestHash(user, realm, password), nil
}

func handleInput(method string, h UserHandle) *Object {
	return Input(classAuthorization, method).Add("Handle", strconv.FormatUint(uint64(h), 10))
}

// Users lists the handles of all users, system accounts ($$...) included, by
// EnumerateUserAclEntries from StartIndex 1: one request for up to 50 or so.
func (c *Client) Users(ctx context.Context) ([]UserHandle, error) {
	var all []UserHandle
	for {
		total, err := c.users(ctx, &all)
		if err != nil {
			return nil, err
		}
		if len(all) >= total {
			return all, nil
		}
	}
}

// users appends one answer's handles and returns TotalCount.
func (c *Client) users(ctx context.Context, all *[]UserHandle) (int, error) {
	in := Input(classAuthorization, "EnumerateUserAclEntries").Add("StartIndex", strconv.Itoa(len(*all)+1))
	var total uint32
	err := c.invoke(ctx, in, nil, func(o *Object) (err error) {
		if total, err = o.Uint("TotalCount"); err != nil {
			return err
		}
		handles := o.Values("Handles")
		if total > maxUsers || len(*all)+len(handles) > int(total) || len(handles) == 0 && len(*all) < int(total) {
			return fmt.Errorf("%w: %d handles of %d", ErrUnexpectedReply, len(*all)+len(handles), total)
		}
		for _, s := range handles {
			h, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return fmt.Errorf("%w: a handle %.20q", ErrUnexpectedReply, s)
			}
			*all = append(*all, UserHandle(h))
		}
		return nil
	})
	return int(total), err
}

// User reads one user by GetUserAclEntryEx. The password cannot be read.
func (c *Client) User(ctx context.Context, h UserHandle) (User, error) {
	var u User
	err := c.invoke(ctx, handleInput("GetUserAclEntryEx", h), nil, func(o *Object) error {
		access, err := o.Uint("AccessPermission")
		if err != nil {
			return err
		}
		u = User{Name: o.Value("DigestUsername"), Access: Access(access)}
		if o.Value("KerberosUserSid") != "" {
			if u.SID, err = o.octets("KerberosUserSid"); err != nil {
				return err
			}
		}
		for _, s := range o.Values("Realms") {
			r, err := strconv.ParseUint(s, 10, 8)
			if err != nil {
				return fmt.Errorf("%w: a realm %.20q", ErrUnexpectedReply, s)
			}
			u.Realms = append(u.Realms, amt.Realm(r))
		}
		return nil
	})
	return u, err
}

// RemoveUser removes a user. System accounts cannot be removed.
func (c *Client) RemoveUser(ctx context.Context, h UserHandle) error {
	return c.invoke(ctx, handleInput("RemoveUserAclEntry", h), nil, nil)
}

// Admin reads the administrator's name by GetAdminAclEntry.
func (c *Client) Admin(ctx context.Context) (string, error) {
	var name string
	err := c.invoke(ctx, Input(classAuthorization, "GetAdminAclEntry"), nil, func(o *Object) error {
		if name = o.Value("Username"); name == "" {
			return fmt.Errorf("%w: no Username", ErrUnexpectedReply)
		}
		return nil
	})
	return name, err
}

// SetAdmin sets the administrator's name and password by SetAdminAclEntryEx, the
// hash made as by AddUser. The calls that follow need SetCredentials with the
// same, which are in force at once.
func (c *Client) SetAdmin(ctx context.Context, user string, password amt.Secret) error {
	hash, err := c.hash(ctx, user, password)
	if err != nil {
		return err
	}
	in := Input(classAuthorization, "SetAdminAclEntryEx").Add("Username", user)
	in.Add("DigestPassword", base64.StdEncoding.EncodeToString(hash.Reveal()))
	return c.invoke(ctx, in, nil, nil)
}
