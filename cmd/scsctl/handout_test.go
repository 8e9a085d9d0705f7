package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/sheet"
)

// faultyExports is a server whose connection breaks where a test wants it: the
// scripts of testdata have the real one, which does not.
type faultyExports struct {
	scsv1.KeyServiceClient
	parts     []*scsv1.ExportBatchResponse
	broken    error // behind the parts; nil: the stream ends
	lost      error // of FinishExport with written
	kept      error // of FinishExport without written
	exported  int64 // 0: all pairs of the parts
	finished  []string
	mayFinish func()
}

func (f *faultyExports) ExportBatch(context.Context, *scsv1.ExportBatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[scsv1.ExportBatchResponse], error) {
	return &faultyStream{parts: slices.Clone(f.parts), end: f.broken}, nil
}

type faultyStream struct {
	grpc.ClientStream
	parts []*scsv1.ExportBatchResponse
	end   error
}

func (s *faultyStream) Recv() (*scsv1.ExportBatchResponse, error) {
	if len(s.parts) > 0 {
		p := s.parts[0]
		s.parts = s.parts[1:]
		return p, nil
	}
	if s.end != nil {
		return nil, s.end
	}
	return nil, io.EOF
}

func (f *faultyExports) FinishExport(_ context.Context, r *scsv1.FinishExportRequest, _ ...grpc.CallOption) (*scsv1.FinishExportResponse, error) {
	f.finished = append(f.finished, fmt.Sprintf("%s %t", r.GetExportId(), r.GetWritten()))
	if f.mayFinish != nil {
		f.mayFinish()
	}
	if r.GetWritten() && f.lost != nil {
		return nil, f.lost
	}
	if !r.GetWritten() && f.kept != nil {
		return nil, f.kept
	}
	n := f.exported
	for _, p := range f.parts {
		if f.exported == 0 {
			n += int64(len(p.GetKeys()))
		}
	}
	return &scsv1.FinishExportResponse{Exported: n}, nil
}

func part(keys ...*scsv1.ExportedKey) *scsv1.ExportBatchResponse {
	return &scsv1.ExportBatchResponse{ExportId: "7", Keys: keys}
}

// outcome is what is left of a command: its error, what the server was told, and
// the files in the folder.
type outcome struct {
	err      *failure
	finished string
	files    []string
	stdout   string
	stderr   string
}

// handedOut runs keys sheet and keys export on a server.
func handedOut(t *testing.T, server faultyExports, check func(command string, o outcome)) {
	t.Helper()
	for _, command := range []string{"sheet", "export"} {
		server := server
		var out, stderr bytes.Buffer
		a := &app{stdout: &out, stderr: &stderr, output: "table", timeout: time.Second}
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		server.mayFinish = func() { // the file is there before the server hears of it
			_, err := os.Stat(path)
			if written := strings.HasSuffix(server.finished[len(server.finished)-1], "true"); written != (err == nil) {
				t.Errorf("%s: FinishExport %v, and the file: %v", command, server.finished, err)
			}
		}
		var err error
		if command == "sheet" {
			err = a.printSheet(t.Context(), &server, &scsv1.ExportBatchRequest{Batch: "b"}, path, sheet.A4)
		} else {
			err = a.exportPairs(t.Context(), &server, &pairFile{out: path}, nil)
		}
		o := outcome{finished: strings.Join(server.finished, ", "), stdout: out.String(), stderr: stderr.String()}
		if err != nil {
			o.err = explain(err)
		}
		entries, e := os.ReadDir(dir)
		if e != nil {
			t.Fatal(e)
		}
		for _, entry := range entries {
			o.files = append(o.files, entry.Name())
		}
		check(command, o)
	}
}

func TestHandOut(t *testing.T) {
	t.Parallel()
	handedOut(t, faultyExports{parts: []*scsv1.ExportBatchResponse{part(plantedKey), part()}}, func(command string, o outcome) {
		if o.err != nil || o.finished != "7 true" || len(o.files) != 1 {
			t.Errorf("%s: got %+v", command, o)
		}
	})
}

// TestHandOutBreaksOff: no file is left, and the server hears that.
func TestHandOutBreaksOff(t *testing.T) {
	t.Parallel()
	bad := &scsv1.ExportedKey{Pid: "0000-037M", Pps: strings.Replace(plantedPPS, "NKLD", "NKLE", 1)}
	for name, server := range map[string]faultyExports{
		"the stream breaks":   {parts: []*scsv1.ExportBatchResponse{part(plantedKey)}, broken: status.Error(codes.Unavailable, "connection refused")},
		"a pair is no pair":   {parts: []*scsv1.ExportBatchResponse{part(plantedKey, bad)}},
		"it is interrupted":   {parts: []*scsv1.ExportBatchResponse{part(plantedKey)}, broken: context.Canceled},
		"a pair without PID":  {parts: []*scsv1.ExportBatchResponse{part(&scsv1.ExportedKey{Pps: plantedPPS})}},
		"the server is ended": {parts: []*scsv1.ExportBatchResponse{part()}, broken: errors.New("end")},
	} {
		handedOut(t, server, func(command string, o outcome) {
			if o.err == nil || o.finished != "7 false" || len(o.files) != 0 {
				t.Errorf("%s, %s: got %+v", name, command, o)
			}
			if o.err != nil && strings.Contains(o.err.message+o.stderr, "NKL") {
				t.Errorf("%s, %s: a secret is shown: %v", name, command, o.err)
			}
		})
	}
	handedOut(t, faultyExports{broken: status.Error(codes.PermissionDenied, "no")}, func(command string, o outcome) {
		if o.err == nil || o.err.code != exitRefused || o.finished != "" || len(o.files) != 0 {
			t.Errorf("refused, %s: got %+v", command, o)
		}
	})
}

// TestHandOutIsNotHeard: the file is good, and the way to tell the server is told.
func TestHandOutIsNotHeard(t *testing.T) {
	t.Parallel()
	server := faultyExports{parts: []*scsv1.ExportBatchResponse{part(plantedKey)}, lost: status.Error(codes.Unavailable, "connection refused")}
	handedOut(t, server, func(command string, o outcome) {
		if o.err == nil || o.err.code != exitUnavailable || o.err.hint != "the file is good; tell the server with: scsctl usb finish 7" || len(o.files) != 1 {
			t.Errorf("%s: got %+v", command, o)
		}
	})
}

func TestSheetIsBounded(t *testing.T) {
	t.Parallel()
	many := make([]*scsv1.ExportedKey, sheet.MaxCards+1)
	for i := range many {
		many[i] = plantedKey
	}
	handedOut(t, faultyExports{parts: []*scsv1.ExportBatchResponse{part(many...)}}, func(command string, o outcome) {
		if command == "export" {
			return
		}
		if o.err == nil || !strings.Contains(o.err.message, "more than 2000 pairs") || o.finished != "7 false" || len(o.files) != 0 {
			t.Errorf("got %+v", o)
		}
	})
}
