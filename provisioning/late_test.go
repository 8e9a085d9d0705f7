package provisioning

import (
	"testing"

	"github.com/amtscs/amtscs/amtsim"
)

// TestDefaultAppliedMeanwhile applies a profile called default while a set-up is
// under way with the built-in one: that set-up ends as it began.
func TestDefaultAppliedMeanwhile(t *testing.T) {
	t.Parallel()
	l := makeLab(t, nil)
	l.open(true)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=30ms"))
	off := l.boot(d)
	l.await(d.UUID(), "Certified", func(dev Device) bool { return dev.State >= Certified })
	off()
	l.await(d.UUID(), "silent", func(dev Device) bool { return dev.Status == Waiting })
	l.apply("default", plainProfile)
	l.boot(d)
	dev := l.operational(d)
	if snap := d.Snapshot(); dev.ProfileVersion != 0 || !snap.Remote.Enabled || dev.Serial.IsZero() {
		t.Errorf("version %d, TLS %t, serial %v: want what the built-in default says", dev.ProfileVersion, snap.Remote.Enabled, dev.Serial)
	}
}
