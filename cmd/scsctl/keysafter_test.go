package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

const onePair = "0000-037M,NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ\n"

// TestAfter asks a server that has the list, one that has not, and one that is
// gone, what became of an import whose answer was lost.
func TestAfter(t *testing.T) {
	t.Parallel()
	gone := false
	a, _ := interposed(t, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if gone {
			return status.Error(codes.Unavailable, "connection refused")
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	})
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte(onePair), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.scsctl(t, "keys", "import", list, "--batch", "dell", "--context", a.contextPath); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(onePair))
	other := sha256.Sum256([]byte("another"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		batch string
		sum   [32]byte
		dry   bool
		gone  bool
		err   error
		want  string
	}{
		{"dell", sum, false, false, context.Canceled, "interrupted; but the list is in: it brought 1 pair into batch dell"},
		{"dell", sum, false, false, status.Error(codes.Unavailable, "EOF"), "but the list is in"},
		{"dell", other, false, false, context.Canceled, "interrupted: nothing was imported, as the server says now"},
		{"none", sum, false, false, status.Error(codes.Canceled, "x"), "interrupted: nothing was imported, as the server says now"},
		{"dell", sum, true, false, context.Canceled, "interrupted: a dry run stores nothing"},
		{"dell", sum, false, true, context.Canceled, "interrupted; whether the list is in is not known"},
		{"dell", sum, false, false, errors.New("the disk is full"), "the disk is full: nothing was imported"},
	} {
		im := &importer{}
		im.header.Batch, im.header.DryRun, gone = tt.batch, tt.dry, tt.gone
		end := &scsv1.ImportEnd{Files: []*scsv1.ImportFile{{Name: "list.csv", Sha256: tt.sum[:]}}}
		if err := im.after(ctx, scsv1.NewKeyServiceClient(a.conn), end, tt.err); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %v: got %v, want %s", tt.batch, tt.err, err, tt.want)
		}
	}
}

// TestGive gives places that the server does not know to the right rows.
func TestGive(t *testing.T) {
	t.Parallel()
	row := func(place, pid string) *scsv1.RejectedRow {
		return &scsv1.RejectedRow{Place: place, Pid: pid, Message: "no"}
	}
	rows := []*scsv1.RejectedRow{row("a:1", "P"), row("", "P"), row("", "Q"), row("a:3", "R"), row("", "P"), row("", "S")}
	at := map[string][]string{"P": {"a:1", "a:7", "b:2"}, "Q": {"b:9"}}
	give(rows, at, "standard input")
	var got []string
	for _, r := range rows {
		got = append(got, r.GetPlace())
	}
	if s := fmt.Sprint(got); s != "[a:1 a:7 b:9 a:3 b:2 ]" {
		t.Errorf("got %s", s)
	}
	if m := rows[5].GetMessage(); m != "no; its line is not known, as standard input can be read only once" {
		t.Errorf("got %q", m)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	var k kinds
	told := 0
	for n := range 45 {
		if k.note(fmt.Sprintf("pps: PPS: group %d: the check character does not match", n)) {
			told++
		}
	}
	k.note("pid: it is missing")
	for n := range 300 {
		k.note(strings.Repeat("x", n+1))
	}
	var said []string
	k.end(func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if told != maxAlike || said[0] != "and 25 more like this: pps: PPS: group 0: the check character does not match" {
		t.Errorf("%d told; then %q", told, said[0])
	}
	if len(k.list) != maxKinds || len(said) != 2+maxKinds || said[3] != "45 bad rows: pps: PPS: group 0: the check character does not match" {
		t.Errorf("%d kinds, said %q", len(k.list), said[:4])
	}
	few := kinds{}
	few.note("one")
	few.end(func(string, ...any) { t.Error("a summary of one row") })
}

// TestFindPlaces reads files again for places that the server does not remember;
// standard input, which is gone, is told to be unknown.
func TestFindPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv")
	for path, text := range map[string]string{a: "pid,pps\nbad,row\n" + onePair, b: "# of May\n" + onePair} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		paths []string
		want  string
	}{
		{[]string{a, b}, "a.csv:3 b.csv:2 "},
		{[]string{b}, "b.csv:2  "},
		{[]string{"-"}, "  "},
		{[]string{"-", a}, "a.csv:3  "},
	} {
		im := &importer{lists: lists{app: &app{stdin: strings.NewReader(onePair), stderr: io.Discard}}}
		if err := im.open(t.Context(), tt.paths); err != nil {
			t.Fatal(err)
		}
		for _, f := range im.files {
			if _, err := f.sha256(); err != nil {
				t.Fatal(err)
			}
		}
		resp := &scsv1.ImportKeysResponse{}
		for range 3 {
			resp.Rejected = append(resp.Rejected, &scsv1.RejectedRow{Pid: "0000-037M", Message: "no"})
		}
		im.findPlaces(t.Context(), resp)
		im.closeAll()
		r := resp.GetRejected()
		if got := r[0].GetPlace() + " " + r[1].GetPlace() + " " + r[2].GetPlace(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.paths, got, tt.want)
		}
		if m := r[2].GetMessage(); strings.Contains(m, "standard input can be read only once") != (tt.paths[0] == "-") || !strings.Contains(m, "its line is not known") {
			t.Errorf("%v: got %q", tt.paths, m)
		}
	}
}
