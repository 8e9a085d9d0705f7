package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// units are those by which a benchmark reports how it compares with a baseline
// that it runs itself, and what they mean.
var units = map[string]string{
	"ratio": "time beside the baseline's",
	"x-raw": "rate beside the baseline's",
}

// compared are the benchmarks that do so.
var compared = []struct{ pkg, pattern string }{
	{"keystore", "^Benchmark(Import|Generate|Lookup)$"},
	{"ca", "^BenchmarkIssueRatio$"},
	{"tlspsk", "^BenchmarkHandshakeRatio$"},
}

// descriptions say what the benchmarks are, and the aims of those that have one,
// by the beginning of their names; the first that fits counts.
var descriptions = []struct {
	name, what string
	aim        aim
}{
	{"keystore.Import", "20,000 pairs imported, beside the same rows in bare bbolt", aim{}},
	{"keystore.Generate", "20,000 pairs generated, beside the same rows in bare bbolt", aim{}},
	{"keystore.Lookup/Get", "pairs looked up, beside bare bbolt", aim{}},
	{"keystore.Lookup/Secrets", "pairs looked up and unsealed, beside bare bbolt", aim{}},
	{"ca.IssueRatio/single", "certificates, one after the other, beside x509.CreateCertificate", aim{}},
	{"ca.IssueRatio/eight", "certificates, eight at once, beside x509.CreateCertificate", aim{}},
	{"tlspsk.HandshakeRatio/", "TLS-PSK handshake beside crypto/tls with ECDHE, ", atMost(0.3)},
}

// packages runs the benchmarks that compare with a baseline by themselves.
func (b *bencher) packages(ctx context.Context) ([]row, error) {
	var rows []row
	for _, c := range compared {
		args := []string{"test", "-run", "^$", "-bench", c.pattern, "-count", "3", "-benchtime", "1s", module + "/" + c.pkg}
		if b.quick {
			args = []string{"test", "-run", "^$", "-bench", c.pattern, "-benchtime", "1x", module + "/" + c.pkg}
		}
		out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
		if err != nil {
			return rows, fmt.Errorf("go test: %w\n%s", err, out)
		}
		for _, r := range parseRatios(string(out)) {
			rows = append(rows, r.row())
		}
	}
	return rows, nil
}

// row is the table's row of a benchmark.
func (r *ratios) row() row {
	out := row{what: r.name, figure: median(r.values...), unit: "x", note: fmt.Sprintf("%s; median of %d", units[r.unit], len(r.values))}
	for _, d := range descriptions {
		if rest, ok := strings.CutPrefix(r.name, d.name); ok {
			out.what, out.aim = d.what+strings.ReplaceAll(rest, "_", " "), d.aim
			break
		}
	}
	return out
}

// ratios are the values of one benchmark, run several times.
type ratios struct {
	name   string // package.Benchmark without "Benchmark"
	unit   string
	values []float64
}

// parseRatios finds the metrics of units in the output of go test -bench, in its
// order. A line is
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
			if _, ok := units[fields[i+1]]; !ok || err != nil {
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
