package profile_test

import (
	"fmt"
	"log"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
)

// A document, and the name that a device gets from it.
func ExampleParse() {
	p, err := profile.Parse("office.yaml", []byte("name: office\nhost_name: {pattern: 'amt-{uuid8}'}\ndomain: corp.example\n"))
	if err != nil {
		log.Fatal(err)
	}
	uuid, err := amt.ParseUUID("d2ffc23e-9dd1-412d-860a-54b2039b72ff")
	if err != nil {
		log.Fatal(err)
	}
	fqdn, err := p.FQDNFor(profile.Facts{UUID: uuid})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Name, p.TLS.Mode, fqdn)

	_, err = profile.Parse("bad.yaml", []byte("name: office\ntls:\n  mode: servr\n"))
	fmt.Println(err)
	// Output:
	// office server amt-d2ffc23e.corp.example
	// bad.yaml:3:9: tls.mode: want one of server, mutual, off
}
