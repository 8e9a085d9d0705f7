package amt

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
)

func TestSerial(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"7fffffffffffffffffffffffffffffff", "7fffffffffffffffffffffffffffffff"},
		{"01", "00000000000000000000000000000001"},
		{"1", "00000000000000000000000000000001"},
		{" 0A:Bc:3d ", "000000000000000000000000000abc3d"},
		{"7F:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FF:FE", "7ffffffffffffffffffffffffffffffe"},
	} {
		s, err := ParseSerial(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if s.String() != c.want {
			t.Errorf("%q: got %v, want %s", c.text, s, c.want)
		}
		back, err := SerialOf(s.Big())
		if err != nil || back != s || s.IsZero() {
			t.Errorf("%q: %v by way of a number is %v, %v", c.text, s, back, err)
		}
	}
}

func TestSerialRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", ":", "0", "00", "xyz", "-1", "0x01",
		"80000000000000000000000000000000",   // negative as a signed number
		"007fffffffffffffffffffffffffffffff", // 17 bytes
		strings.Repeat("f", 64),
	} {
		if s, err := ParseSerial(text); !errors.Is(err, ErrSerial) {
			t.Errorf("%q: got %v, %v, want %v", text, s, err, ErrSerial)
		}
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 159)
	for _, n := range []*big.Int{nil, big.NewInt(0), big.NewInt(-5), huge} {
		if s, err := SerialOf(n); !errors.Is(err, ErrSerial) {
			t.Errorf("%v: got %v, %v, want %v", n, s, err, ErrSerial)
		}
	}
	if !(Serial{}).IsZero() {
		t.Error("the zero serial is not zero")
	}
}

func FuzzParseSerial(f *testing.F) {
	for _, s := range []string{"01", "7f:ff", "80000000000000000000000000000000", "", "g"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSerial(text)
		if err != nil {
			return
		}
		again, err := ParseSerial(s.String())
		if err != nil || again != s {
			t.Errorf("%q: %v parses to %v, %v", text, s, again, err)
		}
		if s.IsZero() || s[0] > 0x7f || !bytes.Equal(s.Big().FillBytes(make([]byte, SerialLen)), s[:]) {
			t.Errorf("%q: %v is not positive", text, s)
		}
	})
}
