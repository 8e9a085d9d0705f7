package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/seal"
	"github.com/amtscs/amtscs/seal/sealtest"
)

func TestScratch(t *testing.T) {
	t.Parallel()
	s, err := seal.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for i, text := range []string{"first", "", "first", "the PPS of somebody"} {
		b, n := s.Seal(nil, []byte(text))
		if n != uint64(i) || len(b) != len(text)+16 || len(text) > 0 && bytes.Contains(b, []byte(text)) {
			t.Errorf("block %d has number %d and %d bytes", i, n, len(b))
		}
		got, err := s.Open([]byte("before "), b, n)
		if err != nil || string(got) != "before "+text {
			t.Errorf("block %d: got %q, %v", i, got, err)
		}
		blocks = append(blocks, b)
	}
	if bytes.Equal(blocks[0], blocks[2]) {
		t.Error("two blocks of the same text are alike")
	}
	other, err := seal.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(blocks[3])
	altered[4] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"altered":      func() ([]byte, error) { return s.Open(nil, altered, 3) },
		"short":        func() ([]byte, error) { return s.Open(nil, blocks[3][:7], 3) },
		"other place":  func() ([]byte, error) { return s.Open(nil, blocks[2], 0) },
		"other's key":  func() ([]byte, error) { return other.Open(nil, blocks[0], 0) },
		"no such file": func() ([]byte, error) { return s.Open(nil, nil, 9) },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrScratch) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, s); len(text) > 200 || strings.Contains(text, "[") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestSealBytes(t *testing.T) {
	t.Parallel()
	k := sealtest.New(t)
	b, err := k.SealBytes([]byte("secret"), "keys/1/pps")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(b, "keys/1/pps"); err != nil || string(got.Reveal()) != "secret" {
		t.Errorf("got another secret, %v", err)
	}
	if _, err := k.Open(b, "keys/2/pps"); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("elsewhere: got error %v", err)
	}
	if b, err := k.SealBytes(nil, "keys/1/pps"); b != nil || err != nil {
		t.Errorf("of nothing: got %x, %v", b, err)
	}
}
