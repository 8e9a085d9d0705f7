package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore/batch"
	"github.com/amtscs/amtscs/media"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// importRows is how many rows go into one message.
const importRows = 500

func (a *app) keysImport() *cobra.Command {
	im := &importer{app: a}
	c := &cobra.Command{
		Use: "import FILE --batch NAME", Short: "Import a list of pairs: setup.bin or CSV (- for standard input)",
		Long: "Import a list of pairs: a setup.bin, or CSV with the columns pid,pps,current_password,new_password, of\n" +
			"which the last two may be left out. All or nothing: a bad row, or a PID that is known with another PPS,\n" +
			"stops the import unless --skip-bad is given. Importing a list again changes nothing.",
		Args: takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			im.file = args[0]
			if im.header.GetBatch() == "" {
				im.header.Batch = batchName(args[0])
			}
			return a.stream(c.Context(), im.run)
		},
	}
	f := c.Flags()
	f.StringVar(&im.header.Batch, "batch", "", "the batch that takes them (default: the file's name)")
	f.StringVar(&im.header.Profile, "profile", "", "the profile of a new batch (default: the profile named default)")
	f.Var(&enumFlag[scsv1.SetupModel]{&im.header.Model, "model"}, "model", "manual, usbkey or oem: how the pairs reach their PCs (default usbkey for a setup.bin, else oem)")
	f.BoolVar(&im.header.DryRun, "dry-run", false, "check and report, store nothing")
	f.BoolVar(&im.header.SkipBad, "skip-bad", false, "leave bad and conflicting rows out and import the others")
	return c
}

// batchName is the file's name without its folders and suffix.
func batchName(path string) string {
	if path == "-" {
		return "import"
	}
	base := filepath.Base(path)
	return base[:len(base)-len(filepath.Ext(base))]
}

// importer streams one file to the server.
type importer struct {
	app    *app
	file   string
	header scsv1.ImportHeader

	stream  grpc.ClientStreamingClient[scsv1.ImportKeysRequest, scsv1.ImportKeysResponse]
	pending []*scsv1.ImportRow
}

// run sends the rows as they are read. Bad rows are known at the end of the file
// only: breaking off then leaves nothing in the store.
func (im *importer) run(ctx context.Context, conn *grpc.ClientConn) error {
	format, r, done, err := im.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	// A list in CSV for USB keys has yet to be written to them; any other pair is
	// where it belongs.
	im.header.Exported = format == batch.SetupBin || im.header.GetModel() != scsv1.SetupModel_SETUP_MODEL_USB_KEY
	if im.header.GetModel() == 0 && format == batch.SetupBin {
		im.header.Model = scsv1.SetupModel_SETUP_MODEL_USB_KEY
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if im.stream, err = scsv1.NewKeyServiceClient(conn).ImportKeys(ctx); err != nil {
		return err
	}
	if err := im.send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Header{Header: &im.header}}); err != nil {
		return err
	}
	bad, err := im.sendFile(format, r)
	if err != nil {
		return err
	}
	if bad != nil && !im.header.GetSkipBad() && !im.header.GetDryRun() {
		im.tellBad(bad)
		return failed("mend the rows, or import the others with --skip-bad", "%s: nothing was imported", plural(len(bad.Rows)+bad.More, "bad row"))
	}
	resp, err := im.stream.CloseAndRecv()
	if err != nil {
		return err
	}
	return im.report(resp, bad)
}

func (im *importer) open(ctx context.Context) (batch.Format, io.Reader, func(), error) {
	if im.file == "-" {
		im.header.Source = "standard input"
		format, r, err := batch.Detect(interruptible{ctx, im.app.stdin})
		return format, r, func() {}, err
	}
	f, err := os.Open(im.file)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("reading the list: %w", err)
	}
	im.header.Source = filepath.Base(im.file)
	content, err := media.Content(f) // of the setup.bin in a disk image
	if err != nil {
		_ = f.Close()
		return 0, nil, nil, fmt.Errorf("reading the list: %s: %w", im.file, err)
	}
	format, r, err := batch.Detect(interruptible{ctx, content})
	if err != nil {
		_ = f.Close()
		return 0, nil, nil, fmt.Errorf("reading the list: %w", err)
	}
	return format, r, func() { _ = f.Close() }, nil
}

// sendFile sends the good rows and returns the bad ones.
func (im *importer) sendFile(format batch.Format, r io.Reader) (*batch.RowErrors, error) {
	read := batch.ReadCSV
	if format == batch.SetupBin {
		read = batch.ReadSetupBin
	}
	err := read(im.header.GetSource(), r, im.add)
	var bad *batch.RowErrors
	if errors.As(err, &bad) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return bad, im.flush()
}

func (im *importer) add(row batch.Row) error {
	im.pending = append(im.pending, &scsv1.ImportRow{
		Place:           fmt.Sprintf("%s:%d", im.header.GetSource(), row.Line),
		Pid:             row.Pair.PID.String(),
		Pps:             amt.RevealPPS(row.Pair.PPS),
		CurrentPassword: string(row.CurrentPassword.Reveal()),
		NewPassword:     string(row.NewPassword.Reveal()),
		Used:            row.Used,
	})
	if len(im.pending) < importRows {
		return nil
	}
	return im.flush()
}

func (im *importer) flush() error {
	if len(im.pending) == 0 {
		return nil
	}
	rows := im.pending
	im.pending = nil
	return im.send(&scsv1.ImportKeysRequest{Part: &scsv1.ImportKeysRequest_Rows{Rows: &scsv1.ImportRows{Rows: rows}}})
}

// send gives the server's error where the stream only says that it has ended.
func (im *importer) send(m *scsv1.ImportKeysRequest) error {
	err := im.stream.Send(m)
	if errors.Is(err, io.EOF) {
		_, err = im.stream.CloseAndRecv()
	}
	return err
}

func (im *importer) tellBad(bad *batch.RowErrors) {
	for _, row := range bad.Rows {
		_, _ = fmt.Fprintf(im.app.stderr, "scsctl: %s\n", printable(row.Error()))
	}
	if bad.More > 0 {
		_, _ = fmt.Fprintf(im.app.stderr, "scsctl: and %d more\n", bad.More)
	}
}

// report prints what became of the rows and chooses the exit status.
func (im *importer) report(resp *scsv1.ImportKeysResponse, bad *batch.RowErrors) error {
	left := resp.GetConflicts() + resp.GetBad()
	for _, r := range resp.GetRejected() {
		_, _ = fmt.Fprintf(im.app.stderr, "scsctl: %s: %s: %s\n", printable(r.GetPlace()), printable(r.GetPid()), printable(r.GetMessage()))
	}
	for _, pid := range resp.GetDifferingPids() {
		_, _ = fmt.Fprintf(im.app.stderr, "scsctl: note: %s is known with other passwords; they stay as they are\n", printable(pid))
	}
	if bad != nil {
		im.tellBad(bad)
		left += int64(len(bad.Rows) + bad.More)
		resp.Rows += int64(len(bad.Rows) + bad.More)
		resp.Bad += int64(len(bad.Rows) + bad.More)
	}
	err := im.app.print(resp, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: %d new, %d known, %d conflicting, %d bad\n",
			plural(resp.GetRows(), "row"), resp.GetAdded(), resp.GetKnown(), resp.GetConflicts(), resp.GetBad())
	})
	switch {
	case err != nil:
		return err
	case im.header.GetDryRun() && left == 0:
		return nil
	case im.header.GetDryRun():
		return failed("", "%s would not be imported", plural(left, "row"))
	case !resp.GetStored():
		return failed("mend the rows, or import the others with --skip-bad", "%s cannot be imported: nothing was imported", plural(left, "row"))
	case left > 0:
		return partly("mend what is left out and import the file again", "%s left out", plural(left, "row"))
	}
	return nil
}
