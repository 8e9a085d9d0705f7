package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/integration/lab"
)

// TestConflictsOfALongList has a conflict behind the rows whose places the server
// remembers: it is told with its line all the same, to people and programs.
func TestConflictsOfALongList(t *testing.T) {
	t.Parallel()
	const rows = 200_100
	w := newWorld(t, 1)
	server := w.serve(lab.ServerOptions{})
	list := listOf(t, rows)
	lines := bytes.SplitAfter(list, []byte("\n"))
	last, other := bytes.Split(lines[rows], []byte(",")), bytes.Split(lines[1], []byte(","))
	conflict := append(append(append([]byte(nil), last[0]...), ','), other[1]...)
	known, long := w.Path("known.csv"), w.Path("long.csv")
	for path, b := range map[string][]byte{known: append(conflict, '\n'), long: list} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.WithoutCancel(t.Context())
	if out, err := w.Run(ctx, "keys", "import", known); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := w.Scsctl(ctx, "keys", "import", long, "-o", "json")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err == nil || !strings.Contains(said.String(), "long.csv:200101: ") {
		t.Errorf("%v, it said\n%s", err, said.String())
	}
	var answer struct {
		Rejected []struct{ Place, Reason string }
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || len(answer.Rejected) != 1 || answer.Rejected[0].Place != "long.csv:200101" {
		t.Errorf("got %s, %v", out.String(), err)
	}
	cmd = w.Scsctl(ctx, "keys", "import", "-", "--batch", "x")
	said.Reset()
	cmd.Stdin, cmd.Stderr = bytes.NewReader(list), &said
	if err := cmd.Run(); err == nil || !strings.Contains(said.String(), "its line is not known, as standard input can be read only once") {
		t.Errorf("%v, it said\n%s", err, said.String())
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}
