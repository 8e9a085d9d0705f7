package ca

import "errors"

// Errors of opening.
var (
	// ErrExists is returned by Init when the store holds an authority already.
	ErrExists = errors.New("the certificate authority exists already")
	// ErrMissing is returned by Open when the store holds none.
	ErrMissing = errors.New("the store holds no certificate authority")
	// ErrDamaged is returned when certificates, keys or records of the authority
	// do not fit together.
	ErrDamaged = errors.New("the certificate authority is damaged")
)

// Errors of a request.
var (
	// ErrKey is returned for a public key of a kind or size that is not certified.
	ErrKey = errors.New("public key refused")
	// ErrKeyInUse is returned for a public key that another holder, or the
	// authority itself, has a certificate for.
	ErrKeyInUse = errors.New("the public key belongs to another certificate holder")
	// ErrKeyCompromised is returned for a public key one of whose certificates
	// was revoked with KeyCompromise.
	ErrKeyCompromised = errors.New("the public key was reported compromised")
	// ErrName is returned for a name that cannot stand in a certificate.
	ErrName = errors.New("name refused")
	// ErrNameReserved is returned for a device name that the API's server has.
	ErrNameReserved = errors.New("the name belongs to the server of the API")
	// ErrLifetime is returned for a lifetime outside of MinLifetime to MaxLifetime.
	ErrLifetime = errors.New("lifetime refused")
	// ErrRequest is returned for a certificate request that does not parse or
	// whose signature is wrong, and for a device without a UUID.
	ErrRequest = errors.New("certificate request refused")
)

// Errors of issuing and looking up.
var (
	// ErrIssuer is returned when an authority's own certificate is not valid now.
	ErrIssuer = errors.New("the issuer's certificate is not valid at this time")
	// ErrMismatch is returned when what was signed is not what was asked for; it
	// is not stored, and its serial stays unfinished.
	ErrMismatch = errors.New("the signed certificate does not match its request")
	// ErrUnknown is returned for a serial that was never drawn.
	ErrUnknown = errors.New("no such certificate")
	// ErrUnfinished is returned where a certificate is needed and only its serial exists.
	ErrUnfinished = errors.New("the certificate was never finished")
	// ErrRevoked is returned when a certificate is revoked twice, or while it is issued.
	ErrRevoked = errors.New("the certificate was revoked before")
	// ErrReason is returned for a revocation reason that is not one of Reason's.
	ErrReason = errors.New("no such revocation reason")
	// ErrPage is returned for a page token that no List gave out.
	ErrPage = errors.New("not a page token")
)
