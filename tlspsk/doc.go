// Package tlspsk is TLS with a pre-shared key, the transport of AMT set-up:
// RFC 4279 key exchange over TLS 1.0 (RFC 2246), 1.1 (RFC 4346) and 1.2
// (RFC 5246), as client and as server, in pure Go.
//
// Most callers need two functions: Client(conn, PairConfig(pair)) in a set-up
// server, and Server(conn, PairServerConfig(pair)), or NewListener, in what plays
// a device. Both give a *Conn, which is a net.Conn and fits under net/http.
package tlspsk
