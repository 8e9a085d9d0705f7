// Package ca is the certificate authority of one installation: a root, an
// intermediate for devices and one for the API, kept in the store with sealed
// keys, and what they issue, list and revoke.
//
// Most callers need three functions: Init once, Open at each start, and
// IssueDevice. Every issue goes through the same steps, so that no crash lets a
// serial be used twice and no certificate exists that the store knows nothing of:
//
//  1. the request is checked and a serial of 127 random bits is drawn
//  2. transaction 1 stores serial, subject, public key, purpose and holder,
//     unless a certificate for exactly this request exists and is still good:
//     then that one is the answer
//  3. the intermediate signs, outside any transaction, with that serial
//  4. what came back is verified against the request, field by field
//  5. transaction 2 stores the certificate
//
// A crash between 2 and 5 leaves an unfinished serial: it is never used again
// and Unfinished lists it. A certificate that was signed but not stored has left
// this process nowhere. Revoke takes an unfinished serial, too.
//
// The two intermediates part two worlds. Devices trust nothing by them, but
// whoever talks to a device verifies it against Bundle. The API and its clients
// trust the API intermediate alone (APIPool), never the root: so no device
// certificate can call the API, and none can pose as its server.
//
// The package is the only one that imports smallstep's certificate authority,
// which composes and signs the certificates. It knows no roles (access), no
// devices beyond their UUID (provisioning), publishes no CRL by HTTP, speaks no
// ACME, SCEP or OCSP, and stores no private key but its own.
package ca
