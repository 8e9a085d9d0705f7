package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/integration/lab"
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
	calls, traffic, err := b.one(ctx, s, server, args)
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
	return deviceRows(traffic, acl), nil
}

// one sets the site's device up by scsd, and returns the calls that it answered.
func (b *bencher) one(ctx context.Context, s *site, server *lab.Process, args []string) (calls []string, m map[string]float64, err error) {
	devices, err := s.StartDevices(append(args, "--usb", s.usb)...)
	if err != nil {
		return nil, nil, err
	}
	_, err = s.wait(ctx, server, devices)
	if err := errors.Join(err, devices.Stop()); err != nil {
		return nil, nil, err
	}
	if m, err = s.metrics(ctx); err != nil {
		return nil, nil, err
	}
	events, err := readSim(s.Path("amtsim.log"))
	return callsOf(events), m, err
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

// sessions is how often scsd logs in to a device: in set-up, and once it is
// Operational, over another transport.
const sessions = 2

func deviceRows(m map[string]float64, acl int) []row {
	t := trafficOf(m)
	const name = "one device, AMT 9.0, two users: "
	return []row{
		{what: name + "requests", figure: float64(t.Requests), aim: atMost(60), note: "401s not counted"},
		{what: name + "challenges", figure: float64(t.Challenges), aim: atMost(float64(sessions + acl)),
			note: fmt.Sprintf("1 for each of %d sessions and for each of %d changes of the ACL", sessions, acl)},
		{what: name + "connections", figure: float64(t.Connections), aim: atMost(float64(t.Challenges + sessions)),
			note: "1 for each session and behind each challenge"},
		{what: name + "bytes", figure: float64(t.BytesIn+t.BytesOut) / 1000, unit: "kB",
			note: fmt.Sprintf("%.1f kB sent, %.1f kB received, above TLS", float64(t.BytesOut)/1000, float64(t.BytesIn)/1000)},
	}
}
