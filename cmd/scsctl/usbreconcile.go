package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/amt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// Outcomes of usb reconcile; programs rely on them.
const (
	outcomeLeft       = "left"       // not consumed, and the pair is available
	outcomeElsewhere  = "elsewhere"  // not consumed, but a PC uses or used the pair
	outcomeSetUp      = "set-up"     // consumed, and a PC came with the pair
	outcomeWaiting    = "waiting"    // consumed, and the PC that said hello stands in the inbox
	outcomeDuplicate  = "duplicate"  // a PC came with the pair, and another one says hello with it
	outcomeSilent     = "silent"     // consumed, and no PC ever said hello with the pair
	outcomeWithdrawn  = "withdrawn"  // consumed or not: the pair is revoked
	outcomeUnknown    = "unknown"    // the server does not know the pair
	outcomeUnreadable = "unreadable" // the record holds no PID (any more)
)

// reconciled is what usb reconcile tells programs.
type reconciled struct {
	File    string             `json:"file"`
	Counts  map[string]int     `json:"counts"` // of records by outcome
	Records []reconciledRecord `json:"records"`
}

type reconciledRecord struct {
	Record   int    `json:"record"` // its place, from 1
	PID      string `json:"pid"`
	Consumed bool   `json:"consumed"`
	Outcome  string `json:"outcome"`
	State    string `json:"state"`  // of the pair
	Device   string `json:"device"` // UUID
	Why      string `json:"why"`    // the inbox's reason
}

func (a *app) usbReconcile() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "reconcile FILE", Short: "Compare a setup.bin that came back with the server: which PCs never said hello", Args: takes("FILE"),
		Long: "Read a setup.bin, or the one in a disk image, that came back from the staging floor, and tell which records\n" +
			"were consumed and what became of their pairs. A record's outcome is one of\n" +
			"  left        not consumed, the pair is available\n" +
			"  elsewhere   not consumed, but a PC uses or used the pair\n" +
			"  set-up      consumed, and a PC came with the pair\n" +
			"  waiting     consumed, and the PC that said hello stands in the inbox\n" +
			"  duplicate   a PC came with the pair, and another one says hello with it\n" +
			"  silent      consumed, and no PC said hello with the pair\n" +
			"  withdrawn   the pair is revoked\n" +
			"  unknown     the server does not know the pair\n" +
			"  unreadable  the record holds no PID\n" +
			"Nothing is changed, neither in the file nor at the server. It ends with status 0 when every consumed record is\n" +
			"accounted for, and 5 when one is silent, waiting, duplicate, unknown or unreadable, or used elsewhere.",
		RunE: func(c *cobra.Command, args []string) error {
			records, err := readRecords(args[0])
			if err != nil {
				return err
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.reconcile(ctx, conn, args[0], records, all)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list records that are left, too")
	return c
}

// readRecords reads what each record says of itself.
func readRecords(name string) ([]reconciledRecord, error) {
	f, rd, err := openSetup(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var list []reconciledRecord
	for {
		r, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, layoutFailure(name, err)
		}
		row := reconciledRecord{Record: len(list) + 1, Consumed: !r.Valid()}
		if b, ok := r.Get(setupbin.ModuleAMT, 1); ok {
			if pid, err := amt.ParsePID(string(b)); err == nil {
				row.PID = pid.String()
			}
		}
		list = append(list, row)
	}
}

func (a *app) reconcile(ctx context.Context, conn *grpc.ClientConn, name string, records []reconciledRecord, all bool) error {
	inbox, err := a.inboxByPID(ctx, conn)
	if err != nil {
		return err
	}
	rec := &reconciled{File: name, Counts: map[string]int{}, Records: records}
	client := scsv1.NewKeyServiceClient(conn)
	for i := range records {
		if err := a.outcome(ctx, client, inbox, &records[i]); err != nil {
			return err
		}
		rec.Counts[records[i].Outcome]++
	}
	if err := a.printJSON(rec, func(w io.Writer) { rec.table(w, all) }); err != nil {
		return err
	}
	open := 0
	for _, o := range []string{outcomeSilent, outcomeWaiting, outcomeDuplicate, outcomeUnknown, outcomeUnreadable, outcomeElsewhere} {
		open += rec.Counts[o]
	}
	if open > 0 {
		return partly("look at these PCs: silent ones may have no network, or were not told the server's address; duplicates need a pair of their own", "%s not accounted for", plural(open, "record"))
	}
	return nil
}

// inboxByPID finds what PCs that said hello wait for.
func (a *app) inboxByPID(ctx context.Context, conn *grpc.ClientConn) (map[string][]*scsv1.InboxItem, error) {
	client := scsv1.NewProvisioningServiceClient(conn)
	items, err := collect(a, 0, func(size int32, token string) ([]*scsv1.InboxItem, string, error) {
		resp, err := client.ListInbox(ctx, &scsv1.ListInboxRequest{PageSize: size, PageToken: token})
		return resp.GetItems(), resp.GetNextPageToken(), err
	})
	m := map[string][]*scsv1.InboxItem{}
	for _, it := range items {
		if it.GetPid() != "" {
			m[it.GetPid()] = append(m[it.GetPid()], it)
		}
	}
	return m, err
}

// outcome asks for the pair of one record.
func (a *app) outcome(ctx context.Context, client scsv1.KeyServiceClient, inbox map[string][]*scsv1.InboxItem, r *reconciledRecord) error {
	if r.PID == "" {
		r.Outcome = outcomeUnreadable
		return nil
	}
	for _, it := range inbox[r.PID] {
		r.Device, r.Why = it.GetUuid(), it.GetReason()
	}
	call, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := client.GetKey(call, &scsv1.GetKeyRequest{Pid: r.PID})
	if status.Code(err) == codes.NotFound {
		r.Outcome = outcomeUnknown
		return nil
	}
	if err != nil {
		return err
	}
	k := resp.GetKey()
	r.State = word(k.GetState())
	r.Outcome = judge(r, k.GetState(), k.GetUuid() != "")
	if k.GetUuid() == "" {
		return nil
	}
	r.Device = k.GetUuid()
	for _, it := range inbox[r.PID] {
		if it.GetUuid() != k.GetUuid() {
			r.Outcome, r.Device, r.Why = outcomeDuplicate, it.GetUuid(), it.GetReason()
		}
	}
	return nil
}

// judge says what became of a pair that the server knows; used: a device has or
// had it.
func judge(r *reconciledRecord, state scsv1.KeyState, used bool) string {
	switch {
	case state == scsv1.KeyState_KEY_STATE_REVOKED, state == scsv1.KeyState_KEY_STATE_RETIRED && !used:
		return outcomeWithdrawn
	case state == scsv1.KeyState_KEY_STATE_AVAILABLE && !used && !r.Consumed && r.Why == "":
		return outcomeLeft
	case !r.Consumed:
		return outcomeElsewhere
	case state == scsv1.KeyState_KEY_STATE_AVAILABLE && r.Why != "":
		return outcomeWaiting
	case state == scsv1.KeyState_KEY_STATE_AVAILABLE:
		return outcomeSilent
	case !used:
		return outcomeSilent // marked as spent by an import, say, and never claimed
	}
	return outcomeSetUp
}

func (rec *reconciled) table(w io.Writer, all bool) {
	var rows [][]string
	for _, r := range rec.Records {
		if r.Outcome == outcomeLeft && !all {
			continue
		}
		rows = append(rows, []string{fmt.Sprint(r.Record), r.PID, yes(r.Consumed), r.Outcome, r.State, r.Device, r.Why})
	}
	if len(rows) > 0 {
		columns(w, []string{"RECORD", "PID", "CONSUMED", "OUTCOME", "PAIR", "DEVICE", "WHY"}, rows)
	}
	_, _ = fmt.Fprintf(w, "%s: %s", printable(rec.File), plural(len(rec.Records), "record"))
	for _, o := range []string{outcomeSetUp, outcomeWaiting, outcomeDuplicate, outcomeSilent, outcomeLeft, outcomeElsewhere, outcomeWithdrawn, outcomeUnknown, outcomeUnreadable} {
		if n := rec.Counts[o]; n > 0 {
			_, _ = fmt.Fprintf(w, ", %d %s", n, o)
		}
	}
	_, _ = fmt.Fprintln(w)
}
