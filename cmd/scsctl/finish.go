package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// finish tells the server that the file with so many pairs of an export lies
// safely on disk. short is told once the answer is printed: not all of the pairs
// count as exported.
func (a *app) finish(ctx context.Context, client scsv1.KeyServiceClient, id string, pairs int) (resp *scsv1.FinishExportResponse, short, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err = client.FinishExport(ctx, &scsv1.FinishExportRequest{ExportId: id, Written: true})
	if err != nil {
		f := explain(err)
		switch status.Code(err) {
		case codes.FailedPrecondition, codes.NotFound: // the server's mind is made up
		default:
			f.hint = "the file is good; tell the server with: scsctl usb finish " + id
		}
		return nil, nil, f
	}
	if n := resp.GetExported(); n < int64(pairs) {
		short = partly("destroy the file and make it anew; scsctl keys list --batch NAME tells which pairs are out of use",
			"the file is written, but only %d of its %s count as exported: the others were used or withdrawn while it was made", n, plural(int64(pairs), "pair"))
	}
	return resp, short, nil
}

// abandon tells the server that nothing was kept, even when ctx is done.
func (a *app) abandon(ctx context.Context, client scsv1.KeyServiceClient, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := client.FinishExport(ctx, &scsv1.FinishExportRequest{ExportId: id})
	switch {
	case err == nil:
	case status.Code(err) == codes.FailedPrecondition: // somebody else said that there is a file
		f := explain(err)
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: nothing was written, and yet: %s; %s\n", f.message, f.hint)
	default:
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: tell the server that nothing was written with: scsctl usb finish --discard %s\n", id)
	}
}

// printed prints an answer and then tells what was short of it.
func (a *app) printed(resp *scsv1.FinishExportResponse, short error, table func(io.Writer)) error {
	if err := a.print(resp, table); err != nil {
		return err
	}
	return short
}
