package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// importRows is how many rows go into one message.
const importRows = 500

func (a *app) keysImport() *cobra.Command {
	im := &importer{lists: lists{app: a}}
	c := &cobra.Command{
		Use: "import FILE...", Short: "Import lists of pairs: setup.bin or tables, gzip too (- for standard input)",
		Long: "Import lists of pairs into one batch: setup.bin, CSV with the columns pid,pps,current_password,new_password,\n" +
			"of which the last two may be left out, id,pid,pps,current_password,admin_password,used, lines of PID and PPS,\n" +
			"or any other table by --columns or --mapping. Files may be compressed with gzip, and then encrypted with age\n" +
			"(--identity). All or nothing, over all files: a bad row, or a PID that is known with another PPS, stops the\n" +
			"import unless --skip-bad is given. Importing a list again changes nothing.",
		Args: someFiles,
		RunE: func(c *cobra.Command, args []string) error { return im.command(c.Context(), args) },
	}
	f, h := c.Flags(), &im.header
	f.StringVar(&h.Batch, "batch", "", "the batch that takes them (default: the file's name)")
	f.StringVar(&h.Profile, "profile", "", "the profile of a new batch (default: the profile named default)")
	f.Var(&enumFlag[scsv1.SetupModel]{&h.Model, "model"}, "model", "manual, usbkey or oem: how the pairs reach their PCs (default usbkey for a setup.bin, else oem)")
	f.StringVar(&h.Vendor, "vendor", "", "of a new batch: who delivered it")
	f.StringVar(&h.OrderNumber, "order", "", "of a new batch: the number of its order")
	f.StringVar(&h.Notes, "notes", "", "of a new batch: free text")
	f.StringVar(&im.expires, "expires", "", "of a new batch: the day (UTC) or time from which its unused pairs are refused, as 2027-12-31")
	f.StringVar(&im.password, "current-password", "", "of a new batch: prompt asks for the MEBx password of PCs whose row has none")
	f.StringVar(&im.mapping, "mapping", "", "read tables as this mapping says: scsctl keys mapping list shows them")
	f.BoolVar(&h.DryRun, "dry-run", false, "check and report, store nothing")
	f.BoolVar(&h.SkipBad, "skip-bad", false, "leave bad and conflicting rows out and import the others")
	im.flags(f)
	return c
}

// someFiles wants one file or more.
func someFiles(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return takes("FILE")(c, args)
	}
	return nil
}

// batchName is the file's name without its folders and suffixes.
func batchName(path string) string {
	if path == "-" {
		return "import"
	}
	base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".age"), ".gz")
	return base[:len(base)-len(filepath.Ext(base))]
}

// importer streams lists to the server.
type importer struct {
	lists
	header                     scsv1.ImportHeader
	expires, password, mapping string

	up       *upload[scsv1.ImportKeysRequest, scsv1.ImportKeysResponse]
	pending  gathered[*scsv1.ImportRow]
	bad      batch.RowErrors // of all files; Rows are the first maxTold
	rejected []*scsv1.RejectedRow
	kinds    kinds // of bad rows
}

func (im *importer) command(ctx context.Context, paths []string) error {
	h := &im.header
	if h.GetBatch() == "" && len(paths) > 1 {
		return usage("several files go into one batch: name it with --batch")
	}
	if h.GetBatch() == "" {
		h.Batch = batchName(paths[0])
	}
	if im.mapping != "" && im.columns != "" {
		return usage("--mapping and --columns are two ways to say the same: give one")
	}
	if err := im.check(h.GetDryRun(), h.GetSkipBad()); err != nil {
		return err
	}
	var err error
	if h.ExpireTime, err = parseExpiry(im.expires); err != nil {
		return usage("--expires %v", err)
	}
	if err := im.askPassword(ctx, paths); err != nil {
		return err
	}
	return im.app.stream(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		client := scsv1.NewKeyServiceClient(conn)
		if err := im.takeMapping(ctx, client); err != nil {
			return err
		}
		if err := im.layout.CheckPairs(); err != nil {
			return usage("--columns: %v", err)
		}
		return im.run(ctx, client, paths)
	})
}

func (im *importer) askPassword(ctx context.Context, paths []string) error {
	switch im.password {
	case "":
		return nil
	case "prompt":
	default:
		return usage("--current-password %q: want prompt; a password does not belong on a command line", im.password)
	}
	for _, p := range paths {
		if p == "-" {
			return usage("--current-password prompt and - both want standard input: name a file")
		}
	}
	var err error
	im.header.CurrentPassword, err = im.app.askCurrentPassword(ctx)
	return err
}

// takeMapping fetches the layout that --mapping names.
func (im *importer) takeMapping(ctx context.Context, client scsv1.KeyServiceClient) error {
	if im.mapping == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, im.app.timeout)
	defer cancel()
	resp, err := client.GetKeyMapping(ctx, &scsv1.GetKeyMappingRequest{Name: im.mapping})
	if err != nil {
		return err
	}
	im.layout, err = layoutOf(resp.GetMapping())
	return err
}

// run sends the rows as they are read. Bad rows are known at the end of the files
// only: breaking off then leaves nothing in the store.
func (im *importer) run(ctx context.Context, client scsv1.KeyServiceClient, paths []string) error {
	defer im.closeAll()
	sctx, cancel := context.WithCancel(ctx) // of the stream and of reading
	defer cancel()
	if err := im.open(sctx, paths); err != nil {
		return nothing(err)
	}
	if err := im.model(); err != nil {
		return err
	}
	im.bar = newProgress(im.app.stderr, im.size(), &im.read)
	defer im.bar.end()
	resp, err := im.exchange(sctx, cancel, client)
	if err != nil {
		return err
	}
	return im.report(ctx, resp)
}

// model says how the pairs reach their PCs.
func (im *importer) model() error {
	h := &im.header
	for _, f := range im.files {
		if f.format != im.files[0].format && h.GetModel() == 0 {
			return usage("a setup.bin and a table in one call: say --model, or import them one by one")
		}
		h.Source += ", " + f.name
	}
	h.Source = strings.TrimPrefix(h.GetSource(), ", ")
	if len(im.files) > 1 && len(h.GetSource()) > 200 {
		h.Source = plural(len(im.files), "file")
	}
	stick := im.files[0].format == batch.SetupBin
	// A list in CSV for USB keys has yet to be written to them; any other pair is
	// where it belongs.
	h.Exported = stick || h.GetModel() != scsv1.SetupModel_SETUP_MODEL_USB_KEY
	if h.GetModel() == 0 && stick {
		h.Model = scsv1.SetupModel_SETUP_MODEL_USB_KEY
	}
	h.ListConflicts = im.rejects != ""
	return nil
}

// exchange sends everything and receives the server's report. With bad rows that
// stop the import it says so instead.
func (im *importer) exchange(ctx context.Context, cancel context.CancelFunc, client scsv1.KeyServiceClient) (*scsv1.ImportKeysResponse, error) {
	stream, err := client.ImportKeys(ctx)
	if err != nil {
		return nil, unsure(err, false)
	}
	im.up = begin(stream, cancel)
	im.pending.send = func(rows []*scsv1.ImportRow) error {
		return im.up.send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: rows}}})
	}
	end, err := im.sendAll()
	if err != nil {
		return nil, unsure(im.up.cause(err), false)
	}
	im.kinds.end(im.say)
	if im.badRows > 0 && im.stops() {
		return nil, failed("mend the rows, or import the others with --skip-bad", "%s: nothing was imported", plural(im.badRows, "bad row"))
	}
	if err := im.sameShape(); err != nil {
		return nil, err
	}
	if err := im.up.send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_End{End: end}}); err != nil {
		return nil, unsure(err, false)
	}
	im.bar.storing.Store(true)
	resp, err := im.up.finish()
	im.bar.end()
	if err != nil {
		return nil, im.after(ctx, client, end, err)
	}
	return resp, nil
}

// stops reports whether a bad row keeps everything out.
func (im *importer) stops() bool { return !im.header.GetSkipBad() && !im.header.GetDryRun() }

func (im *importer) sendAll() (*scsv1.ImportEnd, error) {
	if err := im.up.send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: &im.header}}); err != nil {
		return nil, err
	}
	end := &scsv1.ImportEnd{}
	for _, f := range im.files {
		if err := im.sendFile(f); err != nil {
			return nil, err
		}
		sum, err := f.sha256()
		if err != nil {
			return nil, err
		}
		name := f.name
		if f.path != "-" {
			name = placeName(f.path, nil)
		}
		end.Files = append(end.Files, &scsv1.ImportFile{Name: name, Sha256: sum})
	}
	return end, im.pending.flush()
}

// sendFile sends the good rows and tells of the bad ones.
func (im *importer) sendFile(f *listFile) error {
	opts := im.options(f)
	opts.Bad = im.noteBad
	before, rows := im.badRows, 0
	err := batch.ReadAs(f.format, f.name, f.r, opts, func(row batch.Row) error {
		im.bar.rows.Add(1)
		rows++
		if im.badRows > 0 && im.stops() {
			return nil // it is only looked at
		}
		return im.add(f.name, row)
	})
	var bad *batch.RowErrors
	if errors.As(err, &bad) {
		im.bad.Checksums += bad.Checksums
		im.bad.Passwords += bad.Passwords
		err = nil
	}
	if err == nil && rows+im.badRows-before == 0 {
		what := "a header or comments alone are no list: compare it with what the supplier sent"
		if f.format == batch.SetupBin {
			what = "no record of it holds a pair that can be read"
		}
		return failed(what, "no rows in %s", f.name)
	}
	return err
}

func (im *importer) noteBad(e *batch.RowError) {
	if im.badRows++; im.kinds.note(e.What()) {
		im.say("%s", e.Error())
	}
	if len(im.rejected) < maxTold {
		im.rejected = append(im.rejected, &scsv1.RejectedRow{Place: fmt.Sprintf("%s:%d", e.File, e.Line), Reason: "BadRow", Message: e.What()})
	}
}

func (im *importer) add(file string, row batch.Row) error {
	return im.pending.add(&scsv1.ImportRow{
		Place:           fmt.Sprintf("%s:%d", file, row.Line),
		Pid:             row.Pair.PID.String(),
		Pps:             amt.RevealPPS(row.Pair.PPS),
		CurrentPassword: string(row.CurrentPassword.Reveal()),
		NewPassword:     string(row.NewPassword.Reveal()),
		Used:            row.Used,
	})
}

// parseExpiry reads a day, from whose begin in UTC it counts, or a time; "" is
// nil.
func parseExpiry(s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	at, err := parseTime(s)
	if err != nil {
		return nil, fmt.Errorf("%q: want a day, as 2027-12-31, or a time, as 2027-12-31T18:00:00Z", s)
	}
	return timestamppb.New(at), nil
}
