package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/integration/lab"
)

// TestPowerLoss cuts the power behind each call that a device has just carried
// out: what the store's disk then holds is rebuilt from the writes that strace
// saw, without those that no sync covers, and the work goes on from there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	requirePeer(t, "strace")
	for _, step := range documentedSteps(t) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w, struck := powerLoss(t, step+"-called", nil)
			if !struck {
				t.Skipf("step %s makes no call of its own", step)
			}
			w.serve(lab.ServerOptions{})
			w.waitOperational(1, 90*time.Second)
			w.checkAll(1)
		})
	}
}

// TestPowerLossWithoutSync proves that TestPowerLoss can fail: a store that does
// not sync loses what it was told to keep.
func TestPowerLossWithoutSync(t *testing.T) {
	t.Parallel()
	requirePeer(t, "strace")
	step := documentedSteps(t)
	w, struck := powerLoss(t, step[len(step)-1]+"-before", []string{"AMTSCS_TEST_NOSYNC=1"})
	if !struck {
		t.Fatal("the last step was not reached")
	}
	w.serve(lab.ServerOptions{})
	password := w.fleet.Devices()[0].Snapshot()
	for _, k := range w.pairs() {
		if k.Pid == password.Pair.PID.String() && k.State != 0 && k.Uuid == password.UUID.String() {
			t.Fatal("a store without sync kept the next pair of the device: the test would not see a loss")
		}
	}
}

// powerLoss sets one device up under strace until scsd kills itself at a point,
// and leaves the store as a power loss at the last write to the device would have.
func powerLoss(t *testing.T, point string, env []string) (w *world, struck bool) {
	t.Helper()
	w = newWorld(t, 1)
	first := w.serve(lab.ServerOptions{})
	usb, err := w.MakeKey(t.Context(), "power", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(w.store())
	if err != nil {
		t.Fatal(err)
	}
	w.boot(usb, 1, []*amtsim.Generation{amtsim.AMT90}, nil)
	trace := w.Path("trace")
	p := w.serve(lab.ServerOptions{Env: append(env, "AMTSCS_TEST_KILL_AT="+point), Wrap: straceArgs(trace)})
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		p.Kill()
		return w, false
	}
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
	return w, true
}
