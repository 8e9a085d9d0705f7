package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A row of the table is one figure.
type row struct {
	what   string
	figure float64
	unit   string // "x" for a ratio
	aim    aim
	note   string // what it is made of
}

// An aim says how a figure should compare; the zero aim asks nothing.
type aim struct {
	op    string // "<=" or ">="
	bound float64
}

func atMost(v float64) aim  { return aim{"<=", v} }
func atLeast(v float64) aim { return aim{">=", v} }

func (a aim) String() string {
	if a.op == "" {
		return ""
	}
	return a.op + " " + number(a.bound)
}

// met reports whether v is as it should be.
func (a aim) met(v float64) bool {
	switch a.op {
	case "<=":
		return v <= a.bound
	case ">=":
		return v >= a.bound
	}
	return true
}

// verdict is what the table says beside the aim.
func (r row) verdict() string {
	switch {
	case r.aim.op == "":
		return ""
	case r.aim.met(r.figure):
		return "met"
	}
	return "missed"
}

// number writes three figures at least.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e15:
		return fmt.Sprintf("%d", int64(v))
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func writeTable(w io.Writer, machine string, rows []row) {
	fmt.Fprintf(w, "\n%s\n\n", machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\t\t\taim\t\tfrom")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, number(r.figure), r.unit, r.aim, r.verdict(), r.note)
	}
	_ = t.Flush()
}

// machine is one line about what the figures come from.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := cpuName(string(b)); name != "" {
			cpu = name
		}
	}
	return fmt.Sprintf("%s, %s %s/%s, %d x %s", time.Now().UTC().Format("2006-01-02"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
}

// cpuName is the first "model name" of /proc/cpuinfo, "" if there is none.
func cpuName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// median is the middle value, the mean of the two middle ones of an even number;
// 0 of none.
func median(values ...float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
