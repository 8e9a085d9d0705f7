package seal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
)

const plain = "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ" // Intel's example of a PPS

func TestSealOpen(t *testing.T) {
	t.Parallel()
	k := sealtest.New(t)
	for _, s := range []string{plain, "x", strings.Repeat("long", 5000), "\x00\xff"} {
		sealed, err := k.Seal(amt.NewSecretString(s), "keys/0000037M/pps")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed, []byte(s)) && len(s) > 2 {
			t.Errorf("%.10q is sealed in clear", s)
		}
		if got, want := len(sealed), 5+12+len(s)+16; got != want {
			t.Errorf("%.10q is sealed in %d bytes, want %d", s, got, want)
		}
		opened, err := k.Open(sealed, "keys/0000037M/pps")
		if err != nil || !opened.Equal(amt.NewSecretString(s)) {
			t.Errorf("%.10q opens as another secret, or %v", s, err)
		}
		again, err := k.Seal(amt.NewSecretString(s), "keys/0000037M/pps")
		if err != nil || bytes.Equal(again, sealed) {
			t.Errorf("%.10q is sealed alike twice, or %v", s, err)
		}
	}
}

func TestEmptySecret(t *testing.T) {
	t.Parallel()
	k := sealtest.New(t)
	sealed, err := k.Seal(amt.Secret{}, "id")
	if err != nil || sealed != nil {
		t.Errorf("got %x, %v, want nil", sealed, err)
	}
	for _, empty := range [][]byte{nil, {}} {
		s, err := k.Open(empty, "id")
		if err != nil || !s.IsZero() {
			t.Errorf("Open: got %d bytes, %v", s.Len(), err)
		}
		if _, changed, err := k.Reseal(empty, "id"); changed || err != nil {
			t.Errorf("Reseal: got %v, %v", changed, err)
		}
	}
}

// TestRefused opens what must not open.
func TestRefused(t *testing.T) {
	t.Parallel()
	k := sealtest.New(t)
	sealed, err := k.Seal(amt.NewSecretString(plain), "keys/0000037M/pps")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		b := bytes.Clone(sealed)
		b[i] ^= 1
		return b
	}
	for _, c := range []struct {
		name   string
		keyset *seal.Keyset
		sealed []byte
		id     string
	}{
		{"moved to another record", k, sealed, "keys/0000000C/pps"},
		{"moved to another field", k, sealed, "keys/0000037M/new_password"},
		{"without an identity", k, sealed, ""},
		{"of another keyset", sealtest.New(t), sealed, "keys/0000037M/pps"},
		{"head altered", k, flip(0), "keys/0000037M/pps"},
		{"key id altered", k, flip(3), "keys/0000037M/pps"},
		{"nonce altered", k, flip(8), "keys/0000037M/pps"},
		{"text altered", k, flip(20), "keys/0000037M/pps"},
		{"tag altered", k, flip(len(sealed) - 1), "keys/0000037M/pps"},
		{"cut short", k, sealed[:len(sealed)-1], "keys/0000037M/pps"},
		{"head only", k, sealed[:5], "keys/0000037M/pps"},
		{"one byte", k, sealed[:1], "keys/0000037M/pps"},
		{"lengthened", k, append(bytes.Clone(sealed), 0), "keys/0000037M/pps"},
		{"in clear", k, []byte(plain), "keys/0000037M/pps"},
	} {
		s, err := c.keyset.Open(c.sealed, c.id)
		if !errors.Is(err, seal.ErrSealed) || !s.IsZero() {
			t.Errorf("%s: got %d bytes, error %v", c.name, s.Len(), err)
			continue
		}
		if !strings.HasPrefix(err.Error(), c.id+": ") || leaks(err.Error(), plain) {
			t.Errorf("%s: the error is %q", c.name, err)
		}
		if _, _, err := c.keyset.Reseal(c.sealed, c.id); err == nil && c.name != "of another keyset" {
			// What is under the newest key by its head is not opened.
			if !bytes.Equal(c.sealed[:min(5, len(c.sealed))], sealed[:5]) {
				t.Errorf("%s: Reseal took it", c.name)
			}
		}
	}
}

// leaks reports whether text shows a secret, raw or in hex.
func leaks(text, secret string) bool {
	return strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(secret)))
}

func TestInitLoad(t *testing.T) {
	t.Parallel()
	store, kek := bolttest.New(t), sealtest.KEK(t)
	if _, err := seal.Load(t.Context(), store, kek); !errors.Is(err, seal.ErrNoKeyset) {
		t.Errorf("Load of an empty store: got error %v", err)
	}
	k, err := seal.Init(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Init(t.Context(), store, kek); !errors.Is(err, seal.ErrExists) {
		t.Errorf("a second Init: got error %v", err)
	}
	sealed := mustSeal(t, k, plain)
	loaded, err := seal.Load(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, loaded, sealed, plain)

	other := sealtest.KEK(t)
	_, err = seal.Load(t.Context(), store, other)
	if !errors.Is(err, seal.ErrWrongKEK) || !strings.Contains(err.Error(), kek.ID()) || !strings.Contains(err.Error(), other.ID()) {
		t.Errorf("another key-encryption key: got error %v", err)
	}
	// The same name on another key, and damage.
	for name, change := range map[string]func(w *scsstorev1.WrappedKeyset){
		"a key of the same name": func(w *scsstorev1.WrappedKeyset) { w.KekId = other.ID() },
		"altered keyset":         func(w *scsstorev1.WrappedKeyset) { w.KekId = other.ID(); w.Keyset[len(w.Keyset)/2] ^= 1 },
		"no keyset":              func(w *scsstorev1.WrappedKeyset) { w.KekId = other.ID(); w.Keyset = nil },
	} {
		w := wrapped(t, store)
		change(w)
		b, err := proto.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(other, b); !errors.Is(err, seal.ErrWrapped) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if _, err := seal.Open(kek, []byte("\xff\xff")); !errors.Is(err, seal.ErrWrapped) {
		t.Errorf("no message: got error %v", err)
	}
}

func wrapped(t testing.TB, store kv.Store) *scsstorev1.WrappedKeyset {
	t.Helper()
	w := &scsstorev1.WrappedKeyset{}
	err := store.View(t.Context(), func(r kv.Reader) error {
		b, err := r.Get("seal", []byte("keyset"))
		if err != nil {
			return err
		}
		return proto.Unmarshal(b, w)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustSeal(t testing.TB, k *seal.Keyset, s string) []byte {
	t.Helper()
	sealed, err := k.Seal(amt.NewSecretString(s), "id")
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantOpen(t testing.TB, k *seal.Keyset, sealed []byte, want string) {
	t.Helper()
	s, err := k.Open(sealed, "id")
	if err != nil || !s.Equal(amt.NewSecretString(want)) {
		t.Errorf("it opens as %d bytes, %v", s.Len(), err)
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	store, kek := bolttest.New(t), sealtest.KEK(t)
	k, err := seal.Init(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	created := wrapped(t, store).GetCreatedAt()
	var sealed [][]byte
	for range 4 {
		sealed = append(sealed, mustSeal(t, k, plain))
		if err := k.Rotate(t.Context(), store, kek); err != nil {
			t.Fatal(err)
		}
	}
	sealed = append(sealed, mustSeal(t, k, plain))
	loaded, err := seal.Load(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	heads := map[string]bool{}
	for i, b := range sealed {
		wantOpen(t, k, b, plain)
		wantOpen(t, loaded, b, plain)
		heads[string(b[:5])] = true
		again, changed, err := loaded.Reseal(b, "id")
		if last := i == len(sealed)-1; err != nil || changed == last {
			t.Errorf("Reseal of %d: changed %v, %v", i, changed, err)
		}
		wantOpen(t, k, again, plain)
		if _, changed, err := k.Reseal(again, "id"); changed || err != nil {
			t.Errorf("a second Reseal of %d: changed %v, %v", i, changed, err)
		}
	}
	if len(heads) != len(sealed) {
		t.Errorf("%d keys sealed, want %d", len(heads), len(sealed))
	}
	w := wrapped(t, store)
	if w.GetGeneration() != 5 || !proto.Equal(w.GetCreatedAt(), created) || w.GetChangedAt().AsTime().Before(created.AsTime()) {
		t.Errorf("stored: generation %d, created %v, changed %v", w.GetGeneration(), w.GetCreatedAt(), w.GetChangedAt())
	}
}

// TestRotateRefused: nothing changes, in the store or in memory, when the key is
// wrong or somebody else was faster.
func TestRotateRefused(t *testing.T) {
	t.Parallel()
	store, kek := bolttest.New(t), sealtest.KEK(t)
	k, err := seal.Init(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := seal.Load(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	before := mustSeal(t, k, plain)[:5]
	if err := k.Rotate(t.Context(), store, sealtest.KEK(t)); !errors.Is(err, seal.ErrWrongKEK) {
		t.Errorf("with another key-encryption key: got error %v", err)
	}
	if err := k.Rotate(t.Context(), bolttest.New(t), kek); !errors.Is(err, seal.ErrNoKeyset) {
		t.Errorf("in another store: got error %v", err)
	}
	if got := mustSeal(t, k, plain)[:5]; !bytes.Equal(got, before) {
		t.Error("a refused rotation changed the keyset")
	}
	if err := k.Rotate(t.Context(), store, kek); err != nil {
		t.Fatal(err)
	}
	if err := slow.Rotate(t.Context(), store, kek); !errors.Is(err, seal.ErrChanged) {
		t.Errorf("by one who did not see the last: got error %v", err)
	}
	if _, err := seal.Load(t.Context(), store, kek); err != nil {
		t.Error(err)
	}
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	store, old, next := bolttest.New(t), sealtest.KEK(t), sealtest.KEK(t)
	k, err := seal.Init(t.Context(), store, old)
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, k, plain)
	if err := k.Rewrap(t.Context(), store, next, old); !errors.Is(err, seal.ErrWrongKEK) {
		t.Errorf("the wrong way round: got error %v", err)
	}
	if err := k.Rewrap(t.Context(), store, old, next); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Load(t.Context(), store, old); !errors.Is(err, seal.ErrWrongKEK) {
		t.Errorf("with the old key: got error %v", err)
	}
	loaded, err := seal.Load(t.Context(), store, next)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, loaded, sealed, plain)
	if err := k.Rotate(t.Context(), store, next); err != nil {
		t.Error(err)
	}
}

// TestConcurrent rotates while others seal and open.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	store, kek := bolttest.New(t), sealtest.KEK(t)
	k, err := seal.Init(t.Context(), store, kek)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				wantOpen(t, k, mustSeal(t, k, plain), plain)
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := k.Rotate(t.Context(), store, kek); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// TestPrintsNothing prints keysets and key-encryption keys in every way.
func TestPrintsNothing(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("K", seal.KEKLen)
	kek, err := seal.NewKEK(amt.NewSecretString(key))
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := seal.Create(kek)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{kek, k, struct{ K any }{kek}, []any{kek, k}, map[string]any{"k": kek}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			got := fmt.Sprintf(verb, v)
			if leaks(got, key) || strings.Contains(got, "75 75 75") || strings.Contains(got, "0x4b, 0x4b") {
				t.Errorf("%s of %T shows the key: %s", verb, v, got)
			}
		}
	}
	if got := fmt.Sprint(k); got != "keyset of 1 keys" {
		t.Errorf("got %q", got)
	}
	for n := range 40 {
		if _, err := seal.NewKEK(amt.NewSecretString(strings.Repeat("K", n))); (err == nil) != (n == seal.KEKLen) {
			t.Errorf("a key of %d bytes: got error %v", n, err)
		}
	}
}

// FuzzOpen: no bytes but a sealed value open, and none panic; so with a wrapped
// keyset.
func FuzzOpen(f *testing.F) {
	kek := sealtest.KEK(f)
	k, wrapped, err := seal.Create(kek)
	if err != nil {
		f.Fatal(err)
	}
	sealed := mustSeal(f, k, plain)
	for _, b := range [][]byte{sealed, sealed[:5], {}, []byte(plain), wrapped, wrapped[:20]} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := k.Open(b, "id"); err == nil && len(b) > 0 && !bytes.Equal(b, sealed) {
			t.Errorf("%x opens as %d bytes", b, s.Len())
		}
		if again, err := seal.Open(kek, b); err == nil {
			wantOpen(t, again, sealed, plain)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := sealtest.New(b)
	s := amt.NewSecretString(plain)
	for b.Loop() {
		if _, err := k.Seal(s, "keys/0000037M/pps"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := sealtest.New(b)
	sealed := mustSeal(b, k, plain)
	for b.Loop() {
		if _, err := k.Open(sealed, "id"); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleKeyset() {
	kek, err := seal.NewKEK(amt.NewSecretString("0123456789abcdef0123456789abcdef"))
	if err != nil {
		fmt.Println(err)
		return
	}
	k, wrapped, err := seal.Create(kek) // keep wrapped; seal.Init does it in a store
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := k.Seal(amt.NewSecretString("P@ssw0rd"), "devices/42/admin_password")
	if err != nil {
		fmt.Println(err)
		return
	}
	later, err := seal.Open(kek, wrapped)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := later.Open(sealed, "devices/42/admin_password")
	fmt.Println(s, s.Len(), err)
	_, err = later.Open(sealed, "devices/43/admin_password")
	fmt.Println(errors.Is(err, seal.ErrSealed))
	// Output:
	// (secret) 8 <nil>
	// true
}
