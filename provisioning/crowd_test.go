package provisioning

import (
	"context"
	"crypto/rsa"
	"errors"
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amtsim"
)

// crowd boots n devices of all firmwares, each with its own pair.
func (l *lab) crowd(n int, tune func(*amtsim.Options)) []*amtsim.Device {
	l.t.Helper()
	gens := []*amtsim.Generation{amtsim.AMT90, amtsim.AMT32, amtsim.AMT100, amtsim.AMT62}
	var list []*amtsim.Device
	for i, p := range l.pairs(n) {
		d := l.device(p, gens[i%len(gens)], tune)
		l.boot(d)
		list = append(list, d)
	}
	return list
}

// ownKeys gives each device of AMT 3.2 a key of its own.
func ownKeys(c *Config) {
	pool := amtsim.NewKeyPool(nil)
	c.DeviceKeys = func(ctx context.Context) (*rsa.PrivateKey, error) { return pool.Take(ctx) }
}

// TestCrashAtRandomMoments sets a crowd up while the engine is killed again and
// again.
func TestCrashAtRandomMoments(t *testing.T) {
	t.Parallel()
	l := newLab(t, ownKeys)
	l.apply("default", fullProfile)
	devices := l.crowd(12, trouble(t, "latency=5ms"))
	for range 6 {
		time.Sleep(time.Duration(50+mathrand.IntN(400)) * time.Millisecond)
		l.crash()
	}
	for _, d := range devices {
		l.operational(d)
	}
	l.noLosses(len(devices))
}

// TestStopInOrder stops the engine in the middle: what is under way ends or is
// parked in time, and the next start goes on.
func TestStopInOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t, ownKeys)
	l.apply("default", fullProfile)
	devices := l.crowd(8, trouble(t, "latency=20ms"))
	l.await(devices[0].UUID(), "Authenticated", func(dev Device) bool { return dev.State >= Authenticated })
	begun := time.Now()
	l.stop()
	<-l.done
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if err := l.engine.Run(canceled()); err != nil {
		t.Errorf("a Run that is to stop at once: %v", err)
	}
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	l.open(false)
	for _, d := range devices {
		l.operational(d)
	}
	l.noLosses(len(devices))
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestStopInterrupts stops the engine while a device holds a call for long.
func TestStopInterrupts(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Timing.Stop, c.Timing.Call = 200*time.Millisecond, time.Minute })
	d := l.device(l.pairs(1)[0], amtsim.AMT90, trouble(t, "latency=AddCertificate/30s"))
	l.boot(d)
	l.await(d.UUID(), "at its certificate", func(dev Device) bool {
		wf, err := l.engine.Workflow(t.Context(), d.UUID().String())
		return err == nil && len(wf.Calls) > 0 && wf.Calls[len(wf.Calls)-1].Call == callAddCertificate
	})
	begun := time.Now()
	l.stop()
	<-l.done
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
	d.SetTrouble(amtsim.Trouble{})
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	l.open(false)
	l.operational(d)
	l.noLosses(1)
}

// TestFewWorkers has more devices than workers.
func TestFewWorkers(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { ownKeys(c); c.Limits.Workers, c.Limits.AttemptWorkers = 2, 2 })
	for _, d := range l.crowd(6, nil) {
		l.operational(d)
	}
	l.noLosses(6)
}

// TestAttemptsAreBounded counts what hellos with known PIDs leave behind.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	start, later := time.Now(), atomic.Int64{}
	l := newLab(t, func(c *Config) {
		c.NoDial, c.Now = true, func() time.Time { return start.Add(time.Duration(later.Load())) }
		c.Limits.Attempts, c.Limits.AttemptsPerPID, c.Limits.AttemptsPerSource = 20, 3, 8
	})
	for i, p := range l.pairs(40) {
		for range 5 {
			l.say(l.address(1+i%9), pskHello(randomUUID(), p.pid))
		}
	}
	l.engine.soft.mu.Lock()
	n := l.engine.soft.attempts.len()
	l.engine.soft.mu.Unlock()
	if n != 20 {
		t.Errorf("%d attempts, want 20", n)
	}
	l.crash()
	if st, err := l.engine.Statistics(t.Context()); err != nil || st.Attempts != 20 {
		t.Errorf("after a restart: %d attempts, %v", st.Attempts, err)
	}
	later.Store(int64(7 * time.Hour))
	if err := l.engine.dropOldAttempts(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.crash()
	if st, err := l.engine.Statistics(t.Context()); err != nil || st.Attempts != 0 {
		t.Errorf("seven hours later: %d attempts, %v", st.Attempts, err)
	}
}

// TestPanicInAStep fails the workflow, and nothing else.
func TestPanicInAStep(t *testing.T) {
	t.Parallel()
	fault := errors.New("a fault of the issuer")
	l := newLab(t, func(c *Config) {
		c.StepHook = func(at string) {
			if at == "6-before" {
				panic(fault)
			}
		}
	})
	d := l.device(l.pairs(1)[0], amtsim.AMT90, nil)
	l.boot(d)
	dev := l.await(d.UUID(), "Failed", func(dev Device) bool { return dev.Status == Failed })
	if dev.Reason != InternalFault || dev.Step != "issue" {
		t.Errorf("got %s at %s", dev.Reason, dev.Step)
	}
}
