package provisioning

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
)

// trouble makes a device option of a ParseTrouble list.
func trouble(t *testing.T, text string) func(*amtsim.Options) {
	t.Helper()
	return func(o *amtsim.Options) {
		if err := amtsim.ParseTrouble(text, 0, &o.Trouble); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTroublesThatPass are faults behind which the device becomes Operational.
func TestTroublesThatPass(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"busy-keys=3", "strict-nonce", "nonce-reset=3", "stale-false,nonce-reset=5", "latency=20ms",
		"commit-ignored=1", "commit-drops", "drop-before=CommitChanges", "login-lock=3",
		"GenerateKeyPair=2*2", "SetHighAccuracyTimeSynch=2*1", "AddCertificate=2*1", "CommitChanges=2*1",
		"SetMEBxPassword=16", "SetMEBxPassword=2*1", "SetAdminAclEntryEx=2*1", "SetTLSPSK=2*1", "GetUuid=2*1",
		"drop-before=GetUuid*2", "drop-after=GetUuid*2",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) { c.Timing.Call = 2 * time.Second }) // a lost commit waits for it
			l.apply("default", fullProfile)
			d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, text))
			l.boot(d)
			l.operational(d)
			l.noLosses(1)
		})
	}
}

// TestDroppedConnections loses the connection before and after each call of a
// whole set-up.
func TestDroppedConnections(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.apply("default", fullProfile)
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	l.operational(d)
	var names []string
	for name := range d.Counts() {
		names = append(names, name)
	}
	if len(names) < 20 {
		t.Fatalf("only %d calls in a set-up: %v", len(names), names)
	}
	slices.Sort(names)
	for i := 0; i < len(names); i += 4 {
		some := names[i:min(i+4, len(names))]
		for _, when := range []string{"drop-before=", "drop-after="} {
			text := when + strings.Join(some, ","+when)
			t.Run(text, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, func(c *Config) { c.Timing.Call = 2 * time.Second })
				l.apply("default", fullProfile)
				d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, text))
				l.boot(d)
				l.operational(d)
				l.noLosses(1)
			})
		}
	}
}

// TestTroublesThatFail are faults that a person has to deal with.
func TestTroublesThatFail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		trouble string
		reason  Reason
		step    string
	}{
		{"SetHighAccuracyTimeSynch=36", ClockRefused, "clock"},
		{"GenerateKeyPair=23", KeyRefused, "key"},
		{"AddCertificate=2063", CertificateRefused, "certificate"},
		{"AMT_TLSCredentialContext.Create=36", CredentialRefused, "credential"},
		{"AMT_GeneralSettings.Put=36", SettingRefused, "settings"},
		{"AddUserAclEntryEx=23", SettingRefused, "settings"},
		{"SetMEBxPassword=2054", MEBxPasswordRefused, "mebx"},
		{"SetTLSPSK=43", NextPairNotTaken, "pair"},
		{"SetAdminAclEntryEx=2054", AdminPasswordRefused, "admin"},
		{"CommitChanges=2057", CommitDataMissing, "commit"},
		{"CommitChanges=38", FlashWriteLimit, "commit"},
		{"CommitChanges=1", CommitRefused, "commit"},
		{"CommitChanges=2076", AuditBlocked, "commit"},
		{"GenerateKeyPair=2", KeyGenerationBusy, "key"},
		{"commit-ignored=50", TooManyRewinds, "verify"},
	}
	for _, tt := range tests {
		t.Run(tt.trouble, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) {
				c.Timing.Tries, c.Timing.BusyTries, c.Timing.CommitGrace = 2, 2, time.Millisecond
				c.Timing.Busy, c.Timing.RetryMin, c.Limits.Rewinds = time.Millisecond, 10*time.Millisecond, 2
			})
			l.apply("default", fullProfile)
			d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, tt.trouble))
			l.boot(d)
			dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
			if dev.Reason != tt.reason || dev.Step != tt.step || dev.Detail == "" {
				t.Errorf("got %s at %s (%s), want %s at %s", dev.Reason, dev.Step, dev.Detail, tt.reason, tt.step)
			}
			l.truth(d)
			// The operator mends it and retries.
			d.SetTrouble(amtsim.Trouble{})
			if _, err := l.engine.Retry(t.Context(), Act{Who: "lab"}, d.UUID()); err != nil {
				t.Fatal(err)
			}
			l.operational(d)
			if tt.reason != NextPairNotTaken { // there a second pair is drawn
				l.noLosses(1)
			} else if dev := l.record(d); dev.NeedsVisit || dev.NextPID == (amt.PID{}) {
				t.Errorf("a required pair: visit %t, next %v", dev.NeedsVisit, dev.NextPID)
			}
		})
	}
}

// TestTroublesBeforeTheClaim leave an inbox row and change nothing of the pair.
func TestTroublesBeforeTheClaim(t *testing.T) {
	t.Parallel()
	tests := []struct {
		trouble string
		gen     *amtsim.Generation
		reason  Reason
	}{
		{"wrong-pps", amtsim.AMT90, KeyMismatch},
		{"wrong-uuid", amtsim.AMT90, UUIDMismatch},
		{"tarpit", amtsim.AMT90, DialFailed},
		{"garbage", amtsim.AMT90, UnexpectedAnswer},
		{"endless", amtsim.AMT90, UnexpectedAnswer},
		{"latency=1ms", amtsim.AMT22, FirmwareSpeaksSOAPOnly},
	}
	for _, tt := range tests {
		t.Run(tt.trouble+" "+tt.gen.Name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) {
				c.Timing.Dial, c.Timing.Call = 300*time.Millisecond, 300*time.Millisecond
			})
			p := l.pairs(1)[0]
			d := l.device(p, tt.gen, trouble(t, tt.trouble))
			l.boot(d)
			row := l.inboxRow(d.UUID(), tt.reason)
			if row.PID != p.pid || row.Count == 0 || row.Detail == "" {
				t.Errorf("got %+v", row)
			}
			if _, err := l.engine.Device(t.Context(), d.UUID()); err == nil {
				t.Error("a device that proved nothing is in the store")
			}
			l.untouched(p)
			if tt.gen != amtsim.AMT22 {
				d.SetTrouble(amtsim.Trouble{}) // its next hello is followed
				l.operational(d)
				l.noInbox()
			}
		})
	}
}
