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
	"strings"
	"time"

	"github.com/amtscs/amtscs/integration/lab"
	"github.com/amtscs/amtscs/wsman"
)

// fleetOptions are flags.
type fleetOptions struct {
	count     int    // devices
	rounds    int    // each of scsd and of the bare program
	latencies string // of a call, separated by commas
	profiles  string // folder, empty for none
}

// load is what setting up a fleet took.
type load struct {
	wall    time.Duration // from the first hello to the last device Operational
	cpu     time.Duration // of the program, for the whole fleet
	memory  int64         // highest anonymous memory of the program, in bytes
	traffic wsman.Stats
}

// fleets measures scsd beside the bare program, in turn, at each latency.
func (b *bencher) fleets(ctx context.Context) ([]row, error) {
	o := b.fleet
	if b.quick {
		o.count, o.rounds, o.latencies = min(o.count, 20), 1, "50ms"
	}
	if err := b.programs(ctx); err != nil {
		return nil, err
	}
	keys := filepath.Join(b.dir, "device-keys")
	b.note("fleet: making %d device keys", o.count)
	if out, err := exec.CommandContext(ctx, filepath.Join(b.bin, "amtsim"), "keys", "-n", strconv.Itoa(o.count), "--out", keys).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("amtsim keys: %w\n%s", err, out)
	}
	var rows []row
	for _, text := range strings.Split(o.latencies, ",") {
		latency, err := time.ParseDuration(text)
		if err != nil || latency < 0 {
			return rows, fmt.Errorf("-latency %q: want times such as 50ms", text)
		}
		f := &fleet{b: b, count: o.count, latency: latency, keys: keys, profiles: o.profiles}
		more, err := f.measure(ctx, o.rounds)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// fleet is one size and latency.
type fleet struct {
	b        *bencher
	count    int
	latency  time.Duration
	keys     string // file of device keys
	profiles string
}

func (f *fleet) measure(ctx context.Context, rounds int) ([]row, error) {
	var walls, bareWalls, cpus, bareCPUs, memories []float64
	for n := range rounds {
		s, ours, err := f.scsd(ctx)
		if err != nil {
			return nil, fmt.Errorf("scsd at %v: %w", f.latency, err)
		}
		theirs, err := f.bare(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("bare program at %v: %w", f.latency, err)
		}
		if a, b := ours.traffic.Requests, theirs.traffic.Requests; a != b {
			f.b.note("fleet: scsd sent %d requests and the bare program %d", a, b)
		}
		perDevice := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(f.count) }
		f.b.note("fleet: %v, round %d: scsd %.2f s, %.1f ms CPU a device, %.0f MB; bare %.2f s, %.1f ms", f.latency, n+1,
			ours.wall.Seconds(), perDevice(ours.cpu), float64(ours.memory)/1e6, theirs.wall.Seconds(), perDevice(theirs.cpu))
		walls, bareWalls = append(walls, ours.wall.Seconds()), append(bareWalls, theirs.wall.Seconds())
		cpus, bareCPUs = append(cpus, perDevice(ours.cpu)), append(bareCPUs, perDevice(theirs.cpu))
		memories = append(memories, float64(ours.memory)/1e6)
	}
	name := fmt.Sprintf("%d devices, %v a call: ", f.count, f.latency)
	bound := 1.5
	if f.latency >= 500*time.Millisecond {
		bound = 1.05
	}
	rows := []row{
		{
			what: name + "wall time beside the bare program", figure: median(walls...) / median(bareWalls...), unit: "x", aim: atMost(bound),
			note: fmt.Sprintf("%s s, bare %s s, medians of %d", number(median(walls...)), number(median(bareWalls...)), rounds),
		},
		{
			what: name + "scsd's processor time for one", figure: median(cpus...), unit: "ms", aim: atMost(15),
			note: fmt.Sprintf("bare %s ms", number(median(bareCPUs...))),
		},
		{what: name + "scsd's anonymous memory", figure: median(memories...), unit: "MB", aim: atMost(150), note: "highest RssAnon"},
	}
	return rows, nil
}

// simArgs are amtsim's flags beside address, port and server.
func (f *fleet) simArgs(usb string) []string {
	return []string{"--usb", usb, "-n", strconv.Itoa(f.count), "--amt", "9.0", "--keys", f.keys, "--latency", f.latency.String(), "--json"}
}

// scsd sets a fleet up by scsd.
func (f *fleet) scsd(ctx context.Context) (s *site, l load, err error) {
	o := lab.ServerOptions{}
	if f.profiles != "" {
		o.Env = []string{"AMTSCS_BENCH_PROFILES=" + f.profiles}
	}
	s, server, err := f.b.newSite(ctx, f.count, o)
	if err != nil {
		return nil, l, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	before, err := cpuTime(server.PID())
	if err != nil {
		return s, l, err
	}
	memory := watchMemory(ctx, server.PID())
	devices, err := s.StartDevices(f.simArgs(s.usb)...)
	if err != nil {
		return s, l, err
	}
	last, err := s.wait(ctx, server, devices)
	l.memory = memory.end()
	err = errors.Join(err, devices.Stop())
	if err != nil {
		return s, l, err
	}
	after, err := cpuTime(server.PID())
	if err != nil {
		return s, l, err
	}
	l.cpu = after - before
	if l.wall, err = wall(s.Lab, last); err != nil {
		return s, l, err
	}
	m, err := s.metrics(ctx)
	l.traffic = trafficOf(m)
	return s, l, err
}

// wall is the time from the first hello to last.
func wall(l *lab.Lab, last time.Time) (time.Duration, error) {
	events, err := readSim(l.Path("amtsim.log"))
	if err != nil {
		return 0, err
	}
	first, err := firstHello(events)
	return last.Sub(first), err
}

// trafficOf reads what scsd counted.
func trafficOf(m map[string]float64) wsman.Stats {
	n := func(what string) int64 { return int64(m[`amtscs_device_traffic_total{what="`+what+`"}`]) }
	return wsman.Stats{
		Requests: n("requests"), Challenges: n("challenges"), Connections: n("connections"),
		BytesIn: n("bytes_received"), BytesOut: n("bytes_sent"),
	}
}

// bare sets a fleet with the same pairs up by the bare program.
func (f *fleet) bare(ctx context.Context, s *site) (l load, err error) {
	p, err := f.b.startBare(ctx, s)
	if err != nil {
		return l, err
	}
	defer p.kill()
	before, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return l, err
	}
	memory := watchMemory(ctx, p.cmd.Process.Pid)
	devices, err := p.StartDevices(f.simArgs(p.usb)...)
	if err != nil {
		return l, err
	}
	result, rerr := p.result()
	l.memory = memory.end()
	if err := errors.Join(rerr, devices.Stop()); err != nil {
		return l, err
	}
	l.cpu = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime() - before
	l.traffic = result.Traffic
	l.wall, err = wall(p.Lab, result.Last)
	return l, err
}

// bareProcess is the bare program with a lab for its devices.
type bareProcess struct {
	*lab.Lab
	usb string
	cmd *exec.Cmd
	out *bufio.Reader
}

// startBare starts the bare program for the pairs of a site and waits until it
// takes hellos.
func (b *bencher) startBare(ctx context.Context, s *site) (*bareProcess, error) {
	l, err := b.newLab("bare", s.count)
	if err != nil {
		return nil, err
	}
	p := &bareProcess{Lab: l, usb: l.Path("setup.bin")}
	data, err := os.ReadFile(s.copy)
	if err == nil {
		err = os.WriteFile(p.usb, data, 0o600)
	}
	if err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, b.self, "bare", "-pairs", s.copy, "-profile", s.doc, "-port", strconv.Itoa(l.Port), "-n", strconv.Itoa(s.count))
	p.cmd.Stderr = b.notes
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(pipe)
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.kill()
		return nil, err
	}
	l.Addrs.Hello = strings.TrimSpace(line)
	return p, nil
}

// result waits for the program's end.
func (p *bareProcess) result() (bareResult, error) {
	var r bareResult
	line, err := p.out.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = errors.New("it ended without a result")
	}
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, err
	}
	if len(r.Failures) > 0 {
		return r, fmt.Errorf("%d devices failed, the first: %s", len(r.Failures), r.Failures[0])
	}
	return r, nil
}

// kill ends a program that did not end by itself.
func (p *bareProcess) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}
