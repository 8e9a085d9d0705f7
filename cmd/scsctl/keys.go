package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keys() *cobra.Command {
	return a.group("keys", "PID/PPS pairs and the batches they come in",
		a.keysGenerate(), a.keysImport(), a.keysList(), a.keysShow(), a.keysRevoke(), a.keysRestore(), a.keysPassword(), a.keysReveal(),
		a.keysBatch(), a.keysMapping(), a.keysSheet(), a.keysCheck(), a.keysExport())
}

func (a *app) keysGenerate() *cobra.Command {
	var req scsv1.GenerateKeysRequest
	var policy string
	rules := amt.IntelRules
	c := &cobra.Command{
		Use: "generate --count N --batch NAME", Short: "Draw new pairs for USB keys, or for sheets", Args: takes(),
		Long: "Draw new pairs, each with a MEBx password of its own unless one is asked for. Drawn passwords keep to the\n" +
			"rules of every vendor and have only characters that the keyboards of most countries have where the US\n" +
			"one has them, as MEBx reads it: letters but y and z, digits and ! $ %, without look-alikes.",
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if req.MebxPassword, err = a.mebxPassword(c.Context(), policy, rules); err != nil {
				return err
			}
			req.PasswordRules = scsv1.PasswordRules(rules)
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
	f.Var(&rulesFlag{&rules}, "password-rules", "intel, or hp: a password for all must not have ' < > & and space either")
	f.Var(&enumFlag[scsv1.SetupModel]{&req.Model, "model"}, "model", "usbkey, or manual for pairs that are printed and typed (default usbkey)")
	f.StringVar(&req.RequestId, "request-id", "", "repeat a request whose answer was lost, without drawing pairs twice")
	return require(c, "count", "batch")
}

// mebxPassword is the password for all PCs, empty for one each.
func (a *app) mebxPassword(ctx context.Context, policy string, rules amt.PasswordRules) (string, error) {
	switch policy {
	case "random":
		return "", nil
	case "prompt":
		password, err := a.askNewPassword(ctx, "MEBx password for all PCs of the batch")
		if err != nil {
			return "", err
		}
		if err := rules.Check(amt.NewSecretString(password)); err != nil {
			return "", failed("choose one that the PCs' MEBx takes", "%w", err)
		}
		return password, nil
	}
	return "", usage("--mebx-password %q: want random or prompt", policy)
}

// rulesFlag reads the rules of passwords.
type rulesFlag struct{ rules *amt.PasswordRules }

func (f *rulesFlag) String() string {
	if f.rules == nil {
		return ""
	}
	return f.rules.String()
}

func (f *rulesFlag) Type() string { return "rules" }

func (f *rulesFlag) Set(s string) error {
	var err error
	*f.rules, err = amt.ParsePasswordRules(s)
	return err
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
					fields(w, "pid", resp.GetKey().GetPid(), "pps", resp.GetPps(), "current password", resp.GetCurrentPassword(), "new password", resp.GetNewPassword(),
						"previous password", resp.GetPreviousPassword())
				})
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log; must be given")
	return c
}
