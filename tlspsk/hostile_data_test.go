package tlspsk

import (
	"errors"
	"io"
	"testing"
)

// afterHandshakeC plays a whole client and then the tail.
func afterHandshakeC(tail func(h *handshake) error) func(h *handshake) error {
	return func(h *handshake) error { return steps(h.client, func() error { return tail(h) }) }
}

// clientSays plays a client that sends a changed ClientHello.
func clientSays(change func(m *clientHello)) func(h *handshake) error {
	return func(h *handshake) error {
		m := clientHello{version: 0x0303, suites: []uint16{SuiteAES128}, compression: []byte{0}}
		change(&m)
		return h.flushed(m.append(nil))()
	}
}

// insteadOfKey plays a client up to ServerHelloDone and then the tail.
func insteadOfKey(tail func(h *handshake) error) func(h *handshake) error {
	return func(h *handshake) error {
		return steps(h.sendClientHello, h.readServerHello, h.readServerFlight, func() error { return tail(h) })
	}
}

func TestHostileClient(t *testing.T) {
	t.Parallel()
	cke := (&clientKeyExchange{identity: []byte("0000037M")}).append(nil)
	runAttacks(t, false, []attack{
		{"SSL 3.0", clientSays(func(m *clientHello) { m.version = 0x0300 }), ErrNoSharedVersion, AlertProtocolVersion},
		{"version 0", clientSays(func(m *clientHello) { m.version = 0 }), ErrNoSharedVersion, AlertProtocolVersion},
		{"no null compression", clientSays(func(m *clientHello) { m.compression = []byte{1} }), ErrProtocol, AlertIllegalParameter},
		{"only the SCSV", clientSays(func(m *clientHello) { m.suites = []uint16{scsvRenegotiation} }), ErrNoPSK, AlertHandshakeFailure},
		{"fallback without need", clientSays(func(m *clientHello) {
			m.version, m.suites = 0x0301, []uint16{SuiteAES128, scsvFallback}
		}), ErrProtocol, AlertInappropriateFallback},
		{"renegotiation data", clientSays(func(m *clientHello) {
			m.extensions = []extension{{extRenegotiationInfo, []byte{1, 2}}}
		}), ErrProtocol, AlertHandshakeFailure},
		{"ClientKeyExchange behind ClientHello", func(h *handshake) error {
			m := clientHello{version: 0x0303, suites: []uint16{SuiteAES128}, compression: []byte{0}}
			return h.flushed(append(m.append(nil), cke...))()
		}, ErrProtocol, AlertUnexpectedMessage},
		{"ServerHello", raws(recordHandshake, "\x02\x00\x00\x00"), ErrProtocol, AlertUnexpectedMessage},
		{"overlong ClientHello", raws(recordHandshake, "\x01\x00\x40\x01"), ErrProtocol, AlertIllegalParameter},
		{"second ClientHello", insteadOfKey(func(h *handshake) error { return h.sendClientHello() }), ErrProtocol, AlertUnexpectedMessage},
		{"Certificate", insteadOfKey(raws(recordHandshake, "\x0b\x00\x00\x03\x00\x00\x00")), ErrProtocol, AlertUnexpectedMessage},
		{"ChangeCipherSpec without key", insteadOfKey(raws(recordChangeCipherSpec, "\x01")), ErrProtocol, AlertUnexpectedMessage},
		{"Finished without key", insteadOfKey(raws(recordHandshake, "\x14\x00\x00\x0c123456789012")), ErrProtocol, AlertUnexpectedMessage},
		{"data without key", insteadOfKey(raws(recordApplication, "data")), ErrProtocol, AlertUnexpectedMessage},
		{"empty identity", insteadOfKey(raws(recordHandshake, "\x10\x00\x00\x02\x00\x00")), ErrUnknownIdentity, AlertUnknownPSKIdentity},
		{"Finished behind ClientKeyExchange", insteadOfKey(raws(recordHandshake, string(cke)+"\x14\x00\x00\x0c")), ErrProtocol, AlertUnexpectedMessage},
		{"CertificateVerify", insteadOfKey(raws(recordHandshake, string(cke), "\x0f\x00\x00\x00")), ErrProtocol, AlertUnexpectedMessage},
		{"plain Finished", insteadOfKey(raws(recordHandshake, string(cke), "\x14\x00\x00\x0c123456789012")), ErrProtocol, AlertUnexpectedMessage},
		{"plain data behind ChangeCipherSpec", insteadOfKey(func(h *handshake) error {
			return steps(func() error { return h.raw(recordHandshake, string(cke)) },
				func() error { return h.raw(recordChangeCipherSpec, "\x01") },
				func() error { return h.raw(recordApplication, "data") })
		}), ErrKeyMismatch, AlertBadRecordMAC},
	})
}

// TestHostileData is what comes after a good handshake.
func TestHostileData(t *testing.T) {
	t.Parallel()
	list := func(after func(func(*handshake) error) func(*handshake) error) []attack {
		return []attack{
			{"flood of empty records", after(func(h *handshake) error {
				return times(maxUseless+1, func() error { return h.raw(recordApplication, "") })()
			}), ErrProtocol, AlertUnexpectedMessage},
			{"flood of warnings", after(func(h *handshake) error {
				return times(maxUseless+1, func() error { return h.raw(recordAlert, "\x01\x5a") })()
			}), ErrProtocol, AlertUnexpectedMessage},
			{"ChangeCipherSpec", after(raws(recordChangeCipherSpec, "\x01")), ErrProtocol, AlertUnexpectedMessage},
			{"Finished", after(raws(recordHandshake, "\x14\x00\x00\x00")), ErrProtocol, AlertUnexpectedMessage},
			{"empty handshake record", after(raws(recordHandshake, "")), ErrProtocol, AlertUnexpectedMessage},
			{"half a HelloRequest", after(raws(recordHandshake, "\x00\x00")), ErrProtocol, AlertUnexpectedMessage},
			{"malformed alert", after(raws(recordAlert, "\x02")), ErrProtocol, AlertDecodeError},
			{"plain record", after(func(h *handshake) error {
				return h.bare("\x17\x03\x03\x00\x04data")
			}), ErrRecord, AlertBadRecordMAC},
			{"record of another version", after(func(h *handshake) error {
				return h.bare("\x17\x03\x01\x00\x20")
			}), ErrProtocol, AlertProtocolVersion},
			{"plain alert", after(func(h *handshake) error {
				return h.bare("\x15\x03\x03\x00\x02\x01\x00")
			}), ErrRecord, AlertBadRecordMAC},
			{"empty record without MAC", after(func(h *handshake) error {
				return h.bare("\x17\x03\x03\x00\x00")
			}), ErrRecord, AlertBadRecordMAC},
			{"record too long", after(func(h *handshake) error {
				return h.bare("\x17\x03\x03\x48\x01")
			}), ErrProtocol, AlertRecordOverflow},
			{"payload too long", after(func(h *handshake) error {
				return h.raw(recordApplication, string(make([]byte, maxPlaintext+1)))
			}), ErrProtocol, AlertRecordOverflow},
			{"data, then a fatal alert", after(func(h *handshake) error {
				return steps(func() error { return h.raw(recordApplication, "data") },
					func() error { return h.raw(recordAlert, "\x02\x50") })
			}), errPeerAlert, noAlert},
		}
	}
	t.Run("from the server", func(t *testing.T) {
		t.Parallel()
		runAttacks(t, true, append(list(afterHandshake), attack{"flood of HelloRequests", afterHandshake(func(h *handshake) error {
			return times(maxRequests+1, func() error { return h.raw(recordHandshake, "\x00\x00\x00\x00") })()
		}), ErrProtocol, AlertNoRenegotiation}))
	})
	t.Run("from the client", func(t *testing.T) {
		t.Parallel()
		runAttacks(t, false, append(list(afterHandshakeC),
			attack{"second ClientHello", afterHandshakeC(func(h *handshake) error {
				return h.raw(recordHandshake, "\x01\x00\x00\x2d")
			}), ErrRenegotiation, AlertNoRenegotiation},
			attack{"HelloRequest", afterHandshakeC(raws(recordHandshake, "\x00\x00\x00\x00")), ErrProtocol, AlertUnexpectedMessage}))
	})
}

// TestHelloRequest asks a client for renegotiation between two pieces of data: it
// must refuse by a warning and lose nothing.
func TestHelloRequest(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	h := &handshake{c: v}
	done := make(chan error, 1)
	go func() {
		done <- steps(
			func() error { return h.raw(recordApplication, "one ") },
			func() error { return h.raw(recordHandshake, "\x00\x00\x00\x00") },
			func() error { return h.raw(recordApplication, "two") },
			v.CloseWrite,
		)
	}()
	got, err := io.ReadAll(c)
	if string(got) != "one two" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	typ, payload, err := v.readRecord()
	if err != nil || typ != recordAlert || string(payload) != "\x01\x64" {
		t.Errorf("answer: type %d, % x, %v", typ, payload, err)
	}
	if _, err := c.Write([]byte("still there")); err != nil {
		t.Errorf("Write: %v", err)
	}
}

// TestUselessResets allows any number of empty records if data comes between
// them, as TLS 1.0 peers send them.
func TestUselessResets(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	h := &handshake{c: v}
	go func() {
		_ = times(3*maxUseless, func() error {
			return steps(func() error { return h.raw(recordApplication, "") }, func() error { return h.raw(recordApplication, "x") })
		})()
		_ = v.CloseWrite()
	}()
	if got, err := io.ReadAll(c); len(got) != 3*maxUseless || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestAfterCloseNotify sends data behind close_notify: it is never read.
func TestAfterCloseNotify(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	h := &handshake{c: v}
	if err := steps(func() error { return h.raw(recordAlert, "\x01\x00") }, func() error { return h.raw(recordApplication, "late") }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := c.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("got %d bytes, %v", n, err)
		}
	}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Errorf("Write: %v", err)
	}
}

// TestFatalAlertEndsWriting: after a fatal alert of the peer nothing is written.
func TestFatalAlertEndsWriting(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	mustShake(t, c, v)
	h := &handshake{c: v}
	if err := h.raw(recordAlert, "\x02\x50"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Alert != AlertInternalError || !alert.FromPeer {
		t.Errorf("Read: got %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.As(err, &alert) {
		t.Errorf("Write: got %v", err)
	}
}
