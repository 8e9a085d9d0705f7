package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) deviceImport() *cobra.Command {
	im := &deviceImporter{lists: lists{app: a}}
	var passwords string
	c := &cobra.Command{
		Use: "import FILE...", Short: "Import lists of UUIDs with their names, profiles, batches and passwords (- for standard input)",
		Long: "Import lists of PCs, so that a PC's first hello finds its name waiting: name,FQDN,UUID and perhaps MAC, MEBx\n" +
			"password and administrator's password, as ConfigMgr has them for out-of-band management; a header may put them\n" +
			"in another order and add profile and batch; any other table by --columns. Files may be compressed with gzip. All\n" +
			"or nothing, over all files: a row that cannot be taken stops the import unless --skip-bad is given. Importing a\n" +
			"list again changes nothing.",
		Args: someFiles,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if im.encoding, err = batch.ParseEncoding(passwords); err != nil {
				return usage("--%v", err)
			}
			if err := im.check(im.header.GetDryRun(), im.header.GetSkipBad()); err != nil {
				return err
			}
			if err := im.layout.CheckDevices(); err != nil {
				return usage("--columns: %v", err)
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return im.run(ctx, scsv1.NewDeviceServiceClient(conn), args)
			})
		},
	}
	f, h := c.Flags(), &im.header
	f.StringVar(&h.Profile, "profile", "", "the profile of rows that name none")
	f.StringVar(&h.Batch, "batch", "", "the batch, for its profile, of rows that name none")
	f.StringVar(&passwords, "passwords", "", "plain or base64: how the list has them (default plain, and what may be either is refused)")
	f.BoolVar(&h.Replace, "replace", false, "replace what was assigned before")
	f.BoolVar(&h.DryRun, "dry-run", false, "check and report, store nothing")
	f.BoolVar(&h.SkipBad, "skip-bad", false, "leave out what cannot be taken and import the others")
	im.flags(f)
	return c
}

// deviceImporter streams lists of PCs to the server.
type deviceImporter struct {
	lists
	header   scsv1.ImportDevicesHeader
	encoding batch.Encoding

	up       *upload[scsv1.ImportDevicesRequest, scsv1.ImportDevicesResponse]
	pending  gathered[*scsv1.ImportDevicesRow]
	rejected []*scsv1.RejectedDevice // that were never sent, the first maxTold
}

func (im *deviceImporter) run(ctx context.Context, client scsv1.DeviceServiceClient, paths []string) error {
	defer im.closeAll()
	sctx, cancel := context.WithCancel(ctx) // of the stream and of reading
	defer cancel()
	if err := im.open(sctx, paths); err != nil {
		return err
	}
	for _, f := range im.files {
		if f.format != batch.CSV {
			return failed("scsctl keys import takes it", "%s is a %v, not a table of PCs", f.name, f.format)
		}
		im.header.Source += ", " + f.name
	}
	im.header.Source = strings.TrimPrefix(im.header.GetSource(), ", ")
	if len(im.files) > 1 && len(im.header.GetSource()) > 200 {
		im.header.Source = plural(len(im.files), "file")
	}
	im.bar = newProgress(im.app.stderr, im.size(), &im.read)
	defer im.bar.end()
	resp, err := im.exchange(sctx, cancel, client)
	if err != nil {
		return err
	}
	return im.report(ctx, resp)
}

// exchange sends everything and receives the server's report.
func (im *deviceImporter) exchange(ctx context.Context, cancel context.CancelFunc, client scsv1.DeviceServiceClient) (*scsv1.ImportDevicesResponse, error) {
	stream, err := client.ImportDevices(ctx)
	if err != nil {
		return nil, unsure(err, false)
	}
	im.up = begin(stream, cancel)
	im.pending.send = func(rows []*scsv1.ImportDevicesRow) error {
		return im.up.send(&scsv1.ImportDevicesRequest{Part: &scsv1.ImportDevicesRequest_Rows{Rows: &scsv1.ImportDevicesRows{Rows: rows}}})
	}
	if err := im.sendAll(); err != nil {
		return nil, unsure(im.up.cause(err), false)
	}
	if im.badRows > 0 && !im.header.GetSkipBad() && !im.header.GetDryRun() {
		return nil, failed("mend the rows, or import the others with --skip-bad", "%s: nothing was imported", plural(im.badRows, "bad row"))
	}
	if err := im.sameShape(); err != nil {
		return nil, err
	}
	im.bar.storing.Store(true)
	resp, err := im.up.finish()
	im.bar.end()
	if err != nil {
		return nil, unsure(err, true)
	}
	return resp, nil
}

func (im *deviceImporter) sendAll() error {
	if err := im.up.send(&scsv1.ImportDevicesRequest{Part: &scsv1.ImportDevicesRequest_Header{Header: &im.header}}); err != nil {
		return err
	}
	for _, f := range im.files {
		opts := im.options(f)
		opts.Bad = func(e *batch.RowError) {
			im.tellBad(e)
			if len(im.rejected) < maxTold {
				im.rejected = append(im.rejected, &scsv1.RejectedDevice{Place: fmt.Sprintf("%s:%d", e.File, e.Line), Reason: "BadRow", Message: e.What()})
			}
		}
		err := batch.ReadDevices(f.name, f.r, im.encoding, opts, func(d batch.Device) error { return im.add(f.name, d) })
		if bad := (*batch.RowErrors)(nil); err != nil && !errors.As(err, &bad) {
			return err
		}
		if _, err := f.sha256(); err != nil {
			return err
		}
	}
	return im.pending.flush()
}

func (im *deviceImporter) add(file string, d batch.Device) error {
	im.bar.rows.Add(1)
	return im.pending.add(&scsv1.ImportDevicesRow{
		Place: fmt.Sprintf("%s:%d", file, d.Line), Uuid: d.UUID.String(), Fqdn: d.FQDN, Profile: d.Profile, Batch: d.Batch,
		MebxPassword: string(d.MEBxPassword.Reveal()), AdminPassword: string(d.AdminPassword.Reveal()),
	})
}

// report prints what became of the rows and chooses the exit status.
func (im *deviceImporter) report(ctx context.Context, resp *scsv1.ImportDevicesResponse) error {
	why := map[string]string{}
	for i, r := range resp.GetRejected() {
		why[r.GetPlace()] = r.GetMessage()
		if i < maxTold {
			im.say("%s: %s", r.GetPlace(), r.GetMessage())
		}
	}
	if more := max(0, im.badRows-maxTold) + max(0, len(resp.GetRejected())-maxTold); more > 0 {
		im.say("and %d more", more)
	}
	if n := resp.GetKeptPasswords(); n > 0 {
		im.say("note: %s set up here already: the list's passwords were passed over", plural(n, "device"))
	}
	bad := int64(im.badRows)
	resp.Rows, resp.Bad, resp.Rejected = resp.GetRows()+bad, resp.GetBad()+bad, append(im.rejected, resp.GetRejected()...)
	left := resp.GetBad() + resp.GetConflicts()
	dry := im.header.GetDryRun()
	err := im.app.print(resp, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: %d new, %d changed, %d known, %d conflicting, %d bad\n", plural(resp.GetRows(), "row"),
			resp.GetAdded(), resp.GetChanged(), resp.GetKnown(), resp.GetConflicts(), resp.GetBad())
		switch {
		case dry:
			_, _ = fmt.Fprintln(w, "dry run: nothing was stored")
		case resp.GetStored() && resp.GetAdded()+resp.GetChanged() == 0:
			_, _ = fmt.Fprintln(w, "nothing was changed")
		}
	})
	switch {
	case err != nil:
		return err
	case dry && left == 0:
		return nil
	case dry:
		return failed("", "%s would not be imported", plural(left, "row"))
	case !resp.GetStored():
		return failed("mend the rows, use --replace where the list is right, or import the others with --skip-bad", "%s cannot be imported: nothing was imported", plural(left, "row"))
	}
	if err := im.keepRejects(ctx, left, im.refused(why)); err != nil {
		return err
	}
	if left > 0 {
		return partly("mend what is left out and import the file again", "%s left out", plural(left, "row"))
	}
	return nil
}

// refused picks the rows for the file of rejects that the server refused.
func (im *deviceImporter) refused(why map[string]string) func(*listFile, batch.Options, *rejected) error {
	return func(f *listFile, opts batch.Options, out *rejected) error {
		return batch.ReadDevices(f.name, f.r, im.encoding, opts, func(d batch.Device) error {
			if place := fmt.Sprintf("%s:%d", f.name, d.Line); why[place] != "" {
				out.add(place+": "+why[place], d.Raw.Reveal())
			}
			return nil
		})
	}
}
