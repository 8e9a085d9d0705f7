package ca

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// ConsoleOID is the extended key usage by which AMT knows a console's client
// certificate in mutual TLS (Intel AMT SDK: 2.16.840.1.113741.1.2.1 for remote
// access).
var ConsoleOID = asn1.ObjectIdentifier{2, 16, 840, 1, 113741, 1, 2, 1}

// DeviceRequest asks for a device's TLS server certificate.
type DeviceRequest struct {
	UUID amt.UUID
	// FQDN becomes the common name and the only DNS name, in lower case; at most
	// MaxCommonName characters.
	FQDN      string
	PublicKey crypto.PublicKey
	Lifetime  time.Duration // 0 means DeviceLifetime
}

// ServerRequest asks for the certificate of the API's listener.
type ServerRequest struct {
	Names     []string // DNS names and IP addresses; the first is the common name
	PublicKey crypto.PublicKey
	Lifetime  time.Duration // 0 means UserLifetime
}

// ClientRequest asks for the client certificate of a user of the API.
type ClientRequest struct {
	User string // becomes the common name; package access says which names there are
	// CSR is a PKCS#10 request, DER or PEM. Its signature is checked and its
	// public key taken; its names and extensions are not looked at.
	CSR      []byte
	Lifetime time.Duration // 0 means UserLifetime
}

// ConsoleRequest asks for this server's own client certificate towards devices
// with mutual TLS.
type ConsoleRequest struct {
	// Name is the FQDN that the devices' TrustedCN entries match.
	Name      string
	PublicKey crypto.PublicKey
	Lifetime  time.Duration // 0 means DeviceLifetime
}

// order is a checked request on its way to a certificate.
type order struct {
	purpose    Purpose
	issuer     Issuer
	holder     string
	commonName string
	dnsNames   []string
	ips        []netip.Addr
	publicKey  crypto.PublicKey
	spki       []byte // publicKey in DER
	lifetime   time.Duration
	keyUsage   x509.KeyUsage
	usages     []x509.ExtKeyUsage
	usageOIDs  []asn1.ObjectIdentifier

	// Set by begin.
	serial    amt.Serial
	begunAt   time.Time
	notBefore time.Time
	notAfter  time.Time
	renewAt   time.Time
}

// IssueDevice issues a device's certificate, or returns the one that exists for
// the same UUID, public key, FQDN and lifetime while it is good, not replaced
// and not yet due for renewal: a caller that crashed before it made use of the
// answer asks again and gets the same one. Two such calls at the same moment
// may get two certificates.
//
// Errors: ErrRequest, ErrName, ErrNameReserved, ErrKey, ErrKeyInUse,
// ErrKeyCompromised, ErrLifetime, ErrIssuer, ErrMismatch, and those of the store.
func (a *Authority) IssueDevice(ctx context.Context, req DeviceRequest) (*x509.Certificate, error) {
	o, err := a.deviceOrder(req)
	if err != nil {
		return nil, fmt.Errorf("certificate of device %v: %w", req.UUID, err)
	}
	return a.issue(ctx, o)
}

func (a *Authority) deviceOrder(req DeviceRequest) (*order, error) {
	if !req.UUID.Present() {
		return nil, fmt.Errorf("%w: the device has no UUID", ErrRequest)
	}
	fqdn, err := checkFQDN(req.FQDN)
	if err != nil {
		return nil, err
	}
	if domains := a.devices.cert.PermittedDNSDomains; !within(fqdn, domains) {
		return nil, fmt.Errorf("%w: %q is outside of the domains of this authority, %q", ErrName, fqdn, domains)
	}
	if err := CheckDeviceKey(req.PublicKey); err != nil {
		return nil, err
	}
	o := &order{
		purpose: Device, issuer: Devices, holder: req.UUID.String(), commonName: fqdn, dnsNames: []string{fqdn},
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return o, o.complete(req.PublicKey, req.Lifetime, DeviceLifetime)
}

// IssueServer issues the certificate of the API's listener, under the API
// intermediate, so that a client that trusts only this one takes no device for
// the server. It repeats an answer as IssueDevice does.
func (a *Authority) IssueServer(ctx context.Context, req ServerRequest) (*x509.Certificate, error) {
	o, err := serverOrder(req)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return a.issue(ctx, o)
}

func serverOrder(req ServerRequest) (*order, error) {
	dns, ips, err := splitNames(req.Names)
	if err != nil {
		return nil, err
	}
	first := ""
	if len(dns) > 0 {
		first = dns[0]
	} else {
		first = ips[0].String()
	}
	if len(first) > MaxCommonName {
		return nil, fmt.Errorf("%w: %q is too long for a common name: name a shorter one first", ErrName, first)
	}
	if err := CheckUserKey(req.PublicKey); err != nil {
		return nil, err
	}
	o := &order{
		purpose: Server, issuer: API, holder: first, commonName: first, dnsNames: dns, ips: ips,
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return o, o.complete(req.PublicKey, req.Lifetime, UserLifetime)
}

// IssueClient issues a user's client certificate. Whether the user exists, and
// that the serial is registered (access.Store.AddCertificate), is the caller's
// matter: a certificate that is not registered opens nothing. It repeats an
// answer as IssueDevice does.
func (a *Authority) IssueClient(ctx context.Context, req ClientRequest) (*x509.Certificate, error) {
	o, err := clientOrder(req)
	if err != nil {
		return nil, fmt.Errorf("certificate of user %q: %w", req.User, err)
	}
	return a.issue(ctx, o)
}

func clientOrder(req ClientRequest) (*order, error) {
	if err := checkCommonName(req.User); err != nil {
		return nil, err
	}
	pub, err := publicKeyOf(req.CSR)
	if err != nil {
		return nil, err
	}
	o := &order{
		purpose: Client, issuer: API, holder: req.User, commonName: req.User,
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return o, o.complete(pub, req.Lifetime, UserLifetime)
}

// IssueConsole issues this server's client certificate towards devices. The API
// does not let it in: it is never registered as a user's. It repeats an answer
// as IssueDevice does.
func (a *Authority) IssueConsole(ctx context.Context, req ConsoleRequest) (*x509.Certificate, error) {
	o, err := consoleOrder(req)
	if err != nil {
		return nil, fmt.Errorf("console certificate: %w", err)
	}
	return a.issue(ctx, o)
}

func consoleOrder(req ConsoleRequest) (*order, error) {
	name, err := checkFQDN(req.Name)
	if err != nil {
		return nil, err
	}
	if err := CheckDeviceKey(req.PublicKey); err != nil {
		return nil, err
	}
	o := &order{
		purpose: Console, issuer: API, holder: name, commonName: name, dnsNames: []string{name},
		usages:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		usageOIDs: []asn1.ObjectIdentifier{ConsoleOID},
	}
	return o, o.complete(req.PublicKey, req.Lifetime, DeviceLifetime)
}

// complete fills in what all requests have.
func (o *order) complete(pub crypto.PublicKey, lifetime, standard time.Duration) error {
	if lifetime == 0 {
		lifetime = standard
	}
	if lifetime < MinLifetime || lifetime > MaxLifetime {
		return fmt.Errorf("%w: %v, want %v to %v", ErrLifetime, lifetime, MinLifetime, MaxLifetime)
	}
	o.lifetime = lifetime.Truncate(time.Second)
	var err error
	o.publicKey = pub
	if o.spki, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	o.keyUsage = x509.KeyUsageDigitalSignature
	if _, ok := pub.(*rsa.PublicKey); ok && o.usages[0] == x509.ExtKeyUsageServerAuth {
		o.keyUsage |= x509.KeyUsageKeyEncipherment // RSA key exchange: all that old firmware has
	}
	return nil
}
