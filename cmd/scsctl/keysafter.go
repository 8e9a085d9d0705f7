package main

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

const (
	// afterTime bounds the questions behind an import whose answer is missing.
	afterTime = 10 * time.Second
	// afterTries of them, afterPause apart: a commit may have been under way.
	afterTries = 3
	afterPause = time.Second
)

// after asks the server what became of a list that was sent whole and whose
// answer did not come. err is what came instead.
func (im *importer) after(ctx context.Context, client scsv1.KeyServiceClient, end *scsv1.ImportEnd, err error) error {
	f := explain(err)
	if f.code != exitUnavailable && f.message != "interrupted" {
		return nothing(err)
	}
	if im.header.GetDryRun() {
		f.message += ": a dry run stores nothing"
		return f
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTime)
	defer cancel()
	for try := range afterTries {
		if try > 0 {
			time.Sleep(afterPause)
		}
		b, aerr := im.fetchBatch(ctx, client)
		if aerr != nil {
			return unsure(err, true)
		}
		if n, in := added(b, end); in {
			f.message += "; but the list is in: it brought " + plural(n, "pair") + " into batch " + b.GetName()
			f.hint = "scsctl keys batch show " + b.GetName() + " shows the batch; the same command again would change nothing"
			return f
		}
	}
	f.message += ": nothing was imported, as the server says now"
	return f
}

// fetchBatch gives the batch of the import, nil when there is none.
func (im *importer) fetchBatch(ctx context.Context, client scsv1.KeyServiceClient) (*scsv1.Batch, error) {
	resp, err := client.GetBatch(ctx, &scsv1.GetBatchRequest{Name: im.header.GetBatch()})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return resp.GetBatch(), err
}

// added reports whether the files of end brought pairs into the batch, and how
// many they brought together.
func added(b *scsv1.Batch, end *scsv1.ImportEnd) (int64, bool) {
	var n int64
	for _, f := range end.GetFiles() {
		found := false
		for _, have := range b.GetFiles() {
			if bytes.Equal(have.GetSha256(), f.GetSha256()) {
				found, n = true, have.GetAdded()
			}
		}
		if !found {
			return 0, false
		}
	}
	return n, len(end.GetFiles()) > 0
}

// nothing adds to an error that the import came to nothing.
func nothing(err error) error { return unsure(err, false) }
