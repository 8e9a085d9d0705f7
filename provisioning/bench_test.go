package provisioning

import (
	"context"
	"crypto/rand"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// benchEngine runs an engine that follows no hellos, on a store that syncs.
func benchEngine(b *testing.B, pairs int) (*Engine, []amt.PID) {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "scs.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	sealer := sealtest.New(b)
	keys := keystore.New(sealer)
	e, err := New(Config{
		Store: db, Sealer: sealer, Keys: keys, Issuer: issuer{}, NoDial: true, AllowLoopback: true,
		Limits: Limits{HelloQueue: 1 << 16},
	})
	if err != nil {
		b.Fatal(err)
	}
	im := keystore.Import{Batch: keystore.Batch{Name: "bench", Model: amt.USBKey}, Move: keystore.Move{Who: "bench"}}
	if _, err := keys.Generate(b.Context(), db, im, pairs, nil); err != nil {
		b.Fatal(err)
	}
	var pids []amt.PID
	err = db.View(b.Context(), func(r kv.Reader) error {
		return r.Scan("keys", kv.Range{}, func(k, _ []byte) error {
			pids = append(pids, pidOf(k))
			return nil
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done; _ = db.Close() })
	return e, pids
}

// BenchmarkHelloIntake takes hellos with 20,000 distinct known PIDs in, until the
// last is committed to a store that syncs.
func BenchmarkHelloIntake(b *testing.B) {
	e, pids := benchEngine(b, 20000)
	uuids := make([]amt.UUID, len(pids))
	for i := range uuids {
		_, _ = rand.Read(uuids[i][:])
	}
	b.ResetTimer()
	for i := range b.N {
		n := i % len(pids)
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), 9)
		for e.Hello(b.Context(), peer, pskHello(uuids[n], pids[n])) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err := e.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hellos/s")
}

// BenchmarkUnknownHellos is a flood of random PIDs.
func BenchmarkUnknownHellos(b *testing.B) {
	e, _ := benchEngine(b, 10)
	for i := range b.N {
		var pid amt.PID
		_, _ = rand.Read(pid[:])
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), 9)
		for e.Hello(b.Context(), peer, pskHello(randomUUID(), pid)) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err := e.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}
