package ca

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"path/filepath"
	"sync/atomic"
	"testing"

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
