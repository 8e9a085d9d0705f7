package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestSerialsConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.over(f.store, Options{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{} // guarded by mu
	for n := range 32 {
		wg.Go(func() {
			a := []*Authority{f.Authority, other}[n%2]
			cert, err := a.IssueClient(context.Background(), ClientRequest{User: fmt.Sprintf("user%d", n), CSR: csrOf(t, freshEC(t))})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[cert.SerialNumber.String()] = true
		})
	}
	wg.Wait()
	if len(seen) != 32 {
		t.Errorf("got %d serials for 32 certificates", len(seen))
	}
	list, _, err := listAll(f, Filter{Purpose: Client, State: Good})
	if err != nil || len(list) != 32 {
		t.Errorf("got %d of them in the store, %v", len(list), err)
	}
}

// TestOneKeyTwoDevices lets many devices claim one key at once.
func TestOneKeyTwoDevices(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for n := range errs {
		wg.Go(func() {
			_, errs[n] = f.IssueDevice(context.Background(), DeviceRequest{UUID: uuid(byte(n)), FQDN: "pc.example.com", PublicKey: key(0).Public()})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrKeyInUse) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d devices got a certificate for one key", won)
	}
}

// repeating gives the same bytes n times, then others.
type repeating struct {
	n    int
	rest io.Reader
}

func (r *repeating) Read(b []byte) (int, error) {
	r.n--
	if r.n >= 0 {
		for i := range b {
			b[i] = 0xaa
		}
		return len(b), nil
	}
	return r.rest.Read(b)
}

func TestSerialTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.over(f.store, Options{Rand: &repeating{n: 3, rest: rand.Reader}})
	issue := func(n byte) (*x509.Certificate, error) {
		return a.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(n), FQDN: "pc.example.com", PublicKey: key(int(n)).Public()})
	}
	first, err := issue(0)
	if err != nil || serialOf(t, first).String() != "2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
		t.Fatalf("got %v, %v", first, err)
	}
	second, err := issue(1)
	if err != nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Fatalf("got %v, %v", second, err)
	}
	broken := f.over(f.store, Options{Rand: &repeating{n: 1 << 20}})
	if _, err := broken.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); !errors.Is(err, errTaken) {
		t.Errorf("a source that repeats itself: got %v, want %v", err, errTaken)
	}
	empty := f.over(f.store, Options{Rand: strings.NewReader("short")})
	if _, err := empty.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); err == nil {
		t.Error("a source that ends: no error")
	}
	zeros := f.over(f.store, Options{Rand: zeroReader{}})
	if _, err := zeros.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(2), FQDN: "pc", PublicKey: key(2).Public()}); err == nil {
		t.Error("a source of zeros: no error")
	}
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestConsoleOID(t *testing.T) {
	t.Parallel()
	der, err := asn1.Marshal(ConsoleOID)
	if err != nil {
		t.Fatal(err)
	}
	// 2.16 is 0x60; 840 is 86 48; 113741 is 86 f8 4d.
	if got, want := string(der), "\x06\x0a\x60\x86\x48\x01\x86\xf8\x4d\x01\x02\x01"; got != want {
		t.Errorf("got % x, want % x", got, want)
	}
}
