package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keysRestore() *cobra.Command {
	var req scsv1.RestoreKeyRequest
	c := &cobra.Command{
		Use: "restore PID", Short: "Take a pair back that came as used", Args: takes("PID"),
		Long: "Make a pair available again that a list or a setup.bin brought as used. A pair that a device ever held, that\n" +
			"was revoked, or whose batch is retired does not come back.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Pid = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).RestoreKey(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is available\n", resp.GetKey().GetPid()) })
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) keysPassword() *cobra.Command {
	var req scsv1.SetKeyPasswordRequest
	c := &cobra.Command{
		Use: "password PID --reason TEXT", Short: "Correct the MEBx password that the PC of a pair has", Args: takes("PID"),
		Long: "Correct the MEBx password that the PC of a pair has before its set-up, for PCs that stand in the inbox with\n" +
			"LoginFailed. It is asked for, or read as a line of standard input. The PC's next hello is followed with it,\n" +
			"and with the one known before if that is refused.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Pid = args[0]
			var err error
			if req.CurrentPassword, err = a.askCurrentPassword(c.Context()); err != nil {
				return err
			}
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).SetKeyPassword(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "the password of %s is set; the next hello of its PC is followed with it\n", resp.GetKey().GetPid())
				})
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return require(c, "reason")
}
