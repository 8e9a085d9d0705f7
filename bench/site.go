package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amtscs/amtscs/integration/lab"
)

const (
	batchName   = "bench"
	profileName = "full"
)

// profileDoc is the profile that devices get: one with two users.
func profileDoc() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", lab.Explain(err))
	}
	return filepath.Join(strings.TrimSpace(string(out)), "docs", "examples", "full.yaml"), nil
}

// A site is a lab with a setup.bin for its devices.
type site struct {
	*lab.Lab
	count int
	usb   string // consumed by the devices
	copy  string // of it, as it was
	doc   string // profile
}

// newLab makes a lab in a folder of its own, with room for count devices.
func (b *bencher) newLab(name string, count int) (*lab.Lab, error) {
	dir, err := b.sub(name)
	if err != nil {
		return nil, err
	}
	for {
		prefix, port, err := lab.FreeNetwork(min(count, 254))
		if err != nil {
			return nil, err
		}
		// The devices beyond the first 254 are on the networks behind this one.
		third, err := strconv.Atoi(prefix[strings.LastIndexByte(prefix, '.')+1:])
		if err != nil || third+count/254 > 255 {
			continue
		}
		free := "127.0.0.1:0"
		return &lab.Lab{Bin: b.bin, Dir: dir, Net: prefix, Port: port, Addrs: lab.Addresses{Hello: free, GRPC: free, Metrics: free}}, nil
	}
}

// newSite initialises scsd, starts it, and has it make pairs and a setup.bin.
func (b *bencher) newSite(ctx context.Context, count int, o lab.ServerOptions) (*site, *lab.Process, error) {
	doc, err := profileDoc()
	if err != nil {
		return nil, nil, err
	}
	l, err := b.newLab("scsd", count)
	if err != nil {
		return nil, nil, err
	}
	if err := l.Init(ctx); err != nil {
		return nil, nil, err
	}
	o.Args = append(o.Args, "--dial-allow", "127.0.0.0/8")
	server, err := l.StartServer(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	s := &site{Lab: l, count: count, usb: l.Path("setup.bin"), copy: l.Path("copy.bin"), doc: doc}
	if err := s.makeKey(ctx); err != nil {
		return nil, nil, errors.Join(err, server.Stop())
	}
	return s, server, nil
}

// makeKey applies the profile and writes the setup.bin.
func (s *site) makeKey(ctx context.Context) error {
	for _, args := range [][]string{
		{"profile", "apply", s.doc},
		{"keys", "generate", "--count", strconv.Itoa(s.count), "--batch", batchName, "--profile", profileName, "--mebx-password", "random"},
		{"usb", "write", "--batch", batchName, "--out", s.usb},
	} {
		if _, err := s.Run(ctx, args...); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(s.usb)
	if err != nil {
		return err
	}
	return os.WriteFile(s.copy, data, 0o600)
}

// waitTime bounds a whole set-up of a fleet.
const waitTime = 10 * time.Minute

// wait waits until scsd has written that all devices are Operational, and has
// stored it, and returns when the last one was. Looking costs scsd nothing but
// the last question.
func (s *site) wait(ctx context.Context, processes ...*lab.Process) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	log, err := os.Open(s.Path("scsd.log"))
	if err != nil {
		return time.Time{}, err
	}
	defer log.Close()
	t := &tail{r: log}
	var last time.Time
	for done := 0; done < s.count; {
		lines, err := t.lines()
		if err != nil {
			return last, err
		}
		for _, line := range lines {
			if at, ok := operationalAt(line); ok {
				done++
				last = at
			}
		}
		if err := pause(ctx, samplePeriod, processes...); err != nil {
			return last, fmt.Errorf("%d of %d devices became Operational: %w", done, s.count, err)
		}
	}
	for {
		m, err := s.metrics(ctx)
		if err != nil {
			return last, err
		}
		if m[`amtscs_step_seconds_count{outcome="done",step="verify"}`] >= float64(s.count) {
			return last, nil
		}
		if err := pause(ctx, samplePeriod, processes...); err != nil {
			return last, err
		}
	}
}

// pause waits, unless a process or the context ends first.
func pause(ctx context.Context, d time.Duration, processes ...*lab.Process) error {
	for _, p := range processes {
		select {
		case <-p.Done():
			return fmt.Errorf("a program ended early:\n%s", p.Log())
		default:
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
