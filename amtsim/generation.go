package amtsim

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// Generation is what one release of firmware can do: a row of the table that the
// exported variables hold. A device reads it and never changes it, so one value
// serves all.
type Generation struct {
	// Name is how a command line calls the row: "9.0".
	Name string
	// Version and Build appear in CIM_SoftwareIdentity and in the Server header.
	Version amt.Version
	Build   int
	// MinTLS and MaxTLS bound TLS-PSK in set-up and certificate TLS afterwards.
	// That 9.0 and 10.0 speak 1.1 in set-up is unverified.
	MinTLS, MaxTLS uint16
	// WSMan is false for firmware that answers 404 on /wsman (AMT 2.x spoke only
	// the older SOAP interface; the 404 is unverified).
	WSMan bool
	// GenerateKeyPair says that the device can make its own key (6.2 and later).
	GenerateKeyPair bool
	// KVM says that CIM_KVMRedirectionSAP and IPS_OptInService exist (6.0).
	KVM bool
	// NewestFile is the latest setup.bin version that is read.
	NewestFile setupbin.Version
	// SHA256 is false where certificates signed with SHA-256 are unverified; see
	// Options.RefuseSHA256.
	SHA256 bool
	// Chain is true where intermediates are stored and presented (11.8).
	Chain bool
	// ClearPort is true where port 16992 exists.
	ClearPort bool
	// SystemUsers are the accounts of the firmware itself, whose handles come
	// first. Which release brought which is unverified.
	SystemUsers []string
}

// The generations, by their names. Sources: the class pages' "compatible with"
// lists for the calls; kernel and Intel notes for TLS; see Generation for what is
// unverified.
var (
	AMT22 = &Generation{
		Name: "2.2", Version: amt.Version{Major: 2, Minor: 2, Micro: 20}, Build: 1000,
		MinTLS: tls.VersionTLS10, MaxTLS: tls.VersionTLS10, NewestFile: setupbin.V1, ClearPort: true,
	}
	AMT32 = &Generation{
		Name: "3.2", Version: amt.Version{Major: 3, Minor: 2, Micro: 3}, Build: 1032, WSMan: true,
		MinTLS: tls.VersionTLS10, MaxTLS: tls.VersionTLS10, NewestFile: setupbin.V2, ClearPort: true,
		SystemUsers: []string{"$$uns"},
	}
	AMT62 = &Generation{
		Name: "6.2", Version: amt.Version{Major: 6, Minor: 2, Micro: 50}, Build: 1062, WSMan: true,
		MinTLS: tls.VersionTLS10, MaxTLS: tls.VersionTLS10, NewestFile: setupbin.V3, ClearPort: true,
		GenerateKeyPair: true, KVM: true, SHA256: true, SystemUsers: []string{"$$uns", "$$OsAdmin"},
	}
	AMT90 = &Generation{
		Name: "9.0", Version: amt.Version{Major: 9, Minor: 0, Micro: 31}, Build: 1487, WSMan: true,
		MinTLS: tls.VersionTLS10, MaxTLS: tls.VersionTLS11, NewestFile: setupbin.V4, ClearPort: true,
		GenerateKeyPair: true, KVM: true, SHA256: true, SystemUsers: []string{"$$uns", "$$OsAdmin"},
	}
	AMT100 = &Generation{
		Name: "10.0", Version: amt.Version{Major: 10, Minor: 0, Micro: 55}, Build: 3000, WSMan: true,
		MinTLS: tls.VersionTLS10, MaxTLS: tls.VersionTLS11, NewestFile: setupbin.V4, ClearPort: true,
		GenerateKeyPair: true, KVM: true, SHA256: true, SystemUsers: []string{"$$uns", "$$OsAdmin"},
	}
)

// Generations lists every row of the table, the oldest first.
func Generations() []*Generation { return []*Generation{AMT22, AMT32, AMT62, AMT90, AMT100} }

// String is the name.
func (g *Generation) String() string { return g.Name }

// ParseGeneration finds a row by its name, "9.0"; "2.x" and "2" name AMT22.
func ParseGeneration(s string) (*Generation, error) {
	if s == "2.x" || s == "2" {
		return AMT22, nil
	}
	names := make([]string, 0, len(Generations()))
	for _, g := range Generations() {
		if g.Name == s {
			return g, nil
		}
		names = append(names, g.Name)
	}
	return nil, fmt.Errorf("AMT %q: no such firmware: want one of %s", s, strings.Join(names, ", "))
}

// ParseGenerations reads a comma-separated list of names.
func ParseGenerations(s string) ([]*Generation, error) {
	var list []*Generation
	for name := range strings.SplitSeq(s, ",") {
		g, err := ParseGeneration(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// server is the value of the HTTP Server header.
func (g *Generation) server() string {
	return fmt.Sprintf("Intel(R) Active Management Technology %v.%d", g.Version, g.Build)
}

// files lists the setup.bin versions that the firmware reads.
func (g *Generation) files() []setupbin.Version {
	var list []setupbin.Version
	for _, v := range setupbin.Versions() {
		if v <= g.NewestFile {
			list = append(list, v)
		}
	}
	return list
}
