// Package tlspsk is TLS with a pre-shared key, the transport of AMT set-up:
// RFC 4279 key exchange over TLS 1.0 (RFC 2246), 1.1 (RFC 4346) and 1.2
// (RFC 5246), as client and as server, in pure Go.
//
// Most callers need two functions: Client(conn, PairConfig(pair)) in a set-up
// server, and Server(conn, PairServerConfig(pair)), or NewListener, in what plays
// a device. Both give a *Conn, which is a net.Conn and fits under net/http.
//
// # On the wire
//
// All integers are big-endian. A record is
//
//	0  1  type: 20 ChangeCipherSpec, 21 alert, 22 handshake, 23 application data
//	1  2  version: 0301, 0302 or 0303; 0301 until one is agreed
//	3  2  length of what follows: 1 to 16384 plain, to 18432 protected
//	5  n  plain, or protected: [explicit IV, from TLS 1.1 on] payload, HMAC-SHA1, padding
//
// and a handshake message is
//
//	0  1  type
//	1  3  length of the body, here at most 16384
//	4  n  body
//
// of which these are peculiar to pre-shared keys (RFC 4279 sections 2 and 4):
//
//	ServerKeyExchange (12)  2+n  identity hint; the message is left out for none
//	ClientKeyExchange (16)  2+n  identity; RSA_PSK: 2+n encrypted secret behind it
//
// The premaster secret is 2+n other secret and 2+n key; the other secret is as
// many zeros as the key has bytes, or the 48 bytes of RSA_PSK. Identity and key of
// an AMT device are its PID and PPS as ASCII without dashes: see PairForm.
//
// The ClientHello is the smallest legal one, without session and extensions and
// with the signalling suite 00FF (RFC 5746), since firmware of that age may know
// no more. A ServerHello may answer that by an empty renegotiation_info.
//
// # Security
//
// There is no forward secrecy: who holds the PPS and a recording reads it all, so
// replace the pair once it was used. CBC padding, MAC and lengths are checked in a
// time that depends on the record's length alone and fail alike (Lucky 13);
// TLS 1.0 writes 1/n-1 split records (BEAST). 3DES and RC4 are there for firmware
// that knows nothing else and are never offered unless named.
//
// Nothing is authenticated before the handshake succeeds: alerts until then, and
// so the errors made of them, can be forged.
//
// A wrong key shows at the first protected record: ErrKeyMismatch. So does a
// changed random, which cannot be told from it.
//
// There are no sessions, tickets, renegotiation, compression, client certificates
// or early data, no ECDHE or DHE key exchange, no CBC-SHA256 suite (Go has no
// constant-time SHA-256), no TLS 1.3, no DTLS. Everything after set-up is for
// crypto/tls.
package tlspsk
