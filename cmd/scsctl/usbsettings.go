package main

import (
	"crypto/sha1" //nolint:gosec // what older firmware knows
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// setupFlags are the settings of records that no server needs to know, as typed.
type setupFlags struct {
	dnsSuffix, hostName, domain string
	hashes                      []string
	power                       string
	dhcp, static, gateway       string
	dns                         []string
	vlan                        uint16
	redirection, kvm, consent   string
	provisioning                string
}

func (s *setupFlags) define(f *pflag.FlagSet) {
	f.StringVar(&s.dnsSuffix, "dns-suffix", "", "DNS suffix for remote configuration (from file version 2)")
	f.StringArrayVar(&s.hashes, "root-hash", nil, "[NAME=]root certificate to trust: a PEM or DER file, or its hash in hex; up to three (SHA-1 from file version 2, SHA-256 from 3)")
	f.StringVar(&s.power, "power-package", "", "in which sleep states AMT works, by name as in a profile, or 32 hex digits (from file version 2.1)")
	f.StringVar(&s.dhcp, "dhcp", "", "on or off (from file version 2.1)")
	f.StringVar(&s.static, "static-ip", "", "fixed address with its length, as 192.0.2.10/24, for a file of one record (from file version 2.1; layout unverified)")
	f.StringVar(&s.gateway, "gateway", "", "with --static-ip: the gateway")
	f.StringArrayVar(&s.dns, "dns", nil, "with --static-ip: a DNS server; up to two")
	f.Uint16Var(&s.vlan, "vlan", 0, "VLAN tag, 1 to 4094 (from file version 2.1; layout unverified)")
	f.StringVar(&s.redirection, "redirection", "", "none, or of sol, ider and password, by commas: what is enabled (from file version 2)")
	f.StringVar(&s.kvm, "kvm", "", "on or off (from file version 3)")
	f.StringVar(&s.consent, "consent", "", "for what a person at the PC must agree: none, kvm or all (from file version 3)")
	f.StringVar(&s.hostName, "host-name", "", "host name, for a file of one record (from file version 2.1)")
	f.StringVar(&s.domain, "domain", "", "DNS domain (from file version 2.1)")
	f.StringVar(&s.provisioning, "provisioning", "", "activate or halt: what the PC does then (from file version 3)")
}

// settings reads what was typed; errors name the flag.
func (s *setupFlags) settings(v setupbin.Version) (setupbin.Settings, error) {
	set := setupbin.Settings{DNSSuffix: s.dnsSuffix, HostName: s.hostName, Domain: s.domain, VLAN: s.vlan}
	var err error
	if s.power != "" {
		if set.PowerPackage, err = amt.ParsePowerPackage(s.power); err != nil {
			return set, usage("--power-package: %v", err)
		}
	}
	if len(s.hashes) > 3 {
		return set, usage("--root-hash: %d are given, at most 3", len(s.hashes))
	}
	for _, h := range s.hashes {
		one, err := rootHash(h, v)
		if err != nil {
			return set, err
		}
		set.Hashes = append(set.Hashes, one)
	}
	if set.Static, err = s.address(); err != nil {
		return set, err
	}
	if set.Static != nil && s.dhcp == "" {
		s.dhcp = "off"
	}
	return set, s.words(&set)
}

// words reads the flags that have words for values.
func (s *setupFlags) words(set *setupbin.Settings) error {
	var err error
	if set.DHCP, err = oneOf("dhcp", s.dhcp, map[string]bool{"on": true, "off": false}, "on or off"); err != nil {
		return err
	}
	if set.KVM, err = oneOf("kvm", s.kvm, map[string]bool{"on": true, "off": false}, "on or off"); err != nil {
		return err
	}
	if set.Consent, err = oneOf("consent", s.consent, map[string]byte{"none": 0, "kvm": 1, "all": 255}, "none, kvm or all"); err != nil {
		return err
	}
	if set.Activate, err = oneOf("provisioning", s.provisioning, map[string]bool{"activate": true, "halt": false}, "activate or halt"); err != nil {
		return err
	}
	if s.redirection == "" {
		return nil
	}
	var bits byte
	for _, word := range strings.Split(s.redirection, ",") {
		bit, err := oneOf("redirection", word, map[string]byte{"none": 0, "sol": 1, "ider": 2, "password": 4}, "none, or of sol, ider and password")
		if err != nil || bit == nil || *bit == 0 && word != s.redirection {
			return usage("--redirection %q: want none, or of sol, ider and password", s.redirection)
		}
		bits |= *bit
	}
	set.Redirection = &bits
	return nil
}

// oneOf gives the value of a word; nil for the empty one.
func oneOf[T any](flag, word string, words map[string]T, want string) (*T, error) {
	if word == "" {
		return nil, nil
	}
	v, ok := words[word]
	if !ok {
		return nil, usage("--%s %q: want %s", flag, word, want)
	}
	return &v, nil
}

func (s *setupFlags) address() (*setupbin.StaticIPv4, error) {
	if s.static == "" {
		if s.gateway != "" || len(s.dns) > 0 {
			return nil, usage("--gateway and --dns need --static-ip")
		}
		return nil, nil
	}
	a := &setupbin.StaticIPv4{}
	var err error
	if a.Address, err = netip.ParsePrefix(s.static); err != nil || !a.Address.Addr().Is4() {
		return nil, usage("--static-ip %q: want an IPv4 address with its length, as 192.0.2.10/24", s.static)
	}
	if s.gateway != "" {
		if a.Gateway, err = netip.ParseAddr(s.gateway); err != nil {
			return nil, usage("--gateway %q: want an IPv4 address", s.gateway)
		}
	}
	for _, d := range s.dns {
		one, err := netip.ParseAddr(d)
		if err != nil {
			return nil, usage("--dns %q: want an IPv4 address", d)
		}
		a.DNS = append(a.DNS, one)
	}
	return a, nil
}

// algorithms are known by the length of their sums.
var algorithms = map[int]byte{20: setupbin.SHA1, 32: setupbin.SHA256, 48: setupbin.SHA384}

// rootHash reads [NAME=]hex or [NAME=]file.
func rootHash(s string, v setupbin.Version) (setupbin.Hash, error) {
	name, value, named := strings.Cut(s, "=")
	if !named {
		name, value = "", s
	}
	if sum, err := hex.DecodeString(strings.ReplaceAll(value, ":", "")); err == nil && algorithms[len(sum)] != 0 {
		return setupbin.Hash{Algorithm: algorithms[len(sum)], Sum: sum, Name: name}, nil
	}
	cert, err := readRoot(value)
	if err != nil {
		return setupbin.Hash{}, err
	}
	if !named {
		name = shortASCII(cert.Subject.CommonName)
	}
	if v < setupbin.V3 {
		sum := sha1.Sum(cert.Raw) //nolint:gosec // all that version 2 has
		return setupbin.Hash{Algorithm: setupbin.SHA1, Sum: sum[:], Name: name}, nil
	}
	sum := sha256.Sum256(cert.Raw)
	return setupbin.Hash{Algorithm: setupbin.SHA256, Sum: sum[:], Name: name}, nil
}

// shortASCII is as much of a name as a record takes.
func shortASCII(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 31)]
}

// readRoot reads one root certificate, PEM or DER.
func readRoot(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage("--root-hash %q: neither a file nor a hash of 40, 64 or 96 hex digits", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--root-hash: %w", err)
	}
	if p, rest := pem.Decode(b); p != nil {
		if more, _ := pem.Decode(rest); p.Type != "CERTIFICATE" || more != nil {
			return nil, usage("--root-hash %q: want one root certificate and nothing else in the file", path)
		}
		b = p.Bytes
	}
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, usage("--root-hash %q: neither a PEM nor a DER certificate", path)
	}
	if string(cert.RawIssuer) != string(cert.RawSubject) || !cert.IsCA {
		return nil, usage("--root-hash %q: %s is no root: firmware compares the hash of the certificate at the end of the chain", path, cert.Subject)
	}
	return cert, nil
}
