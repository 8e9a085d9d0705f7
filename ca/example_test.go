package ca_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ca-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := bolt.Open(filepath.Join(dir, "scs.db"), bolt.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	kek, err := seal.CreateFileKEK(filepath.Join(dir, "kek")) // in earnest: elsewhere
	if err != nil {
		log.Fatal(err)
	}
	keyset, err := seal.Init(ctx, store, kek)
	if err != nil {
		log.Fatal(err)
	}
	authority, err := ca.Init(ctx, store, keyset, ca.Options{})
	if err != nil {
		log.Fatal(err)
	}

	key, err := rsa.GenerateKey(rand.Reader, 2048) // in earnest: the device's own
	if err != nil {
		log.Fatal(err)
	}
	cert, err := authority.IssueDevice(ctx, ca.DeviceRequest{
		UUID:      amt.UUID{0x4c, 0x4c, 0x45, 0x44},
		FQDN:      "pc-17.example.com",
		PublicKey: key.Public(),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cert.Subject, cert.DNSNames, len(authority.Bundle()))
	// Output: CN=pc-17.example.com [pc-17.example.com] 2
}
