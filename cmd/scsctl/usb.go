package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

func (a *app) usb() *cobra.Command {
	return a.group("usb", "setup.bin files for USB keys", a.usbWrite(), a.usbFinish())
}

// setupFile is a setup.bin to be made.
type setupFile struct {
	batch, out   string
	version      string
	server, fqdn string
	port         uint16
	again        bool
	reason       string

	v    setupbin.Version
	addr netip.Addr
}

func (a *app) usbWrite() *cobra.Command {
	s := &setupFile{}
	c := &cobra.Command{
		Use: "write --batch NAME --out FILE", Short: "Write a batch's pairs to a setup.bin, one record a PC", Args: takes(),
		Long: "Write the available pairs of a batch to a setup.bin, one record a PC, mode 0600. Pairs that were exported\n" +
			"before are left out unless --again is given; when none is left, the batch is refused. The pairs count as\n" +
			"exported once the file is durably written. Whoever holds the file holds the pairs: keep it like a key.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.writeSetup(ctx, scsv1.NewKeyServiceClient(conn), s)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&s.batch, "batch", "", "the batch to write")
	f.StringVar(&s.out, "out", "", "the file, setup.bin on the USB key")
	f.StringVar(&s.version, "file-version", "2", "1, 2, 2.1, 3 or 4: what the oldest of the PCs' firmware reads")
	f.StringVar(&s.server, "server", "", "IPv4 address of the configuration server (from file version 2.1)")
	f.Uint16Var(&s.port, "port", 0, "port of the configuration server (from file version 2.1)")
	f.StringVar(&s.fqdn, "fqdn", "", "name of the configuration server (from file version 2)")
	f.BoolVar(&s.again, "again", false, "write pairs that were exported before, too, and replace the file")
	f.StringVar(&s.reason, "reason", "", "what the file is for, for the audit log")
	return require(c, "batch", "out")
}

// check finds what is wrong before a secret leaves the server.
func (s *setupFile) check() error {
	var err error
	if s.v, err = setupbin.ParseVersion(s.version); err != nil {
		return usage("--file-version %q: want 1, 2, 2.1, 3 or 4", s.version)
	}
	if s.server != "" {
		if s.addr, err = netip.ParseAddr(s.server); err != nil || !s.addr.Is4() {
			return usage("--server %q: want an IPv4 address, or use --fqdn", s.server)
		}
	}
	pair, err := amt.DrawPair(zeros{})
	if err != nil {
		return err
	}
	sample := s.record(pair, amt.NewSecretString(amt.FactoryPassword), amt.NewSecretString("P@ssw0rd"))
	if _, err := sample.Record(s.v); err != nil {
		return &failure{code: exitUsage, message: err.Error(), hint: "choose a later --file-version if the PCs' firmware reads it", cause: err}
	}
	if s.out == "" {
		return usage("--out is empty: the file to write")
	}
	fi, err := os.Lstat(s.out)
	switch {
	case err != nil: // writing tells what else is wrong
		return nil
	case !s.again:
		return fmt.Errorf("%s: %w", s.out, atomicfile.ErrExists)
	case !fi.Mode().IsRegular():
		return failed("name the file itself, as setup.bin in the folder of the mounted USB key", "%s: %w", s.out, atomicfile.ErrKind)
	}
	return nil
}

// zeros draws the sample pair that only tries the file's options out.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (s *setupFile) record(pair amt.Pair, current, next amt.Secret) setupbin.SetupRecord {
	return setupbin.SetupRecord{CurrentPassword: current, NewPassword: next, Pair: pair, FQDN: s.fqdn, Server: s.addr, Port: s.port}
}

// writeSetup keeps the order that loses nothing: the server stores the intention
// and hands out the pairs, the file is made durable, the server is told.
func (a *app) writeSetup(ctx context.Context, client scsv1.KeyServiceClient, s *setupFile) error {
	id, records, err := a.export(ctx, client, s)
	if err == nil {
		err = s.write(records)
	}
	if err != nil {
		a.abandon(ctx, client, id)
		return err
	}
	fctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := client.FinishExport(fctx, &scsv1.FinishExportRequest{ExportId: id, Written: true})
	if err != nil {
		f := explain(err)
		f.hint = "the file is good; tell the server with: scsctl usb finish " + id
		return f
	}
	return a.print(resp, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s written to %s (file version %s)\n", plural(len(records), "record"), printable(s.out), s.v)
		if len(records) > 1000 {
			_, _ = fmt.Fprintln(w, "note: some firmware reads no more than 1,000 records")
		}
	})
}

// export receives the pairs. The identity of the export is returned even with an
// error, as soon as it is known.
func (a *app) export(ctx context.Context, client scsv1.KeyServiceClient, s *setupFile) (id string, records []*setupbin.Record, err error) {
	stream, err := client.ExportBatch(ctx, &scsv1.ExportBatchRequest{Batch: s.batch, Again: s.again, Reason: s.reason})
	if err != nil {
		return "", nil, err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return id, records, nil
		}
		if err != nil {
			return id, nil, err
		}
		id = part.GetExportId()
		for _, k := range part.GetKeys() {
			r, err := s.setupRecord(k)
			if err != nil {
				return id, nil, err
			}
			records = append(records, r)
		}
	}
}

func (s *setupFile) setupRecord(k *scsv1.ExportedKey) (*setupbin.Record, error) {
	pid, err := amt.ParsePID(k.GetPid())
	if err != nil {
		return nil, fmt.Errorf("the server's answer: %w", err)
	}
	pps, err := amt.ParsePPS(k.GetPps())
	if err != nil {
		return nil, fmt.Errorf("the server's answer for %v: %w", pid, err)
	}
	r, err := s.record(amt.Pair{PID: pid, PPS: pps}, amt.NewSecretString(k.GetCurrentPassword()), amt.NewSecretString(k.GetNewPassword())).Record(s.v)
	if err != nil {
		return nil, fmt.Errorf("pair %v: %w", pid, err)
	}
	return r, nil
}

// write makes the file, whole and durable, or not at all.
func (s *setupFile) write(records []*setupbin.Record) error {
	var b bytes.Buffer
	w, err := setupbin.NewWriter(&b, s.v, 0, uint32(len(records)))
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if s.again {
		return atomicfile.Write(s.out, b.Bytes(), 0o600)
	}
	return atomicfile.Create(s.out, b.Bytes(), 0o600)
}

// abandon tells the server that nothing was kept, even when ctx is done.
func (a *app) abandon(ctx context.Context, client scsv1.KeyServiceClient, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := client.FinishExport(ctx, &scsv1.FinishExportRequest{ExportId: id}); err != nil {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: tell the server that nothing was written with: scsctl usb finish --discard %s\n", id)
	}
}

func (a *app) usbFinish() *cobra.Command {
	var discard bool
	c := &cobra.Command{
		Use: "finish EXPORT", Short: "Tell the server how an export ended that usb write could not finish", Args: takes("EXPORT"),
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
	c.Flags().BoolVar(&discard, "discard", false, "no file was kept: the pairs are as before")
	return c
}
