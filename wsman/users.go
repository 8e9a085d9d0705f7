package wsman

import (
	"context"

	"github.com/amtscs/amtscs/amt"
)

// Access says from where a user may log in.
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
	Name   string // digest user name; empty for a Kerberos user
	SID    []byte // KerberosUserSid, binary; nil for a digest user
	Access Access
	Realms []amt.Realm
}

// AddUser adds a user by AddUserAclEntryEx; the digest hash is made inside from
// the device's realm. Status 2058: the name is taken.
func (c *Client) AddUser(ctx context.Context, u User, password amt.Secret) (UserHandle, error) {
	panic("not yet")
}

// Users lists the handles of all users, system accounts ($$...) included.
func (c *Client) Users(ctx context.Context) ([]UserHandle, error) { panic("not yet") }

// User reads one user.
func (c *Client) User(ctx context.Context, h UserHandle) (User, error) { panic("not yet") }

// UpdateUser replaces a user's entry, password included.
func (c *Client) UpdateUser(ctx context.Context, h UserHandle, u User, password amt.Secret) error {
	panic("not yet")
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, h UserHandle) error { panic("not yet") }

// Admin reads the administrator's name.
func (c *Client) Admin(ctx context.Context) (string, error) { panic("not yet") }

// SetAdmin sets the administrator's name and password by SetAdminAclEntryEx. The
// calls that follow need SetCredentials with the same.
func (c *Client) SetAdmin(ctx context.Context, user string, password amt.Secret) error {
	panic("not yet")
}
