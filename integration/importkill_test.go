package integration

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/integration/lab"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// writePairs writes a CSV list of n pairs and returns one PPS of it.
func writePairs(t *testing.T, path string, n int) (pps string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w, random, seen := bufio.NewWriter(f), bufio.NewReader(rand.Reader), map[amt.PID]bool{}
	fmt.Fprintln(w, "pid,pps,current_password,new_password")
	for len(seen) < n {
		p, err := amt.DrawPair(random)
		if err != nil {
			t.Fatal(err)
		}
		if seen[p.PID] {
			continue
		}
		seen[p.PID] = true
		pps = amt.RevealPPS(p.PPS)
		fmt.Fprintf(w, "%s,%s,admin,Secret-0f-a-PC\n", p.PID, pps)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(pps, "-", "")
}

// importing begins scsctl keys import in the background. Its end is of no
// interest: the server is killed under it.
func (w *world) importing(file, batch string) (wait func()) {
	cmd := w.Scsctl(w.t.Context(), "keys", "import", file, "--batch", batch)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return func() { _ = cmd.Wait() }
}

// imported imports a list and says what came of it.
func (w *world) imported(file, batch string) *scsv1.ImportKeysResponse {
	w.t.Helper()
	var resp scsv1.ImportKeysResponse
	w.scsctl(&resp, "keys", "import", file, "--batch", batch)
	return &resp
}

// await waits until seen, at most 30 s.
func (w *world) await(what string, seen func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !seen(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not seen: %s\n%s", what, w.serverLog())
		}
	}
}

// hasSpill reports whether a process has the temporary file of an import open.
func hasSpill(pid int) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.Contains(name, "amtscs-import-") {
			return true
		}
	}
	return false
}

// size of the store's file, which grows in large steps.
func (w *world) size() int64 {
	info, err := os.Stat(w.store())
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Size()
}

// rows counts the rows of a table of the store, which no server has open.
func (w *world) rows(table kv.Table) (n int) {
	w.t.Helper()
	db, err := bolt.Open(w.store(), bolt.Options{ReadOnly: true})
	if err != nil {
		w.t.Fatal(err)
	}
	err = db.View(w.t.Context(), func(r kv.Reader) error {
		return r.Scan(table, kv.Range{}, func(_, _ []byte) error { n++; return nil })
	})
	if err = errors.Join(err, db.Close()); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// noTraces wants nothing of an import to lie in the data directory beside the
// store, and no secret of it in any file.
func (w *world) noTraces(pps string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Path("data"), "*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if strings.Contains(file, "amtscs-import-") {
			w.t.Errorf("%s is left", file)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(b), pps) || strings.Contains(string(b), "Secret-0f-a-PC") {
			w.t.Errorf("%s has a secret in clear", file)
		}
	}
}

// swept runs the server and reports whether it says that it swept an import.
func (w *world) swept() (server *lab.Process, swept bool) {
	w.t.Helper()
	before, err := os.Stat(w.Path("scsd.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	server = w.serve(lab.ServerOptions{})
	log, err := os.ReadFile(w.Path("scsd.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	return server, strings.Contains(string(log[before.Size():]), "what aborted imports left is removed")
}

// TestKillDuringImport kills scsd while a list is read, while it is written, and
// whenever; the store is then as before, or the import complete.
func TestKillDuringImport(t *testing.T) {
	t.Parallel()
	const few, many = 100, 140_000 // the many do not fit into the memory of an import
	w := newWorld(t, 1)
	server := w.serve(lab.ServerOptions{})
	small, large := w.Path("small.csv"), w.Path("large.csv")
	writePairs(t, small, few)
	pps := writePairs(t, large, many)
	if resp := w.imported(small, "small"); resp.GetAdded() != few {
		t.Fatalf("the first list: %v", resp)
	}

	wait := w.importing(large, "large")
	w.await("the temporary file", func() bool { return hasSpill(server.PID()) })
	server.Kill()
	wait()
	w.noTraces(pps)
	if n := w.rows("keys"); n != few {
		t.Errorf("while the list is read: %d pairs are stored, want %d", n, few)
	}

	server = w.serve(lab.ServerOptions{})
	wait = w.importing(large, "large")
	for range 2 { // the second time a transaction has grown it, an earlier one has ended
		size := w.size()
		w.await("growth of the store", func() bool { return w.size() > size })
	}
	server.Kill()
	wait()
	w.noTraces(pps)
	if n := w.rows("keys"); n <= few || n >= few+many || w.rows("key_jobs") != 1 {
		t.Errorf("while it is written: %d pairs are stored, and %d jobs: the kill came too early or too late", n, w.rows("key_jobs"))
	}
	server, swept := w.swept()
	if !swept {
		t.Errorf("the restart does not say that it swept the import\n%s", w.serverLog())
	}
	server.Kill()
	if n := w.rows("keys"); n != few || w.rows("keys_by_batch") != few || w.rows("key_jobs")+w.rows("key_job_chunks") != 0 {
		t.Errorf("after the sweep %d pairs are stored, want %d", n, few)
	}

	server = w.serve(lab.ServerOptions{})
	wait = w.importing(large, "large")
	time.Sleep(time.Duration(mathrand.IntN(3000)) * time.Millisecond)
	server.Kill()
	wait()
	server = w.serve(lab.ServerOptions{})
	resp := w.imported(large, "large")
	if added, known := resp.GetAdded(), resp.GetKnown(); added+known != many || added != 0 && known != 0 {
		t.Errorf("after a kill at some moment: %d pairs are new and %d known, want all of %d on one side", added, known, many)
	}
	if resp := w.imported(large, "other"); resp.GetAdded() != 0 || resp.GetKnown() != many {
		t.Errorf("again: %v", resp)
	}
	if resp := w.imported(small, "small"); resp.GetKnown() != few {
		t.Errorf("the first list again: %v", resp)
	}
	server.Kill()
	if n := w.rows("batches"); n != 2 {
		t.Errorf("%d batches, want 2: an import of known pairs leaves none", n)
	}
	w.noTraces(pps)
}
