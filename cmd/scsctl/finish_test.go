package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// precondition is a refusal as the server sends it.
func precondition(t *testing.T, message, hint string) error {
	t.Helper()
	st, err := status.New(codes.FailedPrecondition, message).WithDetails(&errdetails.ErrorInfo{Metadata: map[string]string{"hint": hint}})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

// TestHandOutWasDiscarded: the file is not called good when its pairs are free for
// others.
func TestHandOutWasDiscarded(t *testing.T) {
	t.Parallel()
	server := faultyExports{
		parts: []*scsv1.ExportBatchResponse{part(plantedKey)},
		lost:  precondition(t, "the export was discarded by ben", "destroy what was made of them"),
	}
	handedOut(t, server, func(command string, o outcome) {
		if o.err == nil || o.err.code != exitFailed || o.err.message != "the export was discarded by ben" || o.err.hint != "destroy what was made of them" || o.stdout != "" {
			t.Errorf("%s: got %+v, %+v", command, o, o.err)
		}
	})
}

// TestHandOutIsShort: what was made is told, and then that not all of its pairs
// count as exported.
func TestHandOutIsShort(t *testing.T) {
	t.Parallel()
	parts := []*scsv1.ExportBatchResponse{part(plantedKey), part(plantedKey, plantedKey)}
	for exported, want := range map[int64]string{
		2: "the file is written, but only 2 of its 3 pairs count as exported: the others were used or withdrawn while it was made",
		3: "", 4: "",
	} {
		handedOut(t, faultyExports{parts: parts, exported: exported}, func(command string, o outcome) {
			if !strings.Contains(o.stdout, " written to ") || len(o.files) != 1 || o.finished != "7 true" {
				t.Errorf("%s, %d exported: got %+v", command, exported, o)
			}
			switch {
			case want == "" && o.err != nil:
				t.Errorf("%s, %d exported: %v", command, exported, o.err)
			case want != "" && (o.err == nil || o.err.code != exitPartly || o.err.message != want || o.err.hint == ""):
				t.Errorf("%s, %d exported: got %+v", command, exported, o.err)
			}
		})
	}
}

// TestAbandonIsRefused: an export that broke off because somebody called it
// written is not to be discarded, and the reader is not told to.
func TestAbandonIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kept error
		want string
	}{
		{precondition(t, "the export was marked as written by ben", "use --again"), "scsctl: note: nothing was written, and yet: the export was marked as written by ben; use --again\n"},
		{status.Error(codes.Unavailable, "gone"), "scsctl: note: tell the server that nothing was written with: scsctl usb finish --discard 7\n"},
	} {
		server := faultyExports{parts: []*scsv1.ExportBatchResponse{part(plantedKey)}, broken: status.Error(codes.FailedPrecondition, "ended"), kept: c.kept}
		handedOut(t, server, func(command string, o outcome) {
			if o.err == nil || o.err.message != "ended" || o.stderr != c.want || len(o.files) != 0 {
				t.Errorf("%s: got %+v", command, o)
			}
		})
	}
}

// TestUSBWriteIsShort is the same for setup.bin.
func TestUSBWriteIsShort(t *testing.T) {
	t.Parallel()
	for exported, code := range map[int64]int{1: exitPartly, 2: exitDone} {
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: io.Discard, output: "table", timeout: time.Second}
		path := filepath.Join(t.TempDir(), "setup.bin")
		server := &faultyExports{parts: []*scsv1.ExportBatchResponse{part(plantedKey, plantedKey)}, exported: exported}
		err := a.writeSetup(t.Context(), server, &setupFile{out: path, v: setupbin.V2})
		got := exitDone
		if err != nil {
			got = explain(err).code
		}
		if got != code || !strings.HasPrefix(out.String(), "2 records written to ") {
			t.Errorf("%d of 2 exported: got exit status %d, %v, %q", exported, got, err, out.String())
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
