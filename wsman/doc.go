// Package wsman is a WS-Management client for Intel AMT: it builds SOAP 1.2
// envelopes, logs in with HTTP digest, decodes replies and faults strictly, and
// has one typed function for each AMT call that set-up needs.
//
// Most callers need New, then the typed calls of Client. What has no typed call
// is reached with Get, Put, Create, Delete, Items and Invoke over Object, an
// ordered element tree that is sent back exactly as it was read.
//
// # Repeating
//
// A call is one of three kinds. A read or a Put is repeated after a transport
// error. A Pull is never repeated, because it moves its enumeration on: Items
// starts the enumeration again. Everything else is sent at most once; when it
// was sent and no usable answer came the error is ErrLost, and the caller reads
// the state back. HTTP 503 is repeated for all kinds, HTTP 400 and 500 never. A
// 401 means that the call was not executed, so it is answered with credentials
// for all kinds.
//
// # Wire
//
// POST /wsman, SOAP 1.2, WS-Addressing 2004/08, WS-Man DSP0226 1.0, MD5 digest
// of RFC 2617 with qop=auth. Replies are matched by namespace and local name,
// never by prefix. A reply counts only if it holds the expected element and, for
// a method, an explicit ReturnValue of 0.
//
// It opens no TCP or TLS connection itself (Config.Dial does), decides nothing
// about the order of calls (provisioning does), and keeps no state between
// clients.
package wsman
