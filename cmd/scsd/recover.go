package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/kv/bolt"
)

func recoverCommand(stdout io.Writer) *cobra.Command {
	p := &place{}
	var user, address string
	c := &cobra.Command{
		Use: "recover-admin --data DIR --kek FILE", Short: "Make an administrator's context file offline (audited)",
		Long: "Make an administrator's context file when no administrator can log in any more. The server must be\n" +
			"stopped. The user is made, or gets a further certificate; either is in the audit log.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			if err := recoverAdmin(c.Context(), p, user, address); err != nil {
				return err
			}
			_, err := fmt.Fprintf(stdout, "context file %s (user %s, role admin)\n", p.context, user)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&p.data, "data", os.Getenv("SCSD_DATA"), "data directory ($SCSD_DATA)")
	f.StringVar(&p.kek, "kek", os.Getenv("SCSD_KEK"), "file of the key-encryption key; in $CREDENTIALS_DIRECTORY if it has no slash ($SCSD_KEK)")
	f.StringVar(&p.context, "admin-context", "", "context file to write (default admin.yaml beside the data directory)")
	f.StringVar(&user, "user", "admin", "name of the administrator")
	f.StringVar(&address, "address", "127.0.0.1:9972", "host:port at which scsctl will find the API")
	return c
}

func recoverAdmin(ctx context.Context, p *place, user, address string) (err error) {
	if _, err := os.Lstat(p.context); err == nil {
		return hint("choose another --admin-context", fmt.Errorf("%s: %w", p.context, atomicfile.ErrExists))
	}
	db, keys, err := openStore(ctx, p.data, p.kek, bolt.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	authority, err := ca.Open(ctx, db, keys, ca.Options{})
	if err != nil {
		return err
	}
	a := admission{store: db, ca: authority, audit: audit.New(keys), users: &access.Store{}, now: time.Now}
	file, err := a.admit(ctx, user, address, "localhost", "scsd recover-admin")
	if err != nil {
		return err
	}
	return file.Create(p.context)
}
