package ca

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
)

// BenchmarkIssue shows what a certificate costs, in one run: raw is
// x509.CreateCertificate alone; authority adds the embedded authority and the
// verification; memory adds both transactions without fsync; disk is the whole,
// and parallel is it for eight devices at once.
func BenchmarkIssue(b *testing.B) {
	b.Run("raw", benchmarkRaw)
	b.Run("authority", benchmarkAuthority)
	b.Run("memory", func(b *testing.B) { benchmarkStore(b, bolt.Options{NoSync: true}, 1) })
	b.Run("disk", func(b *testing.B) { benchmarkStore(b, bolt.Options{}, 1) })
	b.Run("parallel", func(b *testing.B) { benchmarkStore(b, bolt.Options{}, 8) })
}

func benchmarkRaw(b *testing.B) {
	f := newFixture(b)
	o := benchmarkOrder(b, f, 1)
	template, err := f.devices.sign(b.Context(), f.carrier, o)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		der, err := x509.CreateCertificate(rand.Reader, template, f.devices.cert, key(0).Public(), f.devices.key)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkAuthority(b *testing.B) {
	f := newFixture(b)
	o := benchmarkOrder(b, f, 1)
	for b.Loop() {
		cert, err := f.devices.sign(b.Context(), f.carrier, o)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.verify(cert, o, f.devices); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkOrder(b *testing.B, f *fixture, n byte) *order {
	b.Helper()
	o, err := f.deviceOrder(DeviceRequest{UUID: uuid(n), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil {
		b.Fatal(err)
	}
	if err := f.schedule(o, f.devices); err != nil {
		b.Fatal(err)
	}
	o.serial = amt.Serial{1}
	return o
}

// benchmarkStore issues to ever new devices: their keys are fresh moduli of no
// use, since nothing here needs the private half.
func benchmarkStore(b *testing.B, opts bolt.Options, parallel int) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.View(context.Background(), CheckInvariants); err != nil {
			b.Error(err)
		}
		_ = db.Close()
	})
	f := newFixtureOn(b, kv.Store(db), Options{})
	var n atomic.Uint32
	issue := func() {
		i := n.Add(1)
		req := DeviceRequest{UUID: amt.UUID{1, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, FQDN: fmt.Sprintf("pc%d.example.com", i), PublicKey: modulus(b)}
		if _, err := f.IssueDevice(context.Background(), req); err != nil {
			b.Error(err)
		}
	}
	if parallel == 1 {
		for b.Loop() {
			issue()
		}
		return
	}
	b.SetParallelism(parallel)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			issue()
		}
	})
}

// modulus draws an odd number of 2048 bits without small factors.
func modulus(b *testing.B) *rsa.PublicKey {
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 2046))
		if err != nil {
			b.Fatal(err)
		}
		n.SetBit(n, 2047, 1).SetBit(n, 0, 1)
		k := &rsa.PublicKey{N: n, E: 65537}
		if CheckDeviceKey(k) == nil {
			return k
		}
	}
}

// BenchmarkIssueRatio alternates x509.CreateCertificate with whole issues, both
// transactions on disk and synced, so that both meet the same machine, and
// reports the rate beside it: for one device after the other, and for eight at
// once beside eight raw ones.
func BenchmarkIssueRatio(b *testing.B) {
	b.Run("single", func(b *testing.B) { benchmarkRatio(b, 1) })
	b.Run("eight", func(b *testing.B) { benchmarkRatio(b, 8) })
}

func benchmarkRatio(b *testing.B, parallel int) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	f := newFixtureOn(b, kv.Store(db), Options{})
	template, err := f.devices.sign(b.Context(), f.carrier, benchmarkOrder(b, f, 1))
	if err != nil {
		b.Fatal(err)
	}
	var n uint32
	requests := make(chan DeviceRequest, parallel)
	issue := func() error {
		_, err := f.IssueDevice(context.Background(), <-requests)
		return err
	}
	raw := func() error {
		_, err := x509.CreateCertificate(rand.Reader, template, f.devices.cert, key(0).Public(), f.devices.key)
		return err
	}
	var ours, theirs time.Duration
	for b.Loop() {
		for range parallel {
			n++
			requests <- DeviceRequest{UUID: amt.UUID{1, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}, FQDN: fmt.Sprintf("pc%d.example.com", n), PublicKey: modulus(b)}
		}
		ours += together(b, parallel, issue)
		theirs += together(b, parallel, raw)
	}
	b.ReportMetric(float64(theirs)/float64(ours), "x-raw")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N*parallel), "us/certificate")
}

// together is how long n calls at once take.
func together(b *testing.B, n int, f func() error) time.Duration {
	var work sync.WaitGroup
	began := time.Now()
	for range n {
		work.Go(func() {
			if err := f(); err != nil {
				b.Error(err)
			}
		})
	}
	work.Wait()
	return time.Since(began)
}
