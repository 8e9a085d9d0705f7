package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/integration/lab"
	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// listOf draws n pairs as a CSV file.
func listOf(t *testing.T, n int) []byte {
	t.Helper()
	draw := rand.NewChaCha8([32]byte{7})
	file := []byte(batch.Header)
	for range n {
		pair, err := amt.DrawPair(draw)
		if err != nil {
			t.Fatal(err)
		}
		file = batch.Row{Pair: pair, CurrentPassword: amt.NewSecretString("F@ctory-1")}.AppendCSV(file)
	}
	return file
}

// feeding runs scsctl keys import - with a list whose end does not come.
func (w *world) feeding(list []byte) (cmd *exec.Cmd, pipe io.WriteCloser, said *bytes.Buffer) {
	w.t.Helper()
	cmd = w.Scsctl(context.WithoutCancel(w.t.Context()), "keys", "import", "-", "--batch", "cut")
	said = &bytes.Buffer{}
	cmd.Stderr = said
	pipe, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if _, err := pipe.Write(list); err != nil {
		w.t.Fatal(err)
	}
	return cmd, pipe, said
}

// nothingCameIn wants neither pair nor batch.
func (w *world) nothingCameIn(how string) {
	w.t.Helper()
	var keys scsv1.ListKeysResponse
	w.scsctl(&keys, "keys", "list", "--limit", "10")
	var batches scsv1.ListBatchesResponse
	w.scsctl(&batches, "keys", "batch", "list")
	if len(keys.GetKeys()) != 0 || len(batches.GetBatches()) != 0 {
		w.t.Errorf("%s: %d pairs, batches %v", how, len(keys.GetKeys()), batches.GetBatches())
	}
}

// TestImportIsCutShort ends an import in the middle, when the server has most of
// it, by a signal, by force, and by a crash of the server.
func TestImportIsCutShort(t *testing.T) {
	t.Parallel()
	const rows = 60_000
	w := newWorld(t, 1)
	server := w.serve(lab.ServerOptions{})
	list := listOf(t, rows)
	for how, cut := range map[string]func(cmd *exec.Cmd){
		"interrupted": func(cmd *exec.Cmd) { _ = cmd.Process.Signal(os.Interrupt) },
		"killed":      func(cmd *exec.Cmd) { _ = cmd.Process.Kill() },
		"the server was killed": func(*exec.Cmd) {
			server.Kill()
		},
	} {
		cmd, pipe, said := w.feeding(list)
		time.Sleep(time.Second) // the server takes what was sent
		cut(cmd)
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the command ended well", how)
		}
		_ = pipe.Close()
		if how != "killed" && !strings.Contains(said.String(), "nothing was imported") {
			t.Errorf("%s: it said %s", how, said)
		}
		if how == "the server was killed" {
			server = w.serve(lab.ServerOptions{})
		}
		w.nothingCameIn(how)
	}
	file := w.Path("list.csv")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	for round, want := range []string{fmt.Sprint(rows, " new, 0 known"), fmt.Sprint("0 new, ", rows, " known")} {
		out, err := w.Run(context.WithoutCancel(t.Context()), "keys", "import", file, "--batch", "cut")
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("round %d: %v\n%s", round, err, out)
		}
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}
