package rpc

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/amtscs/amtscs/access"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// TestImportContradictions: of rows that contradict one another none comes in,
// and each is told with its place.
func TestImportContradictions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	rows := []*scsv1.ImportRow{row(t, "a:1"), row(t, "a:2"), row(t, "a:3"), row(t, "a:4"), row(t, "a:5")}
	rows[2].Pid = rows[0].GetPid()
	rows[3].Pid, rows[3].Pps, rows[3].NewPassword = rows[1].GetPid(), rows[1].GetPps(), "An0ther.one"
	resp, err := w.importRows(c, &scsv1.ImportHeader{Batch: "dell", SkipBad: true}, rows...)
	w.ok(err)
	if !resp.GetStored() || !resp.GetNewBatch() || resp.GetAdded() != 1 || resp.GetConflicts() != 4 || resp.GetContradicting() != 4 || resp.GetKnown() != 0 {
		t.Errorf("got %v", resp)
	}
	got := map[string]string{}
	for _, r := range resp.GetRejected() {
		got[r.GetPlace()] = fmt.Sprint(r.GetReason(), " ", r.GetPid(), " ", r.GetMessage())
	}
	ppss, passwords := "PairTwice "+rows[0].GetPid()+" "+twoPPSs, "PairTwice "+rows[1].GetPid()+" "+twoPasswords
	if len(got) != 4 || got["a:1"] != ppss || got["a:3"] != ppss || got["a:2"] != passwords || got["a:4"] != passwords {
		t.Errorf("got %v", got)
	}
	for _, r := range rows[:2] {
		_, err := c.GetKey(t.Context(), &scsv1.GetKeyRequest{Pid: r.GetPid()})
		refused(t, err, codes.NotFound, "UnknownPID")
	}
	w.hides(rows[0].GetPps(), rows[3].GetNewPassword())
}

// TestImportTellsOfKnown: the report says what known pairs lack, what is free
// though the list has it as used, and where they are.
func TestImportTellsOfKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewKeyServiceClient(w.user("paul", access.Procurement))
	bare, full := row(t, "a:1"), row(t, "a:2")
	current, next := bare.GetCurrentPassword(), bare.GetNewPassword()
	bare.CurrentPassword, bare.NewPassword = "", ""
	_, err := w.importRows(c, &scsv1.ImportHeader{Batch: "dell"}, bare, full)
	w.ok(err)
	bare.CurrentPassword, bare.NewPassword, full.Used = current, next, true
	for _, dry := range []bool{true, false} {
		resp, err := w.importRows(c, &scsv1.ImportHeader{Batch: "hp", DryRun: dry}, bare, full)
		w.ok(err)
		got := fmt.Sprint(resp.GetKnown(), resp.GetBarePids(), resp.GetDifferingPids(), resp.GetUsedAvailable(), resp.GetUsedAvailablePids(), resp.GetKnownBatches(), resp.GetNewBatch())
		if want := fmt.Sprintf("2 [%s] [] 1 [%s] [dell] false", bare.GetPid(), full.GetPid()); got != want {
			t.Errorf("dry run %t: got %s, want %s", dry, got, want)
		}
	}
}

func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	a, b := [8]byte{1}, [8]byte{2}
	for n := range maxPlaces {
		p.add(a, fmt.Sprint(n))
	}
	p.add(b, "more")
	if p.at(a, 0) != "0" || p.at(a, maxPlaces-1) != fmt.Sprint(maxPlaces-1) || p.at(a, maxPlaces) != "" || p.at(b, 0) != "" {
		t.Error("the places are not those of the first rows")
	}
}
