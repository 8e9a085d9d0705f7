package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func TestWord(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"CommitSent":  word(scsv1.WorkflowState_WORKFLOW_STATE_COMMIT_SENT),
		"USBKey":      word(scsv1.SetupModel_SETUP_MODEL_USB_KEY),
		"OEM":         word(scsv1.SetupModel_SETUP_MODEL_OEM),
		"":            word(scsv1.KeyState_KEY_STATE_UNSPECIFIED),
		"unknown (9)": word(scsv1.Role(9)),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEnumFlag(t *testing.T) {
	t.Parallel()
	var state scsv1.WorkflowState
	f := &enumFlag[scsv1.WorkflowState]{&state, "state"}
	for _, text := range []string{"operational", "Operational", "OPERATIONAL"} {
		if err := f.Set(text); err != nil || state != scsv1.WorkflowState_WORKFLOW_STATE_OPERATIONAL || f.String() != "operational" {
			t.Errorf("%s: got %v, %v", text, state, err)
		}
	}
	if err := f.Set("commit-sent"); err != nil || state != scsv1.WorkflowState_WORKFLOW_STATE_COMMIT_SENT {
		t.Errorf("got %v, %v", state, err)
	}
	for _, text := range []string{"", "unspecified", "5", "operationa"} {
		if err := f.Set(text); err == nil {
			t.Errorf("%q became %v", text, state)
		}
	}
}

func TestJSONIsStable(t *testing.T) {
	t.Parallel()
	m := &scsv1.ListKeysResponse{Keys: []*scsv1.Key{{Pid: "0000-037M", CreateTime: timestamppb.New(timestamppb.Now().AsTime())}}}
	first, err := encode(m, "  ")
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Keys []struct {
			PID      string
			Exported *bool
		}
	}
	if err := json.Unmarshal(first, &parsed); err != nil || parsed.Keys[0].PID != "0000-037M" || parsed.Keys[0].Exported == nil {
		t.Errorf("got %s, %v", first, err)
	}
	again, err := encode(m, "  ")
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("got %s and %s", first, again)
	}
	line, err := encode(m, "")
	if err != nil || bytes.Count(line, []byte("\n")) != 1 {
		t.Errorf("got %s, %v", line, err)
	}
}

func TestColumnsShowNothingThatMovesTheCursor(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	columns(&b, []string{"A", "B"}, [][]string{{"x\x1b[2J\n", ""}, {"longer than that", "y"}})
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 || strings.ContainsAny(b.String(), "\x1b\r") || !strings.HasSuffix(lines[1], "-") || lines[0] != "A                 B" {
		t.Errorf("got %q", lines)
	}
	b.Reset()
	fields(&b, "one", "1\n2", "three", "", "a", "b")
	if b.String() != "one:    1 2\na:      b\n" {
		t.Errorf("got %q", b.String())
	}
}

// pages serves n numbers, k at a time.
func pages(n, k int) func(size int32, token string) ([]int, string, error) {
	next := 0
	return func(size int32, _ string) ([]int, string, error) {
		var rows []int
		for len(rows) < min(k, int(size)) && next < n {
			rows = append(rows, next)
			next++
		}
		if next == n {
			return rows, "", nil
		}
		return rows, "more", nil
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit, want int
		note        bool
	}{{0, 25, false}, {25, 25, false}, {10, 10, true}, {100, 25, false}} {
		var errs bytes.Buffer
		a := &app{stderr: &errs}
		got, err := collect(a, c.limit, pages(25, 3))
		if err != nil || len(got) != c.want || (errs.Len() > 0) != c.note {
			t.Errorf("limit %d: got %d, %v, %s", c.limit, len(got), err, errs.String())
		}
	}
	a := &app{}
	if _, err := collect(a, -1, pages(1, 1)); err == nil {
		t.Error("a limit of -1 is taken")
	}
	planted := errors.New("planted")
	_, err := collect(a, 0, func(int32, string) ([]int, string, error) { return nil, "", planted })
	if !errors.Is(err, planted) {
		t.Errorf("got %v", err)
	}
}

func TestBatchName(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"-": "import", "/a/b/list.csv": "list", "setup.bin": "setup", "plain": "plain"} {
		if got := batchName(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
