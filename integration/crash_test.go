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

// callSteps are the steps that make calls which cannot be repeated blindly: a
// crash can also come with the intention stored, and with the device's answer not
// yet stored.
var callSteps = map[string]bool{
	"5": true, "7": true, "8": true, "9": true, "10": true, "11": true, "12": true, "13": true, "15": true,
}

// mutual is a profile whose devices get every call that a set-up can have.
const mutual = `name: mutual
host_name: {pattern: "amt-{hash12}"}
domain: mutual.example
min_amt: "6.0"
tls: {mode: mutual}
users:
  - {name: helpdesk, realms: [RemoteControl, GeneralInfo], password: {policy: random}}
`

// prepare makes n pairs for a profile, stops the server, and boots the devices.
func (w *world) prepare(n int, generations []*amtsim.Generation, document string, change func(*amtsim.FleetOptions)) {
	w.t.Helper()
	server := w.serve(lab.ServerOptions{})
	file := w.Path("mutual.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		w.t.Fatal(err)
	}
	args := []string{}
	if document != "" {
		w.scsctl(nil, "profile", "apply", file)
		args = append(args, "--profile", "mutual")
	}
	usb, err := w.MakeKey(w.t.Context(), "crash", n, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		w.t.Fatal(err)
	}
	w.boot(usb, n, generations, change)
}

// strike runs the server until it kills itself at a point.
func (w *world) strike(point string, o lab.ServerOptions) {
	w.t.Helper()
	o.Env = append(o.Env, "AMTSCS_TEST_KILL_AT="+point)
	o.MayEnd = true
	p := w.serve(o)
	select {
	case <-p.Done():
	case <-time.After(60 * time.Second):
		w.t.Fatalf("point %s was not reached\n%s", point, w.serverLog())
	}
}

// TestCrashAtEachStep kills scsd before and behind each numbered step, and around
// each call that cannot be repeated blindly, and wants every device to become
// Operational with nothing lost or issued twice.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range documentedSteps(t) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4)
			w.prepare(4, fourGenerations(), "", nil)
			w.strike(step+"-before", lab.ServerOptions{})
			w.strike(step+"-after", lab.ServerOptions{})
			w.serve(lab.ServerOptions{})
			w.waitOperational(4, 90*time.Second)
			w.checkAll(4)
		})
		if !callSteps[step] {
			continue
		}
		t.Run(step+"-calls", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.prepare(2, []*amtsim.Generation{amtsim.AMT90, amtsim.AMT62}, mutual, nil)
			w.strike(step+"-intended", lab.ServerOptions{})
			w.strike(step+"-called", lab.ServerOptions{})
			w.serve(lab.ServerOptions{})
			w.waitOperational(2, 90*time.Second)
			w.checkAll(2)
		})
	}
	t.Run("5-calls-old-firmware", func(t *testing.T) { // the key is made here
		t.Parallel()
		w := newWorld(t, 1)
		w.prepare(1, []*amtsim.Generation{amtsim.AMT32}, "", nil)
		w.strike("5-intended", lab.ServerOptions{})
		w.strike("5-called", lab.ServerOptions{})
		w.serve(lab.ServerOptions{})
		w.waitOperational(1, 90*time.Second)
		w.checkAll(1)
	})
}

// TestCrashAtRandomMoments kills scsd fifty times while it sets twenty devices up.
func TestCrashAtRandomMoments(t *testing.T) {
	t.Parallel()
	const devices, kills = 20, 50
	w := newWorld(t, devices)
	w.prepare(devices, fourGenerations(), "", func(o *amtsim.FleetOptions) { o.Troubles = []string{"latency=20ms"} })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills {
		p := w.serve(lab.ServerOptions{})
		time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
		p.Kill()
	}
	w.serve(lab.ServerOptions{})
	w.waitOperational(devices, 120*time.Second)
	w.checkAll(devices)
}
