package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) inbox() *cobra.Command {
	return a.group("inbox", "Hellos that need a person", a.inboxList(), a.inboxDismiss())
}

func (a *app) inboxList() *cobra.Command {
	var req scsv1.ListInboxRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List hellos that led to no set-up, and why", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewProvisioningServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.InboxItem, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListInbox(ctx, &req)
					return resp.GetItems(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListInboxResponse{Items: all}, func(w io.Writer) { inboxTable(w, all) })
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "only rows of this reason")
	return limitFlag(c, &limit)
}

func inboxTable(w io.Writer, all []*scsv1.InboxItem) {
	rows := make([][]string, len(all))
	for i, m := range all {
		rows[i] = []string{m.GetId(), m.GetUuid(), m.GetPid(), m.GetReason(), strconv.FormatInt(m.GetCount(), 10), m.GetPeer(), when(m.GetLastTime()), m.GetHint()}
	}
	columns(w, []string{"ID", "UUID", "PID", "REASON", "COUNT", "FROM", "LAST", "WHAT TO DO"}, rows)
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
