package tlspsk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// fipsChild marks a run of this test program that is only to try the package in
// FIPS 140-only mode.
const fipsChild = "TLSPSK_TEST_FIPS_CHILD"

// fipsMain is the whole program of such a run: 0 if both Usable and a handshake
// refuse with ErrFIPSOnly.
func fipsMain() int {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	config := &Config{Identity: []byte("0000037M")}
	err := Client(a, config).Handshake()
	fmt.Println(Usable())
	if !errors.Is(Usable(), ErrFIPSOnly) || !errors.Is(err, ErrFIPSOnly) {
		fmt.Println("handshake:", err)
		return 1
	}
	return 0
}

func TestUsable(t *testing.T) {
	t.Parallel()
	if err := Usable(); err != nil {
		t.Fatalf("in an ordinary process: %v", err)
	}
}

// TestUsableFIPSOnly runs this program again with FIPS 140-only mode on.
func TestUsableFIPSOnly(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", fipsChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "fips140=only") {
		t.Errorf("the sentence does not name the setting: %s", out)
	}
}
