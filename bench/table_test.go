package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	writeTable(&b, "a machine", []row{
		{what: "first", figure: 0.5, unit: "x", aim: atLeast(0.5), note: "here"},
		{what: "second", figure: 17.25, unit: "ms", aim: atMost(15)},
		{what: "third", figure: 1234.5, unit: "kB"},
	})
	want := "\na machine\n\n" +
		"figure                aim              from\n" +
		"first   0.50  x   >= 0.50  met     here\n" +
		"second  17.2  ms  <= 15    missed  \n" +
		"third   1234  kB                   \n"
	if squeeze(b.String()) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// squeeze makes one blank of many.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3},
	} {
		given := append([]float64(nil), tt.values...)
		if got := median(tt.values...); got != tt.want {
			t.Errorf("%v: %v, want %v", given, got, tt.want)
		}
	}
}

func TestAim(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		aim    aim
		figure float64
		want   string
	}{
		{atMost(60), 60, "met"}, {atMost(60), 61, "missed"}, {atLeast(0.5), 0.5, "met"}, {atLeast(0.5), 0.49, "missed"}, {aim{}, 1e9, ""},
	} {
		if got := (row{figure: tt.figure, aim: tt.aim}).verdict(); got != tt.want {
			t.Errorf("%v with %v: %q", tt.figure, tt.aim, got)
		}
	}
}

func TestCPUName(t *testing.T) {
	t.Parallel()
	if got := cpuName("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n"); got != "Some CPU @ 2 GHz" {
		t.Errorf("got %q", got)
	}
	if got := cpuName("nothing"); got != "" {
		t.Errorf("got %q", got)
	}
	if m := machine(); !strings.Contains(m, "go1.") {
		t.Errorf("machine %q", m)
	}
}
