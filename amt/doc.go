// Package amt is the vocabulary of Intel AMT set-up: the types that every other
// package speaks of (UUID, PID, PPS, Pair, Secret, Phase, Model, Kind, Version,
// Realm, ports and password rules), each with its parser and its text form.
//
// It does no I/O, keeps no state, imports nothing else of this module, and knows
// neither the wire formats (hello, setupbin, wsman) nor the store.
package amt

// TCP ports of Intel AMT and of a set-up and configuration server.
const (
	// HelloPort is where a server listens for hello messages
	// (LMS OOB_Service.mof: "9971" unless configured).
	HelloPort = 9971
	// PortHTTP serves WS-Man in clear; gone from CSME 16.1 on.
	PortHTTP = 16992
	// PortTLS serves WS-Man over TLS, and set-up over TLS-PSK.
	PortTLS = 16993
)

// DefaultServerName is the host that firmware asks DNS for when no server was
// configured (LMS OOB_Service.mof).
const DefaultServerName = "provisionserver"

// AdminUser is the name of the digest administrator of a device that was never
// renamed.
const AdminUser = "admin"

// FactoryPassword is the MEBx password of a device in its factory state.
const FactoryPassword = "admin"
