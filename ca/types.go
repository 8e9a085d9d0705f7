package ca

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Issuer is one of the three authorities.
type Issuer uint8

// The authorities, by their stored values.
const (
	Root    Issuer = 1
	Devices Issuer = 2 // signs devices' server certificates
	API     Issuer = 3 // signs users, the API's server and the console certificate
)

// String names the authority.
func (i Issuer) String() string {
	switch i {
	case Root:
		return "root"
	case Devices:
		return "devices"
	case API:
		return "api"
	}
	return fmt.Sprintf("unknown issuer (%d)", uint8(i))
}

// Purpose is what a certificate is for.
type Purpose uint8

// The purposes, by their stored values.
const (
	Device  Purpose = 1 // a managed device's TLS server
	Server  Purpose = 2 // the listener of the API
	Client  Purpose = 3 // a user of the API
	Console Purpose = 4 // this server's client certificate towards devices
)

// purposes lists them all.
var purposes = []Purpose{Device, Server, Client, Console}

// String names the purpose.
func (p Purpose) String() string {
	switch p {
	case Device:
		return "device"
	case Server:
		return "server"
	case Client:
		return "client"
	case Console:
		return "console"
	}
	return fmt.Sprintf("unknown purpose (%d)", uint8(p))
}

// ParsePurpose reads what String writes.
func ParsePurpose(s string) (Purpose, error) {
	for _, p := range purposes {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("purpose %q: want device, server, client or console", s)
}

// State is where a certificate stands at a given time; it is computed, not stored.
type State uint8

// The states.
const (
	Unfinished State = 1 // the serial is stored, a certificate is not
	Good       State = 2
	Revoked    State = 3
	Expired    State = 4
)

// String names the state.
func (s State) String() string {
	switch s {
	case Unfinished:
		return "unfinished"
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("unknown state (%d)", uint8(s))
}

// ParseState reads what String writes.
func ParseState(s string) (State, error) {
	for _, st := range []State{Unfinished, Good, Revoked, Expired} {
		if s == st.String() {
			return st, nil
		}
	}
	return 0, fmt.Errorf("state %q: want unfinished, good, revoked or expired", s)
}

// Reason is a CRLReason of RFC 5280 section 5.3.1. Of the ten there, 2, 6, 8 and
// 10 have no use here and are refused.
type Reason uint8

// The reasons, by their values in a CRL.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1 // its public key is never certified again
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	PrivilegeWithdrawn   Reason = 9
)

var reasons = []Reason{Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation, PrivilegeWithdrawn}

// String is the name in RFC 5280.
func (r Reason) String() string {
	switch r {
	case Unspecified:
		return "unspecified"
	case KeyCompromise:
		return "keyCompromise"
	case AffiliationChanged:
		return "affiliationChanged"
	case Superseded:
		return "superseded"
	case CessationOfOperation:
		return "cessationOfOperation"
	case PrivilegeWithdrawn:
		return "privilegeWithdrawn"
	}
	return fmt.Sprintf("unknown reason (%d)", uint8(r))
}

// ParseReason reads what String writes.
func ParseReason(s string) (Reason, error) {
	for _, r := range reasons {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("reason %q: want one of %v", s, reasons)
}

// known reports whether r may be stored.
func (r Reason) known() bool {
	for _, k := range reasons {
		if r == k {
			return true
		}
	}
	return false
}

// Certificate is what the store knows of a certificate, finished or not.
type Certificate struct {
	Serial  amt.Serial
	Issuer  Issuer
	Purpose Purpose
	// Holder is a device's UUID, a user's name, or the first name of a server
	// or console certificate.
	Holder      string
	CommonName  string
	DNSNames    []string
	IPAddresses []netip.Addr
	PublicKey   []byte        // SubjectPublicKeyInfo, DER
	Lifetime    time.Duration // as asked for; NotAfter may be cut to the issuer's
	BegunAt     time.Time     // when the serial was stored
	NotBefore   time.Time
	NotAfter    time.Time
	RenewAt     time.Time // from when on a new one should take its place
	IssuedAt    time.Time // zero: unfinished
	DER         []byte    // the certificate; nil: unfinished
	Revocation  *Revocation
	ReplacedBy  amt.Serial // a newer certificate of the same purpose and holder
}

// Revocation says when, why and by whom a certificate was revoked.
type Revocation struct {
	At     time.Time
	Reason Reason
	Who    string // user name or program
	Why    string // in that person's words
}

// State is where c stands at that time. Revoked comes before the others.
func (c *Certificate) State(at time.Time) State {
	switch {
	case c.Revocation != nil:
		return Revoked
	case len(c.DER) == 0:
		return Unfinished
	case at.After(c.NotAfter):
		return Expired
	}
	return Good
}

// X509 parses the certificate; an unfinished one is ErrUnfinished.
func (c *Certificate) X509() (*x509.Certificate, error) {
	if len(c.DER) == 0 {
		return nil, fmt.Errorf("certificate %v: %w", c.Serial, ErrUnfinished)
	}
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil, fmt.Errorf("certificate %v: %w", c.Serial, err)
	}
	return cert, nil
}
