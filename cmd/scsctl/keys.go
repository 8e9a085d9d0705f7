package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keys() *cobra.Command {
	return a.group("keys", "PID/PPS pairs and the batches they come in",
		a.keysGenerate(), a.keysImport(), a.keysList(), a.keysShow(), a.keysRevoke(), a.keysReveal(), a.keysBatches())
}

func (a *app) keysGenerate() *cobra.Command {
	var req scsv1.GenerateKeysRequest
	var policy string
	c := &cobra.Command{
		Use: "generate --count N --batch NAME", Short: "Draw new pairs for USB keys", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			switch policy {
			case "random":
			case "prompt":
				password, err := a.askNewPassword(c.Context(), "MEBx password for all PCs of the batch")
				if err != nil {
					return err
				}
				req.MebxPassword = password
			default:
				return usage("--mebx-password %q: want random or prompt", policy)
			}
			if req.GetRequestId() == "" {
				req.RequestId = newRequestID()
			}
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).GenerateKeys(ctx, &req)
				if err != nil {
					return lostReply(err, req.GetRequestId())
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "%s added to batch %s\n", plural(resp.GetAdded(), "pair"), resp.GetBatch().GetName())
				})
			})
		},
	}
	f := c.Flags()
	f.Int32Var(&req.Count, "count", 0, "how many pairs")
	f.StringVar(&req.Batch, "batch", "", "the batch that takes them; made when there is none of this name")
	f.StringVar(&req.Profile, "profile", "", "the profile of a new batch (default: the profile named default)")
	f.StringVar(&policy, "mebx-password", "random", "random: one per PC; prompt: ask for one for all")
	f.StringVar(&req.RequestId, "request-id", "", "repeat a request whose answer was lost, without drawing pairs twice")
	return require(c, "count", "batch")
}

// newRequestID makes a request one that can be repeated.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// lostReply tells how to repeat a request whose effect is unknown.
func lostReply(err error, id string) error {
	f := explain(err)
	if f.code == exitUnavailable && !unsent(err.Error()) {
		f.hint = "whether the pairs were made is not known: repeat the command with --request-id " + id
	}
	return f
}

func (a *app) keysList() *cobra.Command {
	var req scsv1.ListKeysRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List pairs, without their secrets", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewKeyServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.Key, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListKeys(ctx, &req)
					return resp.GetKeys(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListKeysResponse{Keys: all}, func(w io.Writer) { keyTable(w, all) })
			})
		},
	}
	f := c.Flags()
	f.Var(&enumFlag[scsv1.KeyState]{&req.State, "state"}, "state", "only pairs of this state")
	f.StringVar(&req.Batch, "batch", "", "only pairs of this batch")
	f.StringVar(&req.Uuid, "uuid", "", "only pairs of this device")
	return limitFlag(c, &limit)
}

func keyTable(w io.Writer, keys []*scsv1.Key) {
	rows := make([][]string, len(keys))
	for i, k := range keys {
		rows[i] = []string{k.GetPid(), word(k.GetState()), yes(k.GetExported()), k.GetBatch(), word(k.GetModel()), k.GetUuid(), when(k.GetChangeTime())}
	}
	columns(w, []string{"PID", "STATE", "EXPORTED", "BATCH", "MODEL", "DEVICE", "CHANGED"}, rows)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) keysShow() *cobra.Command {
	return &cobra.Command{
		Use: "show PID", Short: "Show one pair, without its secrets", Args: takes("PID"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).GetKey(ctx, &scsv1.GetKeyRequest{Pid: args[0]})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { showKey(w, resp) })
			})
		},
	}
}

func showKey(w io.Writer, resp *scsv1.GetKeyResponse) {
	k := resp.GetKey()
	fields(w, "pid", k.GetPid(), "state", word(k.GetState()), "exported", yes(k.GetExported()), "batch", k.GetBatch(),
		"profile", k.GetProfile(), "model", word(k.GetModel()), "device", k.GetUuid(),
		"created", when(k.GetCreateTime()), "changed", when(k.GetChangeTime()), "changed by", k.GetChangedBy(), "why", k.GetChangeReason())
	if len(resp.GetHistory()) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "\nstory:")
	rows := make([][]string, len(resp.GetHistory()))
	for i, h := range resp.GetHistory() {
		rows[i] = []string{when(h.GetTime()), h.GetAct(), word(h.GetTo()), h.GetUuid(), h.GetWho(), h.GetWhy()}
	}
	columns(w, []string{"TIME", "ACT", "STATE", "DEVICE", "WHO", "WHY"}, rows)
	if n := resp.GetDropped(); n > 0 {
		_, _ = fmt.Fprintf(w, "%d entries behind the first are no longer kept\n", n)
	}
}

func (a *app) keysRevoke() *cobra.Command {
	var req scsv1.RevokeKeyRequest
	c := &cobra.Command{
		Use: "revoke PID", Short: "Withdraw a pair", Args: takes("PID"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Pid = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).RevokeKey(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is revoked\n", resp.GetKey().GetPid()) })
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) keysReveal() *cobra.Command {
	var req scsv1.RevealKeyRequest
	c := &cobra.Command{
		Use: "reveal PID", Short: "Show the secrets of one pair (audited)", Args: takes("PID"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Pid = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).RevealKey(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					fields(w, "pid", resp.GetKey().GetPid(), "pps", resp.GetPps(), "current password", resp.GetCurrentPassword(), "new password", resp.GetNewPassword())
				})
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) keysBatches() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "batches", Short: "List batches", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewKeyServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.Batch, string, error) {
					resp, err := client.ListBatches(ctx, &scsv1.ListBatchesRequest{PageSize: size, PageToken: token})
					return resp.GetBatches(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListBatchesResponse{Batches: all}, func(w io.Writer) { batchTable(w, all) })
			})
		},
	}
	return limitFlag(c, &limit)
}

func batchTable(w io.Writer, batches []*scsv1.Batch) {
	rows := make([][]string, len(batches))
	for i, b := range batches {
		var free int64
		for _, c := range b.GetCounts() {
			if c.GetState() == scsv1.KeyState_KEY_STATE_AVAILABLE {
				free = c.GetCount()
			}
		}
		rows[i] = []string{b.GetName(), strconv.FormatInt(b.GetKeyCount(), 10), strconv.FormatInt(free, 10), b.GetProfile(), word(b.GetModel()), b.GetSource(), b.GetCreatedBy(), when(b.GetCreateTime())}
	}
	columns(w, []string{"BATCH", "PAIRS", "AVAILABLE", "PROFILE", "MODEL", "SOURCE", "BY", "CREATED"}, rows)
}
