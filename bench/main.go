// Command bench measures the product beside baselines in the same run, and
// prints one table: each figure, what it is measured against, and the aim.
//
// What it measures (-run takes the names, separated by commas):
//
//	packages  benchmarks named ...Ratio of keystore, ca and tlspsk
//	setupbin  a setup.bin of 100,000 records, beside MeshCentral's encoder if npm is there
//	keys      an import of a million pairs, what waits for it, look-ups and lists
//	intake    hello messages until they are committed, beside accept-read-close
//	device    requests, logins, connections and bytes of one device's set-up
//	fleet     500 devices at 50 ms and at 500 ms a call, beside a bare program
//
// Machines differ and others work on them, so only ratios are of use, and the
// two sides of a ratio are measured in turn. scsd, amtsim and the bare program
// are processes of their own. Everything is written to temporary folders.
//
// It tests nothing: a figure that misses its aim is not an error, a device that
// does not become Operational is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// roles are the other programs in this one, started as processes of their own.
var roles = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	"bare":       runBare,
	"hellos":     runHellos,
	"setupbin":   runSetupBin,
	"keysimport": runKeysImport,
	"keysput":    runKeysPut,
	"keysread":   runKeysRead,
}

// A bencher is one run.
type bencher struct {
	bin   string // folder of scsd, scsctl and amtsim
	dir   string // temporary
	self  string // this program
	quick bool
	fleet fleetOptions
	pairs keysOptions
	out   io.Writer // the table
	notes io.Writer // progress
}

// measurement is one of those that -run names.
type measurement struct {
	name string
	do   func(*bencher, context.Context) ([]row, error)
}

// measurements in the order in which they run.
var measurements = []measurement{
	{"packages", (*bencher).packages},
	{"setupbin", (*bencher).sticks},
	{"keys", (*bencher).keys},
	{"intake", (*bencher).intake},
	{"device", (*bencher).device},
	{"fleet", (*bencher).fleets},
}

// run returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if role, ok := roles[args[0]]; ok {
			if err := role(ctx, args[1:], stdout); err != nil {
				fmt.Fprintf(stderr, "bench %s: error: %v\n", args[0], err)
				return 1
			}
			return 0
		}
	}
	b := &bencher{out: stdout, notes: stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("run", "", "measure only these: packages, setupbin, keys, intake, device, fleet")
	flags.StringVar(&b.bin, "bin", "", "folder of scsd, scsctl and amtsim (default: built for this run)")
	flags.BoolVar(&b.quick, "quick", false, "small numbers, one round: shows that it works, and nothing else")
	flags.IntVar(&b.fleet.count, "n", 500, "devices of fleet, up to 2000")
	flags.IntVar(&b.fleet.rounds, "rounds", 3, "rounds of fleet, each of scsd and of the bare program")
	flags.StringVar(&b.fleet.latencies, "latency", "50ms,500ms", "times of a call of fleet")
	flags.StringVar(&b.fleet.profiles, "profiles", "", "folder for profiles of scsd's processor time and memory under fleet")
	flags.IntVar(&b.pairs.pairs, "pairs", 1_000_000, "pairs on the list of keys")
	flags.IntVar(&b.pairs.rounds, "keyrounds", 3, "rounds of keys, each of an import and of bare puts")
	flags.StringVar(&b.pairs.profile, "keysprofile", "", "file for a profile of the processor time of the import of keys")
	profile := flags.String("cpuprofile", "", "file for a profile of this program's own processor time (intake)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || b.fleet.count < 1 || b.fleet.count > 2000 || b.fleet.rounds < 1 || b.pairs.pairs < 1000 || b.pairs.rounds < 1 {
		fmt.Fprintln(stderr, "bench: error: want no arguments, -n from 1 to 2000, -rounds from 1, -pairs from 1000, -keyrounds from 1")
		return 2
	}
	if err := profiled(*profile, func() error { return b.all(ctx, *only) }); err != nil {
		fmt.Fprintf(stderr, "bench: error: %v\n", err)
		return 1
	}
	return 0
}

// profiled runs f, under a profile of processor time if path is given.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		return errors.Join(err, w.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, w.Close())
}

// all measures and prints the table; what was measured before an error is
// printed too.
func (b *bencher) all(ctx context.Context, only string) (err error) {
	var names []string
	if only != "" {
		names = strings.Split(only, ",")
	}
	for _, n := range names {
		if !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == n }) {
			return fmt.Errorf("-run %s: there is no such measurement", n)
		}
	}
	if b.dir, err = os.MkdirTemp("", "amtscs-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	var table []row
	defer func() { writeTable(b.out, machine(), table) }()
	for _, m := range measurements {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		began := time.Now()
		b.note("%s", m.name)
		rows, err := m.do(b, ctx)
		table = append(table, rows...)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		b.note("%s took %.0f s", m.name, time.Since(began).Seconds())
	}
	return nil
}

func (b *bencher) note(format string, args ...any) {
	fmt.Fprintf(b.notes, "bench: "+format+"\n", args...)
}

// sub makes a folder in the temporary one.
func (b *bencher) sub(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }

// programs builds scsd, scsctl and amtsim unless they were given.
func (b *bencher) programs(ctx context.Context) error {
	if b.bin != "" {
		return nil
	}
	bin := filepath.Join(b.dir, "bin")
	args := []string{"build", "-trimpath", "-o", bin + string(filepath.Separator)}
	if b.fleet.profiles != "" {
		args = append(args, "-tags", "benchprofile,"+buildTags)
	}
	args = append(args, module+"/cmd/scsd", module+"/cmd/scsctl", module+"/cmd/amtsim")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	b.bin = bin
	return nil
}

const (
	module = "github.com/amtscs/amtscs"
	// buildTags leave out databases of smallstep that are not used; make sets them
	// by GOFLAGS, which -tags replaces.
	buildTags = "nobadger,nomysql,nopgx"
)
