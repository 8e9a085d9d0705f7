package integration

import (
	"math/rand/v2"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/integration/lab"
)

// fourGenerations are one device each of the generations that a pair sets up.
func fourGenerations() []*amtsim.Generation {
	return []*amtsim.Generation{amtsim.AMT32, amtsim.AMT62, amtsim.AMT90, amtsim.AMT100}
}

// stepHeading is how docs/lifecycle.md begins the section of a numbered step.
var stepHeading = regexp.MustCompile(`(?m)^### Step (\d+)\b`)

// documentedSteps reads the numbers of the steps from docs/lifecycle.md.
func documentedSteps(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, m := range stepHeading.FindAllStringSubmatch(string(doc), -1) {
		steps = append(steps, m[1])
	}
	if len(steps) < 10 {
		t.Fatalf("docs/lifecycle.md names %d numbered steps", len(steps))
	}
	return steps
}

// points are where a step can be struck: before it, with its intention stored,
// with the device's answer not yet stored, and behind it.
var points = []string{"before", "intended", "called", "after"}

// TestCrashAtEachStep kills scsd at each point of each numbered step, one behind
// the other on the same devices, and wants every device to become Operational
// with nothing lost or issued twice.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range documentedSteps(t) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4)
			first := w.serve(lab.ServerOptions{})
			usb, err := w.MakeKey(t.Context(), "crash", 4)
			if err != nil {
				t.Fatal(err)
			}
			if err := first.Stop(); err != nil {
				t.Fatal(err)
			}
			w.boot(usb, 4, fourGenerations(), nil)
			struck := 0
			for _, point := range points {
				p := w.serve(lab.ServerOptions{Env: []string{"AMTSCS_TEST_KILL_AT=" + step + "-" + point}})
				select {
				case <-p.Done():
					struck++
				case <-time.After(4 * time.Second):
					p.Kill() // the point does not exist for this step, or was passed
				}
			}
			if struck == 0 {
				t.Errorf("no point of step %s was reached", step)
			}
			w.serve(lab.ServerOptions{})
			w.waitOperational(4, 90*time.Second)
			w.checkAll(4)
		})
	}
}

// TestCrashAtRandomMoments kills scsd fifty times while it sets twenty devices up.
func TestCrashAtRandomMoments(t *testing.T) {
	t.Parallel()
	const devices, kills = 20, 50
	w := newWorld(t, devices)
	first := w.serve(lab.ServerOptions{})
	usb, err := w.MakeKey(t.Context(), "crash", devices)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	w.boot(usb, devices, fourGenerations(), func(o *amtsim.FleetOptions) { o.Troubles = []string{"latency=20ms"} })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills {
		p := w.serve(lab.ServerOptions{})
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		p.Kill()
	}
	w.serve(lab.ServerOptions{})
	w.waitOperational(devices, 120*time.Second)
	w.checkAll(devices)
}
