package provisioning_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/seal"
)

// noIssuer stands for the certificate authority.
type noIssuer struct{}

func (noIssuer) IssueDevice(context.Context, provisioning.CertificateRequest) (*x509.Certificate, error) {
	return nil, errors.New("this example issues nothing")
}

func (noIssuer) Bundle() []*x509.Certificate { return nil }

func (noIssuer) Supersede(kv.Tx, amt.UUID, *x509.Certificate, string) (int, error) { return 0, nil }

// An engine over a store of its own: a person names a device before its first
// hello, and whoever follows the events hears of it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bolt.Open(filepath.Join(dir, "scs.db"), bolt.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	kek, err := seal.CreateFileKEK(filepath.Join(dir, "kek"))
	if err != nil {
		log.Fatal(err)
	}
	keyset, err := seal.Init(ctx, db, kek)
	if err != nil {
		log.Fatal(err)
	}
	engine, err := provisioning.New(provisioning.Config{Store: db, Sealer: keyset, Keys: keystore.New(keyset), Issuer: noIssuer{}})
	if err != nil {
		log.Fatal(err)
	}
	// A daemon would now run engine.Run(ctx) beside a hello.Listener whose
	// Handle is engine.Hello.
	uuid, _ := amt.ParseUUID("d2ffc23e-9dd1-412d-860a-54b2039b72ff")
	_, err = engine.Assign(ctx, provisioning.Act{Who: "alice"}, uuid, provisioning.Assignment{FQDN: "pc1.example.com"})
	if err != nil {
		log.Fatal(err)
	}
	events, _, err := engine.Events(ctx, 0, provisioning.EventFilter{}, 10)
	if err != nil {
		log.Fatal(err)
	}
	for _, ev := range events {
		fmt.Println(ev.Sequence, ev.Type, ev.FQDN, ev.Who)
	}
	// Output: 1 DeviceAssigned pc1.example.com alice
}

func ExampleReason() {
	info := provisioning.NameNeeded.Info()
	fmt.Println(info.Hint)
	// Output: Name it with: scsctl device assign UUID --fqdn NAME.
}
