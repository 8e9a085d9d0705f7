package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// handOut is a file of exported pairs that is being made.
type handOut struct {
	req *scsv1.ExportBatchRequest
	// take gets each pair with the identity of the export.
	take func(export string, k *scsv1.ExportedKey) error
	// keep makes the file, whole and durable; drop leaves nothing of it.
	keep func() error
	drop func()

	pairs int   // that were received
	short error // to be told behind the answer
}

// run keeps the order that loses nothing: the server stores the intention and
// hands out the pairs, the file is made durable, the server is told. It returns
// the server's last answer.
func (h *handOut) run(ctx context.Context, a *app, client scsv1.KeyServiceClient) (*scsv1.FinishExportResponse, error) {
	id, err := h.receive(ctx, client)
	if err == nil {
		err = h.keep()
	}
	if err != nil {
		h.drop()
		return nil, a.broken(ctx, client, id, err)
	}
	var resp *scsv1.FinishExportResponse
	resp, h.short, err = a.finish(ctx, client, id, h.pairs)
	return resp, err
}

// broken ends an export whose file could not be made, and returns the error to
// tell. Pairs that may lie in a file must not be handed out again: their export
// stays open.
func (a *app) broken(ctx context.Context, client scsv1.KeyServiceClient, id string, err error) error {
	if id == "" || !errors.Is(err, atomicfile.ErrPlaced) {
		a.abandon(ctx, client, id)
		return err
	}
	f := explain(err)
	f.hint = "the export stays open, for its pairs may be in a file: tell the server with: scsctl usb finish " + id +
		"; only if no file has them, now and after a restart: scsctl usb finish --discard " + id
	if half := (*halfWritten)(nil); errors.As(err, &half) && half.replaced {
		f.hint = "the export stays open, for its pairs are in what was written: tell the server with: scsctl usb finish " + id +
			"; then run the same command again for the whole batch"
	}
	return f
}

// receive returns the identity of the export even with an error, as soon as it is
// known.
func (h *handOut) receive(ctx context.Context, client scsv1.KeyServiceClient) (id string, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream when take fails
	defer cancel()
	stream, err := client.ExportBatch(ctx, h.req)
	if err != nil {
		return "", err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return id, nil
		}
		if err != nil {
			return id, err
		}
		id = part.GetExportId()
		for _, k := range part.GetKeys() {
			if err := h.take(id, k); err != nil {
				return id, err
			}
			h.pairs++
		}
	}
}

// exportedPair reads a pair of the server's answer.
func exportedPair(k *scsv1.ExportedKey) (amt.Pair, error) {
	pid, err := amt.ParsePID(k.GetPid())
	if err != nil {
		return amt.Pair{}, fmt.Errorf("the server's answer: %w", err)
	}
	pps, err := amt.ParsePPS(k.GetPps())
	if err != nil {
		return amt.Pair{}, fmt.Errorf("the server's answer for %v: %w", pid, err)
	}
	return amt.Pair{PID: pid, PPS: pps}, nil
}

// checkNew finds out, before a secret leaves the server, whether the file can be
// made.
func checkNew(path string) error {
	if path == "" {
		return usage("--out is empty: the file to write")
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, atomicfile.ErrExists)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || !fi.IsDir() {
		return failed("make the folder, or choose another", "%s: there is no such folder", filepath.Dir(path))
	}
	return nil
}
