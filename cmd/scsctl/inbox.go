package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) inbox() *cobra.Command {
	return a.group("inbox", "Hellos that need a person", a.inboxList(), a.inboxShow(), a.inboxDismiss())
}

func (a *app) inboxList() *cobra.Command {
	var req scsv1.ListInboxRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List hellos that led to no set-up, and why", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if c.Flags().Changed("reason") {
				if req.Reason, err = valueOf("reason", req.GetReason(), reasons); err != nil {
					return err
				}
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listInbox(ctx, a, conn, &req, limit)
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListInboxResponse{Items: all}, func(w io.Writer) { inboxTable(w, all) })
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "only rows of this reason: a code of docs/reasons.md, such as UnknownPID, KeyMismatch, DialFailed or AlreadyOperational")
	return limitFlag(c, &limit)
}

func listInbox(ctx context.Context, a *app, conn *grpc.ClientConn, req *scsv1.ListInboxRequest, limit int) ([]*scsv1.InboxItem, error) {
	client := scsv1.NewProvisioningServiceClient(conn)
	return collect(a, limit, func(size int32, token string) ([]*scsv1.InboxItem, string, error) {
		req.PageSize, req.PageToken = size, token
		resp, err := client.ListInbox(ctx, req)
		return resp.GetItems(), resp.GetNextPageToken(), err
	})
}

// inboxTable lists the rows, and below them what to do, once for each reason. The
// identity of a row begins with its UUID.
func inboxTable(w io.Writer, all []*scsv1.InboxItem) {
	rows := make([][]string, len(all))
	var todo []string
	told := map[string]bool{}
	for i, m := range all {
		rows[i] = []string{m.GetId(), m.GetPid(), m.GetReason(), strconv.FormatInt(m.GetCount(), 10), m.GetPeer(), when(m.GetLastTime())}
		if reason := m.GetReason(); !told[reason] && m.GetHint() != "" {
			told[reason] = true
			todo = append(todo, reason, m.GetHint())
		}
	}
	columns(w, []string{"ID", "PID", "REASON", "COUNT", "FROM", "LAST"}, rows)
	if len(todo) > 0 {
		_, _ = fmt.Fprintln(w, "\nwhat to do (scsctl inbox show ID has the detail of a row):")
		fields(w, todo...)
	}
}

func (a *app) inboxShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one row, with the detail of what went wrong", Args: takes("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listInbox(ctx, a, conn, &scsv1.ListInboxRequest{}, 0)
				if err != nil {
					return err
				}
				for _, m := range all {
					if m.GetId() == args[0] {
						return a.print(m, func(w io.Writer) { showInbox(w, m) })
					}
				}
				return &failure{
					code: exitNotFound, message: fmt.Sprintf("inbox row %q: no such row in the inbox", args[0]),
					hint: "scsctl inbox list shows the rows",
				}
			})
		},
	}
}

func showInbox(w io.Writer, m *scsv1.InboxItem) {
	fields(w, "id", m.GetId(), "uuid", m.GetUuid(), "pid", m.GetPid(), "reason", m.GetReason(), "detail", m.GetMessage(),
		"from", m.GetPeer(), "count", strconv.FormatInt(m.GetCount(), 10), "first", when(m.GetFirstTime()), "last", when(m.GetLastTime()))
	if m.GetHint() != "" {
		_, _ = fmt.Fprintf(w, "\nwhat to do: %s\n", printable(m.GetHint()))
	}
}

func (a *app) inboxDismiss() *cobra.Command {
	return &cobra.Command{
		Use: "dismiss ID...", Short: "Remove rows; the next such hello makes a new one",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return takes("ID")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewProvisioningServiceClient(conn)
				for i, id := range args {
					resp, err := client.DismissInbox(ctx, &scsv1.DismissInboxRequest{Id: id})
					if err != nil && i > 0 {
						return partly(explain(err).hint, "%s: %s; the %d before it are dismissed", id, explain(err).message, i)
					}
					if err != nil {
						return err
					}
					if err := a.printLine(resp, id+" is dismissed"); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
