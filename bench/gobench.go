package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// ratioUnit is the unit by which a benchmark reports a ratio to its baseline.
const ratioUnit = "ratio"

// packageAims are the aims of the benchmarks that have one, by the beginning of
// their names.
var packageAims = []struct {
	name string
	aim  aim
}{
	{"tlspsk.HandshakeRatio", atMost(0.3)},
}

// packages runs the benchmarks that compare with a baseline by themselves.
func (b *bencher) packages(ctx context.Context) ([]row, error) {
	args := []string{"test", "-run", "^$", "-bench", "Ratio", "-count", "3"}
	if b.quick {
		args = []string{"test", "-run", "^$", "-bench", "Ratio", "-count", "1", "-benchtime", "3x"}
	}
	for _, p := range []string{"keystore", "ca", "tlspsk"} {
		args = append(args, module+"/"+p)
	}
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, out)
	}
	var rows []row
	for _, r := range parseRatios(string(out)) {
		r := row{what: r.name, figure: median(r.values...), unit: "x", note: fmt.Sprintf("%s, median of %d", r.unit, len(r.values))}
		for _, a := range packageAims {
			if strings.HasPrefix(r.what, a.name) {
				r.aim = a.aim
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// ratios are the values of one benchmark, run several times.
type ratios struct {
	name   string // package.Benchmark without "Benchmark"
	unit   string
	values []float64
}

// parseRatios finds the metrics whose unit begins with ratioUnit in the output
// of go test -bench, in its order. A line is
//
//	BenchmarkName-8   123   456 ns/op   0.25 ratio
func parseRatios(out string) []*ratios {
	var list []*ratios
	byName := map[string]*ratios{}
	pkg := ""
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "pkg:" {
			pkg = fields[1][strings.LastIndexByte(fields[1], '/')+1:] + "."
			continue
		}
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil || !strings.HasPrefix(fields[i+1], ratioUnit) {
				continue
			}
			name := pkg + withoutProcs(strings.TrimPrefix(fields[0], "Benchmark"))
			r := byName[name]
			if r == nil {
				r = &ratios{name: name, unit: fields[i+1]}
				byName[name] = r
				list = append(list, r)
			}
			r.values = append(r.values, v)
		}
	}
	return list
}

// withoutProcs cuts "-8" off the end of a benchmark's name.
func withoutProcs(name string) string {
	before, after, ok := cutLast(name, "-")
	if _, err := strconv.Atoi(after); ok && err == nil {
		return before
	}
	return name
}
