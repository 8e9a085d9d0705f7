package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) user() *cobra.Command {
	return a.group("user", "Who may use the server", a.userAdd(), a.userList(), a.userRevoke())
}

// newUser is what user add is asked for.
type newUser struct {
	name    string
	role    scsv1.Role
	out     string
	address string // of the server, for the file; empty: the caller's
}

func (a *app) userAdd() *cobra.Command {
	u := &newUser{}
	c := &cobra.Command{
		Use: "add NAME --role ROLE --out FILE", Short: "Make a user and the context file for it", Args: takes("NAME"),
		Long: "Make a user and the context file for it, which holds its private key: hand it over on a safe way. The file\n" +
			"names the server by the address that you use yourself, which may be one of this machine's own; give\n" +
			"--server-address when the user is elsewhere. Nobody is made when the file cannot be written.",
		RunE: func(c *cobra.Command, args []string) error {
			u.name = args[0]
			if err := u.check(); err != nil {
				return err
			}
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error { return a.addUser(ctx, conn, u) })
		},
	}
	c.Flags().Var(&enumFlag[scsv1.Role]{&u.role, "role"}, "role", "admin, operator, staging, procurement, desk or auditor")
	c.Flags().StringVar(&u.out, "out", "", "the context file to write, mode 0600; it must not be there")
	c.Flags().StringVar(&u.address, "server-address", "", "host:port at which the user finds the server (default: as your own context file or --address)")
	return require(c, "role", "out")
}

// check finds what would keep the file from being written, before anybody is made.
func (u *newUser) check() error {
	if u.address != "" {
		host, port, err := net.SplitHostPort(u.address)
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || host == "" || e != nil || n == 0 {
			return usage("--server-address %q: want host:port, as scs.example.com:9972", u.address)
		}
	}
	if u.out == "" {
		return usage("--out is empty: the context file to write")
	}
	file, err := atomicfile.Begin(u.out)
	switch {
	case errors.Is(err, atomicfile.ErrExists):
		return err
	case err != nil:
		return failed("nobody was made; name a file in a folder that you may write to", "%w", err)
	}
	file.Discard()
	return nil
}

// addUser makes the key here, so that it never leaves this machine but in the
// context file.
func (a *app) addUser(ctx context.Context, conn *grpc.ClientConn, u *newUser) error {
	path, err := a.path()
	if err != nil {
		return err
	}
	own, err := contextfile.Load(path)
	if err != nil {
		return err
	}
	if u.address == "" {
		u.address = a.target(own)
	}
	key, csr, err := contextfile.NewKey(u.name)
	if err != nil {
		return err
	}
	client := scsv1.NewUserServiceClient(conn)
	resp, err := client.CreateUser(ctx, &scsv1.CreateUserRequest{Name: u.name, Role: u.role, CertificateRequest: csr})
	if err != nil {
		return unknownUser(u.name, err)
	}
	file := contextfile.File{
		Address: u.address, ServerName: own.ServerName, CA: own.CA,
		Certificate: []byte(resp.GetCertificatePem()), Key: key,
	}
	if err := file.Create(u.out); err != nil {
		return a.unmake(ctx, client, u.name, err)
	}
	if here(u.address) {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: the file names the server as %s, which is this machine only; --server-address names it for elsewhere\n", u.address)
	}
	return a.print(resp, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "user %s (role %s) is made; hand over %s and keep no copy\n", u.name, word(u.role), printable(u.out))
	})
}

// unknownUser adds what to do when the answer was lost and with it the key's
// certificate.
func unknownUser(name string, err error) error {
	f := explain(err)
	if f.code == exitUnavailable && !unsent(err.Error()) {
		f.hint = "the user may be made, without its file: see scsctl user list; if so, run scsctl user revoke " + name + " and add it anew"
	}
	return f
}

// unmake revokes a user whose context file was not written: the private key in it
// is lost. A revoked name can be added anew.
func (a *app) unmake(ctx context.Context, client scsv1.UserServiceClient, name string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := client.RevokeUser(ctx, &scsv1.RevokeUserRequest{Name: name, Reason: "its context file could not be written"})
	if err != nil {
		return failed("run scsctl user revoke "+name+", and add the user anew with another --out",
			"the user is made, but its context file is not: %w; and it could not be revoked: %s", cause, explain(err).message)
	}
	return failed("add the user anew with another --out", "the context file is not written, and user %s is revoked again: %w", name, cause)
}

// here reports whether an address means the machine on which it is used.
func here(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
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
	var yes bool
	c := &cobra.Command{
		Use: "revoke NAME", Short: "Take away all certificates of a user, at once", Args: takes("NAME"),
		Long: "Take away all certificates of a user, at once. The name can be added anew. Revoking yourself ends this\n" +
			"context file: it wants --yes, or your word on a terminal.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.revokeUser(ctx, scsv1.NewUserServiceClient(conn), &req, yes)
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	c.Flags().BoolVar(&yes, "yes", false, "revoke yourself, too, without being asked")
	return c
}

func (a *app) revokeUser(ctx context.Context, client scsv1.UserServiceClient, req *scsv1.RevokeUserRequest, yes bool) error {
	if !yes {
		if err := a.confirmSelf(ctx, client, req.GetName()); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := client.RevokeUser(ctx, req)
	if err != nil {
		return err
	}
	return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintf(w, "user %s is revoked\n", resp.GetUser().GetName()) })
}

// confirmSelf asks whoever is about to revoke themselves whether they mean it.
func (a *app) confirmSelf(ctx context.Context, client scsv1.UserServiceClient, name string) error {
	asked, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	me, err := client.WhoAmI(asked, &scsv1.WhoAmIRequest{})
	if err != nil || me.GetUser().GetName() != name {
		return err
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &failure{
			code: exitUsage, message: "this is you: after it this context file opens nothing any more",
			hint: "give --yes if you mean it",
		}
	}
	_, _ = fmt.Fprintf(a.stderr, "This is you: after it this context file opens nothing any more. Type your user name to go on: ")
	line, err := bufio.NewReader(interruptible{ctx, a.stdin}).ReadString('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || strings.TrimSpace(line) != name {
		return failed("", "nothing was revoked")
	}
	return nil
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
