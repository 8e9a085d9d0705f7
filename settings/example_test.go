package settings_test

import (
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/settings"
)

// The parts of a profile come in the order in which they are applied; each is a
// Compare or an Apply on a client of the device.
func ExampleFor() {
	p := &profile.Profile{TLS: profile.TLS{Mode: profile.ServerTLS}, Features: profile.Features{SOL: true}}
	d := settings.Device{FQDN: "pc1.example.com", Version: amt.Version{Major: 9}}
	for _, s := range settings.For(p, d) {
		fmt.Println(s.Name())
	}
	// Output:
	// general
	// redirection
	// kvm
	// consent
	// tls
	// users
	// ethernet
}
