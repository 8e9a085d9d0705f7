package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keysBatch() *cobra.Command {
	return a.group("batch", "Batches: where pairs came from, and what holds for all of them",
		a.batchList(), a.batchShow(), a.batchSet(), a.batchRetire())
}

func (a *app) batchList() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List batches", Args: takes(),
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
				for _, b := range all {
					a.warnBatch(b)
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
		rows[i] = []string{
			b.GetName(), strconv.FormatInt(b.GetKeyCount(), 10), strconv.FormatInt(available(b), 10), b.GetProfile(), word(b.GetModel()),
			b.GetSource(), b.GetCreatedBy(), when(b.GetCreateTime()), b.GetVendor(), expiry(b),
		}
	}
	columns(w, []string{"BATCH", "PAIRS", "AVAILABLE", "PROFILE", "MODEL", "SOURCE", "BY", "CREATED", "VENDOR", "EXPIRES"}, rows)
}

// expiry shows until when a batch's unused pairs are good.
func expiry(b *scsv1.Batch) string {
	switch {
	case b.GetRetireTime() != nil:
		return "retired"
	case b.GetExpired():
		return "expired"
	case b.GetExpireTime() == nil:
		return ""
	}
	return when(b.GetExpireTime())
}

func (a *app) batchShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a batch, its numbers and its files", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).GetBatch(ctx, &scsv1.GetBatchRequest{Name: args[0]})
				if err != nil {
					return err
				}
				a.warnBatch(resp.GetBatch())
				return a.print(resp, func(w io.Writer) { showBatch(w, resp.GetBatch()) })
			})
		},
	}
}

// warnBatch tells of unused pairs that are refused.
func (a *app) warnBatch(b *scsv1.Batch) {
	if n := available(b); n > 0 && b.GetExpired() && b.GetRetireTime() == nil {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: warning: batch %s has expired: %s unused, and refused; scsctl keys batch set gives it more time, scsctl keys batch retire ends it\n",
			printable(b.GetName()), plural(n, "pair"))
	}
}

func available(b *scsv1.Batch) int64 {
	for _, c := range b.GetCounts() {
		if c.GetState() == scsv1.KeyState_KEY_STATE_AVAILABLE {
			return c.GetCount()
		}
	}
	return 0
}

func showBatch(w io.Writer, b *scsv1.Batch) {
	password, expires := "", when(b.GetExpireTime())
	if b.GetHasCurrentPassword() {
		password = "known"
	}
	if b.GetExpired() {
		expires += " (expired)"
	}
	fields(w, "name", b.GetName(), "profile", b.GetProfile(), "model", word(b.GetModel()), "source", b.GetSource(),
		"vendor", b.GetVendor(), "order", b.GetOrderNumber(), "created", when(b.GetCreateTime()), "created by", b.GetCreatedBy(),
		"expires", expires, "retired", when(b.GetRetireTime()), "current password", password, "notes", b.GetNotes(),
		"pairs", strconv.FormatInt(b.GetKeyCount(), 10))
	for _, c := range b.GetCounts() {
		_, _ = fmt.Fprintf(w, "  %-10s %d\n", word(c.GetState()), c.GetCount())
	}
	if len(b.GetFiles()) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "\nfiles:")
	rows := make([][]string, len(b.GetFiles()))
	for i, f := range b.GetFiles() {
		rows[i] = []string{f.GetName(), strconv.FormatInt(f.GetAdded(), 10), f.GetImportedBy(), when(f.GetImportTime()), hex.EncodeToString(f.GetSha256())}
	}
	columns(w, []string{"FILE", "ADDED", "BY", "IMPORTED", "SHA-256"}, rows)
}

func (a *app) batchSet() *cobra.Command {
	var req scsv1.UpdateBatchRequest
	var profile, vendor, order, notes, expires, password string
	c := &cobra.Command{
		Use: "set NAME", Short: "Change what is known of a batch", Args: takes("NAME"),
		Long: "Change what is known of a batch. What is not named stays; an empty value removes. The unused pairs of a batch\n" +
			"that has expired are refused: hellos that name them wait in the inbox as ExpiredBatch, until a later --expires\n" +
			"lets the next one in. PCs in set-up, and those that were set up, are not touched.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			changed := false
			for _, f := range []struct {
				flag string
				from *string
				to   **string
			}{
				{"profile", &profile, &req.Profile}, {"vendor", &vendor, &req.Vendor}, {"order", &order, &req.OrderNumber}, {"notes", &notes, &req.Notes},
			} {
				if c.Flags().Changed(f.flag) {
					*f.to, changed = f.from, true
				}
			}
			more, err := a.batchSecrets(c, &req, expires, password)
			if err != nil {
				return err
			}
			if !changed && !more {
				return usage("%s: say what to change, as --expires 2027-12-31", c.CommandPath())
			}
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).UpdateBatch(ctx, &req)
				if err != nil {
					return err
				}
				a.warnBatch(resp.GetBatch())
				return a.print(resp, func(w io.Writer) { showBatch(w, resp.GetBatch()) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&profile, "profile", "", "the profile of its devices (empty: the profile named default)")
	f.StringVar(&vendor, "vendor", "", "who delivered it")
	f.StringVar(&order, "order", "", "the number of its order")
	f.StringVar(&notes, "notes", "", "free text")
	f.StringVar(&expires, "expires", "", "the day (UTC) or time from which its unused pairs are refused, as 2027-12-31; never: no such day")
	f.StringVar(&password, "current-password", "", "prompt asks for the MEBx password of PCs whose pair has none of its own; none removes it")
	f.StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

// batchSecrets takes the expiry and the password into the request.
func (a *app) batchSecrets(c *cobra.Command, req *scsv1.UpdateBatchRequest, expires, password string) (changed bool, err error) {
	switch expires {
	case "":
	case "never":
		req.NeverExpires, changed = true, true
	default:
		var at *timestamppb.Timestamp
		if at, err = parseExpiry(expires); err != nil {
			return false, usage("--expires %v, or never", err)
		}
		req.ExpireTime, changed = at, true
	}
	if known := password == "none" || password == "prompt"; known && strings.TrimSpace(req.GetReason()) == "" {
		return false, usage("--reason is missing: say why the password is set or removed; it is kept in the audit log")
	}
	switch password {
	case "":
		return changed, nil
	case "none":
		req.CurrentPassword = new(string)
		return true, nil
	case "prompt":
		p, err := a.askCurrentPassword(c.Context())
		req.CurrentPassword = &p
		return true, err
	}
	return false, usage("--current-password %q: want prompt or none; a password does not belong on a command line", password)
}

// confirmRetire asks for the batch's name, once it is known what that would end.
func (a *app) confirmRetire(ctx context.Context, conn *grpc.ClientConn, name string, yes bool) error {
	asked, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := scsv1.NewKeyServiceClient(conn).GetBatch(asked, &scsv1.GetBatchRequest{Name: name})
	if err != nil || resp.GetBatch().GetRetireTime() != nil {
		return err
	}
	n := available(resp.GetBatch())
	return a.confirm(ctx, yes, name, fmt.Sprintf("batch %s: %s would be withdrawn for good. Type the batch's name to go on: ", printable(name), plural(n, "unused pair")))
}

func (a *app) batchRetire() *cobra.Command {
	var req scsv1.RetireBatchRequest
	var yes bool
	c := &cobra.Command{
		Use: "retire NAME", Short: "Withdraw a batch's pairs that were never used, for good", Args: takes("NAME"),
		Long: "Withdraw every pair of a batch that no PC has used, and close the batch. It is for good: neither the batch nor\n" +
			"its pairs come back. It asks before it does so.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				if err := a.confirmRetire(ctx, conn, args[0], yes); err != nil {
					return err
				}
				resp, err := scsv1.NewKeyServiceClient(conn).RetireBatch(ctx, &req)
				if err != nil {
					f := explain(err)
					if f.code == exitUnavailable || f.message == "interrupted" {
						f.hint = "run the same command again: it goes on where it was"
					}
					return f
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "%s withdrawn; batch %s is retired\n", plural(resp.GetRetired(), "pair"), printable(resp.GetBatch().GetName()))
				})
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log and the pairs' stories")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
