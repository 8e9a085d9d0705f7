package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) user() *cobra.Command {
	return a.group("user", "Who may use the server", a.userAdd(), a.userList(), a.userRevoke())
}

func (a *app) userAdd() *cobra.Command {
	var role scsv1.Role
	var out string
	c := &cobra.Command{
		Use: "add NAME --role ROLE --out FILE", Short: "Make a user and the context file for it", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.addUser(ctx, conn, args[0], role, out)
			})
		},
	}
	c.Flags().Var(&enumFlag[scsv1.Role]{&role, "role"}, "role", "admin, operator, staging, procurement, desk or auditor")
	c.Flags().StringVar(&out, "out", "", "the context file to write, mode 0600; it must not be there")
	return require(c, "role", "out")
}

// addUser makes the key here, so that it never leaves this machine but in the
// context file.
func (a *app) addUser(ctx context.Context, conn *grpc.ClientConn, name string, role scsv1.Role, out string) error {
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s: %w", out, atomicfile.ErrExists)
	}
	path, err := a.path()
	if err != nil {
		return err
	}
	own, err := contextfile.Load(path)
	if err != nil {
		return err
	}
	key, csr, err := contextfile.NewKey(name)
	if err != nil {
		return err
	}
	resp, err := scsv1.NewUserServiceClient(conn).CreateUser(ctx, &scsv1.CreateUserRequest{Name: name, Role: role, CertificateRequest: csr})
	if err != nil {
		return err
	}
	file := contextfile.File{
		Address: a.target(own), ServerName: own.ServerName, CA: own.CA,
		Certificate: []byte(resp.GetCertificatePem()), Key: key,
	}
	if err := file.Create(out); err != nil {
		return failed("run scsctl user revoke "+name+" and add a user of another name", "the user is made, but its context file is not: %w", err)
	}
	return a.print(resp, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "user %s (role %s) is made; hand over %s and keep no copy\n", name, word(role), printable(out))
	})
}

func (a *app) userList() *cobra.Command {
	var all bool
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List users", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewUserServiceClient(conn)
				users, err := collect(a, limit, func(size int32, token string) ([]*scsv1.User, string, error) {
					resp, err := client.ListUsers(ctx, &scsv1.ListUsersRequest{PageSize: size, PageToken: token, ShowRevoked: all})
					return resp.GetUsers(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListUsersResponse{Users: users}, func(w io.Writer) {
					rows := make([][]string, len(users))
					for i, u := range users {
						rows[i] = []string{u.GetName(), word(u.GetRole()), when(u.GetCreateTime()), u.GetCreatedBy(), when(u.GetCertificateNotAfter()), when(u.GetRevokeTime())}
					}
					columns(w, []string{"USER", "ROLE", "CREATED", "BY", "CERTIFICATE UNTIL", "REVOKED"}, rows)
				})
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "revoked users, too")
	return limitFlag(c, &limit)
}

func (a *app) userRevoke() *cobra.Command {
	var req scsv1.RevokeUserRequest
	c := &cobra.Command{
		Use: "revoke NAME", Short: "Take away all certificates of a user, at once", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewUserServiceClient(conn).RevokeUser(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintf(w, "user %s is revoked\n", resp.GetUser().GetName()) })
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show as whom the server knows you", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewUserServiceClient(conn).WhoAmI(ctx, &scsv1.WhoAmIRequest{})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					fields(w, "user", resp.GetUser().GetName(), "role", word(resp.GetUser().GetRole()), "certificate", resp.GetCertificateSerial(),
						"until", when(resp.GetCertificateNotAfter()), "server version", resp.GetServerVersion())
				})
			})
		},
	}
}
