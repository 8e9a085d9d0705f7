package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/integration/lab"
	"github.com/amtscs/amtscs/wsman"
)

// aclChanges are the calls after which a device forgets its logins.
var aclChanges = []string{
	"AMT_AuthorizationService.AddUserAclEntryEx", "AMT_AuthorizationService.UpdateUserAclEntryEx",
	"AMT_AuthorizationService.RemoveUserAclEntry", "AMT_AuthorizationService.SetAdminAclEntryEx",
}

// device sets one device up and counts. It also makes sure that the bare program
// makes the same calls.
func (b *bencher) device(ctx context.Context) ([]row, error) {
	if err := b.programs(ctx); err != nil {
		return nil, err
	}
	args := []string{"-n", "1", "--amt", "9.0", "--json", "--verbose"}
	s, server, err := b.newSite(ctx, 1, lab.ServerOptions{})
	if err != nil {
		return nil, err
	}
	calls, sessions, err := b.one(ctx, s, server, args)
	if err := errors.Join(err, server.Stop()); err != nil {
		return nil, err
	}
	p, err := b.startBare(ctx, s)
	if err != nil {
		return nil, err
	}
	defer p.kill()
	devices, err := p.StartDevices(append(args, "--usb", p.usb)...)
	if err != nil {
		return nil, err
	}
	_, rerr := p.result()
	if err := errors.Join(rerr, devices.Stop()); err != nil {
		return nil, err
	}
	events, err := readSim(p.Path("amtsim.log"))
	if err != nil {
		return nil, err
	}
	if err := sameCalls(calls, callsOf(events)); err != nil {
		return nil, err
	}
	acl := 0
	for _, c := range calls {
		if slices.Contains(aclChanges, c) {
			acl++
		}
	}
	return deviceRows(sessions, acl), nil
}

// one sets the site's device up by scsd. It returns the calls that the device
// answered, and what each session took.
func (b *bencher) one(ctx context.Context, s *site, server *lab.Process, args []string) (calls []string, sessions []wsman.Stats, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(chan []wsman.Stats, 1)
	go func() { seen <- s.watchTraffic(watching) }()
	devices, err := s.StartDevices(append(args, "--usb", s.usb)...)
	if err != nil {
		return nil, nil, err
	}
	_, err = s.wait(ctx, server, devices)
	if err := errors.Join(err, devices.Stop()); err != nil {
		return nil, nil, err
	}
	stop()
	m, err := s.metrics(ctx)
	if err != nil {
		return nil, nil, err
	}
	sessions = differences(append(<-seen, trafficOf(m)))
	events, err := readSim(s.Path("amtsim.log"))
	return callsOf(events), sessions, err
}

// watchTraffic reads scsd's counts of traffic, which change at the end of a
// session, until ctx is done, and returns them in their order.
func (s *site) watchTraffic(ctx context.Context) []wsman.Stats {
	var list []wsman.Stats
	for {
		m, err := s.metrics(ctx)
		if err == nil {
			list = append(list, trafficOf(m))
		}
		if pause(ctx, samplePeriod) != nil {
			return list
		}
	}
}

// differences are the steps by which counts rose from zero.
func differences(counts []wsman.Stats) []wsman.Stats {
	var list []wsman.Stats
	var last wsman.Stats
	for _, c := range counts {
		if c == last {
			continue
		}
		list = append(list, wsman.Stats{
			Requests: c.Requests - last.Requests, Challenges: c.Challenges - last.Challenges, Connections: c.Connections - last.Connections,
			BytesIn: c.BytesIn - last.BytesIn, BytesOut: c.BytesOut - last.BytesOut,
		})
		last = c
	}
	return list
}

// sameCalls compares the calls of scsd with those of the bare program.
func sameCalls(ours, bare []string) error {
	for i := range max(len(ours), len(bare)) {
		at := func(list []string) string {
			if i < len(list) {
				return list[i]
			}
			return "nothing"
		}
		if at(ours) != at(bare) {
			return fmt.Errorf("call %d of scsd is %s, of the bare program %s: bring baredevice.go in line with the engine", i+1, at(ours), at(bare))
		}
	}
	return nil
}

// deviceRows are the figures of the whole, and of its first session, which is
// all of set-up: the second one, over the device's new TLS, only asks whether it
// is Operational.
func deviceRows(sessions []wsman.Stats, acl int) []row {
	var t wsman.Stats
	for _, s := range sessions {
		t.Requests += s.Requests
		t.Challenges += s.Challenges
		t.Connections += s.Connections
		t.BytesIn += s.BytesIn
		t.BytesOut += s.BytesOut
	}
	const name = "one device, AMT 9.0, two users: "
	rows := []row{
		{what: name + "requests", figure: float64(t.Requests), aim: atMost(60), note: "401s not counted"},
		{
			what: name + "bytes", figure: float64(t.BytesIn+t.BytesOut) / 1000, unit: "kB",
			note: fmt.Sprintf("%.1f kB sent, %.1f kB received, above TLS", float64(t.BytesOut)/1000, float64(t.BytesIn)/1000),
		},
	}
	if len(sessions) == 0 {
		return rows
	}
	first := sessions[0]
	return append(rows,
		row{
			what: name + "challenges of set-up", figure: float64(first.Challenges), aim: atMost(float64(1 + acl)),
			note: fmt.Sprintf("1, and 1 for each of %d changes of the ACL; %d in all %d sessions", acl, t.Challenges, len(sessions)),
		},
		row{
			what: name + "connections of set-up", figure: float64(first.Connections), aim: atMost(float64(first.Challenges + 1)),
			note: fmt.Sprintf("1, and 1 behind each challenge; %d in all %d sessions", t.Connections, len(sessions)),
		})
}
