// Package sealtest makes keysets for tests.
//
// It is not for programs: its keysets are kept nowhere.
package sealtest

import (
	"crypto/rand"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/seal"
)

// KEK draws a key-encryption key.
func KEK(t testing.TB) seal.KEK {
	t.Helper()
	b := make([]byte, seal.KEKLen)
	_, _ = rand.Read(b) // never fails
	kek, err := seal.NewKEK(amt.NewSecret(b))
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

// New draws a keyset under a key-encryption key that nobody has.
func New(t testing.TB) *seal.Keyset {
	t.Helper()
	k, _, err := seal.Create(KEK(t))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
