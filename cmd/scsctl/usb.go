package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

func (a *app) usb() *cobra.Command {
	return a.group("usb", "setup.bin files for USB keys", a.usbWrite(), a.usbFinish(), a.usbShow(), a.usbLint(), a.usbConsume(), a.usbWipe(), a.usbImage(), a.usbReconcile())
}

// writeSetup keeps the order that loses nothing: the server stores the intention
// and hands out the pairs, the file is made durable, the server is told.
func (a *app) writeSetup(ctx context.Context, client scsv1.KeyServiceClient, s *setupFile) error {
	if err := s.tryOut(); err != nil {
		return err
	}
	var keys []*scsv1.ExportedKey
	var files []keyFile
	h := &handOut{
		req: &scsv1.ExportBatchRequest{
			Batch: s.batch, Again: s.again, Reason: s.reason, Medium: scsv1.ExportMedium_EXPORT_MEDIUM_USB_KEY,
		},
		take: func(_ string, k *scsv1.ExportedKey) error {
			keys = append(keys, k)
			return nil
		},
		keep: func() (err error) {
			if files, err = s.files(keys); err != nil {
				return err
			}
			a.warnMany(files)
			return s.write(files)
		},
		drop: func() {}, // write leaves nothing, or says what stays
	}
	resp, err := h.run(ctx, a, client)
	if err != nil {
		return err
	}
	return a.printed(resp, h.short, func(w io.Writer) {
		for _, f := range files {
			_, _ = fmt.Fprintf(w, "%s written to %s (file version %s)\n", plural(f.records, "record"), printable(f.name), s.v)
		}
	})
}

// warnMany tells of files that PCs read slowly.
func (a *app) warnMany(files []keyFile) {
	if f := files[0]; f.records > setupbin.ManyRecords {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: warning: %s holds %d records: PCs read slowly beyond 1,000, some no further; several keys are made with --count 1000\n",
			printable(f.name), f.records)
	}
}

func (s *setupFile) setupRecord(k *scsv1.ExportedKey) (*setupbin.Record, error) {
	pair, err := exportedPair(k)
	if err != nil {
		return nil, err
	}
	r, err := s.record(pair, amt.NewSecretString(k.GetCurrentPassword()), amt.NewSecretString(k.GetNewPassword())).Record(s.v)
	if err != nil && k.GetNewPassword() == "" {
		return nil, failed("a set-up record sets a new MEBx password, and this pair has none: generate pairs for USB keys, or import them with one",
			"pair %v: %w", pair.PID, err)
	}
	if err != nil {
		return nil, fmt.Errorf("pair %v: %w", pair.PID, err)
	}
	if s.scramble {
		r.Flags |= setupbin.FlagScrambled
	}
	return r, nil
}

func (a *app) usbFinish() *cobra.Command {
	var discard bool
	c := &cobra.Command{
		Use: "finish EXPORT", Short: "Tell the server how an export ended that usb write could not finish", Args: takes("EXPORT"),
		Long: "Tell the server how an export ended that usb write, keys export or keys sheet could not finish: the file is good\n" +
			"and its pairs count as exported, or with --discard there is none and the pairs are as before.\n\n" +
			"Before --discard, look for the file, and beside it for hidden ones: a program that was killed while it wrote\n" +
			"FILE may have left pairs in " + atomicfile.Leftovers("FILE") + ". Remove them; the same command would, too, on its next run.",
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).FinishExport(ctx, &scsv1.FinishExportRequest{ExportId: args[0], Written: !discard})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "%s marked as exported\n", plural(resp.GetExported(), "pair"))
				})
			})
		},
	}
	c.Flags().BoolVar(&discard, "discard", false, "no file was kept, no hidden one either: the pairs are as before")
	return c
}
