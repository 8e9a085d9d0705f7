package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keysList() *cobra.Command {
	var req scsv1.ListKeysRequest
	var limit int
	var exported bool
	var token string
	c := &cobra.Command{
		Use: "list", Short: "List pairs, without their secrets", Args: takes(),
		Long: "List pairs in the order of their PIDs. Filters add up. A TIME is a date (2026-11-21), a date with a time\n" +
			"(2026-11-21T08:30, or with a zone 2026-11-21T08:30:00Z), or how long ago: 90m, 36h, 30d, 4w.",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("exported") {
				req.Exported = &exported
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewKeyServiceClient(conn)
				all, next, err := collectFrom(limit, token, func(size int32, token string) ([]*scsv1.Key, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListKeys(ctx, &req)
					return resp.GetKeys(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if next != "" {
					_, _ = fmt.Fprintf(a.stderr, "scsctl: note: only the first %d are shown: --limit 0 shows all, --page-token %s the next\n", len(all), next)
				}
				return a.print(&scsv1.ListKeysResponse{Keys: all, NextPageToken: next}, func(w io.Writer) { keyTable(w, all) })
			})
		},
	}
	f := c.Flags()
	f.Var(&enumFlag[scsv1.KeyState]{&req.State, "state"}, "state", "only pairs of this state")
	f.StringVar(&req.Batch, "batch", "", "only pairs of this batch")
	f.StringVar(&req.Uuid, "uuid", "", "only pairs of this device")
	f.BoolVar(&exported, "exported", false, "only pairs that were handed out; --exported=false: that were not")
	f.Var(&timeFlag{&req.CreatedAfter, time.Now}, "created-after", "only pairs that were added after this TIME")
	f.Var(&timeFlag{&req.CreatedBefore, time.Now}, "created-before", "only pairs that were added before this TIME")
	f.Var(&timeFlag{&req.ChangedAfter, time.Now}, "changed-after", "only pairs whose state last changed after this TIME")
	f.Var(&timeFlag{&req.ChangedBefore, time.Now}, "changed-before", "only pairs whose state last changed before this TIME")
	f.StringVar(&token, "page-token", "", "go on where an earlier list stopped, with the same filters")
	return limitFlag(c, &limit)
}

// timeFlag reads a time as people write it.
type timeFlag struct {
	value **timestamppb.Timestamp
	now   func() time.Time
}

func (f *timeFlag) String() string {
	if f.value == nil || *f.value == nil {
		return ""
	}
	return (*f.value).AsTime().Format(time.RFC3339)
}

func (f *timeFlag) Type() string { return "TIME" }

func (f *timeFlag) Set(s string) error {
	t, err := timeOrAge(s, f.now())
	if err != nil {
		return err
	}
	*f.value = timestamppb.New(t)
	return nil
}

// timeOrAge reads a date, a date with a time, or how long before now. What has no
// zone is in the person's.
func timeOrAge(s string, now time.Time) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if d, ok := parseAge(s); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("want a date such as 2026-11-21, with a time as 2026-11-21T08:30, or how long ago: 36h, 30d, 4w")
}

// parseAge is a duration that knows days and weeks, too.
func parseAge(s string) (time.Duration, bool) {
	const day, most = 24 * time.Hour, 100 * 365 * 24 * time.Hour
	for unit, d := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			return time.Duration(n) * d, err == nil && time.Duration(n) <= most/d
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0 && d <= most
}
