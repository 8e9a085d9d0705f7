package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// tail reads whole lines of a file that grows.
type tail struct {
	r    io.Reader
	rest []byte // of a line that is not ended yet
}

// lines returns the lines that were ended since the last call.
func (t *tail) lines() ([]string, error) {
	b, err := io.ReadAll(t.r)
	if err != nil {
		return nil, err
	}
	b = append(t.rest, b...)
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		t.rest = b
		return nil, nil
	}
	t.rest = bytes.Clone(b[end+1:])
	return strings.Split(string(b[:end]), "\n"), nil
}

// operationalAt is the time of a line by which scsd tells that a device became
// Operational; false for any other line.
func operationalAt(line string) (time.Time, bool) {
	head, _, ok := strings.Cut(line, " msg=operational ")
	if !ok {
		return time.Time{}, false
	}
	stamp, _, _ := strings.Cut(strings.TrimPrefix(head, "time="), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return at, err == nil
}

// simEvent is a line of amtsim's --json.
type simEvent struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Call  string    `json:"call"`
}

// readSim reads amtsim's log; lines that are no events are passed over.
func readSim(path string) ([]simEvent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []simEvent
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e simEvent
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Event != "" {
			list = append(list, e)
		}
	}
	return list, lines.Err()
}

// firstHello is when the first device had said hello.
func firstHello(events []simEvent) (time.Time, error) {
	for _, e := range events {
		if e.Event == "hello" {
			return e.Time, nil
		}
	}
	return time.Time{}, errors.New("amtsim said no hello")
}

// callsOf lists the calls that a device answered.
func callsOf(events []simEvent) []string {
	var list []string
	for _, e := range events {
		if e.Event == "call" {
			list = append(list, e.Call)
		}
	}
	return list
}

// metrics reads scsd's metrics: the value of each series by its name and labels.
func (s *site) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addrs.Metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", resp.Status)
	}
	return parseMetrics(string(b))
}

// parseMetrics reads the text format of Prometheus, without time stamps.
func parseMetrics(text string) (map[string]float64, error) {
	m := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := cutLast(line, " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("metrics: a line that is none: %q", line)
		}
		m[name] = v
	}
	return m, nil
}
