package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

// keysBatch is the batch that is imported.
const keysBatch = "bench"

// keysOptions are the flags of the measurement "keys".
type keysOptions struct {
	pairs   int    // on the list
	rounds  int    // of the list beside bare puts
	profile string // file for a profile of the import's processor time
}

// keys measures an import from CSV into a store that has pairs already, beside
// bare puts of the same rows, unsealed, into a copy of that store; then how
// long others wait meanwhile, and look-ups and lists of the large store beside
// a small one. Each side is a process of its own.
func (b *bencher) keys(ctx context.Context) ([]row, error) {
	pairs, rounds := b.pairs.pairs, b.pairs.rounds
	if b.quick {
		pairs, rounds = min(pairs, 20_000), 1
	}
	dir, err := b.sub("keys")
	if err != nil {
		return nil, err
	}
	k := &keysRun{b: b, dir: dir, pairs: pairs, before: pairs / 5}
	if err := k.prepare(ctx); err != nil {
		return nil, err
	}
	rows, err := k.beside(ctx, rounds)
	if err != nil {
		return rows, err
	}
	var loaded, idle importResult
	for mode, res := range map[string]*importResult{"loaded": &loaded, "idle": &idle} {
		if err := k.role(ctx, res, "keysimport", k.copyOf(mode+".db"), k.path("kek"), k.path("list.csv"), mode); err != nil {
			return rows, err
		}
	}
	rows = append(rows, loaded.rows(idle)...)
	reads, err := k.reads(ctx)
	return append(rows, reads...), err
}

// beside imports and puts in turn.
func (k *keysRun) beside(ctx context.Context, rounds int) ([]row, error) {
	var unsealed, bare, rates, memory []float64
	var last importResult
	for n := range rounds {
		var err error
		if last, err = k.importAlone(ctx, n == 0); err != nil {
			return nil, err
		}
		var put putResult
		if err := k.role(ctx, &put, "keysput", k.path("imported.db"), k.copyOf("bare.db"), strconv.Itoa(last.PerUpdate())); err != nil {
			return nil, err
		}
		unsealed = append(unsealed, (put.Encode+put.Put)/last.Seconds)
		bare = append(bare, put.Put/last.Seconds)
		rates = append(rates, float64(k.pairs)/last.Seconds)
		memory = append(memory, float64(last.memory)/1e6)
		k.b.note("keys: round %d: import %.1f s, %d pairs a transaction, %.0f MB; unsealed: encoding %.1f s, puts %.1f s",
			n+1, last.Seconds, last.PerUpdate(), memory[n], put.Encode, put.Put)
	}
	note := fmt.Sprintf("%.0f pairs/s, %d a transaction; medians of %d", median(rates...), last.PerUpdate(), rounds)
	return []row{
		{what: fmt.Sprintf("%d pairs imported from CSV, rate beside unsealed puts", k.pairs), figure: median(unsealed...), unit: "x", aim: atLeast(0.7), note: note},
		{what: "… beside unsealed puts of rows that are encoded already", figure: median(bare...), unit: "x"},
		{what: "… anonymous memory, highest", figure: median(memory...), unit: "MB", aim: atMost(300), note: "with the reading of the CSV"},
	}, nil
}

// keysRun is the files of one measurement.
type keysRun struct {
	b      *bencher
	dir    string
	pairs  int // on the list
	before int // in the store
}

func (k *keysRun) path(name string) string { return filepath.Join(k.dir, name) }

// prepare makes the key-encryption key, the store as it is before the import,
// a small store, and the list.
func (k *keysRun) prepare(ctx context.Context) error {
	if _, err := seal.CreateFileKEK(k.path("kek")); err != nil {
		return err
	}
	if err := k.fill(ctx, "before.db", "before", k.before); err != nil {
		return err
	}
	if err := k.fill(ctx, "small.db", keysBatch, 1000); err != nil {
		return err
	}
	return writeList(k.path("list.csv"), k.pairs)
}

// fill makes a store with n pairs of a batch.
func (k *keysRun) fill(ctx context.Context, name, batch string, n int) (err error) {
	db, err := bolt.Open(k.path(name), bolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	kek, err := seal.FileKEK(k.path("kek"))
	if err != nil {
		return err
	}
	sealer, err := seal.Init(ctx, db, kek)
	if err != nil {
		return err
	}
	_, err = keystore.New(sealer).Generate(ctx, db, keysImport(batch), n, benchPassword)
	return err
}

func keysImport(batch string) keystore.Import {
	return keystore.Import{
		Batch: keystore.Batch{Name: batch, Model: amt.OEM}, Move: keystore.Move{Who: "bench", Why: "measuring"},
		SkipConflicts: true, // among a million drawn PIDs some are drawn twice
	}
}

func benchPassword() (amt.Secret, error) { return amt.NewSecretString("P@ssw0rd-of-16ch"), nil }

// writeList writes a CSV list of n drawn pairs in the order of the draw.
func writeList(path string, n int) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,pid,pps,current_password,admin_password,used")
	s := keystore.New(nil)
	for at := 0; at < n; {
		recs, err := s.Draw(min(n-at, 10_000), nil)
		if err != nil {
			return err
		}
		for _, r := range recs {
			at++
			fmt.Fprintf(w, "%d,%s,%s,admin,P@ssw0rd-of-16ch,0\n", at, r.Pair.PID, amt.RevealPPS(r.Pair.PPS))
		}
	}
	return w.Flush()
}

// copyOf makes a fresh copy of the store before the import.
func (k *keysRun) copyOf(name string) string {
	to := k.path(name)
	_ = os.Remove(to) // of the last round; copyFile says what is wrong
	if err := copyFile(k.path("before.db"), to); err != nil {
		k.b.note("keys: %v", err) // whoever opens the copy fails
	}
	return to
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // read only
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

// importAlone imports with nothing else going on.
func (k *keysRun) importAlone(ctx context.Context, profile bool) (importResult, error) {
	args := []string{k.copyOf("imported.db"), k.path("kek"), k.path("list.csv"), "alone"}
	if k.b.pairs.profile != "" && profile {
		args = append(args, k.b.pairs.profile)
	}
	var res importResult
	err := k.role(ctx, &res, "keysimport", args...)
	return res, err
}

// watched is a result that wants to know the memory of its process.
type watched interface{ setMemory(bytes int64) }

// role runs one of the other programs and decodes what it prints.
func (k *keysRun) role(ctx context.Context, res any, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, k.b.self, append([]string{name}, args...)...)
	cmd.Stderr = k.b.notes
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w := watchMemory(ctx, cmd.Process.Pid)
	derr := json.NewDecoder(out).Decode(res)
	memory := w.end()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r, ok := res.(watched); ok {
		r.setMemory(memory)
	}
	return derr
}
