package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/cmd/internal/version"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) audit() *cobra.Command {
	return a.group("audit", "Who did what", a.auditList(), a.auditVerify())
}

func (a *app) auditList() *cobra.Command {
	var req scsv1.ListAuditEntriesRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List the audit log, the oldest first or the newest", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewAuditServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.AuditEntry, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListAuditEntries(ctx, &req)
					return resp.GetEntries(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListAuditEntriesResponse{Entries: all}, func(w io.Writer) {
					rows := make([][]string, len(all))
					for i, e := range all {
						rows[i] = []string{strconv.FormatUint(e.GetSequence(), 10), when(e.GetTime()), e.GetWho(), e.GetRole(), e.GetMethod(), e.GetObject(), word(e.GetOutcome()), e.GetReason()}
					}
					columns(w, []string{"NO", "TIME", "WHO", "ROLE", "METHOD", "OBJECT", "OUTCOME", "REASON"}, rows)
				})
			})
		},
	}
	c.Flags().StringVar(&req.Who, "who", "", "only entries of this user")
	c.Flags().StringVar(&req.Object, "object", "", "only entries about this PID, UUID, batch, profile, serial or user")
	c.Flags().BoolVar(&req.NewestFirst, "newest", false, "the newest first: --newest --limit 20 shows the last 20")
	return limitFlag(c, &limit)
}

func (a *app) auditVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check the chain of hashes", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewAuditServiceClient(conn).VerifyAuditLog(ctx, &scsv1.VerifyAuditLogRequest{})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "%d entries, the chain is whole; its head is %s\n", resp.GetEntries(), hex.EncodeToString(resp.GetHead()))
				})
			})
		},
	}
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of scsctl; whoami shows the server's", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			return a.write([]byte("scsctl " + version.String() + "\n"))
		},
	}
}
