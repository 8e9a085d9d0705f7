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

func (a *app) workflow() *cobra.Command {
	return a.group("workflow", "Set-ups under way and ended", a.workflowList(), a.workflowShow())
}

func (a *app) workflowList() *cobra.Command {
	var req scsv1.ListWorkflowsRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List workflows", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewProvisioningServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.Workflow, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListWorkflows(ctx, &req)
					return resp.GetWorkflows(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListWorkflowsResponse{Workflows: all}, func(w io.Writer) { workflowTable(w, all) })
			})
		},
	}
	f := c.Flags()
	f.Var(&enumFlag[scsv1.WorkflowState]{&req.State, "state"}, "state", "only workflows that have come to this state")
	f.Var(&enumFlag[scsv1.WorkflowStatus]{&req.Status, "status"}, "status", "only workflows of this status")
	f.StringVar(&req.Uuid, "uuid", "", "only workflows of this device")
	return limitFlag(c, &limit)
}

func workflowTable(w io.Writer, all []*scsv1.Workflow) {
	rows := make([][]string, len(all))
	for i, f := range all {
		rows[i] = []string{f.GetId(), f.GetUuid(), f.GetKind(), word(f.GetState()), word(f.GetStatus()), f.GetStep(), when(f.GetSince()), f.GetReason()}
	}
	columns(w, []string{"WORKFLOW", "DEVICE", "KIND", "STATE", "STATUS", "STEP", "SINCE", "REASON"}, rows)
}

func (a *app) workflowShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one workflow, or the latest of a device", Args: takes("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewProvisioningServiceClient(conn).GetWorkflow(ctx, &scsv1.GetWorkflowRequest{Id: args[0]})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { showWorkflow(w, resp.GetWorkflow()) })
			})
		},
	}
}

func showWorkflow(w io.Writer, f *scsv1.Workflow) {
	fields(w, "workflow", f.GetId(), "device", f.GetUuid(), "name", f.GetFqdn(), "kind", f.GetKind(), "state", word(f.GetState()),
		"status", word(f.GetStatus()), "step", f.GetStep(), "attempts", strconv.Itoa(int(f.GetAttempts())),
		"since", when(f.GetSince()), "reason", f.GetReason(), "detail", f.GetMessage(), "next try", when(f.GetNextAttemptTime()),
		"pid", f.GetPid(), "profile", f.GetProfile(), "created", when(f.GetCreateTime()), "ended", when(f.GetEndTime()))
	if f.GetHint() != "" {
		_, _ = fmt.Fprintf(w, "\nwhat to do: %s\n", printable(f.GetHint()))
	}
}
