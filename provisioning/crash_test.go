package provisioning

import (
	"fmt"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
)

// fullProfile uses every step.
const fullProfile = `
version: 1
name: default
host_name: {pattern: "pc-{hash12}"}
domain: example.com
users:
  - {name: helpdesk, realms: [RemoteControl, Redirection], access: network}
  - {name: monitor, realms: [EventLogReader], access: network}
features: {sol: true, ider: true, kvm: true, consent: none}
next_pair: required
`

// points are the places around a step at which a crash differs.
func points(number int) []string {
	calls := map[int]bool{5: true, 8: true, 9: true, 10: true, 11: true, 12: true, 13: true, 15: true}
	list := []string{"before", "after"}
	if calls[number] {
		list = []string{"before", "intended", "called", "after"}
	}
	for i, when := range list {
		list[i] = fmt.Sprintf("%d-%s", number, when)
	}
	return list
}

// TestCrashAtEachStep kills the engine at each numbered place of
// docs/lifecycle.md and starts another on what is stored: the device becomes
// Operational, and the store tells the truth about it.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for number := 1; number <= len(StepNames()); number++ {
		for _, point := range points(number) {
			t.Run("9.0/"+point, func(t *testing.T) { crashAndResume(t, point, amtsim.AMT90, nil) })
		}
	}
	for _, point := range points(5) {
		t.Run("3.2/"+point, func(t *testing.T) { crashAndResume(t, point, amtsim.AMT32, nil) })
	}
	atOnce := func(o *amtsim.Options) { o.PSK = amtsim.PSKAtOnce }
	for number := 12; number <= 16; number++ {
		for _, point := range points(number) {
			t.Run("pair at once/"+point, func(t *testing.T) { crashAndResume(t, point, amtsim.AMT100, atOnce) })
		}
	}
	follows := func(o *amtsim.Options) { o.AdminFollowsMEBx = true }
	for _, point := range append(points(11), points(13)...) {
		t.Run("admin follows MEBx/"+point, func(t *testing.T) { crashAndResume(t, point, amtsim.AMT90, follows) })
	}
}

func crashAndResume(t *testing.T, point string, gen *amtsim.Generation, tune func(*amtsim.Options)) {
	t.Parallel()
	l := makeLab(t, nil)
	hook, crashed := l.crashAt(point)
	l.tune = func(c *Config) { c.StepHook = hook }
	l.open(true)
	l.apply("default", fullProfile)
	d := l.device(l.pairs(1)[0], gen, tune)
	l.boot(d)
	select {
	case <-crashed:
	case <-time.After(20 * time.Second):
		t.Fatalf("the engine never came to %s", point)
	}
	l.crash()
	dev := l.operational(d)
	if dev.NextPID == dev.PID || dev.NeedsVisit || dev.NextPIDInDoubt {
		t.Errorf("pair %v, next %v, visit %t, doubt %t", dev.PID, dev.NextPID, dev.NeedsVisit, dev.NextPIDInDoubt)
	}
	l.noLosses(1)
}
