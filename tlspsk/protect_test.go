package tlspsk

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestConstantTimeSum holds the standard library to what this package builds on:
// sha1's digest has a ConstantTimeSum, and it gives what Sum gives.
func TestConstantTimeSum(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		h, ok := sha1.New().(constantTimeHash)
		if !ok {
			t.Fatal("sha1's digest has no ConstantTimeSum: the CBC suites are open to Lucky 13")
		}
		h.Write(bytes.Repeat([]byte{'x'}, n))
		if got, want := h.ConstantTimeSum([]byte("p")), h.Sum([]byte("p")); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %x, want %x", n, got, want)
		}
	}
}

// TestSteadyHMAC compares the HMAC over steadySHA1 with the ordinary one.
func TestSteadyHMAC(t *testing.T) {
	t.Parallel()
	key := []byte("twenty bytes of key.")
	for n := range 200 {
		a, b := hmac.New(newSteadySHA1, key), hmac.New(sha1.New, key)
		data := bytes.Repeat([]byte{'y'}, n)
		a.Write(data)
		b.Write(data)
		if got, want := a.Sum(nil), b.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %x, want %x", n, got, want)
		}
	}
}

// bothEnds are two protections with the same keys.
func bothEnds(t testing.TB, version uint16, s *suite) (seal, open *protection) {
	t.Helper()
	mac, key, iv := make([]byte, macLen), make([]byte, s.keyLen), make([]byte, s.ivLen)
	for i := range key {
		key[i] = byte(i)
	}
	var err error
	if seal, err = newProtection(version, s, mac, key, iv, true); err != nil {
		t.Fatal(err)
	}
	if open, err = newProtection(version, s, mac, key, iv, false); err != nil {
		t.Fatal(err)
	}
	return seal, open
}

// everyProtection runs f for each version and suite.
func everyProtection(t *testing.T, f func(t *testing.T, version uint16, s *suite)) {
	t.Helper()
	for _, v := range versions {
		for i := range suites {
			t.Run(fmt.Sprintf("%s/%s", VersionName(v), suites[i].name), func(t *testing.T) {
				t.Parallel()
				f(t, v, &suites[i])
			})
		}
	}
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	everyProtection(t, func(t *testing.T, version uint16, s *suite) {
		seal, open := bothEnds(t, version, s)
		for n := range 600 {
			payload := bytes.Repeat([]byte{byte(n)}, n)
			sealed, err := seal.seal([]byte("head"), recordApplication, payload, steady(byte(n)))
			if err != nil {
				t.Fatal(err)
			}
			if len(sealed) > len(payload)+4+sealOverhead-headerLen {
				t.Fatalf("%d bytes grow to %d", n, len(sealed)-4)
			}
			got, err := open.open(recordApplication, sealed[4:])
			if err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
	})
}

// TestOpenFlip changes each bit of a record, its type and its number: nothing but
// ErrRecord may come of it.
func TestOpenFlip(t *testing.T) {
	t.Parallel()
	everyProtection(t, func(t *testing.T, version uint16, s *suite) {
		seal, _ := bothEnds(t, version, s)
		sealed, err := seal.seal(nil, recordApplication, []byte("forty-two bytes that no one may change ...."), steady(1))
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, typ uint8, seq uint64, body []byte) {
			_, open := bothEnds(t, version, s)
			open.seq = seq
			if _, err := open.open(typ, slices.Clone(body)); !errors.Is(err, ErrRecord) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		for i := range sealed { // from TLS 1.1 on the first block is the explicit IV
			for bit := range 8 {
				body := slices.Clone(sealed)
				body[i] ^= 1 << bit
				try(fmt.Sprintf("byte %d, bit %d", i, bit), recordApplication, 0, body)
			}
		}
		try("another type", recordHandshake, 0, sealed)
		try("another number", recordApplication, 1, sealed)
		for n := range sealed {
			try(fmt.Sprintf("cut to %d", n), recordApplication, 0, sealed[:n])
		}
		try("longer", recordApplication, 0, append(slices.Clone(sealed), make([]byte, 16)...))
	})
}

// craft seals a CBC record by hand: payload, MAC and any padding.
func craft(t testing.TB, s *suite, payload, pad []byte, breakMAC bool) []byte {
	t.Helper()
	key := make([]byte, s.keyLen)
	for i := range key {
		key[i] = byte(i)
	}
	head := make([]byte, 13)
	head[8] = recordApplication
	binary.BigEndian.PutUint16(head[9:], tls.VersionTLS10)
	binary.BigEndian.PutUint16(head[11:], uint16(len(payload)))
	mac := hmac.New(sha1.New, make([]byte, macLen))
	mac.Write(head)
	mac.Write(payload)
	body := mac.Sum(slices.Clone(payload))
	if breakMAC {
		body[len(payload)+7] ^= 1
	}
	body = append(body, pad...)
	if len(body)%aes.BlockSize != 0 {
		t.Fatalf("a body of %d bytes", len(body))
	}
	block, err := s.newBlock(key)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(body, body)
	return body
}

// pads gives n bytes of padding whose length byte says so.
func pads(n int) []byte { return bytes.Repeat([]byte{byte(n - 1)}, n) }

func TestPadding(t *testing.T) {
	t.Parallel()
	s := suiteByID(SuiteAES128)
	wrong := func(n, at int) []byte {
		p := pads(n)
		p[at] ^= 0x55
		return p
	}
	for _, c := range []struct {
		name     string
		payload  int
		pad      []byte
		breakMAC bool
		ok       bool
	}{
		{"least", 11, pads(1), false, true},
		{"most", 300, pads(256), false, true},
		{"a block too many", 12, pads(32), false, true},
		{"empty payload", 0, pads(12), false, true},
		{"first byte wrong", 12, wrong(32, 0), false, false},
		{"middle byte wrong", 12, wrong(32, 16), false, false},
		{"one before the last wrong", 12, wrong(32, 30), false, false},
		{"first of the most wrong", 300, wrong(256, 0), false, false},
		{"reaches into the MAC", 0, []byte("............")[:12:12], false, false},
		{"longer than the record", 11, []byte{255}, false, false},
		{"just into the MAC", 0, bytes.Repeat([]byte{12}, 12), false, false},
		{"wrong MAC, right padding", 12, pads(32), true, false},
		{"wrong MAC, wrong padding", 12, wrong(32, 3), true, false},
	} {
		_, open := bothEnds(t, tls.VersionTLS10, s)
		payload := bytes.Repeat([]byte{'d'}, c.payload)
		got, err := open.open(recordApplication, craft(t, s, payload, c.pad, c.breakMAC))
		switch {
		case c.ok && (err != nil || !bytes.Equal(got, payload)):
			t.Errorf("%s: got %d bytes, %v", c.name, len(got), err)
		case !c.ok && err != ErrRecord:
			t.Errorf("%s: got %v, want ErrRecord itself", c.name, err)
		}
	}
}

// TestPaddingTable compares padding with a plain reading of the rule.
func TestPaddingTable(t *testing.T) {
	t.Parallel()
	for size := macLen + 1; size < 320; size++ {
		for _, length := range []int{0, 1, 7, 15, 16, size - macLen - 2, size - macLen - 1, size - macLen, size - 1, 255} {
			if length < 0 || length > 255 {
				continue
			}
			for _, spoil := range []int{-1, 0, 1, length, length + 1} {
				body := make([]byte, size)
				for i := range min(length+1, size) {
					body[size-1-i] = byte(length)
				}
				if spoil > 0 && spoil < size {
					body[size-1-spoil] ^= 0xFF
				}
				want := length+1+macLen <= size && (spoil <= 0 || spoil > length || spoil >= size)
				trailer, good := padding(body)
				if (good == 1) != want || good == 1 && trailer != length+1 || good == 0 && trailer != 1 {
					t.Fatalf("size %d, length byte %d, spoilt %d: trailer %d, good %d", size, length, spoil, trailer, good)
				}
			}
		}
	}
}

func TestSequenceEnds(t *testing.T) {
	t.Parallel()
	seal, open := bothEnds(t, tls.VersionTLS12, suiteByID(SuiteAES128))
	seal.seq, open.seq = math.MaxUint64, math.MaxUint64
	if _, err := seal.seal(nil, recordApplication, nil, steady(0)); !errors.Is(err, errSequence) {
		t.Errorf("seal: got %v", err)
	}
	if _, err := open.open(recordApplication, make([]byte, 64)); !errors.Is(err, errSequence) {
		t.Errorf("open: got %v", err)
	}
}

// TestExplicitIVs checks that from TLS 1.1 on the same payload never looks the
// same, and that a failing source of randomness sends nothing.
func TestExplicitIVs(t *testing.T) {
	t.Parallel()
	for _, v := range versions[1:] {
		seal, _ := bothEnds(t, v, suiteByID(SuiteAES128))
		random := steady(9)
		seen := map[string]bool{}
		for range 100 {
			sealed, err := seal.seal(nil, recordApplication, []byte("same"), random)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(sealed); i += aes.BlockSize {
				if block := string(sealed[i : i+aes.BlockSize]); seen[block] {
					t.Fatalf("%s: a block comes twice", VersionName(v))
				} else {
					seen[block] = true
				}
			}
		}
		if _, err := seal.seal(nil, recordApplication, []byte("x"), strings.NewReader("short")); err == nil {
			t.Errorf("%s: sealed without randomness", VersionName(v))
		}
	}
}
