package main

import (
	"errors"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/wsman"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 1 2 3 0 -1 4194560 900 0 0 0 123 45 0 0 20 0 9 0 7 8 9"
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"42 (scsd)" + rest, 1680 * time.Millisecond, true},
		{"42 (a) R (b c)" + rest, 1680 * time.Millisecond, true},
		{"", 0, false},
		{"42 scsd S 1 2 3", 0, false},
		{"42 (scsd) S 1 2 3 0 -1 4194560 900 0 0 0 123", 0, false},
		{strings.Replace("42 (scsd)"+rest, "123", "x", 1), 0, false},
		{strings.Replace("42 (scsd)"+rest, " 45 ", " -45 ", 1), 0, false},
	} {
		got, err := parseStat(tt.text)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, errProc) {
			t.Errorf("%q: got %v, %v", tt.text, got, err)
		}
	}
	if d, err := cpuTime(os.Getpid()); err != nil || d < 0 {
		t.Errorf("of this process: %v, %v", d, err)
	}
}

func TestParseRssAnon(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"Name:\tscsd\nVmRSS:\t  9000 kB\nRssAnon:\t    1234 kB\nRssFile:\t 5 kB\n", 1234 << 10, true},
		{"RssAnon: 0 kB", 0, true},
		{"Name:\tscsd\n", 0, false},
		{"RssAnon:\t12\n", 0, false},
		{"RssAnon:\t12 MB\n", 0, false},
		{"RssAnon:\t-1 kB\n", 0, false},
		{"RssAnon:\tx kB\n", 0, false},
	} {
		got, err := parseRssAnon(tt.text)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, errProc) {
			t.Errorf("%q: got %v, %v", tt.text, got, err)
		}
	}
}

func TestWatchMemory(t *testing.T) {
	t.Parallel()
	w := watchMemory(t.Context(), os.Getpid())
	time.Sleep(2 * samplePeriod)
	if peak := w.end(); peak <= 0 {
		t.Errorf("this process has %d bytes", peak)
	}
}

func TestParseRatios(t *testing.T) {
	t.Parallel()
	const out = `goos: linux
pkg: github.com/amtscs/amtscs/keystore
cpu: some processor
BenchmarkImport-2     	       4	      8980 ns/pair	      3816 raw-ns/pair	         0.4249 x-raw
BenchmarkDraw-2       	    1347	    802961 ns/op
BenchmarkImport-2     	       4	      8980 ns/pair	      3816 raw-ns/pair	         0.5 x-raw
PASS
pkg: github.com/amtscs/amtscs/tlspsk
BenchmarkHandshakeRatio/TLS_1.0-16 	 3000	 400000 ns/op	 0.25 ratio	 90 us/handshake
BenchmarkOdd x y
BenchmarkOdd-2 1 z ratio
ok  	github.com/amtscs/amtscs/tlspsk	1.0s
`
	got := parseRatios(out)
	if len(got) != 2 {
		t.Fatalf("%d benchmarks", len(got))
	}
	for i, want := range []ratios{
		{"keystore.Import", "x-raw", []float64{0.4249, 0.5}},
		{"tlspsk.HandshakeRatio/TLS_1.0", "ratio", []float64{0.25}},
	} {
		if g := got[i]; g.name != want.name || g.unit != want.unit || !slices.Equal(g.values, want.values) {
			t.Errorf("got %+v, want %+v", *g, want)
		}
	}
	r := got[1].row()
	if r.what != "TLS-PSK handshake beside crypto/tls with ECDHE, TLS 1.0" || r.figure != 0.25 || r.verdict() != "met" {
		t.Errorf("row %+v", r)
	}
	if r := (&ratios{name: "x.Y", unit: "ratio", values: []float64{2}}).row(); r.what != "x.Y" || r.verdict() != "" {
		t.Errorf("row of one without a description: %+v", r)
	}
	if len(parseRatios("")) != 0 {
		t.Error("something in nothing")
	}
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	m, err := parseMetrics("# HELP a b\n# TYPE a counter\na 3\n\nb{x=\"y z\",w=\"1\"} 4.5e+01\nc NaN\n")
	want := map[string]float64{"a": 3, `b{x="y z",w="1"}`: 45}
	delete(m, "c")
	if err != nil || !maps.Equal(m, want) {
		t.Errorf("got %v, %v", m, err)
	}
	for _, bad := range []string{"a", "a b", "a 1 x"} {
		if m, err := parseMetrics(bad); err == nil {
			t.Errorf("%q: %v", bad, m)
		}
	}
	got := trafficOf(map[string]float64{
		`amtscs_device_traffic_total{what="requests"}`: 1, `amtscs_device_traffic_total{what="challenges"}`: 2,
		`amtscs_device_traffic_total{what="connections"}`: 3, `amtscs_device_traffic_total{what="bytes_received"}`: 4,
		`amtscs_device_traffic_total{what="bytes_sent"}`: 5,
	})
	if got != (wsman.Stats{Requests: 1, Challenges: 2, Connections: 3, BytesIn: 4, BytesOut: 5}) {
		t.Errorf("traffic %+v", got)
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	zero, a, b := wsman.Stats{}, wsman.Stats{Requests: 48, Challenges: 4, BytesIn: 9}, wsman.Stats{Requests: 51, Challenges: 5, BytesIn: 9}
	got := differences([]wsman.Stats{zero, zero, a, a, b, b})
	if want := []wsman.Stats{a, {Requests: 3, Challenges: 1}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := differences([]wsman.Stats{zero}); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestOperationalAt(t *testing.T) {
	t.Parallel()
	at, ok := operationalAt(`time=2026-11-21T04:53:22.066Z level=INFO msg=operational uuid=65 fqdn=x`)
	if !ok || !at.Equal(time.Date(2026, 11, 21, 4, 53, 22, 66e6, time.UTC)) {
		t.Errorf("got %v, %v", at, ok)
	}
	for _, line := range []string{
		"", "time=2026-11-21T04:53:22.066Z level=INFO msg=authenticated uuid=65",
		"time=now level=INFO msg=operational uuid=65", `time=2026-11-21T04:53:22.066Z level=INFO msg="not operational" x=1`,
	} {
		if at, ok := operationalAt(line); ok {
			t.Errorf("%q: %v", line, at)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	r, w := filePair(t)
	tl := &tail{r: r}
	for _, step := range []struct {
		text string
		want []string
	}{
		{"", nil}, {"on", nil}, {"e\ntwo\nth", []string{"one", "two"}}, {"", nil}, {"ree\n", []string{"three"}},
	} {
		if _, err := io.WriteString(w, step.text); err != nil {
			t.Fatal(err)
		}
		got, err := tl.lines()
		if err != nil || !slices.Equal(got, step.want) {
			t.Errorf("behind %q: %q, %v", step.text, got, err)
		}
	}
}

// filePair is a file to be written and to be read.
func filePair(t *testing.T) (r, w *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err = os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func TestReadSim(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sim")
	const log = `a line for people
{"time":"2026-11-21T04:53:20.4Z","device":0,"event":"boot"}
{"time":"2026-11-21T04:53:20.5Z","device":0,"event":"hello"}
{"time":"2026-11-21T04:53:20.6Z","device":0,"event":"call","call":"A.Get"}
{"time":"2026-11-21T04:53:20.7Z","device":0,"event":"call","call":"B.Put"}
{"half":
`
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := readSim(path)
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	first, err := firstHello(events)
	if err != nil || first.Nanosecond() != 5e8 {
		t.Errorf("first hello %v, %v", first, err)
	}
	if got := callsOf(events); !slices.Equal(got, []string{"A.Get", "B.Put"}) {
		t.Errorf("calls %q", got)
	}
	if _, err := firstHello(nil); err == nil {
		t.Error("a hello in nothing")
	}
	if _, err := readSim(path + "x"); err == nil {
		t.Error("a log that is not there")
	}
}

func TestSameCalls(t *testing.T) {
	t.Parallel()
	if err := sameCalls([]string{"a", "b"}, []string{"a", "b"}); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		ours, bare []string
		says       string
	}{
		{[]string{"a", "b"}, []string{"a", "c"}, "call 2 of scsd is b, of the bare program c"},
		{[]string{"a"}, nil, "call 1 of scsd is a, of the bare program nothing"},
		{nil, []string{"a"}, "of scsd is nothing"},
	} {
		if err := sameCalls(tt.ours, tt.bare); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q and %q: %v", tt.ours, tt.bare, err)
		}
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	addrs, uuids := map[netip.Addr]bool{}, map[[16]byte]bool{}
	for i := range 70_000 {
		addr, uuid := clientAddr(i), clientUUID(i)
		if !addr.IsLoopback() || !uuid.Present() || addrs[addr] || uuids[uuid] {
			t.Fatalf("client %d is %v at %v", i, uuid, addr)
		}
		addrs[addr], uuids[uuid] = true, true
	}
}
