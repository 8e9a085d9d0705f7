package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/sheet"
)

func (a *app) keysSheet() *cobra.Command {
	req := &scsv1.ExportBatchRequest{Medium: scsv1.ExportMedium_EXPORT_MEDIUM_SHEET}
	var out, paper string
	c := &cobra.Command{
		Use: "sheet --batch NAME --out FILE --reason TEXT", Short: "Print a batch's pairs: a PDF with one card a PC (audited)", Args: takes(),
		Long: "Write the available pairs of a batch to a PDF with one card a PC, mode 0600, for people who type them into\n" +
			"MEBx. Pairs that were exported before are left out unless --again is given. The pairs count as exported\n" +
			"once the file is durably written. Whoever holds the sheet holds the pairs: keep it like a key.",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := sheet.ParsePaper(paper)
			if err != nil {
				return usage("--paper: %v", err)
			}
			if err := checkNew(out); err != nil {
				return err
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.printSheet(ctx, scsv1.NewKeyServiceClient(conn), req, out, p)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&req.Batch, "batch", "", "the batch to print")
	f.StringVar(&out, "out", "", "the PDF; it must not be there yet")
	f.StringVar(&paper, "paper", "a4", "a4 or letter")
	f.BoolVar(&req.Again, "again", false, "print pairs that were exported before, too")
	f.StringVar(&req.Reason, "reason", "", "what the sheet is for, for the audit log")
	return require(c, "batch", "out", "reason")
}

func (a *app) printSheet(ctx context.Context, client scsv1.KeyServiceClient, req *scsv1.ExportBatchRequest, out string, paper sheet.Paper) error {
	file, err := atomicfile.Begin(out) // what keeps it from being written is known before a secret leaves the server
	if err != nil {
		return err
	}
	s := &sheet.Sheet{Batch: req.GetBatch(), Printed: time.Now(), Paper: paper}
	h := &handOut{
		req: req,
		take: func(export string, k *scsv1.ExportedKey) error {
			s.Mark = "export " + export
			return addCard(s, k)
		},
		keep: func() error {
			if err := s.Write(file); err != nil {
				return err
			}
			return file.Place()
		},
		drop: file.Discard,
	}
	resp, err := h.run(ctx, a, client)
	if err != nil {
		return err
	}
	return a.printed(resp, h.short, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s written to %s (%s, %s)\n", plural(len(s.Cards), "card"), printable(out), s.Mark, paper)
	})
}

func addCard(s *sheet.Sheet, k *scsv1.ExportedKey) error {
	if len(s.Cards) == sheet.MaxCards {
		return failed("print smaller batches", "batch %s has more than %d pairs, the most of a sheet", s.Batch, sheet.MaxCards)
	}
	pair, err := exportedPair(k)
	if err != nil {
		return err
	}
	s.Cards = append(s.Cards, sheet.Card{
		Pair: pair, CurrentPassword: amt.NewSecretString(k.GetCurrentPassword()), NewPassword: amt.NewSecretString(k.GetNewPassword()),
	})
	return nil
}
