package provisioning

import (
	"testing"

	"github.com/amtscs/amtscs/amtsim"
)

func TestSetup(t *testing.T) {
	t.Parallel()
	for _, gen := range []*amtsim.Generation{amtsim.AMT32, amtsim.AMT62, amtsim.AMT90, amtsim.AMT100} {
		t.Run(gen.Name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			d := l.device(l.pairs(1)[0], gen, nil)
			l.boot(d)
			dev := l.operational(d)
			if dev.Version != gen.Version || dev.FQDN == "" || dev.Serial.IsZero() {
				t.Errorf("got version %v, name %q, serial %v", dev.Version, dev.FQDN, dev.Serial)
			}
			t.Logf("traffic: %+v", l.seen.traffic)
		})
	}
}
