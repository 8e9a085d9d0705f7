package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/integration/lab"
)

// TestPowerLoss cuts the power behind each call that cannot be repeated blindly,
// when the device has just carried it out: what the store's disk then holds is
// rebuilt from the writes that strace saw, without those that no sync covers, and
// the work goes on from there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	requirePeer(t, "strace")
	for _, step := range documentedSteps(t) {
		if !callSteps[step] {
			continue
		}
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := powerLoss(t, step+"-called")
			w.serve(lab.ServerOptions{})
			w.waitOperational(1, 90*time.Second)
			w.checkAll(1)
		})
	}
}

// TestPowerLossWithoutSync proves that TestPowerLoss can fail: a store that does
// not sync loses the pair that the device was just given.
func TestPowerLossWithoutSync(t *testing.T) {
	t.Parallel()
	requirePeer(t, "strace")
	w := powerLoss(t, "13-called", "AMTSCS_TEST_NOSYNC=1")
	truth := w.fleet.Devices()[0].Snapshot()
	given := truth.Pending.PID
	if given == ([8]byte{}) {
		t.Fatal("the device was given no pair")
	}
	w.serve(lab.ServerOptions{})
	if w.pairs()[given.String()] != nil {
		t.Fatal("a store without sync kept the next pair of the device: the test would not see a loss")
	}
}

// powerLoss sets one device up under strace until scsd kills itself at a point,
// and leaves the store as a power loss at the last write to the device would have.
func powerLoss(t *testing.T, point string, env ...string) *world {
	t.Helper()
	w := newWorld(t, 1)
	w.prepare(1, []*amtsim.Generation{amtsim.AMT90}, mutual, nil)
	before, err := os.ReadFile(w.store())
	if err != nil {
		t.Fatal(err)
	}
	trace := w.Path("trace")
	w.strike(point, lab.ServerOptions{Env: env, Wrap: straceArgs(trace)})
	effects, err := readTrace(trace, "/scs.db")
	if err != nil {
		t.Fatal(err)
	}
	cut := len(effects)
	for cut > 0 && !strings.HasPrefix(effects[cut-1].peer, w.Net+".") {
		cut--
	}
	if cut == 0 {
		t.Fatal("the trace shows no write to a device")
	}
	if err := os.WriteFile(w.store(), survive(before, effects, cut), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}
