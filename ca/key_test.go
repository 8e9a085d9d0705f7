package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func TestCheckUserKey(t *testing.T) {
	t.Parallel()
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for name, k := range map[string]any{"RSA": key(0).Public(), "P-256": freshEC(t).Public(), "P-384": p384.Public(), "Ed25519": ed} {
		if err := CheckUserKey(k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, k := range map[string]any{
		"nothing": nil, "text": "key", "P-224": p224.Public(), "short Ed25519": ed[:31],
		"nil RSA": (*rsa.PublicKey)(nil), "nil ECDSA": (*ecdsa.PublicKey)(nil), "empty RSA": &rsa.PublicKey{},
	} {
		if err := CheckUserKey(k); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want %v", name, err, ErrKey)
		}
	}
}

// FuzzRequest reads certificate requests of strangers: whatever passes has a
// key that passes alone.
func FuzzRequest(f *testing.F) {
	good := csrOf(f, freshEC(f))
	f.Add(good)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good}))
	f.Add(good[:len(good)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pub, err := publicKeyOf(b)
		if err != nil {
			if !errors.Is(err, ErrRequest) && !errors.Is(err, ErrKey) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if err := CheckUserKey(pub); err != nil {
			t.Error(err)
		}
	})
}

// FuzzName: a name that passes is in its canonical form and passes again.
func FuzzName(f *testing.F) {
	for _, s := range []string{"pc.example.com", "PC", "a_b.c", "1.2.3.4", "-a", "a..b", "xn--bcher-kva.example", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := checkFQDN(s)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Errorf("%q: an error of no kind: %v", s, err)
			}
			return
		}
		again, err := checkFQDN(n)
		if err != nil || again != n || !strings.EqualFold(n, s) || len(n) > MaxCommonName || strings.ContainsAny(n, "\x00\" *{}/") {
			t.Errorf("%q: got %q, then %q, %v", s, n, again, err)
		}
	})
}
