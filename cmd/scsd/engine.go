package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/tlspsk"
	"github.com/amtscs/amtscs/wsman"
)

// issuer is the authority as the engine knows one.
type issuer struct{ ca *ca.Authority }

// IssueDevice implements provisioning.Issuer.
func (i issuer) IssueDevice(ctx context.Context, req provisioning.CertificateRequest) (*x509.Certificate, error) {
	cert, err := i.ca.IssueDevice(ctx, ca.DeviceRequest{UUID: req.UUID, FQDN: req.FQDN, PublicKey: req.PublicKey, Lifetime: req.Lifetime})
	for _, final := range []error{
		ca.ErrRequest, ca.ErrName, ca.ErrNameReserved, ca.ErrKey, ca.ErrKeyInUse, ca.ErrKeyCompromised, ca.ErrLifetime, ca.ErrIssuer,
	} {
		if errors.Is(err, final) {
			return nil, fmt.Errorf("%w: %w", provisioning.ErrNotIssued, err)
		}
	}
	return cert, err
}

// Bundle implements provisioning.Issuer.
func (i issuer) Bundle() []*x509.Certificate { return i.ca.Bundle() }

// Supersede implements provisioning.Issuer.
func (i issuer) Supersede(tx kv.Tx, uuid amt.UUID, keep *x509.Certificate, why string) (int, error) {
	return i.ca.Supersede(tx, uuid, keep, ca.Revocation{Who: "scsd", Why: why})
}

var pskVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12}

var pskSuites = map[string]uint16{
	"aes128": tlspsk.SuiteAES128, "aes256": tlspsk.SuiteAES256, "3des": tlspsk.Suite3DES, "rc4": tlspsk.SuiteRC4,
}

// psk is the configuration of set-up's TLS.
func (s *settings) psk() (tlspsk.Config, error) {
	var c tlspsk.Config
	for _, v := range s.pskVersions {
		n, ok := pskVersions[v]
		if !ok {
			return c, usage("--psk-versions %q: want 1.0, 1.1 or 1.2", v)
		}
		if c.MinVersion == 0 || n < c.MinVersion {
			c.MinVersion = n
		}
		c.MaxVersion = max(c.MaxVersion, n)
	}
	for _, v := range s.pskSuites {
		n, ok := pskSuites[v]
		if !ok {
			return c, usage("--psk-suites %q: want aes128, aes256, 3des or rc4", v)
		}
		c.CipherSuites = append(c.CipherSuites, n)
	}
	if c.MaxVersion == 0 || len(c.CipherSuites) == 0 {
		return c, usage("--psk-versions and --psk-suites want at least one value each")
	}
	return c, nil
}

// engine is the engine's configuration.
func (s *settings) engine(p *parts, observe provisioning.Observer, console *identity) (provisioning.Config, error) {
	psk, err := s.psk()
	if err != nil {
		return provisioning.Config{}, err
	}
	c := provisioning.Config{
		Store: p.db, Sealer: p.seal, Keys: p.keys, Issuer: issuer{p.ca}, Log: p.log, Observe: observe,
		DevicePort: s.devicePort, DialAllow: s.allow, AllowLoopback: slices.ContainsFunc(s.allow, loopback),
		ClientCertificate: console.certificate, PSK: psk, StepHook: stepHook(),
		Limits: provisioning.Limits{HelloQueue: s.helloQueue, AttemptWorkers: s.attemptWorkers, Workers: s.workers, Events: s.events},
		Timing: provisioning.Timing{EventLife: s.eventLife, Stop: s.stopTimeout},
	}
	if s.pairForm == "dashed" {
		c.PairForm = tlspsk.Dashed
	}
	if s.pskForm == "plain" {
		c.PSKForm = wsman.PSKPlain
	}
	return c, nil
}

// loopback reports whether a network that is allowed lies in this machine: then
// such addresses are dialled, which they are not by default.
func loopback(p netip.Prefix) bool { return p.Addr().IsLoopback() }

func level(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // checked before
	return l
}
